"""What can be chosen of the torch learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from freshet.schemas.errors import LearnerError
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION

if TYPE_CHECKING:
    from freshet.learners.columns import Feature


@dataclass(frozen=True, slots=True)
class Options:
    """See `freshet.learners.ctr.spec.TorchCtr`, which says what each of them means.

    Raises:
        LearnerError: one is out of range.
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
    features: Sequence[Feature] | None = field(default=None, repr=False, kw_only=True)
    tasks: ClassVar[tuple[str, ...]] = (BINARY, CLASSES, REGRESSION)

    def __post_init__(self) -> None:
        sound = (
            8 <= self.bits <= 24
            and 0 <= self.dropout < 1
            and 0 < self.prior < 1
            and len(self.hidden) == 2
        )
        if not sound or min(self.batch, self.memory, self.dim, *self.hidden) < 1:
            raise LearnerError(
                repr(self),
                "is out of range",
                "Use 8 to 24 bits, dropout in [0, 1), a prior between 0 and 1, two hidden layers, "
                "sizes from 1.",
            )

    def as_facts(self) -> dict[str, Any]:
        """By name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
