"""A lineage that leaves examples out learns as one whose log never had them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from msgspec.structs import replace as with_fields

from freshet.learners.logistic.learner import HashedLogistic
from freshet.learners.started import Start
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.spans import Span
from freshet.schemas.wire import blocks
from freshet.schemas.wire.outcomes import ExampleRows
from tests.learners.training.test_task import examples, long_log, plan, train
from tests.streams.join.test_task import LOGS
from tests.streams.join.toy_outcomes import VECTORS, Item
from tests.streams.toy_events import CUTS

LAYOUT = Layout.of(VECTORS)
BEGIN = Start("recorder", "recorder-1", 1, "recorder-1", "ann", 0)
LEFT_OUT = ("a", "f3", "f50", "f51")


def without(values: list[bytes], ids: tuple[str, ...]) -> list[bytes]:
    """The same log, row by row, without what is of some ids."""
    out = []
    for value in values:
        block = blocks.decode(value)
        if block.rows is not None:
            rows = ExampleRows.from_arrow(block.rows, LAYOUT)
            names = rows.texts["id"].to_arrow().to_pylist()
            keep = [at for at, name in enumerate(names) if name not in ids]
            block = replace(block, rows=block.rows.take(keep) if keep else None)
        out.append(blocks.encode(block))
    return out


@settings(deadline=None, max_examples=40)
@given(LOGS, CUTS, CUTS)
def test_in_any_batches_it_learns_what_a_log_without_them_holds(
    items: list[Item], cuts: list[int], restarts: list[int]
) -> None:
    values = examples(items)
    leaving = replace(plan(), start=with_fields(BEGIN, where="id = 'a'"))
    own = train(values, cuts, restarts, p=leaving)
    other = train(without(values, ("a",)))
    assert learned(own.calls) == learned(other.calls)


def learned(calls: list[tuple[str, bytes, bytes, bytes]]) -> list[tuple[str, bytes, bytes, bytes]]:
    return [call for call in calls if call[0] == "learn"]


def test_weights_are_equal_by_ids_and_by_expression() -> None:
    values, spec = examples(long_log()), HashedLogistic(bits=8)
    expected = train(without(values, LEFT_OUT), make=lambda: spec.make(VECTORS))
    named = ", ".join(f"'{name}'" for name in LEFT_OUT)
    for start in (
        with_fields(BEGIN, ids=LEFT_OUT),
        with_fields(BEGIN, where=f"id in ({named})"),
    ):
        leaving = replace(plan(), start=start)
        found = train(values, restarts=[77], p=leaving, make=lambda: spec.make(VECTORS))
        weights = [x.learners[-1].export().arrays["weights"].tobytes() for x in (found, expected)]
        assert weights[0] == weights[1]


def test_what_is_skipped_is_scored_and_not_learned() -> None:
    values = examples(long_log())
    whole = train(values)
    ticks = [m.tick for m in whole.told]
    span = Span(ticks[1], ticks[2])
    found = train(values, restarts=[90], p=replace(plan(), start=with_fields(BEGIN, skips=(span,))))
    assert found.task.stats()["all"]["n"] == whole.task.stats()["all"]["n"]
    learned = [m.stats["learned"] for m in found.told]
    every = [m.stats["learned"] for m in whole.told]
    # Nothing between the two ticks, and all the rest.
    assert learned[:2] == every[:2]
    assert learned[2] == learned[1]
    assert np.diff(learned[2:]).tolist() == np.diff(every[2:]).tolist()
