"""The declaration of the torch learner. torch itself is imported only where a learner is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from freshet.learners.contract import Learner
from freshet.schemas.errors import LearnerError
from freshet.schemas.models.vectors import VectorSchema


@dataclass(frozen=True, slots=True)
class TorchCtr:
    """Declares the learner. `hidden` are the MLP's two layers, `dim` the width of an embedding, `2^bits` their number.

    A step is taken for every `batch` examples, with `replay` old ones for each new one out of at most `memory`, once
    `warm_up` are there. `crosses` are tuples of categories; `knots` and `combinations` are those of `HashedLogistic`: a
    number with knots is bent onto them, and hand-picked ones are worth .01 AUC on the flights. `device` is `auto`, `cpu` or
    `cuda`.
    """

    dim: int = 8
    hidden: tuple[int, int] = (64, 32)
    bits: int = 16
    batch: int = 64
    replay: int = 3
    memory: int = 100_000
    warm_up: int = 2_000
    rate: float = 1e-3
    embedding_rate: float = 0.03
    decay: float = 1e-5
    dropout: float = 0.2
    bias_rate: float = 0.002
    prior: float = 0.5
    crosses: Sequence[tuple[str, ...]] = ()
    knots: Mapping[str, Sequence[float]] | None = None
    combinations: Mapping[str, Mapping[str, float]] | None = None
    seed: int = 0
    device: str = "auto"
    name: str = "torch_ctr"

    def __post_init__(self) -> None:
        sound = 8 <= self.bits <= 24 and 0 <= self.dropout < 1 and 0 < self.prior < 1 and len(self.hidden) == 2
        if not sound or min(self.batch, self.memory, self.dim, *self.hidden) < 1:
            raise LearnerError(
                repr(self),
                "is out of range",
                "Use 8 to 24 bits, dropout in [0, 1), a prior between 0 and 1, two hidden layers, sizes from 1.",
            )

    def make(self, schema: VectorSchema) -> Learner:
        from freshet.learners.ctr.learner import TorchCtrLearner

        return TorchCtrLearner(self, schema)
