"""What every `Learner` and its predictor promise. A subclass gives a `case` fixture; see
`tests/contracts/test_learner.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.learners.catalog import predictor
from freshet.learners.contract import Arrays, Export, Learner, LearnerSpec
from freshet.learners.snapshots.files import arrays_of
from freshet.learners.training.prequential import auc
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import Examples, Vectors, VectorSchema

SCHEMA = VectorSchema(("color", "shape"), ("size", "weight", "age"))
OTHER = VectorSchema(("shape", "color"), ("size", "weight", "age"))
EXAMPLES = 240
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

    def make(self) -> Learner:
        return self.spec.make(SCHEMA)


def stream(n: int, seed: int = 0, colors: int = 5) -> Examples:
    """Labels that follow a color and a size, with gaps in everything."""
    rng = np.random.default_rng(seed)
    color, shape = rng.integers(1, colors + 1, n), rng.integers(1, 4, n)
    numbers = rng.normal(0, [1, 30, 1000], (n, 3)).astype(np.float32)
    labels = (numbers[:, 0] + (color % 5 == 2) + rng.normal(0, 0.3, n) > 0.5).astype(np.float32)
    numbers[rng.random((n, 3)) < 0.1] = np.nan
    categories = np.stack([color, shape], 1).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    categories[rng.random((n, 2)) < 0.05] = 0
    return Examples(Vectors(categories, numbers), labels)


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


class LearnerBattery:
    """Subclasses give `case`."""

    def test_predicting_changes_nothing(self, case: Case) -> None:
        learner, asked = (
            teach(case.make(), stream(EXAMPLES)),
            stream(50, seed=1, colors=500).vectors,
        )
        before, given = bits(learner.checkpoint()), (asked.categories.copy(), asked.numbers.copy())
        first = learner.predict(asked)
        np.testing.assert_array_equal(learner.predict(asked), first)
        assert bits(learner.checkpoint()) == before
        np.testing.assert_array_equal(asked.categories, given[0])
        np.testing.assert_array_equal(asked.numbers, given[1])

    def test_exporting_changes_nothing_and_learning_on_changes_no_export(self, case: Case) -> None:
        learner = teach(case.make(), stream(EXAMPLES))
        before = bits(learner.checkpoint())
        export = learner.export()
        kept = bits(export.arrays)
        assert bits(learner.checkpoint()) == before
        teach(learner, stream(EXAMPLES, seed=2))
        assert bits(export.arrays) == kept

    @few
    @given(ends=cuts)
    def test_the_same_calls_give_the_same_bits(self, case: Case, ends: list[int]) -> None:
        one, two = (teach(case.make(), stream(EXAMPLES), ends) for _ in range(2))
        assert bits(one.checkpoint()) == bits(two.checkpoint())

    @few
    @given(ends=cuts, at=st.integers(0, 11))
    def test_resuming_from_any_checkpoint_is_bit_equal(
        self, case: Case, ends: list[int], at: int
    ) -> None:
        steps = list(zip((0, *ends), (*ends, EXAMPLES)))
        stop = min(at, len(steps))
        examples, asked = stream(EXAMPLES), stream(40, seed=3).vectors
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
        for name, array in teach(case.make(), stream(EXAMPLES)).checkpoint().items():
            assert isinstance(array, np.ndarray), name
            assert array.dtype.kind in "fiub", name

    @pytest.mark.parametrize("learned", [0, EXAMPLES])
    def test_what_is_exported_answers_as_the_learner_does(self, case: Case, learned: int) -> None:
        learner = case.make()
        if learned:
            teach(learner, stream(learned))
        asked = stream(200, seed=4, colors=50).vectors
        served = predictor(frozen(learner.export()), SCHEMA).predict(asked)
        np.testing.assert_allclose(served, learner.predict(asked), rtol=0, atol=case.within)

    def test_one_row_is_answered_as_it_is_in_a_batch(self, case: Case) -> None:
        asked = stream(30, seed=5).vectors
        made = predictor(frozen(teach(case.make(), stream(EXAMPLES)).export()), SCHEMA)
        alone = [made.predict(asked.take(np.array([i])))[0] for i in range(30)]
        np.testing.assert_array_equal(made.predict(asked), alone)

    def test_rows_cut_from_a_read_only_unaligned_buffer_are_answered(self, case: Case) -> None:
        made = predictor(frozen(teach(case.make(), stream(EXAMPLES)).export()), SCHEMA)
        row = np.zeros(1, [("pad", "u1"), ("categories", "<u8", (2,)), ("numbers", "<f4", (3,))])
        row = np.frombuffer(row.tobytes(), row.dtype)
        cut = Vectors(row["categories"], row["numbers"])
        plain = Vectors(row["categories"].copy(), row["numbers"].copy())
        np.testing.assert_array_equal(made.predict(cut), made.predict(plain))

    def test_missing_infinite_and_unseen_features_and_no_rows_at_all_are_answered(
        self, case: Case
    ) -> None:
        learner = teach(case.make(), stream(EXAMPLES))
        numbers = np.array(
            [[np.nan] * 3, [np.inf] * 3, [-np.inf] * 3, [3e38, -3e38, 0]], np.float32
        )
        odd = Vectors(np.array([[0, 0], [7, 0], [2**64 - 1, 1], [1, 1]], np.uint64), numbers)
        none = Vectors(np.zeros((0, 2), np.uint64), np.zeros((0, 3), np.float32))
        for asked in (learner, predictor(frozen(learner.export()), SCHEMA)):
            p = asked.predict(odd)
            assert p.dtype == np.float64
            assert p.shape == (4,)
            assert ((p > 0) & (p < 1)).all()
            assert asked.predict(none).shape == (0,)

    def test_learning_what_is_missing_or_infinite_leaves_an_export_finite(self, case: Case) -> None:
        learner = teach(case.make(), stream(EXAMPLES))
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
                learner, stream(4 * EXAMPLES, seed=seed, colors=10**9), range(60, 4 * EXAMPLES, 60)
            )
            sizes.append(sum(a.nbytes for a in learner.checkpoint().values()))
        assert sizes[2] <= 1.1 * sizes[1]

    def test_a_separable_stream_is_learned(self, case: Case) -> None:
        learner = teach(case.make(), stream(4_000), range(50, 4_000, 50))
        held = stream(2_000, seed=6)
        p = learner.predict(held.vectors)
        assert abs(p.mean() - held.labels.mean()) < 0.06
        assert not case.separates or auc(held.labels, p) > 0.85

    def test_a_checkpoint_of_another_definition_is_refused(self, case: Case) -> None:
        learner = teach(case.make(), stream(EXAMPLES))
        with pytest.raises(LearnerError, match="of other vectors"):
            case.spec.make(OTHER).restore(learner.checkpoint())
        with pytest.raises(LearnerError, match="no origin"):
            case.make().restore({})

    def test_an_export_for_other_vectors_is_refused(self, case: Case) -> None:
        with pytest.raises(LearnerError, match="for vectors"):
            predictor(case.make().export(), OTHER)

    def test_a_definition_is_comparable_and_prints_the_same_each_time(self, case: Case) -> None:
        assert case.spec == case.spec
        assert repr(case.spec) == repr(case.spec)
        assert " at 0x" not in repr(case.spec)
