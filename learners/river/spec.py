"""The declaration of a River learner. River itself is imported only where a model is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from freshet.learners.contract import Learner
from freshet.learners.state import origin
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION
from freshet.schemas.models.vectors import VectorSchema

if TYPE_CHECKING:
    from freshet.learners.columns import Feature

# What `model` is where none is given; which one it is follows from the task.
DEFAULT = "logistic regression by AdaGrad"


@dataclass(frozen=True, slots=True)
class River:
    """Any classifier or regressor of River, taught one example at a time.

    River is given a dict for each example: every number under its name, every category as
    `name=bucket: 1.0`; what is missing is left out. A label is True or False, the class's text, or
    the number. Probabilities are held within 1e-6 and 1 - 1e-6, and those of classes add up to 1.

    Logistic, softmax and linear regression (`preprocessing.TargetStandardScaler` of it, too)
    without `l1` and `l2`, whose weights start at 0 and whose optimizer's state is numbers, have
    flat arrays to save: they are `servable`, and go on after a restart. Others are compared with
    the rest but never served, and learn from the log's start after a restart.

    Source: River (Montiel et al., "River: machine learning for streaming data in Python", 2021);
    AdaGrad by Duchi, Hazan and Singer (2011); the scales' moments by Chan, Golub and LeVeque
    (1979).

    Args:
        model: A River classifier or regressor (a pipeline that ends with one, too), or a function
            without parameters that makes one; it is copied, never changed. Which tasks it carries
            is River's own say. None: `LogisticRegression(AdaGrad(0.03), intercept_lr=0.003)`, of
            classes `SoftmaxRegression(AdaGrad(0.03))`, of numbers
            `TargetStandardScaler(LinearRegression(AdaGrad(0.03), intercept_lr=0.003))`.
        buckets: How many ids a category has: its hash modulo this.
        scale: Whether a number is brought to mean 0 and deviation 1 by running moments, and held
            within 4 deviations. Trees prefer False.
        name: Its name within the model; the beginning of its lineage's name.
        features: What it reads, as `features` of `fr.Model`. None: the model's.

    Raises:
        LearnerError: `model` is no River classifier or regressor.

    Examples:
        >>> import freshet as fr
        >>> from river import tree
        >>> fr.River().servable
        True
        >>> grown = fr.River(tree.HoeffdingTreeClassifier, scale=False, name="tree")
        >>> grown.servable, grown.tasks
        (False, ('binary', 'classes'))
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
            from freshet.learners.river.portable import declared

            made = declared(self.model, self.name)
            object.__setattr__(self, "model", made)
            definition = repr(made)
        object.__setattr__(self, "definition", definition)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The kinds of tasks that the model can learn."""
        if self.model is None:
            return (BINARY, CLASSES, REGRESSION)
        from freshet.learners.river.portable import tasks_of_model

        return tasks_of_model(self.model)

    @property
    def servable(self) -> bool:
        """Whether the model has flat arrays: what a checkpoint and a snapshot need."""
        if self.model is None:
            return True
        from freshet.learners.river.portable import is_portable

        return is_portable(self.model)

    def make(self, schema: VectorSchema) -> Learner:
        """A learner that has learned nothing, for vectors of this schema."""
        from freshet.learners.river.learner import RiverLearner
        from freshet.learners.river.portable import default_for

        made = self.model
        if made is None:
            made = default_for(schema.task)
        return RiverLearner(
            made,
            self.buckets,
            self.scale,
            schema,
            origin(self, schema),
        )
