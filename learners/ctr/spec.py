"""The declaration of the torch learner. torch itself is imported only where a learner is made."""

from __future__ import annotations

from dataclasses import dataclass

from freshet.learners.contract import Learner
from freshet.learners.ctr.options import Options
from freshet.learners.state import origin
from freshet.schemas.models.vectors import VectorSchema


@dataclass(frozen=True, slots=True)
class TorchCtr(Options):
    """Declares the learner. `hidden` are the MLP's two layers, `dim` the width of an embedding, `2^bits` their number.

    A step is taken for every `batch` examples, with `replay` old ones for each new one out of at most `memory`, once
    `warm_up` are there. `crosses` are tuples of categories; `knots` and `combinations` are those of `HashedLogistic`: a
    number with knots is bent onto them, and hand-picked ones are worth .01 AUC on the flights. `device` is `auto`, `cpu` or
    `cuda`.
    """

    def make(self, schema: VectorSchema) -> Learner:
        from freshet.learners.ctr.learner import TorchCtrLearner

        return TorchCtrLearner(self, schema, origin(self, schema))
