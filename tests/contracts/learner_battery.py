"""What every `Learner` and its predictor promise. A subclass gives a `case` fixture; see
`tests/contracts/test_learner.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.learners.catalog import predictor
from freshet.learners.contract import Arrays, Export, Learner, LearnerSpec, tasks_of
from freshet.learners.snapshots.files import arrays_of
from freshet.learners.training.prequential import auc
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import BINARY, CLASSES, DEFAULT_TASK, REGRESSION, Classes, Task
from freshet.schemas.models.vectors import F32, F64, Examples, Vectors, VectorSchema

SCHEMA = VectorSchema(("color", "shape"), ("size", "weight", "age"))
OTHER = VectorSchema(("shape", "color"), ("size", "weight", "age"))
EXAMPLES = 240
LABELS_UNIT = 250.0  # of numbers to predict
few = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
cuts = st.lists(st.integers(1, EXAMPLES - 1), max_size=12, unique=True).map(sorted)


@dataclass(frozen=True)
class Case:
    """A learner under test. `within` bounds how far its predictor may be from it: 0 means the same
    bits."""

    spec: LearnerSpec
    within: float
    separates: bool = True
    task: Task = DEFAULT_TASK

    @property
    def schema(self) -> VectorSchema:
        return replace(SCHEMA, task=self.task)

    def make(self) -> Learner:
        return self.spec.make(self.schema)

    def stream(self, n: int, seed: int = 0, colors: int = 5) -> Examples:
        vectors, score = drawn(n, seed, colors)
        return Examples(vectors, labels_of(self.task, score))


# Of the last one there is never a label.
OF_CLASSES = Classes(["low", "middle", "high", "never"])


def labels_of(task: Task, score: F64) -> F32:
    """Labels of a task that follow the same scores."""
    if task.kind == CLASSES:
        return np.digitize(score, (-0.5, 0.8)).astype(np.float32)
    if task.kind == REGRESSION:
        return (5_000.0 + LABELS_UNIT * score).astype(np.float32)
    return (score > 0.5).astype(np.float32)


def stream(n: int, seed: int = 0, colors: int = 5) -> Examples:
    """Labels that follow a color and a size, with gaps in everything."""
    vectors, score = drawn(n, seed, colors)
    return Examples(vectors, labels_of(DEFAULT_TASK, score))


def drawn(n: int, seed: int, colors: int) -> tuple[Vectors, F64]:
    """Vectors, and the scores that labels follow."""
    rng = np.random.default_rng(seed)
    color, shape = rng.integers(1, colors + 1, n), rng.integers(1, 4, n)
    numbers = rng.normal(0, [1, 30, 1000], (n, 3)).astype(np.float32)
    score = numbers[:, 0] + (color % 5 == 2) + rng.normal(0, 0.3, n)
    numbers[rng.random((n, 3)) < 0.1] = np.nan
    categories = np.stack([color, shape], 1).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    categories[rng.random((n, 2)) < 0.05] = 0
    return Vectors(categories, numbers), score


def part(examples: Examples, a: int, b: int) -> Examples:
    v = examples.vectors
    return Examples(Vectors(v.categories[a:b], v.numbers[a:b]), examples.labels[a:b])


def teach(learner: Learner, examples: Examples, ends: Sequence[int] = ()) -> Learner:
    """Learn, in steps that end at `ends`; ask before each, as a trainer does."""
    for a, b in zip((0, *ends), (*ends, len(examples))):
        learner.predict(part(examples, a, b).vectors)
        learner.learn(part(examples, a, b))
    return learner


def bits(state: Arrays) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Something that is equal only if every bit is."""
    return {k: (v.dtype.str, v.shape, v.tobytes()) for k, v in state.items()}


def frozen(export: Export) -> Export:
    """The export as a scorer gets it: views of a read-only safetensors buffer."""
    from safetensors.numpy import save

    data = memoryview(save({k: np.ascontiguousarray(v) for k, v in export.arrays.items()}))
    return Export(export.kind, export.meta, arrays_of(data))


def check_answers(task: Task, answers: F64, rows: int) -> None:
    """What the contract says of the answers of a task."""
    assert answers.dtype == np.float64
    if task.kind == REGRESSION:
        assert answers.shape == (rows,)
        assert np.isfinite(answers).all()
        return
    assert answers.shape == ((rows, task.width) if task.kind == CLASSES else (rows,))
    assert ((answers > 0) & (answers < 1)).all()
    if task.kind == CLASSES:
        np.testing.assert_allclose(answers.sum(axis=1), 1.0, rtol=0, atol=1e-9)


def tells_apart(task: Task, labels: F32, answers: F64) -> bool:
    """Whether answers are far better than the same one for all."""
    if task.kind == BINARY:
        return auc(labels, answers) > 0.85
    if task.kind == CLASSES:
        return bool((answers.argmax(axis=1) == labels).mean() > 0.65)
    errors = np.abs(answers - labels).mean()
    return bool(errors < 0.55 * np.abs(labels - labels.mean()).mean())


