"""An app: topics, views and models under one name, checked as a whole."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from freshet import own_modules, retention, shadows
from freshet.features.views import erasing
from freshet.features.views.view import View
from freshet.learners.model import Model
from freshet.learners.rungs import Heuristic
from freshet.mistakes import mistake_in
from freshet.schemas.declared import check_each
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events.field import DATATYPES, Field
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.models.tasks import Classes
from freshet.schemas.topics.derivations import OWN, roots
from freshet.schemas.topics.digests import Facts, digest_of, fields_read
from freshet.schemas.topics.topic import FieldRef, Topic, check_name
from freshet.streams.control.channels import Channels
from freshet.streams.intake.expressions import check_row_wise

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class App:
    """Topics, views and models under one name, checked as a whole: the root of an app's file.

    A file declares one, and `freshet run` runs it. Where it runs (log, store, ports) is no part
    of it: see "Settings" in the README.

    Args:
        name: A lower-case letter, then up to 62 lower-case letters, digits or underscores. It
            prefixes every log, group, checkpoint and row of the app.
        topics: The topics that its views and models use, or that are only taken in.
        views: The views that its models read, or that only consumers of features do.
        models: The models that its scorer answers for.

    Raises:
        DefinitionError: two topics, views or models share a name; something is used but not
            listed; a filter, label or heuristic is not row-wise, or reads what is not there; a
            rung or a `release` is none; a model's requests lack the key of a view that it reads,
            or have a field that is imputed otherwise than by a constant.

    Examples:
        >>> import freshet as fr
        >>> import polars as pl
        >>> deliveries = fr.Topic(
        ...     "deliveries",
        ...     schema={
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
        >>> by_courier = fr.View(
        ...     "by_courier",
        ...     deliveries,
        ...     key="courier",
        ...     features={"late_1h": fr.mean("minutes_late", over="1h")},
        ... )
        >>> late = fr.Model(
        ...     "late",
        ...     on=deliveries,
        ...     id="parcel",
        ...     label=fr.Label(deliveries, id="parcel", value=pl.col("minutes_late") > 10),
        ...     features=[deliveries["courier"], by_courier["late_1h"]],
        ...     learners=[fr.Baseline(), fr.HashedLogistic()],
        ...     fallback=[fr.constant(0.2)],
        ... )
        >>> app = fr.App("parcels", topics=[deliveries], views=[by_courier], models=[late])
        >>> app.log_of("deliveries"), [v.name for v in app.views_of(late)]
        ('parcels.deliveries', ['by_courier'])
    """

    name: str
    topics: Sequence[Topic]
    views: Sequence[View] = ()
    models: Sequence[Model] = ()

    def __post_init__(self) -> None:
        check_name("app", self.name)
        where = f"app {self.name}"
        check_each(
            where, "topics", self.topics, Topic, "List fr.Topic(…): the variables, not their names."
        )
        check_each(
            where, "views", self.views, View, "List fr.View(…): the variables, not their names."
        )
        check_each(
            where, "models", self.models, Model, "List fr.Model(…): the variables, not their names."
        )
        _unique("topic", (topic.name for topic in self.topics))
        _unique("log", (self.log_of(topic.name) for topic in self.topics))
        for topic in self.topics:
            if topic.log is not None and topic.log.startswith(f"{self.name}."):
                raise DefinitionError(
                    f"topic {topic.name}",
                    f"log={topic.log!r} is a name of the app's own",
                    f"Names that begin with {self.name}. are made by freshet: leave log= out.",
                )
        _unique("view", (view.name for view in self.views))
        _unique("model", (model.name for model in self.models))
        for view in self.views:
            for topic in view.topics:
                self._listed(topic, f"view {view.name}")
        for topic in self.topics:
            erasing.check(topic, self.views)
        for model in self.models:
            self._check_model(model)
        for topic in self.topics:
            for name, expression in topic.drop.items():
                _refuse_derived(topic, name, expression)
                check_row_wise(
                    expression,
                    topic.events,
                    f"topic {topic.name}: drop[{name!r}]",
                    true_or_false=True,
                )
            self._check_derived(topic)
        retention.check(self.topics, self.views, self.models)

    def topic(self, name: str) -> Topic:
        """The topic of that name; raises `StopIteration` for an unknown one."""
        return next(topic for topic in self.topics if topic.name == name)

    def view(self, name: str) -> View:
        """The view of that name; raises `StopIteration` for an unknown one."""
        return next(view for view in self.views if view.name == name)

    def model(self, name: str) -> Model:
        """The model of that name; raises `StopIteration` for an unknown one."""
        return next(model for model in self.models if model.name == name)

    def views_of(self, model: Model) -> list[View]:
        """The views that a model reads, in order of first use."""
        return [self.view(name) for name in _views_read(model)]

    # Names of what the app owns.

    def log_of(self, topic: str) -> str:
        """The log of the topic of that name: where its producers append events."""
        declared = next((known.log for known in self.topics if known.name == topic), None)
        return declared or f"{self.name}.{topic}"

    def origin_of(self, log: str) -> str:
        """What a log is called in dead letters: that of a topic by the topic's own name."""
        return next((topic.name for topic in self.topics if self.log_of(topic.name) == log), log)

    def by_id_log_of(self, topic: Topic) -> str:
        """The log that a topic's records are brought together in by their ids, where they are."""
        # By digest: a topic that is declared otherwise is read from its start once more.
        return f"{self.name}.by_id.{topic.name}.{topic.digest}"

    def settled_log_of(self, topic: Topic) -> str:
        """The log in whose order a topic's events are settled."""
        if topic.by_id:
            return self.by_id_log_of(topic)
        return self.log_of(topic.name)

    def fates_log_of(self, topic: Topic) -> str:
        """The log of what became of a topic's records, which nobody reads but the archive."""
        # By digest: a topic that is declared otherwise has other fates.
        return f"{self.name}.fates.{topic.name}.{topic.digest}"

    def clean_log_of(self, view: View) -> str:
        """The log of the events that a view folds, partitioned by its key."""
        # By digest: a view that is declared otherwise folds other events, into other rows.
        return f"{self.name}.clean.{view.name}.{view.digest}"

    def outcomes_log_of(self, model: Model) -> str:
        """The log of a model's predictions and of the labels that they are joined with."""
        return f"{self.name}.outcomes.{model.name}.{model.digest}"

    def examples_log_of(self, model: Model) -> str:
        """The log of a model's joined examples, which its learners read."""
        return f"{self.name}.examples.{model.name}.{model.digest}"

    @property
    def control_log(self) -> str:
        """The log of decisions and what they rest on: snapshots, releases, settings."""
        return f"{self.name}.control"

    @property
    def reports_log(self) -> str:
        """The log of how far each role is and how it is doing."""
        return f"{self.name}.reports"

    @property
    def statistics_log(self) -> str:
        """The log of sketches of the topics' values, by hour."""
        return f"{self.name}.statistics.hours"

    @property
    def channels(self) -> Channels:
        """Where its roles talk."""
        return Channels(self.control_log, self.reports_log)

    @property
    def dead_log(self) -> str:
        """The log of dead letters."""
        return f"{self.name}.dead"

    @property
    def redriven_log(self) -> str:
        """The log of dead letters that were sent again."""
        return f"{self.name}.redriven"

    def stored_as(self, view: View) -> str:
        """The view's name in the store."""
        return f"{self.name}:{view.name}:{view.digest}"

    @cached_property
    def facts(self) -> Mapping[str, Facts]:
        """Of each thing that keeps something, all that decides what that is."""
        found = {f"topic {topic.name}": topic.facts for topic in self.topics}
        found |= {f"view {view.name}": view.facts for view in self.views}
        for model in self.models:
            found[f"model {model.name}"] = model.facts
            for learner in model.learners:
                found[f"lineage {model.name}.{learner.name}"] = model.facts_of(learner)
        return found

    @cached_property
    def digest(self) -> str:
        """8 hex digits that change with any of its topics, views, models and learners."""
        return digest_of({thing: digest_of(facts) for thing, facts in self.facts.items()})

    def _listed(self, topic: Topic, user: str) -> None:
        if topic not in self.topics:
            raise DefinitionError(
                f"app {self.name}",
                f"{user} uses topic {topic.name!r}, which it does not list",
                "Add it to topics=[…].",
            )

    def _check_derived(self, topic: Topic) -> None:
        for derivation in topic.derivations:
            name = derivation.field.name
            declared = topic.derive[name]
            if isinstance(declared, OWN):
                continue
            where = f"topic {topic.name}: derive[{name!r}]"
            check_row_wise(
                declared,
                derivation.before,
                where,
                any_type=True,
            )

    def _check_kinds(self, model: Model, view: View) -> None:
        """Else requests write a key otherwise than the view's events do, and silently read
        nothing."""
        for key in view.keys:
            kept = view.topics[0].all_fields[key].key_kind
            asked = model.on.all_fields[key].key_kind or model.on.all_fields[key].type
            if asked != kept:
                raise DefinitionError(
                    f"model {model.name}",
                    f"{key!r} of {model.on.name} is a {asked}, "
                    f"and as key of view {view.name} a {kept}",
                    "Declare both of one kind, so that they are written alike.",
                )

    def _check_model(self, model: Model) -> None:
        self._listed(model.on, f"model {model.name}")
        self._listed(model.label.topic, f"the label of model {model.name}")
        where = f"model {model.name}: label value"
        check_row_wise(
            model.label.value,
            model.label.topic.all_fields,
            where,
            label=model.task,
        )
        for i, rung in enumerate(model.fallback):
            if isinstance(rung, Heuristic):
                where = f"model {model.name}: fallback[{i}]"
                # Of classes it may say which; else it is true or false, or a number.
                named = model.task if isinstance(model.task, Classes) else None
                check_row_wise(
                    rung.when,
                    _as_events(model),
                    where,
                    label=named,
                )
        _check_on_demand(model)
        known = [topic.name for topic in self.topics]
        for i, condition in enumerate(model.hold):
            if condition.topic and condition.topic not in known:
                raise DefinitionError(
                    f"model {model.name}",
                    f"hold[{i}] is of topic {condition.topic!r}, which the app does not list",
                    f"Its topics are {', '.join(known)}.",
                )
        fields = {field.name for field in model.on.all_fields.fields}
        for name in _views_read(model):
            if name not in [view.name for view in self.views]:
                raise DefinitionError(
                    f"app {self.name}",
                    f"model {model.name} reads view {name!r}, which it does not list",
                    "Add it to views=[…].",
                )
            made_from = {ref.made_from for ref in model.refs_to_views if ref.view == name}
            if not made_from <= {"", self.view(name).values_digest}:
                raise DefinitionError(
                    f"app {self.name}",
                    f"model {model.name} reads another view {name!r} than the one that it lists",
                    "List in views=[…] the very view that the model's features are of.",
                )
            missing = [key for key in self.view(name).keys if key not in fields]
            if missing:
                raise DefinitionError(
                    f"model {model.name}",
                    f"view {name} is keyed by {', '.join(missing)}, which no request carries",
                    f"Requests carry the fields of {model.on.name}: {', '.join(sorted(fields))}.",
                )
            self._check_kinds(model, self.view(name))
        _check_derived_of_requests(model, self.views_of(model))
        for field in model.on.impute:
            if model.on.impute[field].kind != "constant":
                raise DefinitionError(
                    f"model {model.name}",
                    f"request field {field!r} is imputed by {model.on.impute[field].kind}",
                    # What else there is depends on events, and a request is none.
                    "Fields of requests may only be imputed by constants: "
                    "use fr.impute.constant(…).",
                )


def _refuse_derived(topic: Topic, name: str, expression: pl.Expr) -> None:
    """Filters see events as they came."""
    for read in sorted(fields_read(expression) & topic.derive.keys()):
        raise DefinitionError(
            f"topic {topic.name}: drop[{name!r}]",
            f"reads {read!r}, which is derived of what filters leave",
            "Write what it is derived of into the filter.",
        )


def _check_on_demand(model: Model) -> None:
    """That each is row-wise, and that requests can bring what it reads of them."""
    known = model.on.events.positions
    for feature, made in zip(model.on_demand, model.computed):
        where = f"model {model.name}: on-demand feature {feature.name!r}"
        if not isinstance(feature.compute, OWN):
            check_row_wise(
                feature.compute,
                made.before,
                where,
                any_type=True,
            )
        for name in made.reads:
            if name in known and model.on.events[name].type not in DATATYPES:
                type_ = model.on.events[name].type
                raise DefinitionError(
                    where,
                    f"reads {name!r}, of type {type_}, which no request brings",
                    "Let it read texts, numbers and truths alone.",
                )


def _check_derived_of_requests(model: Model, views: Iterable[View]) -> None:
    """What a model's requests must be able to bring, so that its derived fields can be computed of
    them."""
    used = {ref.field for ref in model.read if isinstance(ref, FieldRef)}
    used |= {key for view in views for key in view.keys}
    used |= {name for made in model.computed for name in made.reads}
    for name, made_of in roots(model.on.derivations).items():
        if name not in used:
            continue
        for root in made_of:
            type_ = model.on.events[root].type
            if type_ not in DATATYPES:
                raise DefinitionError(
                    f"model {model.name}",
                    f"{name!r} is derived of {root!r}, of type {type_}, which no request brings",
                    "Derive it of texts, numbers and truths alone, or put a view over it.",
                )


def _views_read(model: Model) -> list[str]:
    """The names of the views that a model reads, each once, in order of first use."""
    return list(dict.fromkeys(ref.view for ref in model.view_features))


def _as_events(model: Model) -> EventSchema:
    """What a heuristic reads, as if it were events: the model's features by name, any of which may
    be missing."""
    kinds = dict.fromkeys(model.vectors.categories, "string") | dict.fromkeys(
        model.vectors.numbers, "float"
    )
    return EventSchema(
        model.name,
        1,
        1,
        tuple(Field(name, kind, null_branch=0) for name, kind in kinds.items()),
        "",
    )


def _unique(kind: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DefinitionError(
                f"app's {kind} {name!r}", "is declared twice", "Rename one of the two."
            )
        seen.add(name)


def load(path: str | Path) -> App:
    """The one `App` in a Python file.

    The file's folder is first on Python's path from then on, here and in every process that loads
    the app: modules beside the file are imported by their bare names. What an earlier load imported
    from its app's folder is forgotten.

    Raises:
        DefinitionError: no file, it fails, or it has no app or several; the text names file and
            line. Or a module beside it has the name of a library's.
    """
    file = Path(path).resolve()
    if not file.is_file() or file.suffix != ".py":
        raise DefinitionError(
            str(path), "there is no such Python file", "Name the file of your app, such as app.py."
        )
    shadows.refuse(file.parent)  # before anything is imported from there
    own_modules.enter(file.parent)
    apps = [found for found in vars(_executed(file)).values() if isinstance(found, App)]
    if len(apps) != 1:
        raise DefinitionError(
            str(path),
            f"declares {len(apps)} apps",
            "Declare exactly one: app = fr.App(name, topics=[…], …).",
        )
    _rehearse(apps[0], file)
    return apps[0]


class _AsWritten(SourceFileLoader):
    """Runs what stands in the file. Python's own takes kept bytecode for it where size and second
    of the last change are those of before: `over="1h"` made `over="2h"` at once."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _executed(file: Path) -> ModuleType:
    """The file as a module of its own name, so that what it defines can be found again by that
    (pickle does)."""
    loader = _AsWritten(file.stem, str(file))
    spec = importlib.util.spec_from_file_location(
        file.stem,
        file,
        loader=loader,
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Before it runs: dataclasses look their module up there while it does.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    # Also what is no `Exception`: a file that ends the process, and a panic in a library's Rust.
    except BaseException as error:
        sys.modules.pop(spec.name, None)
        raise mistake_in(file, error) from error
    return module


def _rehearse(app: App, file: Path) -> None:
    """Whatever is made of the declarations before a run is made once, so that a mistake in one is
    told as one.

    Raises:
        DefinitionError: something that was declared cannot be used.
    """
    try:
        _ = app.digest
    except Exception as error:
        raise mistake_in(file, error) from error
