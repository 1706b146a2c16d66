"""The scorer's HTTP interface as an OpenAPI 3.1 document: what each address takes and answers.

The schemas are those of the structs that the wire is decoded to and encoded from, so they cannot
say anything else. Only addresses that the app serves are in its document, and its examples name
what the app has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from freshet.features.reading.api import FeaturesAnswer, FeaturesRequest
from freshet.schemas.events.field import DATATYPES
from freshet.schemas.topics.settings import KEYS
from freshet.serving.docs.catalogue import Catalogue, FieldEntry
from freshet.serving.oip import messages as oip
from freshet.serving.status.status import SwitchFigures
from freshet.serving.values.report import Report
from freshet.serving.values.skew_report import SkewReport
from freshet.streams.control.switches import NAMES
from freshet.streams.intake.push import PushAnswer, PushRefused, PushRequest

INFER = "/v2/models/{model}/infer"
INFER_VERSION = "/v2/models/{model}/versions/{version}/infer"
REF = "#/components/schemas/{name}"
REQUEST_PARAMETERS = {
    "as_of": (
        "integer",
        "App time to answer for, in ms since 1970. For replays only: refused elsewhere.",
    ),
    "deadline_ms": (
        "number",
        "After so many ms no model is asked any more, and a lower rung answers.",
    ),
    "timeout": ("integer", "The same in µs, as Triton's clients send it."),
    "binary_data_output": ("boolean", "Send all outputs as binary tensors."),
}
ANSWER_PARAMETERS = {
    "model": ("string", "The model asked."),
    "lineage": ("string", "The lineage that answered; empty below the models."),
    "snapshot": ("integer", "The number of its snapshot; -1 below the models."),
    "segment": ("string", "`global`: there are no segments yet."),
    "model_lag_ms": (
        "integer",
        "How long ago it was that the snapshot reflected all labels: when it was cut; -1: no model "
        "answered.",
    ),
    "feature_lag_ms": (
        "integer",
        "How long ago it was that rows of the model's views were known to reflect all events; 0: "
        "it reads none.",
    ),
    "oldest_value_age_ms": (
        "integer",
        "Age of the oldest value that was used, over all rows; -1: no row was read.",
    ),
    "rung": ("string", "champion, last_good, heuristic or constant: what answered."),
    "prediction_id": (
        "string",
        "The id of the first row's prediction; output `prediction_id` has all of them.",
    ),
    "instance": ("string", "The scorer, as it numbers its predictions."),
    "sequence": (
        "integer",
        "The number of the first row in the prediction log; the others follow.",
    ),
}


class Problem(msgspec.Struct):
    """What is wrong, and what was expected."""

    error: str


class Live(msgspec.Struct):
    live: bool


class Ready(msgspec.Struct):
    ready: bool


class ModelReady(msgspec.Struct):
    name: str
    ready: bool


class SettingsNow(msgspec.Struct):
    topic: str
    settings: dict[str, str]


class SwitchesNow(msgspec.Struct):
    switches: list[SwitchFigures]


class TurnTo(msgspec.Struct):
    on: bool


TopicSettings = msgspec.defstruct(
    "TopicSettings",
    [(key, str, msgspec.field(default="")) for key in KEYS],
    namespace={
        "__doc__": "Any of these, as texts such as `2h`; those that are left out stay as they are."
    },
)
Body = type[msgspec.Struct] | str  # a struct is JSON, a text is the media type
WRONG: tuple[str, Body] = ("The request is wrong; the text says what was expected.", Problem)
UNKNOWN: tuple[str, Body] = (
    "There is no such model or version; the text names those there are.",
    Problem,
)
UNKNOWN_TOPIC: tuple[str, Body] = (
    "There is no such topic; the text names those there are.",
    Problem,
)
AWAY: tuple[str, Body] = ("The log is away; the text names it.", Problem)
_CHANGE: dict[int, tuple[str, Body]] = {
    403: ("The request comes from another site's page.", Problem),
    413: ("The body is larger than 16 KiB.", Problem),
    415: ("The body is not declared as JSON.", Problem),
}
TOO_LARGE: tuple[str, Body] = ("The body is larger than 4 MiB, packed or unpacked.", Problem)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address. `answers` are by status."""

    path: str
    method: str
    tag: str
    summary: str
    answers: Mapping[int, tuple[str, Body]]
    description: str = ""
    request: type[msgspec.Struct] | None = None

    @property
    def id(self) -> str:
        words = [word.strip("{}").replace(".", "-") for word in self.path.split("/") if word]
        return "-".join((self.method, *words))


