"""Finds a prediction by its id in the logs of a model: every time it was asked, its labels, and the
examples they became.

The id is looked for in the bytes of the records, and only blocks that hold it are decoded: a year
is read in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from freshet.app import App
from freshet.explain.row_events import element_of, source_of
from freshet.features.stores.contract import VERSION_BYTES
from freshet.learners.model import Model
from freshet.schemas.models.layout import Layout
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.schemas.wire.outcomes import (
    ASKED,
    ExampleRows,
    fixed_of,
    missing_of,
    texts_of,
    views_of,
)
from freshet.streams.log.contract import Log
from freshet.streams.log.spans import Found, PartitionSpans

SCORER = "scorer:"  # before a scorer's instance, in the origins of its predictions


@dataclass(frozen=True, slots=True)
class LoggedPrediction:
    """One prediction as it was logged: by which scorer instance, at which offset of the outcomes
    log, its fixed row, its categories joined, and 16 bytes of version for each view read, by its
    name in the store; and the features for want of which no model answered."""

    instance: str
    offset: int
    fixed: npt.NDArray[np.void]
    categories: str
    lineage: str
    versions: Mapping[str, bytes]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoggedLabel:
    """A label as intake routed it: from which event (and its `place` in its record, where that is
    more than one), at what event time (ms); None where the value is missing."""

    topic: str
    partition: int
    offset: int
    t: int
    value: float | None
    place: int = 0


@dataclass(frozen=True, slots=True)
class JoinedExample:
    """What the join made of it: a row of the examples log. `tick` is the first one at or after it,
    at which trainers have learned it (None: there is none yet)."""

    kind: int
    ask: int
    t: int
    label: float
    saw_future: bool
    fixed: bytes
    offset: int
    tick: int | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """All that the logs hold of an id, each in the order of its log. The first of `asked` is the
    answer that counts."""

    asked: list[LoggedPrediction]
    labels: list[LoggedLabel]
    examples: list[JoinedExample]


def find(app: App, log: Log, model: Model, prediction: str) -> Findings:
    """Look for an id; `asked` is empty where it never was. Rows that were appended twice after a
    failure count once."""
    asked: dict[tuple[str, int], LoggedPrediction] = {}
    labels: dict[tuple[str, int, int, int], LoggedLabel] = {}
    with PartitionSpans(log, app.outcomes_log_of(model)) as outcomes:
        for found, block, rows in _blocks_with(outcomes, prediction):
            if block.kind == blocks.PREDICTIONS:
                for logged in _predictions(model, found, block, rows):
                    # By its scorer's own number: appended twice, it is one prediction.
                    asked.setdefault((logged.instance, int(logged.fixed["sequence"])), logged)
            else:
                for label in _labels(block, rows):
                    origin = (label.topic, label.partition, label.offset, label.place)
                    labels.setdefault(origin, label)
    if not asked:
        return Findings([], [], [])
    return Findings(
        list(asked.values()), list(labels.values()), _examples(app, log, model, prediction)
    )


@dataclass(frozen=True, slots=True)
class Extent:
    """How many predictions an outcomes log holds, and when the first and the last were asked
    (ms)."""

    n: int
    first_ms: int | None
    last_ms: int | None


def extent(app: App, log: Log, model: Model) -> Extent:
    rows = 0
    asked_at = list[int]()
    layout = Layout.of(model.vectors)
    with PartitionSpans(log, app.outcomes_log_of(model)) as outcomes:
        for found in outcomes.holding(f"{SCORER}".encode(), outcomes.first, outcomes.after):
            block = blocks.decode(found.value)
            if block.kind == blocks.PREDICTIONS and block.rows is not None:
                rows += block.rows.num_rows
                times = fixed_of(block.rows, layout)["asked_at"]
                asked_at = [min([int(times.min()), *asked_at]), max([int(times.max()), *asked_at])]
    return Extent(rows, *(asked_at or (None, None)))


def _blocks_with(
    spans: PartitionSpans, prediction: str
) -> Iterator[tuple[Found, Block, Sequence[int]]]:
    """The blocks with rows of this id, and which rows those are."""
    # The bytes of the id are looked for first, so that most blocks need not be decoded.
    for found in spans.holding(prediction.encode(), spans.first, spans.after):
        block = blocks.decode(found.value)
        if block.rows is not None:
            rows = np.flatnonzero(
                pc.equal(block.rows.column("id"), prediction).fill_null(False).to_numpy(False)
            )
            if len(rows):
                yield found, block, rows.tolist()


def _predictions(
    model: Model, found: Found, block: Block, rows: Sequence[int]
) -> Iterator[LoggedPrediction]:
    table = block.rows
    assert table is not None
    layout = Layout.of(model.vectors)
    fixed = fixed_of(table, layout)
    categories = texts_of(table, layout)["categories"].to_arrow()
    views = views_of(table)
    missing = missing_of(table)
    for i in rows:
        lineage = table.column("lineage")[i].as_py()
        packed = table.column("versions")[i].as_py()
        versions = {
            view: packed[VERSION_BYTES * at : VERSION_BYTES * (at + 1)]
            for at, view in enumerate(views)
        }
        # The row is copied: a view of it would keep its whole block in memory.
        yield LoggedPrediction(
            block.origin.removeprefix(SCORER),
            found.offset,
            fixed[i].copy(),
            categories[i].as_py(),
            lineage,
            versions,
            missing,
        )


def _labels(block: Block, rows: Sequence[int]) -> Iterator[LoggedLabel]:
    assert block.rows is not None
    for row in block.rows.take(rows).to_pylist():
        label = row["label"]
        # In the log a missing value is NaN.
        if label is not None and math.isnan(label):
            label = None
        came_from = (blocks.topic_of(block.origin), *source_of(block, row))
        yield LoggedLabel(*came_from, row["t"], label, element_of(row))


def _examples(app: App, log: Log, model: Model, prediction: str) -> list[JoinedExample]:
    layout = Layout.of(model.vectors)
    out: dict[tuple[int, int], JoinedExample] = {}
    with PartitionSpans(log, app.examples_log_of(model)) as examples:
        for found, block, at in _blocks_with(examples, prediction):
            rows = ExampleRows.from_arrow(block.rows, layout)
            for i in at:
                made = JoinedExample(
                    kind=int(rows.kind[i]),
                    ask=int(rows.ask[i]),
                    t=int(rows.t[i]),
                    label=float(rows.label[i]),
                    saw_future=bool(rows.saw_future[i]),
                    fixed=rows.fixed[i].tobytes(),
                    offset=found.offset,
                )
                out.setdefault((made.ask, made.kind), made)
        # A question is not learned from: no tick is waited for.
        for place, example in out.items():
            if example.kind != ASKED:
                out[place] = replace(example, tick=_tick_after(examples, example))
        return list(out.values())


def _tick_after(examples: PartitionSpans, made: JoinedExample) -> int | None:
    """Of the first tick at or after it; trainers learn at ticks."""
    for batch in examples.read(made.offset, examples.after):
        for i in range(len(batch)):
            tick = blocks.decode(batch.value(i)).tick
            if tick != blocks.NO_TICK:
                return tick
    return None
