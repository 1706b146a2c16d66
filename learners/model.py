"""Models as users declare them: what is asked, what is learned from, who learns, what answers when
a model cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from freshet.features.views.view import FeatureRef
from freshet.learners.columns import (
    KINDS,
    Feature,
    Meanings,
    all_read,
    name_of,
    own_features,
)
from freshet.learners.contract import LearnerSpec, tasks_of
from freshet.learners.on_demand import OnDemand, categories_of, made_of_views, settled
from freshet.learners.release_config import ReleaseConfig
from freshet.learners.rungs import Constant, Heuristic, Rung, with_sources
from freshet.learners.sources import definition_of
from freshet.schemas.declared import brief, check_each, check_kind
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.field import KEY_TYPES
from freshet.schemas.models.conditions import FALL_BACK, GO_ON, MISSING_INPUTS, HoldWhen
from freshet.schemas.models.tasks import DEFAULT_TASK, OF_TASKS, TASKS, Task
from freshet.schemas.models.vectors import VectorSchema
from freshet.schemas.topics.derivations import Derivation
from freshet.schemas.topics.digests import Facts, digest_of, fields_read, of_expression, of_field
from freshet.schemas.topics.topic import FieldRef, Topic, check_name
from freshet.schemas.topics.topic_statistics import check_bound

if TYPE_CHECKING:
    import polars as pl

OF_FEATURES = (
    'Write a field of the topic as topic["field"], a feature of a view as view["feature"], '
    "and what is computed of them as fr.on_demand(…)."
)
OF_LEARNERS = "Write one with its brackets, such as fr.Baseline() or fr.HashedLogistic()."
OF_BOUNDS = 'Write the largest usual distance by feature, {"price": 0.3}: more than 0, less than 1.'
OF_HOLD = 'Write fr.HoldWhen("expired_share", above=0.3, over="1h") or another condition.'
MAX_BATCH = 65_536  # labels a step; all of them are in memory at once


@dataclass(frozen=True)
class Label:
    """The outcome of a prediction: what an event that comes later says of it.

    An event is the label of the prediction whose id it carries. The first one counts, repeats are
    counted and passed over. A label whose event time is not after the moment of the question is
    neither scored nor learned: what it says may have been known.

    Args:
        topic: The topic whose events are labels. Its freshness rules the model.
        id: The field of `topic` that holds the prediction's id, as the model's `id` field had it:
            of the same kind, whatever its Avro type. An event without it is no label.
        value: A row-wise Polars expression over the fields of `topic`, as the model's task has it:
            true or false (learned as 1.0 or 0.0), of `fr.Classes` the text of a class (or an
            integer or a boolean that is written like it), of `fr.Regression` a number; null for an
            event that is no label. What is no label of the task is a dead letter of the label: its
            event goes on. Learned as float32.
        late: What becomes of a label that comes after that, within another `label_wait`:
            `"correct"` (it is learned) or `"drop"` (it is counted only).

    Raises:
        DefinitionError: `id` is no field of the topic that can be an id, or another word for
            `late`. That `value` is row-wise is checked by `fr.App`.

    Examples:
        >>> import freshet as fr
        >>> import polars as pl
        >>> deliveries = fr.Topic(
        ...     "deliveries",
        ...     {
        ...         "type": "record",
        ...         "name": "delivery",
        ...         "fields": [
        ...             {"name": "parcel", "type": "string"},
        ...             {"name": "at", "type": "long"},
        ...             {"name": "courier", "type": "string"},
        ...             {"name": "minutes_late", "type": ["null", "double"]},
        ...         ],
        ...     },
        ...     event_id="parcel",
        ...     event_time="at",
        ... )
        >>> label = fr.Label(deliveries, id="parcel", value=pl.col("minutes_late") > 10)
        >>> label.late
        'correct'
    """

    topic: Topic
    id: str
    value: pl.Expr
    late: str = "correct"

    def __post_init__(self) -> None:
        check_kind(
            "a label",
            "topic",
            self.topic,
            Topic,
            "Name the topic itself: the variable, not its text.",
        )
        where = f"label of {self.topic.name}"
        check_kind(
            where,
            "id",
            self.id,
            str,
            "Name the field that holds the model's ids.",
        )
        fields = {field.name: field.type for field in self.topic.all_fields.fields}
        possible = [name for name, type_ in fields.items() if type_ in KEY_TYPES]
        if self.id not in possible:
            found = f"of type {fields[self.id]}" if self.id in fields else "not in its schema"
            raise DefinitionError(
                f"label of {self.topic.name}",
                f"its id {self.id!r} is {found}",
                f"Name the field that holds the model's ids: {', '.join(possible)}.",
            )
        if self.late not in ("correct", "drop"):
            raise DefinitionError(
                f"label of {self.topic.name}",
                f"late={self.late!r} is unknown",
                'Use "correct" or "drop".',
            )


@dataclass(frozen=True)
class Model:
    """A probability for every event of a topic, learned from labels that come later.

    What a learner sees is a vector: of each categorical feature the hash of its canonical text
    (uint64, 0 where it is missing), of each other one the number (float32, NaN where it is
    missing; whole numbers beyond 16,777,216 are rounded, unless `fr.category` makes them texts).
    It is made once, by the scorer that answers, and logged with the answer; learners are given
    the logged one.

    Args:
        name: A lower-case letter, then up to 62 lower-case letters, digits or underscores.
        on: The topic whose fields a request carries.
        id: The field of `on` that names a prediction, and that its label names again: a string (a
            UUID, too), enum, int, long or boolean. A request without it, or with null, is given a
            new id.
        label: Where outcomes come from.
        features: Fields of `on` (`on["field"]`, `fr.category(on["field"])`), features of views
            (`view["feature"]`), which are read by the request's fields of the view's key, and
            `fr.on_demand(…)`, which is computed of both. Learners read them that declare none of
            their own.
        learners: `fr.Baseline(…)`, `fr.HashedLogistic(…)`, `fr.HashedLinear(…)`, `fr.River(…)`,
            `fr.TorchCtr(…)`: at least one, each with a `name` of its own, each carrying the task
            (`fr.HashedLinear` numbers only, `fr.HashedLogistic` all else). Each starts a lineage of
            snapshots, and lineages compete. One may read other features than the model's, by
            `features=`: a question is answered and logged with all that any of them reads, and each
            takes its own columns of that. So what is added for one changes nothing for another.
        slices: Names of categorical features by whose values quality is told apart.
        fallback: Rungs that answer, in order, where no model can: `fr.heuristic(…)`,
            `fr.constant(…)`. With none of them there is no answer before the first snapshot
            (HTTP 503).
        batch: After how many labels a learner takes a step, 1 to 65536. A step also ends at each
            tick of the log; it predicts all that was asked in it, then learns its labels. So more
            labels a step cost fewer calls, but the losses by which lineages compete are those of a
            model that is up to `batch` labels behind: on Electricity (45,312 rows, of which
            neighbours are alike) River's logistic regression, scaled, has a log loss of .4162 one
            by one, and .4669 in blocks of 64. What is served is a snapshot, which holds all that
            was labelled up to its tick, whatever `batch` is. `fr.River` takes a whole step into its
            scales before it learns it; `fr.TorchCtr` has a batch of its own beside this one.
            Another `batch` starts new lineages.
        release: When a lineage takes over, an `fr.ReleaseConfig`. None: with its defaults.
        skew_bounds: By feature the Jensen–Shannon distance, between 0 and 1, of what is asked from
            what was learned from, beyond which it is told of at once (alert `skew`). Of all other
            features bounds are learned, over eight weeks. It changes no answer and no lineage.
        hold: Conditions while which nothing is learned, `fr.HoldWhen(…)`. They change no lineage:
            another bound holds from the next start on, and what was skipped is recorded.
        missing_inputs: What becomes of it while an input is missing: a topic of its views has no
            event for longer than the view's `max_age` (where it has none, a day), or a feature is
            missing from half of the newest questions more than from what was learned. That is told
            within the `model_slo` that is declared, and the light is amber, whatever stands here.
            `"go_on"` changes nothing else; `"hold"` learns nothing meanwhile; `"fall_back"` has the
            rungs of `fallback` answer meanwhile, which must be there, but for those that read what
            is missing.
        task: What is predicted: `fr.Binary()` (labels are true or false), `fr.Classes([…])` (labels
            are texts) or `fr.Regression()` (labels are numbers). Another task starts new lineages.
        owner: Who answers for it; shown in the catalogue.
        description: What it is; shown in the catalogue.
        subject: Reserved, and refused: nothing is kept by subject yet.
        segment_by: Reserved, and refused: models have no segments yet.

    Raises:
        DefinitionError: a wrong name, no features, no learners or two of one name, a feature of
            another topic, two features of one name, an `id` of a type that no id has or of another
            kind than its label's, a slice that is no categorical feature, a bound of no feature or
            that is no distance, a `batch` out of range, a `hold` of a feature that is none, another
            word for `missing_inputs` or no `fallback` to fall back to, a `subject` or a
            `segment_by`. `fr.App` checks the model against the rest.

    Examples:
        >>> import freshet as fr
        >>> import polars as pl
        >>> deliveries = fr.Topic(
        ...     "deliveries",
        ...     {
        ...         "type": "record",
        ...         "name": "delivery",
        ...         "fields": [
        ...             {"name": "parcel", "type": "string"},
        ...             {"name": "at", "type": "long"},
        ...             {"name": "courier", "type": "string"},
        ...             {"name": "minutes_late", "type": ["null", "double"]},
        ...         ],
        ...     },
        ...     event_id="parcel",
        ...     event_time="at",
        ... )
        >>> late = fr.Model(
        ...     "late",
        ...     on=deliveries,
        ...     id="parcel",
        ...     label=fr.Label(deliveries, id="parcel", value=pl.col("minutes_late") > 10),
        ...     features=[deliveries["courier"]],
        ...     learners=[fr.Baseline(), fr.HashedLogistic()],
        ...     fallback=[fr.constant(0.2)],
        ...     batch=16,
        ... )
        >>> late.vectors
        VectorSchema(categories=('courier',), numbers=())
    """

    name: str
    on: Topic
    id: str
    label: Label
    features: Sequence[FieldRef | FeatureRef | OnDemand]
    learners: Sequence[LearnerSpec]
    slices: Sequence[str] = ()
    fallback: Sequence[Rung] = ()
    batch: int = 64
    release: ReleaseConfig | None = None
    skew_bounds: Mapping[str, float] = field(default_factory=dict)
    hold: Sequence[HoldWhen] = ()
    missing_inputs: str = GO_ON
    task: Task = DEFAULT_TASK
    owner: str = ""
    description: str = ""
    subject: str | None = None
    segment_by: Sequence[str] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        check_name("model", self.name)
        # First of all: what follows reads attributes of what was given.
        self._check_kinds()
        self._refuse_what_does_not_exist_yet()
        if not 1 <= self.batch <= MAX_BATCH:
            raise DefinitionError(
                f"model {self.name}", f"batch={self.batch}", f"Use 1 to {MAX_BATCH}."
            )
        self._check_id()
        # Lineages are named after their learners, and told apart by that.
        names = [learner.name for learner in self.learners]
        if not names or len(set(names)) != len(names):
            raise DefinitionError(
                f"model {self.name}",
                f"learners {names}",
                "Declare at least one, each with a name of its own.",
            )
        for ref in self.read:
            # What nobody sends with a question, and no row holds.
            if isinstance(ref, FieldRef) and ref.topic != self.on.name:
                raise DefinitionError(
                    f"model {self.name}",
                    f"feature {ref.field!r} is a field of {ref.topic}",
                    f"A request carries the fields of {self.on.name}; "
                    f"put a view over {ref.topic} instead.",
                )
        _ = self.computed  # what is wrong with them is told when they are declared
        self._tell_rungs_of_sources()
        for slice_ in self.slices:
            # Of a question its categories are kept as texts, and nothing else is.
            if slice_ not in self.vectors.categories:
                raise DefinitionError(
                    f"model {self.name}",
                    f"slice {slice_!r} is no category among its features",
                    f"Its categories are {', '.join(self.vectors.categories)}.",
                )

        self._check_skew_bounds()
        self._check_holding()

    def _check_holding(self) -> None:
        where = f"model {self.name}"
        names = (*self.vectors.categories, *self.vectors.numbers)
        for i, condition in enumerate(self.hold):
            if condition.feature and condition.feature not in names:
                raise DefinitionError(
                    where,
                    f"hold[{i}] is of {condition.feature!r}, which is no feature of it",
                    f"Its features are {', '.join(names)}.",
                )
        if self.missing_inputs not in MISSING_INPUTS:
            raise DefinitionError(
                where,
                f"missing_inputs={brief(self.missing_inputs)}",
                f"Use one of {', '.join(MISSING_INPUTS)}.",
            )
        if self.missing_inputs == FALL_BACK and not self.fallback:
            raise DefinitionError(
                where,
                f"missing_inputs={FALL_BACK!r}, and there is no fallback",
                "Declare fallback=[…, fr.constant(p)].",
            )

    def _check_skew_bounds(self) -> None:
        where = f"model {self.name}"
        check_kind(
            where,
            "skew_bounds",
            self.skew_bounds,
            Mapping,
            OF_BOUNDS,
        )
        names = (*self.vectors.categories, *self.vectors.numbers)
        for name, bound in self.skew_bounds.items():
            check_bound(where, "skew_bounds", name, bound, OF_BOUNDS)
            if name not in names:
                raise DefinitionError(
                    where,
                    f"skew_bounds[{brief(name)}] is of no feature",
                    f"Its features are {', '.join(names)}.",
                )

    def _tell_rungs_of_sources(self) -> None:
        """Fields within fields have dots in their names, as features of views have; and what is
        made of such a feature need not have one."""
        own = frozenset(ref.field for ref in self.read if isinstance(ref, FieldRef))
        nested = frozenset(name for name in own if "." in name)
        read = {ref.name for ref in self.view_features}
        for name in sorted(nested & read):
            raise DefinitionError(
                f"model {self.name}",
                f"feature {name!r} is a field of {self.on.name}, and a feature of a view",
                "Rename the view or its feature.",
            )
        of_views = made_of_views(self.computed, read)
        if not nested and not of_views:
            return
        rungs = [with_sources(rung, nested, of_views) for rung in self.fallback]
        # Frozen to everybody else.
        object.__setattr__(self, "fallback", rungs)

    def _check_id(self) -> None:
        """Whoever asks and whoever labels must write one id alike."""
        # For what it raises where there is no such field.
        self.on[self.id]
        if self.id in self.on.derive:
            raise DefinitionError(
                f"model {self.name}",
                f"id {self.id!r} is derived, so nobody sends it",
                f"Name a field of {self.on.name} that requests bring.",
            )
        asked = self.on.events[self.id].key_kind
        labelled = self.label.topic.all_fields[self.label.id].key_kind
        if asked is None:
            raise DefinitionError(
                f"model {self.name}",
                f"id {self.id!r} is of type {self.on.events[self.id].type}",
                f"It must be of type {' or '.join(KEY_TYPES)}.",
            )
        if asked != labelled:
            raise DefinitionError(
                f"model {self.name}",
                f"id {self.id!r} of {self.on.name} is a {asked}, "
                f"and {self.label.id!r} of its label a {labelled}",
                "Declare both of one kind, so that they are written alike.",
            )

    def _check_kinds(self) -> None:
        where = f"model {self.name}"
        check_kind(
            where, "on", self.on, Topic, "Name the topic itself: the variable, not its text."
        )
        check_kind(
            where,
            "id",
            self.id,
            str,
            f"Name a field of {self.on.name}.",
        )
        check_kind(
            where,
            "label",
            self.label,
            Label,
            "Write fr.Label(topic, id=…, value=…).",
        )
        check_kind(
            where,
            "batch",
            self.batch,
            int,
            f"Use 1 to {MAX_BATCH}.",
        )
        check_each(
            where,
            "features",
            self.features,
            KINDS,
            OF_FEATURES,
        )
        if not self.features:
            raise DefinitionError(where, "has no features to answer by", OF_FEATURES)
        # An app's own learner needs no base class of ours; that it can `make` one is asked below.
        check_each(where, "learners", self.learners, object, "")
        for i, learner in enumerate(self.learners):
            if isinstance(learner, type) or not callable(getattr(learner, "make", None)):
                raise DefinitionError(
                    where, f"learners[{i}]={brief(learner)} is no learner", OF_LEARNERS
                )
            own = own_features(learner)
            if own is None:
                continue
            name = f"features of learner {learner.name}"
            check_each(where, name, own, KINDS, OF_FEATURES)
            if not own:
                raise DefinitionError(
                    where,
                    f"learner {learner.name} has no features to answer by",
                    "Leave features= out, and it reads the model's.",
                )
        check_each(
            where, "slices", self.slices, str, "A slice is the name of a categorical feature."
        )
        check_each(
            where,
            "fallback",
            self.fallback,
            (Heuristic, Constant),
            "Use fr.heuristic(…) or fr.constant(…).",
        )
        check_each(where, "hold", self.hold, HoldWhen, OF_HOLD)
        check_kind(where, "task", self.task, TASKS, OF_TASKS)
        for learner in self.learners:
            self._check_carries(learner)
        for i, rung in enumerate(self.fallback):
            rung.check(f"model {self.name}: fallback[{i}]", self.task)
        check_kind(
            where,
            "release",
            self.release,
            (ReleaseConfig, type(None)),
            "Use fr.ReleaseConfig(…), or leave it out.",
        )

    def _check_carries(self, learner: LearnerSpec) -> None:
        """Else it would take labels for what they are not, and answer in another shape."""
        carried = tasks_of(learner)
        if self.task.kind in carried:
            return
        known = ", ".join(carried)
        raise DefinitionError(
            f"model {self.name}",
            f"learner {learner.name} does not carry task {self.task.kind} (it carries {known})",
            "Use a learner that does, or name the task in its tasks, where it is your own.",
        )

    def _refuse_what_does_not_exist_yet(self) -> None:
        if self.subject:
            raise DefinitionError(
                f"model {self.name}",
                f"subject={self.subject!r}: nothing is kept by subject yet",
                "Remove it.",
            )
        if self.segment_by:
            raise DefinitionError(
                f"model {self.name}",
                f"segment_by={list(self.segment_by)}: models have no segments yet",
                "Remove it; slices=[…] tells the quality by value of a category.",
            )

    @cached_property
    def read(self) -> tuple[Feature, ...]:
        """All that any of its learners reads: what a question is answered with, and logged."""
        return all_read(self.name, self.features, self.learners)

    def features_of(self, learner: LearnerSpec) -> Sequence[Feature]:
        """What a learner reads: features of its own, or else the model's."""
        own = own_features(learner)
        return self.features if own is None else own

    @cached_property
    def view_features(self) -> tuple[FeatureRef, ...]:
        """The features of views that it reads, each once: first those of its vector, then those
        that only on-demand features read."""
        return tuple(dict.fromkeys(self.refs_to_views))

    @property
    def refs_to_views(self) -> list[FeatureRef]:
        """The same as often as they are named: each may be of another view of that name."""
        own = [ref for ref in self.read if isinstance(ref, FeatureRef)]
        again = [
            ref
            for learner in self.learners
            for ref in own_features(learner) or ()
            if isinstance(ref, FeatureRef)
        ]
        of_others = [ref for feature in self.on_demand for ref in feature.reads]
        return [*own, *again, *of_others]

    @property
    def on_demand(self) -> list[OnDemand]:
        """Its on-demand features, in order of declaration."""
        return [feature for feature in self.read if isinstance(feature, OnDemand)]

    @cached_property
    def computed(self) -> tuple[Derivation, ...]:
        """How its on-demand features are computed, in order of declaration."""
        return settled(
            self.on_demand,
            self.view_features,
            self.on,
            self.name,
        )

    @cached_property
    def vectors(self) -> VectorSchema:
        """The names of its vector's categories and numbers, each in order of declaration: of all
        that any of its learners reads."""
        return self._schema(self.read)

    def vectors_of(self, learner: LearnerSpec) -> VectorSchema:
        """The same of what one of its learners reads."""
        return self._schema(self.features_of(learner))

    def alone(self, feature: Feature) -> VectorSchema:
        """Vectors of one of its features."""
        return self._schema([feature])

    def _schema(self, features: Sequence[Feature]) -> VectorSchema:
        categories = []
        numbers = []
        for feature in features:
            name = name_of(feature)
            is_category = name in self._computed_categories
            if isinstance(feature, FieldRef):
                is_category = feature.categorical
            elif isinstance(feature, FeatureRef):
                # Whatever else a view computes is a number.
                is_category = feature.is_text
            if is_category:
                categories.append(name)
            else:
                numbers.append(name)
        meanings = tuple(map(self.meanings.digest, (*categories, *numbers)))
        return VectorSchema(
            tuple(categories),
            tuple(numbers),
            self.digest,
            meanings,
            self.task,
        )

    @cached_property
    def _computed_categories(self) -> frozenset[str]:
        return categories_of(self.on_demand, self.computed)

    @cached_property
    def meanings(self) -> Meanings:
        """What its columns come from."""
        return Meanings(
            self.on,
            self.read,
            self.view_features,
            self.computed,
            self._computed_categories,
        )

    @cached_property
    def facts(self) -> Facts:
        """All that decides what is asked and what its label says, by name. Which features that is
        answered by is none of it: each learner's facts say what it reads."""
        label = self.label
        read = {label.id, *fields_read(label.value)}
        labels = {
            f"field {known.name} of the label": of_field(known)
            for known in label.topic.all_fields.fields
            if known.name in read
        }
        return {
            "id": f"{self.id}, {of_field(self.on.events[self.id])}",
            "label": of_expression(label.value),
            "id of the label": label.id,
            "late labels": label.late,
            f"topic {label.topic.name}": label.topic.digest,
            **labels,
            # Of a binary one nothing: models were that before there were tasks.
            **({"task": repr(self.task)} if self.task.facts else {}),
        }

    @cached_property
    def digest(self) -> str:
        """8 hex digits that change with anything that changes what is asked, or labels: its
        predictions and examples are logged under it."""
        return digest_of(self.facts)

    def facts_of(self, learner: LearnerSpec) -> Facts:
        """All that decides what a lineage of the model learns.

        Args:
            learner: One of `learners`.

        Returns:
            Facts by name: its definition, what it reads, `batch`, and the model's own digest.

        Raises:
            DefinitionError: as `lineage` does.
        """
        names = [name_of(feature) for feature in self.features_of(learner)]
        return {
            **definition_of(learner),
            "batch": str(self.batch),
            # In order: that is a feature's place in the vector.
            "features": ", ".join(names),
            **self.meanings.together(names),
            f"model {self.name}": self.digest,
        }

    def lineage(self, learner: LearnerSpec) -> str:
        """The name of the lineage that a learner of the model starts.

        Args:
            learner: One of `learners`.

        Returns:
            The learner's name, and 8 hex digits that change with its definition (where its class is
            the app's own, with the text of that and of what it uses), `batch`, the features, the
            label and all that they come from: what has changed starts anew, under another name.

        Raises:
            DefinitionError: the learner prints as where it lies in memory, which no other process
                can tell.
        """
        return f"{learner.name}-{digest_of(self.facts_of(learner))}"