_INFER_TEXT = (
    "One input a field, of shape [n] or [n, 1], named and typed as the model's metadata says. "
    "A request gives features, entity keys, or both: a feature of a view that is sent as an input "
    "(`view.feature`) is taken as sent, the others are read by the key fields. Tensors are JSON or "
    "Triton's binary ones. The answer's parameters say what answered."
)
_INFER_ANSWERS: dict[int, tuple[str, Body]] = {
    200: (
        "What is predicted of every row, by the model's task, and what gave it.",
        oip.InferResponse,
    ),
    400: WRONG,
    404: UNKNOWN,
    413: TOO_LARGE,
    503: (
        "No rung can answer: there is no snapshot yet, or an operator decided so; and no fallback "
        "is declared.",
        Problem,
    ),
}
_READY = "Ready: there is a snapshot, or a declared fallback, to answer from."
PROTOCOL = "Predictions"
FEATURES = "Features"
EVENTS = "Events"
ABOUT = "About"
OPERATE = "Operations"
TAGS = {
    PROTOCOL: "The Open Inference Protocol, version 2, over REST.",
    FEATURES: "Values of views by entity key, in the shape of Feast's feature server.",
    EVENTS: "Events in, in the shape of Feast's feature server.",
    ABOUT: "What this app has, and how it is asked.",
    OPERATE: "For whoever runs it.",
}
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        INFER, "post", PROTOCOL, "Ask a model", _INFER_ANSWERS, _INFER_TEXT, oip.InferRequest
    ),
    Operation(
        INFER_VERSION, "post", PROTOCOL, "Ask one snapshot of a model",
        _INFER_ANSWERS, _INFER_TEXT, oip.InferRequest,
    ),
    Operation(
        "/v2/models/{model}", "get", PROTOCOL, "What a model expects",
        {200: ("Its inputs, outputs and loaded versions.", oip.ModelMetadata), 404: UNKNOWN},
    ),
    Operation(
        "/v2/models/{model}/versions/{version}", "get", PROTOCOL, "The same, of one version",
        {200: ("Its inputs, outputs and loaded versions.", oip.ModelMetadata), 404: UNKNOWN},
    ),
    Operation(
        "/v2/models/{model}/ready", "get", PROTOCOL, "Whether a model is ready",
        {200: (_READY, ModelReady), 404: UNKNOWN, 503: ("Nothing could answer.", ModelReady)},
    ),
    Operation(
        "/v2/models/{model}/versions/{version}/ready", "get", PROTOCOL,
        "Whether one version is ready",
        {200: (_READY, ModelReady), 404: UNKNOWN, 503: ("Nothing could answer.", ModelReady)},
    ),
    Operation(
        "/v2", "get", PROTOCOL, "What this server is",
        {200: ("Name and extensions.", oip.ServerMetadata)},
    ),
    Operation(
        "/v2/health/live", "get", PROTOCOL, "Whether the server is there", {200: ("It is.", Live)}
    ),
    Operation(
        "/v2/health/ready", "get", PROTOCOL, "Whether all models are ready",
        {
            200: ("They are.", Ready),
            503: ("Some model is not, or the server is going down.", Ready),
        },
    ),
    Operation(
        "/get-online-features", "post", FEATURES, "Values by entity key",
        {
            200: ("A column for every entity and feature.", FeaturesAnswer),
            400: WRONG,
            413: TOO_LARGE,
            503: ("The store is away; the text names it.", Problem),
        },
        "Values are as of now, by the app's clock: a window's count falls while no event comes.",
        FeaturesRequest,
    ),
    Operation(
        "/push", "post", EVENTS, "Publish events",
        {
            200: ("All events are safe in the topic's log.", PushAnswer),
            400: (
                "Some events are refused, and none was appended; or the request is wrong.",
                PushRefused,
            ),
            413: TOO_LARGE,
            503: ("The log is away; the text names it. Send the push again.", Problem),
        },
        "Every event is judged by its topic's schema and rules before anything is appended. An "
        "event that was in the log already (by its id, within the topic's `dedup`) counts once, so "
        "a push may always be sent again.",
        PushRequest,
    ),
    Operation(
        "/v1/catalog", "get", ABOUT, "Topics, views and models",
        {200: ("Who owns them, what they hold, how fresh they are kept.", Catalogue)},
    ),
    Operation(
        "/openapi.json", "get", ABOUT, "This interface, for programs",
        {200: ("OpenAPI 3.1.", "application/json")},
    ),
    Operation(
        "/docs", "get", ABOUT, "This interface, for readers",
        {200: ("A page without scripts.", "text/html")},
    ),
    Operation(
        "/v1/topics", "get", OPERATE, "Topics, with their settings and lags",
        {200: ("Topics, what each setting may be, and who changed which.", "application/json")},
    ),
    Operation(
        "/v1/topics/{topic}/settings", "put", OPERATE, "Change settings of a topic",
        {
            200: ("All settings of the topic as they are now.", SettingsNow),
            400: WRONG,
            404: UNKNOWN_TOPIC,
            **_CHANGE,
            503: AWAY,
        },
        "Live in every role within a second, recorded with who (`x-freshet-user`) and when, kept "
        "over restarts.",
        TopicSettings,
    ),
    Operation(
        "/v1/topics/{topic}/statistics", "get", OPERATE, "What the values of a topic are like",
        {
            200: ("Statistics by field, compared with those of the weeks before.", Report),
            400: WRONG,
            404: (
                "There is no such topic, field or source; the text names those there are.",
                Problem,
            ),
        },
        "Of the events that were applied, as they were sent, by event time: by default of the "
        "newest day, of all sources together. Query parameters: `field` and `source` (one of "
        "them), `from` and `to` (ISO 8601, or ms since 1970; whole hours, of what is older than "
        "four weeks whole days).",
    ),
    Operation(
        "/v1/models/{model}/skew", "get", OPERATE,
        "How far what a model is asked on is from what it learned from",
        {
            200: ("Distances by feature, their bounds, and what was beyond one.", SkewReport),
            400: WRONG,
            404: ("There is no such model; the text names those there are.", Problem),
        },
        "Of the newest 1,000 vectors that were asked on, from the newest 5,000 learned from; at "
        "most ten seconds old, and none before there are a hundred of each.",
    ),
    Operation(
        "/v1/switches", "get", OPERATE, "The three switches: learn, release, answer",
        {200: ("Each switch, and who turned it when (ms since 1970).", SwitchesNow)},
    ),
    Operation(
        "/v1/switches/{name}", "put", OPERATE, "Turn a switch",
        {
            200: ("The switches as they are now.", SwitchesNow),
            400: WRONG,
            404: ("There is no such switch; the text names those there are.", Problem),
            **_CHANGE,
        },
        "At once and without log and store; kept over restarts.",
        TurnTo,
    ),
    Operation(
        "/metrics", "get", OPERATE, "Figures for Prometheus",
        {200: ("Its text format.", "text/plain")},
    ),
    Operation(
        "/metrics/targets", "get", OPERATE, "Where all roles have their metrics",
        {200: ("As Prometheus's HTTP service discovery reads it.", "application/json")},
    ),
)  # fmt: skip


