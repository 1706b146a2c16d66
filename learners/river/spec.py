"""The declaration of a River learner. River itself is imported only where a model is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freshet.learners.contract import Learner
from freshet.learners.state import origin
from freshet.schemas.models.vectors import VectorSchema

if TYPE_CHECKING:
    from freshet.learners.columns import Feature

DEFAULT = "logistic regression by AdaGrad"


@dataclass(frozen=True, slots=True)
class River:
    """Any binary classifier of River, taught one example at a time.

    River is given a dict for each example: every number under its name, every category as
    `name=bucket: 1.0`; what is missing is left out. Predictions are held within 1e-6 and 1 - 1e-6.

    Only logistic regression without `l1` and `l2`, whose weights start at 0 and whose optimizer's
    state is numbers, has flat arrays to save: it is `servable`, and goes on after a restart.
    Others are compared with the rest but never served, and learn from the log's start after a
    restart.

    Source: River (Montiel et al., "River: machine learning for streaming data in Python", 2021);
    AdaGrad by Duchi, Hazan and Singer (2011); the scales' moments by Chan, Golub and LeVeque
    (1979).

    Args:
        model: A River classifier, or a function without parameters that makes one; it is copied,
            never changed. None: `LogisticRegression(AdaGrad(0.03), intercept_lr=0.003)`.
        buckets: How many ids a category has: its hash modulo this.
        scale: Whether a number is brought to mean 0 and deviation 1 by running moments, and held
            within 4 deviations. Trees prefer False.
        name: Its name within the model; the beginning of its lineage's name.
        features: What it reads, as `features` of `fr.Model`. None: the model's.

    Raises:
        LearnerError: `model` is no River classifier.

    Examples:
        >>> import freshet as fr
        >>> from river import tree
        >>> fr.River().servable
        True
        >>> fr.River(tree.HoeffdingTreeClassifier, scale=False, name="tree").servable
        False
    """

    # Two of River's models are never equal; `definition`, their text, stands for them.
    model: Any = field(default=None, compare=False)
    buckets: int = 4096
    scale: bool = True
    name: str = "river"
    definition: str = field(init=False, repr=False)
    features: Sequence[Feature] | None = field(default=None, repr=False, kw_only=True)

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
        """Whether the model has flat arrays: what a checkpoint and a snapshot need."""
        from freshet.learners.river.portable import classifier, is_portable

        return is_portable(classifier(self.model, self.name))

    def make(self, schema: VectorSchema) -> Learner:
        """A learner that has learned nothing, for vectors of this schema."""
        from freshet.learners.river.learner import RiverLearner
        from freshet.learners.river.portable import classifier

        made = classifier(self.model, self.name)
        return RiverLearner(made, self.buckets, self.scale, schema, origin(self, schema))
