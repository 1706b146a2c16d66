"""The net: its kernel against torch's own forward pass, its memory, its batches."""

from __future__ import annotations

import numpy as np
import pytest

from freshet.learners.inputs.reservoir import Reservoir
from freshet.learners.training.prequential import auc
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import Regression
from freshet.schemas.models.vectors import Examples
from tests.contracts.learner_battery import OF_CLASSES, SCHEMA, Case, part, stream, teach

torch = pytest.importorskip("torch")
from freshet.learners.ctr.net import Net  # noqa: E402
from freshet.learners.ctr.spec import TorchCtr  # noqa: E402
from freshet.streams.operators.loop import ENVIRONMENT  # noqa: E402

SMALL = TorchCtr(
    dim=4, hidden=(16, 8), bits=10, batch=32, memory=500, warm_up=64, rate=5e-3, device="cpu"
)


def test_torch_s_global_random_state_plays_no_part() -> None:
    torch.manual_seed(1)
    one = teach(SMALL.make(SCHEMA), stream(300))
    torch.manual_seed(2)
    two = teach(SMALL.make(SCHEMA), stream(300))
    asked = stream(50, seed=1).vectors
    np.testing.assert_array_equal(one.predict(asked), two.predict(asked))


def test_examples_short_of_a_batch_wait_and_move_only_the_level() -> None:
    learner = SMALL.make(SCHEMA)
    before = learner.export().arrays
    learner.learn(part(stream(100), 0, 31))
    after = learner.export().arrays
    np.testing.assert_array_equal(before["first"], after["first"])
    assert before["last_bias"] != after["last_bias"]
    learner.learn(part(stream(100), 31, 32))
    assert not np.array_equal(before["first"], learner.export().arrays["first"])


def test_without_knots_the_unit_of_a_number_does_not_matter() -> None:
    metres = SMALL.make(SCHEMA)
    examples, held = stream(4_000), stream(500, seed=1)
    for e in (examples, held):
        e.vectors.numbers[:] *= 1000.0
    assert (
        auc(held.labels, teach(metres, examples, range(64, 4_000, 64)).predict(held.vectors)) > 0.85
    )


def test_the_unit_of_a_number_to_predict_does_not_matter() -> None:
    """By a power of two, which rounds nothing: to the bit."""
    case = Case(SMALL, within=0.0, task=Regression())
    answers = []
    for unit in (1.0, 2.0**40):
        learner = case.make()
        for seed in range(5):
            examples = case.stream(100, seed=seed)
            learner.learn(Examples(examples.vectors, examples.labels * np.float32(unit)))
        answers.append(learner.predict(case.stream(100, seed=9).vectors) / unit)
    np.testing.assert_array_equal(*answers)


def test_a_class_s_level_moves_against_the_errors_between_steps() -> None:
    case = Case(SMALL, within=0.0, task=OF_CLASSES)
    learner = case.make()
    before = learner.export().arrays["last_bias"]
    examples = case.stream(31)
    examples.labels[:] = 2.0
    learner.learn(examples)
    moved = learner.export().arrays["last_bias"] - before
    assert moved[2] > 0 > max(moved[0], moved[1], moved[3])


def test_a_reservoir_is_a_uniform_sample_of_the_past() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros(100)
    for _ in range(300):
        kept = Reservoir(20, 1, 1)
        for a in range(0, 100, 7):
            ids = np.arange(a, min(a + 7, 100), dtype=np.int32)[:, None]
            kept.add(ids, ids.astype(np.float32), np.zeros(len(ids), np.float32), rng)
        counts[kept.checkpoint()["memory.ids"][:, 0]] += 1
    assert counts.sum() == 300 * 20
    assert abs(counts - 60).max() < 5 * np.sqrt(60 * 0.8)


def test_settings_out_of_range_are_told() -> None:
    with pytest.raises(LearnerError, match="out of range"):
        TorchCtr(dropout=1.0)
    with pytest.raises(LearnerError, match="no category"):
        TorchCtr(crosses=[("color", "size")]).make(SCHEMA)


@pytest.mark.parametrize("name", ["logits", "step"])
def test_a_device_that_is_full_is_no_fault_of_the_examples(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator that took it for one would set good examples aside."""
    net = Net(8, 2, (2, 1, 2, 2), torch.device("cpu"))
    net.start(np.random.default_rng(1), np.zeros(1))
    net.tune(0.1, 0.1, 0.0)

    def full(*args: object, **more: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore words.")

    monkeypatch.setattr(Net, "_forward", full)
    lost = torch.nn.functional.mse_loss
    ids, x = np.zeros((3, 1), np.int32), np.zeros((3, 1), np.float32)
    given = (
        (ids, x)
        if name == "logits"
        else ((ids, x, np.zeros(3, np.float32)), lost, 0.0, np.random.default_rng(1))
    )
    with pytest.raises(
        ENVIRONMENT, match=r"device cpu: CUDA out of memory\. Tried to allocate 2 GiB"
    ):
        getattr(net, name)(*given)
