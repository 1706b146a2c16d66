"""The trainer's steps are a function of its log: the same calls, cuts and bits under any batching,
with restarts anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from freshet.learners.contract import Export, Learner
from freshet.learners.logistic import kernels as hashed_logistic_kernels
from freshet.learners.logistic.learner import HashedLogistic
from freshet.learners.training.prequential import figures_of
from freshet.learners.training.references import References
from freshet.learners.training.task import Moment, TrainPlan, TrainTask
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.tasks import Classes, Regression, Task
from freshet.schemas.models.vectors import F64, Examples, Vectors, VectorSchema
from freshet.schemas.wire import blocks
from freshet.schemas.wire.messages import Cut, Message
from freshet.schemas.wire.outcomes import LAYOUT, fixed_of, to_binary
from tests.streams.join import toy_outcomes
from tests.streams.join.test_task import LOGS, run
from tests.streams.join.toy_outcomes import (
    VECTORS,
    WAIT,
    Answered,
    Asked,
    Item,
    Tick,
    records,
    rows_of,
)
from tests.streams.toy_events import CUTS, batch_of, cut, within

untimed = settings(deadline=None, max_examples=40)
BATCH, EVERY = 3, 1_500
ANSWERS = ("labelled", "corrected")


def plan(batch: int = BATCH, slices: tuple[str, ...] = ("carrier", "gate")) -> TrainPlan:
    return TrainPlan("late", "recorder-1", VECTORS, "outcomes.late", batch, slices, WAIT, EVERY)


def examples(items: Sequence[Item]) -> list[bytes]:
    """Blocks as the join writes them. Categories are always two, as the model's slices expect."""
    two = [replace(x, categories="AA|a") if isinstance(x, Asked) else x for x in items]
    values: list[bytes] = run(records(two))[1]
    return values


def answer(learned: int, vectors: Vectors) -> F64:
    """A prediction that tells when it was made."""
    return np.asarray(0.05 + 0.9 / (2.0 + learned + np.abs(vectors.numbers[:, 0])), np.float64)