def document(version: str, found: Catalogue, served: Collection[tuple[str, str]]) -> dict[str, Any]:
    """The document of an app. `served` are the methods (lower case) and paths that it answers."""
    operations = [
        operation for operation in OPERATIONS if (operation.method, operation.path) in served
    ]
    # In the order of the table: the page and its contents follow it.
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, found)
    tags = [
        {"name": tag, "description": text}
        for tag, text in TAGS.items()
        if any(operation.tag == tag for operation in operations)
    ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": found.app,
            "version": version,
            "summary": f"{_subject(operations)} of the app {found.app}",
        },
        # Relative: behind a proxy it is another address than the one that it listens at.
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {"schemas": _schemas(operations)},
    }


def _subject(operations: Iterable[Operation]) -> str:
    """The scorer's interface or the status server's."""
    # The protocol is what the status server never answers.
    if any(operation.tag == PROTOCOL for operation in operations):
        return "Predictions, features and events"
    return "Status, settings and switches"


def _operation(operation: Operation, found: Catalogue) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
    }
    if operation.description:
        made["description"] = operation.description
    names = [part.strip("{}") for part in operation.path.split("/") if part.startswith("{")]
    if names:
        made["parameters"] = [_path_parameter(name, found) for name in names]
    if operation.request is not None:
        content: dict[str, Any] = {"schema": {"$ref": REF.format(name=operation.request.__name__)}}
        example = _example(operation, found)
        if example is not None:
            content["example"] = example
        made["requestBody"] = {"required": True, "content": {"application/json": content}}
    made["responses"] = {
        str(status): _answer(text, body) for status, (text, body) in operation.answers.items()
    }
    return made


