"""Models as users declare them: what is asked, what is learned from, who learns, what answers when a model cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from freshet.features.views.view import FeatureRef
from freshet.learners.contract import LearnerSpec
from freshet.schemas.errors import DefinitionError
from freshet.schemas.models.vectors import VectorSchema
from freshet.schemas.topics.topic import FieldRef, Topic, check_name

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Label:
    """The outcome of a prediction: `value` (a row-wise Polars expression, true or false) of the event with its `id`.

    Without one within the topic's `label_wait` the prediction expires (`on_timeout="drop"`); a later label is then
    learned as a correction (`late="correct"`) or ignored (`"drop"`).
    """

    topic: Topic
    id: str
    value: pl.Expr
    on_timeout: str = "drop"
    late: str = "correct"

    def __post_init__(self) -> None:
        fields = {f.name: f.type for f in self.topic.events.fields}
        if fields.get(self.id) not in ("string", "enum"):
            raise DefinitionError(
                f"label of {self.topic.name}",
                f"its id {self.id!r} is {'of type ' + fields[self.id] if self.id in fields else 'not in its schema'}",
                f"Name the text field that holds the model's ids: {', '.join(fields)}.",
            )
        if self.on_timeout != "drop" or self.late not in ("correct", "drop"):
            raise DefinitionError(
                f"label of {self.topic.name}",
                f"on_timeout={self.on_timeout!r}, late={self.late!r}",
                'on_timeout is "drop"; late is "correct" or "drop".',
            )


@dataclass(frozen=True)
class Model:
    """A probability for every event of topic `on`, learned from labels that come later.

    `features` are request fields (`topic["field"]`, `fr.category(topic["field"])`) and view features
    (`view["feature"]`, read by the request's fields of the view's key). `slices` are categories among them whose
    quality is told apart. `learners` compete; `fallback` answers, in order, when no model can.
    """

    name: str
    on: Topic
    id: str
    label: Label
    features: Sequence[FieldRef | FeatureRef]
    learners: Sequence[LearnerSpec]
    slices: Sequence[str] = ()
    fallback: Sequence[Any] = ()
    batch: int = 64
    release: Any = None
    owner: str = ""
    description: str = ""
    subject: str | None = None
    segment_by: Sequence[str] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        check_name("model", self.name)
        self.on[self.id]
        names = [x.name for x in self.learners]
        if not names or len(set(names)) != len(names):
            raise DefinitionError(
                f"model {self.name}", f"learners {names}", "Declare at least one, each with a name of its own."
            )
        for ref in self.features:
            if isinstance(ref, FieldRef) and ref.topic != self.on.name:
                raise DefinitionError(
                    f"model {self.name}",
                    f"feature {ref.field!r} is a field of {ref.topic}",
                    f"A request carries the fields of {self.on.name}; put a view over {ref.topic} instead.",
                )
        for s in self.slices:
            if s not in self.vectors.categories:
                raise DefinitionError(
                    f"model {self.name}",
                    f"slice {s!r} is no category among its features",
                    f"Its categories are {', '.join(self.vectors.categories)}.",
                )

    @cached_property
    def vectors(self) -> VectorSchema:
        """Categories and numbers in order of declaration."""
        categories = tuple(f.field for f in self.features if isinstance(f, FieldRef) and f.categorical)
        numbers = tuple(
            f.field if isinstance(f, FieldRef) else f.name
            for f in self.features
            if not (isinstance(f, FieldRef) and f.categorical)
        )
        return VectorSchema(categories, numbers)

    def lineage(self, learner: LearnerSpec) -> str:
        """The name of the lineage that `learner` starts: its name and a digest of what it learns with."""
        text = f"{learner!r} {self.vectors.digest} {self.batch}"
        return f"{learner.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
