"""The examples of a model, read once for what is to be left out of them, and who learned it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.learners.model import Model
from freshet.learners.training.exclusions import Exclusions
from freshet.past.own_logs import Told, blocks_of, once, together
from freshet.runs.opened import OpenedRun
from freshet.schemas.models.layout import Layout
from freshet.schemas.wire.blocks import NO_TICK
from freshet.schemas.wire.outcomes import ASKED, CORRECTED, EXPIRED, LABELLED, ExampleRows
from freshet.streams.operators.origins import Ticks

I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
# Before the moment of a lineage its log is read by so much: records bear the times of their
# causes, which need not rise, and whatever was asked too early is left out all the same.
EARLIER_MS = 3_600_000


class Read(NamedTuple):
    """Rows of an examples log in their order: of each the offset of its record and the newest tick
    (ms) that a trainer had reached before it. `finished` is the newest tick of all, `begins` the
    first offset of which a question may have been asked from a moment on."""

    rows: ExampleRows
    offsets: I64
    ticks: I64
    finished: int
    begins: int

    def counts(self, chosen: Bools) -> Counts:
        kind = self.rows.kind[chosen]
        return Counts(
            int((kind == ASKED).sum()),
            int(np.isin(kind, (LABELLED, CORRECTED)).sum()),
            int((kind == EXPIRED).sum()),
        )

    @property
    def learned(self) -> Bools:
        """Which rows are learned."""
        kinds = (self.rows.kind == LABELLED) | (self.rows.kind == CORRECTED)
        found: Bools = kinds & ~self.rows.saw_future
        return found


class Counts(NamedTuple):
    """Of questions: how many were asked, had a label, and expired."""

    asked: int
    labelled: int
    expired: int


def read(run: OpenedRun, model: Model, since: int | None = None) -> Read:
    """All that a model was asked. Raises `LogError` where its log cannot be read."""
    layout = Layout.of(model.vectors)
    ticks = Ticks()
    told = []
    reached: dict[int, int] = {}
    begins = None
    for each in blocks_of(run.log, run.app.examples_log_of(model)):
        reached[each.offset] = ticks.finished
        ticks.note(each.block)
        if since is not None and begins is None and ticks.finished >= since - EARLIER_MS:
            begins = each.offset
        told.append(each)
    parts = list(_parts(told, layout))
    offsets = np.concatenate([np.empty(0, np.int64), *(np.full(len(p), o) for o, p in parts)])
    known = [np.full(len(part), reached[offset]) for offset, part in parts]
    end = told[-1].offset + 1 if told else 0
    if since is None:
        begins = 0
    return Read(
        together([part for _, part in parts], layout),
        offsets,
        np.concatenate([np.empty(0, np.int64), *known]),
        ticks.finished if ticks.finished != NO_TICK else 0,
        end if begins is None else begins,
    )


def _parts(told: list[Told], layout: Layout) -> list[tuple[int, ExampleRows]]:
    return [(offset, ExampleRows.from_arrow(rows, layout)) for offset, _, rows in once(told)]


def exclusions_of(
    model: Model,
    since: int | None,
    where: str,
    ids: tuple[str, ...],
) -> Exclusions:
    """What a lineage of the model leaves out. Raises `RequestError` for what cannot be told."""
    return Exclusions(
        model.vectors,
        model.on.source or "",
        since,
        where,
        ids,
    )
