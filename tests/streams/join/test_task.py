"""The join against dictionaries and lists, over any order of questions and answers, any blocks,
growth and restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from freshet.schemas.models.layout import STAMPS, Layout
from freshet.schemas.wire import blocks
from freshet.schemas.wire.outcomes import ExampleRows, layout_of
from freshet.streams.join import task as join
from freshet.streams.join.task import JoinPlan, JoinTask
from tests.streams.join.toy_outcomes import (
    LAYOUT,
    WAIT,
    Answered,
    Asked,
    Item,
    ReferenceJoin,
    Tick,
    label_block,
    plan,
    prediction_block,
    records,
    rows_of,
)
from tests.streams.toy_events import CUTS, batch_of, cut, within

untimed = settings(deadline=None, max_examples=80)
IDS = st.sampled_from(
    ["", "a", "bb", "Zürich-1", "a flight with quite a long name", *(f"f{i}" for i in range(12))]
)
TIMES = st.integers(0, 6 * WAIT) | st.integers(0, 12).map(lambda k: k * WAIT // 2)
TEXT = st.sampled_from(["", "AA|a", "a longer text than the others|"])
SCORERS = st.sampled_from([1, 2])
ITEMS: st.SearchStrategy[Item] = st.one_of(
    st.builds(Asked, IDS, TIMES, st.integers(0, 3), TEXT, TEXT, st.integers(0, 3), SCORERS),
    st.builds(Asked, IDS, TIMES, scorer=SCORERS),
    st.builds(Answered, IDS, TIMES, st.sampled_from([0.0, 1.0, None])),
    st.builds(Answered, IDS, TIMES, st.sampled_from([0.0, 1.0])),
    st.builds(Tick, TIMES),
)
# Times that rise on the whole, and times in any order.
LOGS = st.one_of(
    st.lists(ITEMS, min_size=8, max_size=60).map(
        lambda items: sorted(items, key=lambda x: x.t // 400)
    ),
    st.lists(ITEMS, max_size=40),
)


@pytest.fixture(params=[4, 1 << 10], ids=["few slots", "many slots"])
def slots(request: pytest.FixtureRequest) -> Iterator[int]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(join, "SLOTS", request.param)
        yield request.param


def expected(items: Sequence[Item], correct_late: bool = True) -> ReferenceJoin:
    reference = ReferenceJoin(correct_late)
    sequences = {1: 0, 2: 0}
    for item in items:
        if isinstance(item, Asked):
            reference.take(item, sequences[item.scorer])
            sequences[item.scorer] += 1
        else:
            reference.take(item)
    return reference


def facts(task: JoinTask) -> dict[str, Any]:
    """Counts; that of its ticks is `finished`, which is held to the reference by itself."""
    found = {k: v for k, v in task.facts().items() if k != "finished"}
    return {k: v for k, v in found.items() if v or k in ("asked", "open")}


def resumed(task: JoinTask, p: JoinPlan) -> JoinTask:
    again = JoinTask(p, 0)
    again.load(load(save({k: np.ascontiguousarray(v) for k, v in task.dump(True).items()})), [])
    return again


def run(
    values: Sequence[bytes],
    cuts: Sequence[int] = (),
    restarts: Sequence[int] = (),
    p: JoinPlan | None = None,
) -> Any:
    """Task and examples after blocks in any batches, with restarts."""
    p, n = p or plan(), len(values)
    cuts, restarts = within(n, cuts), within(n, restarts)
    task, out = JoinTask(p, 0), list[bytes]()
    for a, b in cut(n, [*cuts, *restarts]):
        if a in restarts:
            task = resumed(task, p)
        found = task.apply(batch_of(values[a:b], range(a, b), [0] * (b - a)))
        out += [v for x in found.appends for v in x.values]
    return task, out


# ------------------------------------------------------------ against the slow reference
@pytest.mark.usefixtures("slots")
class TestAgainstReference:
    @untimed
    @given(LOGS, CUTS, CUTS, CUTS, st.booleans())
    def test_any_log_in_any_blocks_batches_and_restarts_gives_the_rows_of_a_plain_loop(
        self,
        items: list[Item],
        inner: list[int],
        cuts: list[int],
        restarts: list[int],
        correct_late: bool,
    ) -> None:
        reference = expected(items, correct_late)
        task, out = run(
            records(items, within(len(items), inner)), cuts, restarts, plan(correct_late)
        )
        assert rows_of(out) == reference.rows
        assert facts(task) == reference.all_facts
        assert task.finished == reference.done

    @untimed
    @given(LOGS, CUTS, CUTS)
    def test_any_batching_of_the_same_blocks_gives_the_same_bytes(
        self, items: list[Item], cuts: list[int], restarts: list[int]
    ) -> None:
        values = records(items)
        one, expected_ = run(values, range(1, len(values) + 1))
        task, out = run(values, cuts, restarts)
        assert out == expected_
        assert facts(task) == facts(one)

    def test_thousands_that_wait_are_all_kept(self) -> None:
        many = [Asked(f"flight-{i}", i // 10, categories="x" * (i % 90)) for i in range(3_000)]
        items = [
            *many,
            *(Answered(f"flight-{i}", 301 + i // 10, float(i % 2)) for i in range(0, 3_000, 3)),
            Tick(3_000),
        ]
        reference = expected(items)
        task, out = run(records(items, [1_000, 1_001, 2_500]), restarts=[2])
        assert rows_of(out) == reference.rows
        assert facts(task) == reference.all_facts


# ------------------------------------------------------------ one by one
def kinds(*items: Item, correct_late: bool = True) -> list[tuple[Any, ...]]:
    """Kind, number, time and whether it saw the future; held to the reference, too."""
    _, out = run(records(items), p=plan(correct_late))
    found = rows_of(out)
    assert found == expected(items, correct_late).rows
    return [(r[0], r[1], r[2], r[4]) for r in found if r[0] != "tick"]


ASKED = ("asked", 0, 0, False)


def test_an_answer_within_the_wait_labels() -> None:
    assert kinds(Asked("a", 0), Answered("a", WAIT - 1, 1.0)) == [
        ASKED,
        ("labelled", 0, WAIT - 1, False),
    ]


def test_no_answer_expires_at_the_tick_that_crosses_the_wait() -> None:
    over = ("expired", 0, WAIT, False)
    assert kinds(Asked("a", 0), Tick(WAIT - 1)) == [ASKED]
    assert kinds(Asked("a", 0), Tick(WAIT)) == [ASKED, over]


@pytest.mark.parametrize(
    "fast", [Asked("b", 500 * WAIT), Answered("b", 500 * WAIT, 1.0), Answered("b", -WAIT, 1.0)]
)
def test_no_question_and_no_answer_expires_others_or_keeps_them_from_expiring(fast: Item) -> None:
    """One scorer or producer with a clock of its own decides for nobody else."""
    others = [("a", 0), ("c", 1)]
    labelled = [
        Asked("a", 0),
        fast,
        Asked("c", 1),
        Tick(WAIT - 1),
        Answered("a", 2, 1.0),
        Answered("c", 2, 1.0),
    ]
    assert [r[0] for r in kinds(*labelled) if r[0] != "asked"] == ["labelled"] * len(others)
    found = kinds(Asked("a", 0), fast, Asked("c", 1), Tick(WAIT + 1))
    assert [r[2] for r in found if r[0] == "expired"] == [WAIT, WAIT + 1]


def test_a_late_answer_corrects_once_within_one_more_wait_and_is_forgotten_later() -> None:
    over = [ASKED, ("expired", 0, WAIT, False)]
    asked, late = [Asked("a", 0), Tick(2 * WAIT - 1)], Answered("a", 2 * WAIT - 1, 1.0)
    assert kinds(*asked, late) == [*over, ("corrected", 0, 2 * WAIT - 1, False)]
    assert kinds(*asked, late, late) == [*over, ("corrected", 0, 2 * WAIT - 1, False)]
    assert kinds(*asked, late, correct_late=False) == over
    assert kinds(*asked, Tick(2 * WAIT), late) == over


def test_only_a_tick_tells_that_an_answer_came_too_late() -> None:
    assert kinds(Asked("a", 0), Answered("a", 3 * WAIT, 1.0)) == [
        ASKED,
        ("labelled", 0, 3 * WAIT, False),
    ]


def test_the_time_is_that_of_the_slowest_partition_of_labels() -> None:
    def told(partition: int, tick: int) -> bytes:
        return blocks.encode(blocks.Block(blocks.LABELS, "landings", partition, None, tick, 2))

    asked = records([Asked("a", 0)])
    _, out = run([*asked, told(0, 9 * WAIT), told(1, WAIT - 1)])
    assert [r[0] for r in rows_of(out)] == ["asked", "tick"]
    _, out = run([*asked, told(0, 9 * WAIT), told(1, WAIT)])
    assert [r[0] for r in rows_of(out)] == ["asked", "expired", "tick"]


def test_a_forgotten_id_may_be_asked_anew() -> None:
    found = kinds(
        Asked("a", 0), Tick(2 * WAIT), Asked("a", 2 * WAIT), Answered("a", 2 * WAIT + 1, 0.0)
    )
    assert [r[:2] for r in found] == [("asked", 0), ("expired", 0), ("asked", 1), ("labelled", 1)]


def test_the_first_question_and_the_first_answer_count() -> None:
    found = kinds(Asked("a", 0), Asked("a", 1, 1), Answered("a", 2, 1.0), Answered("a", 3, 0.0))
    assert found == [ASKED, ("labelled", 0, 2, False)]


def test_an_early_answer_waits_for_its_question_and_is_marked() -> None:
    assert kinds(Answered("a", 5, 1.0), Asked("a", 7)) == [
        ("asked", 0, 7, False),
        ("labelled", 0, 5, True),
    ]


@pytest.mark.parametrize(("t", "future"), [(9, True), (10, True), (11, False)])
def test_an_answer_not_later_than_the_question_was_seen(t: int, future: bool) -> None:
    assert kinds(Asked("a", 10), Answered("a", t, 1.0))[-1] == ("labelled", 0, t, future)


def test_a_missing_label_answers_nothing() -> None:
    task, out = run(records([Asked("a", 0), Answered("a", 1, None), Answered("a", 2, 1.0)]))
    assert [r[0] for r in rows_of(out)] == ["asked", "labelled"]
    assert facts(task)["unmatched_labels"] == 1


def test_texts_of_no_length_come_through() -> None:
    rows = rows_of(run(records([Asked("", 0, 0, "", ""), Answered("", 1, 1.0)]))[1])
    assert [r[-3:] for r in rows] == [("", "", "")] * 2


# ------------------------------------------------------------ questions in conflict
OTHER = Asked("a", 1, said=1)


def test_the_same_question_asked_again_is_a_repeat_whenever_it_comes() -> None:
    again = Asked("a", 3, salt=9, scorer=2)
    items = [Asked("a", 0), again, Tick(WAIT), Answered("a", 2 * WAIT - 1, 1.0), again]
    task, out = run(records(items))
    assert [row[0] for row in rows_of(out)] == ["asked", "expired", "tick", "corrected"]
    assert facts(task)["repeated_questions"] == 2
    assert "conflicting_questions" not in facts(task)


@pytest.mark.parametrize("scorer", [1, 2])
def test_of_two_questions_for_an_id_that_differ_neither_is_learned(scorer: int) -> None:
    conflict = ("conflicted", 0, 1, False)
    items = [Asked("a", 0), replace(OTHER, scorer=scorer), Answered("a", 5, 1.0)]
    for order in (items, [replace(items[1], t=0), replace(items[0], t=1), items[2]]):
        assert kinds(*order) == [ASKED, conflict]
    task, _ = run(records(items))
    counted = {"conflicted": 1, "conflicting_questions": 1, "conflicting_labels": 1}
    told = {"conflict": {"id": "a", "at_ms": 1}}
    found = facts(task)
    labels = found.pop("labels")
    assert found == {**counted, **told, "asked": 1, "open": 1}
    assert (labels["came"], labels["conflicting"], labels["without_question"]) == (1, 1, 0)
    assert labels["since_used"]["conflicting"] == 1


def test_a_contested_id_is_told_once_and_neither_expires_nor_corrects() -> None:
    late = Answered("a", 2 * WAIT - 1, 1.0)
    items = [Asked("a", 0), OTHER, replace(OTHER, said=2), Asked("a", 3), Tick(WAIT), late]
    assert kinds(*items) == [ASKED, ("conflicted", 0, 1, False)]
    assert facts(run(records(items))[0])["conflicting_questions"] == 2
    over = ("expired", 0, WAIT, False)
    conflict = ("conflicted", 0, WAIT + 1, False)
    items = [Asked("a", 0), Tick(WAIT), replace(OTHER, t=WAIT + 1), late]
    assert kinds(*items) == [ASKED, over, conflict]


def test_what_was_labelled_before_its_id_was_contested_stands_and_is_marked_after_it() -> None:
    items = [Asked("a", 0), Answered("a", 5, 1.0), replace(OTHER, t=7), Answered("a", 8, 0.0)]
    labelled = ("labelled", 0, 5, False)
    assert kinds(*items) == [ASKED, labelled, ("conflicted", 0, 7, False)]
    task, _ = run(records(items))
    assert facts(task)["settled_conflicts"] == 1
    assert "conflicted" not in facts(task)


def test_a_contested_id_that_is_forgotten_may_be_asked_anew() -> None:
    again = [Asked("a", 3 * WAIT, said=1), Answered("a", 3 * WAIT + 1, 0.0)]
    found = kinds(Asked("a", 0), OTHER, Tick(2 * WAIT), *again)
    assert [row[:2] for row in found[2:]] == [("asked", 1), ("labelled", 1)]


def test_the_id_that_is_told_as_an_example_is_the_newest_and_short() -> None:
    long = Asked("two\nlines" + "x" * 5_000, 2)
    items = [Asked("a", 0), OTHER, long, replace(long, said=1)]
    task, _ = run(records(items), restarts=[1, 2, 3])
    shown = "two lines" + "x" * (join.SHOWN_ID - 10) + "…"
    assert task.facts()["conflict"] == {"id": shown, "at_ms": 2}


# ------------------------------------------------------------ repeats of the log, ticks
def test_rows_appended_again_are_taken_once() -> None:
    items = [Asked("a", 0), Asked("b", 1), Answered("a", 5, 1.0), Answered("b", 6, 0.0)]
    again = [prediction_block(items[1:2], 1), label_block(items[2:], 0)]
    task, out = run([*records(items), *again])
    assert [r[:2] for r in rows_of(out)] == [
        ("asked", 0),
        ("asked", 1),
        ("labelled", 0),
        ("labelled", 1),
    ]
    assert "repeated_questions" not in facts(task)
    assert "repeated_labels" not in facts(task)


def test_without_cursors_repeats_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "freshet.streams.operators.origins.Cursors.fresh",
        lambda self, o, p, offsets, i: slice(0, len(offsets)),
    )
    with pytest.raises(AssertionError):
        test_rows_appended_again_are_taken_once()


def test_it_has_finished_what_every_origin_of_labels_has() -> None:
    one, two = (tick_of(partition, tick) for partition, tick in ((0, 500), (1, 300)))
    task, out = run([one])
    assert (task.finished, out) == (blocks.NO_TICK, [])
    task, out = run([one, two])
    assert task.finished == 300
    assert rows_of(out) == [("tick", 300)]
    task, _ = run([two, one, two], restarts=[1, 2])
    assert task.finished == 300


def tick_of(partition: int, tick: int) -> bytes:
    return blocks.encode(blocks.Block(blocks.LABELS, "landings", partition, None, tick, 2))


def test_a_question_expires_only_once_every_origin_of_labels_is_beyond_its_wait() -> None:
    asked, both = records([Asked("a", 0)]), [tick_of(0, WAIT + 1), tick_of(1, WAIT - 1)]
    _, out = run([*asked, *both])
    assert [row[0] for row in rows_of(out)] == ["asked", "tick"], (
        "its answer may stand in the slower one"
    )
    _, out = run([*asked, *both, tick_of(1, WAIT + 1)])
    assert [row[0] for row in rows_of(out)] == ["asked", "tick", "expired", "tick"]


# ------------------------------------------------------------ rows of other layouts
WIDER = Layout(("sky", "gate", "carrier"), ("temp", "snow", "delay", "wind"))
NARROWER = Layout(("carrier", "gate"), ("delay", "temp"))


@untimed
@given(
    st.lists(st.builds(Asked, IDS, TIMES, categories=st.just("A\\|A|a")), min_size=1, max_size=8)
)
def test_columns_of_a_scorer_that_logs_more_are_taken_by_their_names(asked: list[Asked]) -> None:
    own, out = run([prediction_block(asked, 0)])
    other, found = run([prediction_block(asked, 0, layout=WIDER)])
    assert rows_of(found) == rows_of(out)
    assert facts(other) == facts(own)


TWO_PARTS = st.sampled_from(["AA|a", "A\\|A|", "\\N|b"])
OF_TWO_VERSIONS: st.SearchStrategy[Item] = st.one_of(
    st.builds(Asked, IDS, TIMES, st.integers(0, 3), TWO_PARTS, said=st.integers(0, 1), scorer=SCORERS),
    st.builds(Answered, IDS, TIMES, st.sampled_from([0.0, 1.0])),
    st.builds(Tick, TIMES),
)  # fmt: skip


def logged_rows(values: Sequence[bytes]) -> list[tuple[str, str, bytes, str]]:
    """Each row as it stands: which layout it has, its id, its bytes, its categories."""
    out = []
    for value in values:
        rows = blocks.decode(value).rows
        if rows is not None and "fixed" in rows.schema.names:
            columns = [rows.column(name).to_pylist() for name in ("id", "fixed", "categories")]
            out += [(layout_of(rows).id, *row) for row in zip(*columns)]
    return out


@pytest.mark.usefixtures("slots")
@pytest.mark.parametrize("other", [WIDER, NARROWER], ids=["wider", "narrower"])
@untimed
@given(st.lists(OF_TWO_VERSIONS, max_size=40), CUTS, CUTS, CUTS)
def test_what_two_versions_of_a_scorer_log_is_joined_alike_and_handed_on_as_it_was_logged(
    other: Layout, items: list[Item], inner: list[int], cuts: list[int], restarts: list[int]
) -> None:
    values = records(items, within(len(items), inner), {2: other})
    task, out = run(values, cuts, restarts)
    one, expected_ = run(values, range(1, len(values) + 1))
    assert out == expected_, "in any batches, with any restarts"
    assert facts(task) == facts(one)
    reference = expected(items)
    assert facts(task) == reference.all_facts
    found = rows_of(out)
    # What both versions log is the same, whatever stands beside it.
    assert [row[:5] for row in found if row[0] != "tick"] == [
        row[:5] for row in reference.rows if row[0] != "tick"
    ]
    if not LAYOUT.lacking(other):
        assert [row for row in found if row[0] != "tick"] == [
            row for row in reference.rows if row[0] != "tick"
        ]
    assert {*logged_rows(out)} <= {*logged_rows(values)}


def test_a_column_that_a_scorer_did_not_log_is_missing_to_who_reads_it() -> None:
    asked = [Asked("a", 0), Asked("b", 1, scorer=2)]
    values = records([*asked, Answered("a", 5, 1.0)], layouts={1: NARROWER})
    _, out = run(values, restarts=[1])
    first, second, third = (ExampleRows.from_arrow(blocks.decode(v).rows, LAYOUT) for v in out)
    assert np.isnan(first.fixed["numbers"][:, 1]).all()
    assert not np.isnan(first.fixed["numbers"][:, [0, 2]]).any()
    assert first.fixed.tobytes() == third.fixed.tobytes()
    assert not np.isnan(second.fixed["numbers"]).any()


def test_rows_that_lack_what_every_answer_has_are_counted_and_make_no_examples() -> None:
    asked = [Asked("a", 0), Asked("b", 1)]
    values = [
        prediction_block(asked, 0, layout=replace(LAYOUT, stamps=STAMPS[:-1])),
        prediction_block([Asked("b", 2, scorer=2)], 0),
        label_block([Answered("a", 5, 1.0), Answered("b", 5, 1.0)], 0, 2 * WAIT),
    ]
    task, out = run(values, restarts=[1])
    assert [row[:2] for row in rows_of(out)] == [("asked", 0), ("labelled", 0), ("tick", 2 * WAIT)]
    assert facts(task)["unreadable_questions"] == 2
    assert facts(task)["unmatched_labels"] == 1


# ------------------------------------------------------------ lost state is noticed
def lost_queue(state: dict[str, Any]) -> None:
    state["deadline"] = state["deadline"] + 1


def lost_text(state: dict[str, Any]) -> None:
    state["texts"] = np.zeros_like(state["texts"])


def lost_cursor(state: dict[str, Any]) -> None:
    state["cursors"] = np.frombuffer(b"[]", np.uint8)


@pytest.mark.parametrize("mutant", [lost_queue, lost_text, lost_cursor])
def test_a_restart_that_loses_state_is_noticed(
    mutant: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    items: list[Item] = [
        Asked("a", 0),
        Asked("b", 1),
        Tick(WAIT // 2),
        Answered("a", WAIT // 2 + 1, 1.0),
        Tick(WAIT + 1),
    ]
    values = [*records(items), prediction_block(items[1:2], 1)]
    honest = JoinTask.load

    def forgetful(self: JoinTask, base: Any, deltas: Any) -> None:
        state = dict(base)
        mutant(state)
        honest(self, state, deltas)

    one, out = run(values)
    monkeypatch.setattr(JoinTask, "load", forgetful)
    other, found = run(values, restarts=[1, 2, 3, 4])
    assert (rows_of(found), facts(other)) != (rows_of(out), facts(one))


def test_kernels_are_compiled_for_one_kind_of_arrays() -> None:
    """A block of one row, or labels of which some are missing, must not set off a compilation of
    seconds."""
    from freshet.streams.join import kernels as k

    run(records([Asked("a", 0), Asked("b", 0), Answered("a", 1, 1.0), Answered("b", 1, 1.0)]))
    before = len(k.ask.signatures), len(k.answer.signatures)
    run([prediction_block([Asked("a", 0)], 0), label_block([Answered("a", 1, None)], 0)])
    assert (len(k.ask.signatures), len(k.answer.signatures)) == before
