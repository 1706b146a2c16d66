"""The declaration of a River learner. River itself is imported only where a model is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from freshet.learners.contract import Learner
from freshet.learners.state import origin
from freshet.schemas.models.vectors import VectorSchema

DEFAULT = "logistic regression by AdaGrad"


@dataclass(frozen=True, slots=True)
class River:
    """Declares the learner. `model` is a River classifier, or a function that makes one; it is copied, never changed.

    Without one: logistic regression by AdaGrad. `buckets` bounds the ids of each category; `scale=False` hands numbers on
    as they are, which trees prefer.

    Raises:
        LearnerError: `model` is no River classifier.
    """

    model: Any = field(default=None, compare=False)
    buckets: int = 4096
    scale: bool = True
    name: str = "river"
    definition: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        definition = DEFAULT
        if self.model is not None:
            from freshet.learners.river.portable import classifier

            made = classifier(self.model, self.name)
            object.__setattr__(self, "model", made)
            definition = repr(made)
        object.__setattr__(self, "definition", definition)

    @property
    def servable(self) -> bool:
        """Whether the model has flat arrays: what a checkpoint and a snapshot need. One that has none is compared with
        the others, but never served, and after a restart learns from the log's start."""
        from freshet.learners.river.portable import classifier, is_portable

        return is_portable(classifier(self.model, self.name))

    def make(self, schema: VectorSchema) -> Learner:
        from freshet.learners.river.learner import RiverLearner
        from freshet.learners.river.portable import classifier

        made = classifier(self.model, self.name)
        return RiverLearner(made, self.buckets, self.scale, schema, origin(self, schema))