class Recorder:
    """A learner that remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes, bytes, bytes]] = []
        self.learned = 0

    def learn(self, examples: Examples) -> None:
        v = examples.vectors
        assert (v.categories.dtype, v.numbers.dtype) == (np.uint64, np.float32)
        assert examples.labels.dtype == np.float32
        self.calls.append(
            ("learn", v.categories.tobytes(), v.numbers.tobytes(), examples.labels.tobytes())
        )
        self.learned += len(examples)

    def predict(self, vectors: Vectors) -> F64:
        self.calls.append(("predict", vectors.categories.tobytes(), vectors.numbers.tobytes(), b""))
        return answer(self.learned, vectors)

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {"learned": np.array([self.learned])}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.learned = int(state["learned"][0])

    def export(self) -> Export:
        return Export("recorder", {}, {})


@dataclass
class ReferenceTrainer:
    """Walks rows one by one; `calls`, `told` and scored `(prediction, label)` pairs."""

    batch: int = BATCH
    calls: list[tuple[str, bytes, bytes, bytes]] = field(default_factory=list)
    told: list[tuple[Any, ...]] = field(default_factory=list)
    scored: list[tuple[float, float]] = field(default_factory=list)
    pending: dict[int, float] = field(default_factory=dict)
    open: list[Any] = field(default_factory=list)
    learned: int = 0
    number: int = 0
    tick: int | None = None
    cut_tick: int = 0

    def take(self, value: bytes, offset: int) -> None:
        rows = rows_of([value])
        for row in rows:
            if row[0] == "tick":
                self.reach(row[1], offset + 1)
                continue
            self.open.append(row)
            if sum(r[0] in ANSWERS for r in self.open) == self.batch:
                self.close()

    def close(self) -> None:
        asked = [r for r in self.open if r[0] == "asked"]
        answered = [r for r in self.open if r[0] in ANSWERS and not r[4]]
        self.open = []
        if asked:
            v = vectors(asked)
            self.calls.append(("predict", v.categories.tobytes(), v.numbers.tobytes(), b""))
            self.pending |= zip([r[1] for r in asked], answer(self.learned, v).tolist())
        self.scored += [(self.pending[r[1]], float(r[3])) for r in answered if r[1] in self.pending]
        if answered:
            v = vectors(answered)
            labels = np.array([float(r[3]) for r in answered], np.float32).tobytes()
            self.calls.append(("learn", v.categories.tobytes(), v.numbers.tobytes(), labels))
            self.learned += len(answered)

    def reach(self, tick: int, position: int) -> None:
        if self.tick is not None and tick <= self.tick:
            return
        self.close()
        first, self.tick = self.tick is None, tick
        if first:
            self.cut_tick = tick
        elif tick // EVERY > self.cut_tick // EVERY:
            self.cut_tick, self.number = tick, self.number + 1
            self.told.append(("cut", self.number, tick, self.learned, position))


def vectors(rows: Sequence[Any]) -> Vectors:
    fixed = np.frombuffer(b"".join(r[5] for r in rows), toy_outcomes.DTYPE)
    return Vectors(np.array(fixed["categories"]), np.array(fixed["numbers"]))


@dataclass
class Trained:
    """What came of a run: calls over all restarts, messages, and the task as it stands."""

    task: TrainTask
    learners: list[Any]
    told: list[Message]
    moments: list[Moment]

    @property
    def calls(self) -> list[Any]:
        return [c for learner in self.learners for c in learner.calls]

    @property
    def short(self) -> list[tuple[Any, ...]]:
        """Messages as the reference has them."""
        out: list[tuple[Any, ...]] = []
        moments = iter(self.moments)
        for m in self.told:
            assert isinstance(m, Cut)
            at = next(moments)
            expected = (at.number, at.tick, at.examples, f"{at.number:064}")
            assert (m.number, m.tick, m.stats["learned"], m.digest) == expected
            out.append(("cut", m.number, m.tick, at.examples, at.position))
        return out


def through_files(task: TrainTask) -> dict[str, npt.NDArray[Any]]:
    return dict(load(save({k: np.ascontiguousarray(v) for k, v in task.dump(True).items()})))


def train(
    values: Sequence[bytes],
    cuts: Sequence[int] = (),
    restarts: Sequence[int] = (),
    p: TrainPlan | None = None,
    make: Callable[[], Learner] = Recorder,
    first: int = 0,
) -> Trained:
    moments: list[Moment] = []

    def keep(learner: Learner, at: Moment) -> str:
        moments.append(at)
        return f"{at.number:064}"

    p, n = p or plan(), len(values)
    learners = [make()]
    task, told = TrainTask(p, learners[0], keep, 0), list[Message]()
    cuts, restarts = within(n, cuts), within(n, restarts)
    for a, b in cut(n, [*cuts, *restarts]):
        if a in restarts:
            state = through_files(task)
            learners.append(make())
            task = TrainTask(p, learners[-1], keep, 0)
            task.load(state, [])
        told += task.apply(
            batch_of(values[a:b], range(first + a, first + b), [0] * (b - a))
        ).messages
    return Trained(task, learners, told, moments)


def test_a_lineage_takes_its_columns_by_their_names() -> None:
    """Two lineages over one log of examples, of which one reads less, in another order."""
    items: list[Item] = [Asked("a", 0), Asked("b", 1), Answered("a", 5, 1.0), Tick(WAIT)]
    values = examples(items)
    less = VectorSchema(("gate",), ("temp", "delay"))
    narrow = replace(plan(slices=("gate",)), vectors=less)
    own, other = train(values).calls, train(values, restarts=[1, 2], p=narrow).calls
    assert [call[0] for call in other] == [call[0] for call in own] == ["predict", "learn"]
    for (_, categories, numbers, labels), (_, gates, two, same) in zip(own, other):
        wide = np.frombuffer(numbers, np.float32).reshape(-1, 3)
        assert np.frombuffer(two, np.float32).reshape(-1, 2).tolist() == wide[:, [2, 0]].tolist()
        both = np.frombuffer(categories, np.uint64).reshape(-1, 2)
        assert np.frombuffer(gates, np.uint64).tolist() == both[:, 1].tolist()
        assert same == labels
    slices = train(values, p=narrow).task.facts()["slices"]
    assert list(slices) == ["gate"]
    assert list(slices["gate"]) == ["a"]


def every(n: int) -> range:
    return range(1, n + 1)


# ------------------------------------------------------------ the sequence of calls
@untimed
@given(LOGS, CUTS, CUTS, st.sampled_from([1, 3, 64]))
def test_any_batching_and_restart_calls_and_tells_what_a_plain_walk_does(
    items: list[Item], cuts: list[int], restarts: list[int], batch: int
) -> None:
    values, reference = examples(items), ReferenceTrainer(batch)
    for i, value in enumerate(values):
        reference.take(value, i)
    found = train(values, cuts, restarts, plan(batch))
    assert found.calls == reference.calls
    assert found.short == reference.told
    assert found.task.facts() == train(values, every(len(values)), p=plan(batch)).task.facts()
    p, y = (
        (np.array(x) for x in zip(*reference.scored))
        if reference.scored
        else (np.zeros(0), np.zeros(0))
    )
    assert found.task.stats()["learned"] == reference.learned
    assert found.task.stats()["all"]["n"] == len(p)
    if len(p):
        assert found.task.stats()["all"]["log_loss"] == pytest.approx(figures_of(p, y).log_loss)
    references = References()
    references.update(y)
    assert found.task.stats()["references"]["all"] == references.figures().as_json(), (
        "over the very same labels"
    )


@untimed
@given(LOGS, CUTS, CUTS)
def test_a_real_learner_is_bit_equal_wherever_it_was_stopped(
    items: list[Item], cuts: list[int], restarts: list[int]
) -> None:
    values, spec = examples(items), HashedLogistic(bits=8)
    one = train(values, every(len(values)), make=lambda: spec.make(VECTORS))
    other = train(values, cuts, restarts, make=lambda: spec.make(VECTORS))
    a, b = one.learners[-1].export().arrays, other.learners[-1].export().arrays
    assert {k: v.tobytes() for k, v in a.items()} == {k: v.tobytes() for k, v in b.items()}
    assert other.short == one.short
    ours, theirs = through_files(other.task), through_files(one.task)
    assert {k: v.tobytes() for k, v in ours.items()} == {k: v.tobytes() for k, v in theirs.items()}


def long_log() -> list[Item]:
    items: list[Item] = []
    for i in range(200):
        items.append(Asked(f"f{i}", i * 50, categories="AA|a"))
        if i >= 10 and i % 3:
            items.append(Answered(f"f{i - 10}", i * 50 + 1, float(i % 2)))
        if i % 25 == 24:
            items.append(Tick(i * 50 + 2))
    return items


def test_a_trainer_stopped_in_the_middle_of_a_step_goes_on_with_it() -> None:
    values, spec = examples(long_log()), HashedLogistic(bits=8)
    one = train(values, p=plan(7), make=lambda: spec.make(VECTORS))
    for at in range(7, len(values), 41):
        assert "open.kind" in train(
            values[:at], p=plan(7), make=lambda: spec.make(VECTORS)
        ).task.dump(True)
        other = train(values, restarts=[at], p=plan(7), make=lambda: spec.make(VECTORS))
        weights = [x.learners[-1].export().arrays["weights"].tobytes() for x in (one, other)]
        assert weights[0] == weights[1]
        assert other.task.facts() == one.task.facts()


@pytest.mark.parametrize("lost", ["learner", "open", "pending", "cursors"])
def test_a_restart_that_loses_state_is_noticed(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = examples(long_log())
    values += values[-40:]
    one, honest = train(values, p=plan(7)), TrainTask.load

    def forgetful(self: TrainTask, base: Any, deltas: Any) -> None:
        state, fresh = dict(base), TrainTask(plan(7), Recorder(), lambda *_: "", 0).dump(True)
        state = {k: v for k, v in state.items() if not (lost == "open" and k.startswith("open."))}
        honest(self, state | {k: v for k, v in fresh.items() if k.startswith(lost)}, deltas)

    monkeypatch.setattr(TrainTask, "load", forgetful)
    other = train(values, restarts=[101, len(values) - 40], p=plan(7))
    assert (other.calls, other.task.facts()) != (one.calls, one.task.facts())


def test_a_checkpoint_of_before_there_were_references_goes_on() -> None:
    values = examples(long_log())
    task = train(values[:100]).task
    old = {k: v for k, v in task.dump(True).items() if not k.startswith("references.")}
    again = TrainTask(plan(), Recorder(), lambda *_: "", 0)
    again.load(old, [])
    assert again.stats()["all"] == task.stats()["all"]
    assert again.stats()["references"]["all"]["prior"]["n"] == 0


# ------------------------------------------------------------ one by one
def test_it_predicts_before_it_learns_and_scores_what_it_predicted() -> None:
    found = train(examples([Asked("a", 0), Answered("a", 1, 1.0), Tick(2)]))
    assert [c[0] for c in found.calls] == ["predict", "learn"]
    assert found.task.stats()["all"]["n"] == 1


def test_expired_is_not_learned_and_a_correction_is_scored_by_the_first_answer() -> None:
    found = train(
        examples([Asked("a", 0), Tick(WAIT), Answered("a", WAIT + 5, 1.0), Tick(WAIT + 9)])
    )
    assert [c[0] for c in found.calls] == ["predict", "learn"]
    assert found.task.stats()["all"]["n"] == 1


def test_what_saw_the_future_is_neither_learned_nor_scored() -> None:
    found = train(
        examples(
            [Answered("a", 5, 1.0), Asked("a", 7), Asked("b", 7), Answered("b", 9, 0.0), Tick(20)]
        )
    )
    assert found.task.stats()["learned"] == 1
    assert found.task.stats()["all"]["n"] == 1


def test_rows_appended_again_are_taken_once() -> None:
    values = examples(long_log())
    one, other = train(values), train([*values, *values[-20:], *values[3:9]])
    assert other.calls == one.calls
    assert other.task.facts() == one.task.facts()


def test_a_lineage_that_joins_late_learns_what_it_was_not_asked_but_scores_only_its_own() -> None:
    values = examples(long_log())
    late = values[len(values) // 2 :]
    reference = ReferenceTrainer()
    for i, value in enumerate(late):
        reference.take(value, len(values) // 2 + i)
    found = train(late, first=len(values) // 2)
    assert found.calls == reference.calls
    assert found.short == reference.told
    assert found.task.stats()["all"]["n"] == len(reference.scored) < found.task.stats()["learned"]


def test_snapshots_are_cut_by_the_first_tick_of_each_interval() -> None:
    ticks = [10, EVERY - 1, EVERY, EVERY + 1, 4 * EVERY + 5, 4 * EVERY + 9, 5 * EVERY]
    found = train(examples([Tick(t) for t in ticks]))
    assert [m[2] for m in found.short] == [EVERY, 4 * EVERY + 5, 5 * EVERY]
    assert [m[1] for m in found.short] == [1, 2, 3]


def test_a_step_of_one_row_compiles_nothing() -> None:
    many = [Asked(f"f{i}", i) for i in range(5)] + [Answered(f"f{i}", 9, 1.0) for i in range(5)]
    spec = HashedLogistic(bits=8)
    train(examples([*many, Tick(10)]), p=plan(64), make=lambda: spec.make(VECTORS))
    kernels = hashed_logistic_kernels.learn, hashed_logistic_kernels.predict
    before = [len(k.signatures) for k in kernels]
    train(examples([Asked("a", 0), Asked("b", 0), Answered("b", 1, 1.0), Tick(2), Asked("c", 3), Tick(4)]),
          p=plan(64), make=lambda: spec.make(VECTORS))  # fmt: skip
    assert [len(k.signatures) for k in kernels] == before


def test_a_slice_that_is_declared_later_is_counted_from_then_on() -> None:
    values = examples(long_log())
    before = train(values, p=plan(slices=("carrier",))).task
    after = TrainTask(plan(slices=("carrier", "gate")), Recorder(), lambda learner, at: "", 0)
    after.load(through_files(before), [])
    slices = after.facts()["slices"]
    assert slices["carrier"] == before.facts()["slices"]["carrier"]
    assert slices["gate"] == {}


class Sure(Recorder):
    """Answers with a probability for each of two classes."""

    def predict(self, vectors: Vectors) -> F64:
        true = super().predict(vectors)
        return np.stack([1 - true, true], axis=1)


def of_task(task: Task) -> TrainPlan:
    return replace(plan(), vectors=replace(VECTORS, task=task))


def answered_by(task: Task, values: Sequence[bytes]) -> list[bytes]:
    """The same blocks, whose rows have room for the answers of a task."""
    layout = Layout.of(replace(VECTORS, task=task))
    return [_answered_by(layout, value) for value in values]


def _answered_by(layout: Layout, value: bytes) -> bytes:
    block = blocks.decode(value)
    if block.rows is None:
        return value
    narrow = fixed_of(block.rows, Layout.of(VECTORS))
    wide = np.zeros(len(narrow), layout.dtype)
    for name in narrow.dtype.names or ():
        if name != "p":
            wide[name] = narrow[name]
    at = block.rows.schema.get_field_index("fixed")
    rows = block.rows.set_column(at, "fixed", to_binary(wide, layout.dtype.itemsize))
    rows = rows.replace_schema_metadata({LAYOUT: layout.text})
    return blocks.encode(replace(block, rows=rows))


def test_two_classes_are_judged_as_a_binary_task_also_across_restarts() -> None:
    values = examples(long_log())
    binary = train(values).task
    task = Classes(["no", "yes"])
    wide = answered_by(task, values)
    found = train(wide, restarts=(4, 9), p=of_task(task), make=Sure).task
    for span in ("all", "rolling"):
        told = found.stats()[span]
        for figure in ("n", "log_loss", "accuracy", "normalised_entropy"):
            assert told[figure] == pytest.approx(binary.stats()[span][figure], rel=1e-6), figure
    assert "auc" not in found.stats()["all"]
    slices = found.facts()["slices"]
    assert slices.keys() == binary.facts()["slices"].keys()
    prior = found.stats()["references"]["all"]["prior"]
    assert prior["log_loss"] == pytest.approx(
        binary.stats()["references"]["all"]["prior"]["log_loss"]
    )


def test_numbers_are_judged_by_their_errors_and_cuts_are_as_they_were() -> None:
    values = examples(long_log())
    found = train(values, restarts=(5,), p=of_task(Regression()))
    whole = train(values, p=of_task(Regression()))
    told = found.task.stats()
    assert told == whole.task.stats()
    assert told["all"]["n"] == train(values).task.stats()["all"]["n"]
    assert told["all"]["rmse"] == pytest.approx(told["all"]["squared_error"] ** 0.5)
    assert told["references"]["all"]["prior"]["n"] == told["all"]["n"] - 1
    assert "log_loss" not in told["all"]