def _answer(text: str, body: Body) -> dict[str, Any]:
    if isinstance(body, str):
        return {"description": text, "content": {body: {}}}
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": REF.format(name=body.__name__)}}},
    }


def _path_parameter(name: str, found: Catalogue) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    known = {
        "model": [model.name for model in found.models],
        "topic": [topic.name for topic in found.topics],
        "name": list(NAMES),
    }
    # An empty list would allow no value at all.
    if known.get(name):
        schema["enum"] = known[name]
    text = {
        "model": "The model's name.",
        "version": "A loaded snapshot, such as `hashed_logistic-1f2e3d4c.12`.",
        "topic": "The topic's name.",
        "name": "The switch.",
    }
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": text[name],
        "schema": schema,
    }


def _example(operation: Operation, found: Catalogue) -> dict[str, Any] | None:
    """A request that this app would understand."""
    if operation.request is oip.InferRequest and found.models:
        return {"inputs": _inputs(found)}
    if operation.request is FeaturesRequest and found.views:
        view = found.views[0]
        features = [f"{view.name}:{feature.name}" for feature in view.features[:2]]
        return {
            "features": features,
            "entities": {key: _texts(found, view.topics[0], key) for key in view.keys},
        }
    if operation.request is TurnTo:
        return {"on": False}
    if operation.request is TopicSettings:
        return {"snapshot_every": "2h"}
    if operation.request is PushRequest and found.topics:
        topic = found.topics[0]
        return {
            "push_source_name": topic.name,
            "df": {field.name: [_pushed(field, topic.event_time)] for field in topic.fields},
        }
    return None


def _inputs(found: Catalogue) -> list[dict[str, Any]]:
    topic = next(topic for topic in found.topics if topic.name == found.models[0].on)
    return [
        {
            "name": field.name,
            "shape": [1],
            "datatype": DATATYPES[field.type],
            "data": [_value(field.type, field.domain, field.range)],
        }
        # A question is asked before its time has come; what may be missing is left out.
        for field in topic.fields
        if field.required and field.name != topic.event_time and field.type not in _EMPTY
    ]


# Examples of what no model reads.
_EMPTY: dict[str, Any] = {"bytes": "", "array": [], "map": {}}


def _texts(found: Catalogue, topic: str, field: str) -> list[Any]:
    entry = next(
        found_field
        for declared in found.topics
        if declared.name == topic
        for found_field in declared.fields
        if found_field.name == field
    )
    if not entry.domain:
        return ["…"]
    return list(entry.domain[:2])


def _pushed(field: FieldEntry, event_time: str | None) -> Any:
    # Any text is a text, but not any text is a time.
    if field.type == "string" and field.name == event_time:
        return "2026-01-31T12:00:00Z"
    return _value(field.type, field.domain, field.range)


def _value(type_: str, domain: Sequence[str] | None, range_: tuple[float, float] | None) -> Any:
    if type_ in ("string", "enum"):
        if not domain:
            return "…"
        return domain[0]
    if type_ == "boolean":
        return True
    if type_ in _EMPTY:
        return _EMPTY[type_]
    low = 0.0
    if range_:
        # Its example is understood: a value outside the range would be refused.
        low = range_[0]
    if type_ in ("int", "long"):
        return int(low)
    return float(low)


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    """Of every struct that is sent or answered, and of those inside them."""
    bodies = [
        b
        for operation in operations
        for b in (operation.request, *(body for _, body in operation.answers.values()))
    ]
    structs = list(
        dict.fromkeys(body for body in bodies if body is not None and not isinstance(body, str))
    )
    _, schemas = msgspec.json.schema_components(structs, ref_template=REF)
    # Parameters are open dictionaries to the structs: what is in them is told by hand.
    for name, parameters in (
        ("InferRequest", REQUEST_PARAMETERS),
        ("InferResponse", ANSWER_PARAMETERS),
    ):
        if name in schemas:
            known = {
                name: {"type": type_, "description": text}
                for name, (type_, text) in parameters.items()
            }
            schemas[name]["properties"]["parameters"] = {"type": "object", "properties": known}
    for schema in schemas.values():
        # Docstrings are broken where code is; a page breaks lines by itself.
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
    return dict(sorted(schemas.items()))
