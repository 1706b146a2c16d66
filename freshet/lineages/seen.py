"""Who saw examples that are to be left out: lineages, their snapshots, and views, with counts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from freshet.learners.contract import LearnerSpec
from freshet.learners.model import Model
from freshet.learners.snapshots import folder as folders
from freshet.learners.started import Started
from freshet.lineages.asked import Bools, Read, exclusions_of
from freshet.runs.opened import OpenedRun
from freshet.schemas.models.manifest import Manifest, parsed
from freshet.schemas.models.spans import Span
from freshet.streams.archive.events import EVENT
from freshet.streams.operators import checkpoints
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.operators.task import from_json

_MANIFEST = re.compile(r"(\d{6})\.json")
MANIFEST_BYTES = 1 << 20
SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Seen:
    """A lineage, a snapshot of one or a view (its `kind`, and the `name` of the lineage or view),
    and how many of what is left out it has in it: examples of lineages and snapshots, events of
    views. `number` is a snapshot's."""

    kind: str
    name: str
    count: int
    number: int | None = None


def by_lineages(run: OpenedRun, model: Model, read: Read, left_out: Bools) -> list[Seen]:
    """Each lineage of the model, and its snapshots that are there, in the order of their
    numbers."""
    identity = run.log.bounds(run.app.examples_log_of(model)).identity
    found = []
    for spec in model.learners:
        lineage = model.lineage(spec)
        task = f"train:{model.name}.{lineage}:0"
        url = run.settings.checkpoints_url
        saved = [at for log, at in checkpoints.positions(url, task) if log == identity]
        learned = read.learned & left_out & ~_left_out_by(model, spec, read)
        learned &= ~_skipped(read, skips_of(url, task, identity, spec) if saved else [])
        position = max(saved, default=0)
        found.append(
            Seen(
                "lineage",
                lineage,
                _before(read, learned, position),
            )
        )
        for manifest in _manifests(run, model.name, lineage):
            found.append(
                Seen(
                    SNAPSHOT,
                    lineage,
                    _before(read, learned, manifest.position),
                    manifest.number,
                )
            )
    return found


def _left_out_by(model: Model, spec: LearnerSpec, read: Read) -> Bools:
    """What a lineage leaves out itself."""
    if not isinstance(spec, Started):
        return np.zeros(len(read.rows), np.bool_)
    start = spec.start
    return exclusions_of(model, start.since, start.where, start.ids).of(read.rows)


def skips_of(url: str, task: str, identity: str, spec: LearnerSpec) -> list[Span]:
    """What its newest checkpoint says that it skipped."""
    loaded = Checkpoints(url, task, identity).load()
    if loaded is None:
        return list(spec.start.skips) if isinstance(spec, Started) else []
    _, base, deltas = loaded
    state = deltas[-1] if deltas else base
    if "skips" not in state:
        return []
    return [
        Span(told["start"], told["until"], told["by"], told["why"])
        for told in from_json(state["skips"])
    ]


def _skipped(read: Read, spans: Iterable[Span]) -> Bools:
    out = np.zeros(len(read.rows), np.bool_)
    for span in spans:
        end = span.until if span.until is not None else np.iinfo(np.int64).max
        out |= (read.ticks >= span.start) & (read.ticks < end)
    return out


def _before(read: Read, learned: Bools, position: int) -> int:
    return int((learned & (read.offsets < position)).sum())


def _manifests(run: OpenedRun, model: str, lineage: str) -> list[Manifest]:
    with folders.opened_if_there(run.settings.snapshots_url, model, lineage) as folder:
        if folder is None:
            return []
        names = [name for name in folder.names() if _MANIFEST.fullmatch(name)]
        return [parsed(folder.read(name, MANIFEST_BYTES)) for name in names]


def by_views(run: OpenedRun, model: Model, ids: Iterable[str]) -> list[Seen]:
    """Each view over the topics of the model's questions and labels: how many applied events of
    what was asked about it has folded. A topic is settled once more for that, from its first record
    on."""
    import polars as pl

    from freshet.past.events import lazy_frame_of

    wanted = pl.Series(sorted(set(ids)), dtype=pl.String)
    topics = {model.on.name: model.id, model.label.topic.name: model.label.id}
    found = []
    for name, field in topics.items():
        views = [view for view in run.app.views if view.is_over(name)]
        if not views or not len(wanted):
            found += [Seen("view", view.name, 0) for view in views]
            continue
        topic = run.app.topic(name)
        own = lazy_frame_of(run, topic).filter(pl.col("fate") == "applied")
        asked = pl.col(EVENT + field).cast(pl.String).is_in(wanted.implode())
        count = own.filter(asked).select(EVENT + field).collect().height
        found += [Seen("view", view.name, count) for view in views]
    return found