class LearnerBattery:
    """Subclasses give `case`."""

    def test_predicting_changes_nothing(self, case: Case) -> None:
        learner, asked = (
            teach(case.make(), case.stream(EXAMPLES)),
            case.stream(50, seed=1, colors=500).vectors,
        )
        before, given = bits(learner.checkpoint()), (asked.categories.copy(), asked.numbers.copy())
        first = learner.predict(asked)
        np.testing.assert_array_equal(learner.predict(asked), first)
        assert bits(learner.checkpoint()) == before
        np.testing.assert_array_equal(asked.categories, given[0])
        np.testing.assert_array_equal(asked.numbers, given[1])

    def test_exporting_changes_nothing_and_learning_on_changes_no_export(self, case: Case) -> None:
        learner = teach(case.make(), case.stream(EXAMPLES))
        before = bits(learner.checkpoint())
        export = learner.export()
        kept = bits(export.arrays)
        assert bits(learner.checkpoint()) == before
        teach(learner, case.stream(EXAMPLES, seed=2))
        assert bits(export.arrays) == kept

    @few
    @given(ends=cuts)
    def test_the_same_calls_give_the_same_bits(self, case: Case, ends: list[int]) -> None:
        one, two = (teach(case.make(), case.stream(EXAMPLES), ends) for _ in range(2))
        assert bits(one.checkpoint()) == bits(two.checkpoint())

    @few
    @given(ends=cuts, at=st.integers(0, 11))
    def test_resuming_from_any_checkpoint_is_bit_equal(
        self, case: Case, ends: list[int], at: int
    ) -> None:
        steps = list(zip((0, *ends), (*ends, EXAMPLES)))
        stop = min(at, len(steps))
        examples, asked = case.stream(EXAMPLES), case.stream(40, seed=3).vectors
        whole, resumed = case.make(), case.make()
        for a, b in steps[:stop]:
            whole.learn(part(examples, a, b))
        state = whole.checkpoint()
        kept = bits(state)
        resumed.restore(state)
        np.testing.assert_array_equal(resumed.predict(asked), whole.predict(asked))
        for a, b in steps[stop:]:
            for learner in (whole, resumed):
                learner.learn(part(examples, a, b))
        np.testing.assert_array_equal(resumed.predict(asked), whole.predict(asked))
        assert bits(resumed.checkpoint()) == bits(whole.checkpoint())
        assert bits(state) == kept, "a checkpoint is a copy, and so is what was restored from it"

    def test_a_checkpoint_is_plain_arrays(self, case: Case) -> None:
        for name, array in teach(case.make(), case.stream(EXAMPLES)).checkpoint().items():
            assert isinstance(array, np.ndarray), name
            assert array.dtype.kind in "fiub", name

    @pytest.mark.parametrize("learned", [0, EXAMPLES])
    def test_what_is_exported_answers_as_the_learner_does(self, case: Case, learned: int) -> None:
        learner = case.make()
        if learned:
            teach(learner, case.stream(learned))
        asked = case.stream(200, seed=4, colors=50).vectors
        served = predictor(frozen(learner.export()), case.schema).predict(asked)
        np.testing.assert_allclose(served, learner.predict(asked), rtol=0, atol=case.within)

    def test_one_row_is_answered_as_it_is_in_a_batch(self, case: Case) -> None:
        asked = case.stream(30, seed=5).vectors
        made = predictor(frozen(teach(case.make(), case.stream(EXAMPLES)).export()), case.schema)
        alone = [made.predict(asked.take(np.array([i])))[0] for i in range(30)]
        np.testing.assert_array_equal(made.predict(asked), alone)

    def test_rows_cut_from_a_read_only_unaligned_buffer_are_answered(self, case: Case) -> None:
        made = predictor(frozen(teach(case.make(), case.stream(EXAMPLES)).export()), case.schema)
        row = np.zeros(1, [("pad", "u1"), ("categories", "<u8", (2,)), ("numbers", "<f4", (3,))])
        row = np.frombuffer(row.tobytes(), row.dtype)
        cut = Vectors(row["categories"], row["numbers"])
        plain = Vectors(row["categories"].copy(), row["numbers"].copy())
        np.testing.assert_array_equal(made.predict(cut), made.predict(plain))

    def test_missing_infinite_and_unseen_features_and_no_rows_at_all_are_answered(
        self, case: Case
    ) -> None:
        learner = teach(case.make(), case.stream(EXAMPLES))
        numbers = np.array(
            [[np.nan] * 3, [np.inf] * 3, [-np.inf] * 3, [3e38, -3e38, 0]], np.float32
        )
        odd = Vectors(np.array([[0, 0], [7, 0], [2**64 - 1, 1], [1, 1]], np.uint64), numbers)
        none = Vectors(np.zeros((0, 2), np.uint64), np.zeros((0, 3), np.float32))
        for asked in (learner, predictor(frozen(learner.export()), case.schema)):
            check_answers(case.task, asked.predict(odd), 4)
            check_answers(case.task, asked.predict(none), 0)

    def test_what_has_learned_nothing_answers_and_so_does_one_that_has_seen_one_label(
        self, case: Case
    ) -> None:
        learner = case.make()
        asked = case.stream(20, seed=8, colors=50).vectors
        for _ in range(2):
            for answering in (learner, predictor(frozen(learner.export()), case.schema)):
                check_answers(case.task, answering.predict(asked), 20)
            learner.learn(case.stream(1))

    def test_a_class_without_a_label_keeps_a_probability(self, case: Case) -> None:
        if case.task.kind != CLASSES:
            pytest.skip("has no classes")
        learner = teach(case.make(), case.stream(2_000), range(50, 2_000, 50))
        never = learner.predict(case.stream(100, seed=9).vectors)[:, -1]
        assert (never > 0).all()
        assert never.mean() < 0.1

    @pytest.mark.parametrize("huge", [1e30, -1e30, 3.4e38, -3.4e38, 1e-38])
    def test_after_a_number_of_any_size_all_that_is_exported_is_finite(
        self, case: Case, huge: float
    ) -> None:
        if case.task.kind != REGRESSION:
            pytest.skip("has no numbers")
        learner = teach(case.make(), case.stream(EXAMPLES))
        odd = case.stream(40, seed=7)
        learner.learn(Examples(odd.vectors, np.full(40, huge, np.float32)))
        teach(learner, case.stream(EXAMPLES, seed=2))
        export = learner.export()
        for name, array in export.arrays.items():
            assert np.isfinite(array).all(), name
        for answering in (learner, predictor(frozen(export), case.schema)):
            check_answers(case.task, answering.predict(odd.vectors), 40)

    def test_it_says_that_it_carries_its_task(self, case: Case) -> None:
        assert case.task.kind in tasks_of(case.spec)

    def test_learning_what_is_missing_or_infinite_leaves_an_export_finite(self, case: Case) -> None:
        learner = teach(case.make(), case.stream(EXAMPLES))
        numbers = np.array([[np.nan, np.inf, -np.inf]] * 4, np.float32)
        for _ in range(40):
            learner.learn(
                Examples(Vectors(np.zeros((4, 2), np.uint64), numbers), np.ones(4, np.float32))
            )
        for name, array in learner.export().arrays.items():
            assert np.isfinite(array).all(), name

    def test_memory_stays_bounded_as_new_categories_keep_coming(self, case: Case) -> None:
        learner, sizes = case.make(), []
        for seed in range(3):
            teach(
                learner,
                case.stream(4 * EXAMPLES, seed=seed, colors=10**9),
                range(60, 4 * EXAMPLES, 60),
            )
            sizes.append(sum(a.nbytes for a in learner.checkpoint().values()))
        assert sizes[2] <= 1.1 * sizes[1]

    def test_a_separable_stream_is_learned(self, case: Case) -> None:
        learner = teach(case.make(), case.stream(4_000), range(50, 4_000, 50))
        held = case.stream(2_000, seed=6)
        answers = learner.predict(held.vectors)
        assert not case.separates or tells_apart(case.task, held.labels, answers)
        if case.task.kind == REGRESSION:
            assert abs(answers.mean() - held.labels.mean()) < 0.1 * held.labels.std()
            return
        for one, told in enumerate(answers.reshape(len(held), -1).T):
            rate = (held.labels == (one if case.task.kind == CLASSES else 1)).mean()
            # River's softmax regression has no intercept, so of a class in the middle it says less.
            assert abs(told.mean() - rate) < (0.1 if case.task.kind == CLASSES else 0.06)

    def test_a_checkpoint_of_another_definition_is_refused(self, case: Case) -> None:
        learner = teach(case.make(), case.stream(EXAMPLES))
        with pytest.raises(LearnerError, match="of other vectors"):
            case.spec.make(replace(OTHER, task=case.task)).restore(learner.checkpoint())
        with pytest.raises(LearnerError, match="no origin"):
            case.make().restore({})

    def test_an_export_for_other_vectors_is_refused(self, case: Case) -> None:
        with pytest.raises(LearnerError, match="for vectors"):
            predictor(case.make().export(), replace(OTHER, task=case.task))

    def test_a_definition_is_comparable_and_prints_the_same_each_time(self, case: Case) -> None:
        assert case.spec == case.spec
        assert repr(case.spec) == repr(case.spec)
        assert " at 0x" not in repr(case.spec)
