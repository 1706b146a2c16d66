"""What `freshet explain` tells of a prediction, as values. Moments are ms of the app's clock, ages
and lags are ms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

State = Literal["unjoined", "pending", "labelled", "expired", "corrected", "conflicted"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction as a scorer instance logged it. `sequence` counts that instance's predictions,
    `offset` is its place in the outcomes log; `counted`: the join took it for a question (the first
    of an id; later ones are repeats); `same_request`: it said what the first one said.
    `probability` is what was answered: of classes one for each, in the order declared; of a
    regression the number. `classes` are their names, none of other tasks. `missing` are the
    features for want of which no model answered."""

    probability: float | list[float]
    rung: str
    asked_ms: int
    instance: str
    sequence: int
    offset: int
    lineage: str
    snapshot: int | None
    model_lag_ms: int | None
    counted: bool
    same_request: bool = True
    missing: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """The snapshot that answered. `cut_ms` and `examples` come from its manifest, or, once that is
    gone (`kept` false), from what its trainer said when it cut it; `digest` and `size` (of its
    arrays) from the manifest alone. `signatures` say of the trainer's and the qualifier's whether
    they hold, and if not, why."""

    lineage: str
    number: int
    kept: bool
    cut_ms: int | None
    examples: int | None
    digest: str | None
    size: int | None
    signatures: dict[str, str]


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """A label event of this id; `used`: it is the one that answered (or corrected) the question.
    `element` is as of `SourceEvent`."""

    topic: str
    partition: int
    offset: int
    event_ms: int
    value: float | str | None
    used: bool
    element: int | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """Whether a lineage learned the example: `snapshot` is the first that reflects it (None: no
    snapshot does yet)."""

    lineage: str
    snapshot: int | None
    cut_ms: int | None


@dataclass(frozen=True, slots=True)
class OutcomeFacts:
    """What came of it. `unjoined`: the join has not come to it yet; `conflicted`: its id was asked
    again with another request, and nothing more comes of it. `contested_ms` says when, also of one
    that had its label by then. A label that came after the
    expiry makes it `corrected`. `due_ms` is when it expires, or has expired, without a label;
    `saw_future`: the label's event was not later than the question, so nothing learns it."""

    state: State
    label: float | str | None
    label_ms: int | None
    due_ms: int
    saw_future: bool
    contested_ms: int | None
    labels: list[LabelEvent]
    learned: list[Learned]


@dataclass(frozen=True, slots=True)
class RequestValue:
    """A feature that the request carried, or that was computed of it on demand (a category as its
    text); None where it was missing."""

    name: str
    kind: Literal["category", "number", "on demand"]
    value: str | float | None


@dataclass(frozen=True, slots=True)
class SourceEvent:
    """A record of a source topic. `fields` are as it was published (None: the record is not
    retained any more), `append_ms` likewise; `read` is what the view read of it, imputed where it
    was missing. Of one that is several events `element` is the place of this one in its array."""

    topic: str
    partition: int
    offset: int
    event_ms: int
    append_ms: int | None
    fields: dict[str, Any] | None
    read: dict[str, int | float | str | None]
    element: int | None = None


@dataclass(frozen=True, slots=True)
class WindowEvent:
    """An event of the row's key within its longest window, with what the view read of it.
    `element` is as of `SourceEvent`."""

    topic: str
    partition: int
    offset: int
    event_ms: int
    read: dict[str, int | float | str | None]
    element: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """All events of the row's key from `since_ms` on. `events` are in the order in which the row
    took them; `agrees`: the windows and ages served are those that they make (None: the model reads
    neither of this view)."""

    since_ms: int
    why: str
    agrees: bool | None
    events: list[WindowEvent]


@dataclass(frozen=True, slots=True)
class ViewRead:
    """A view's row as the prediction read it. `values` are its features as served; `version` is the
    place (offset, index) in partition `partition` of the clean log that made the row. `newest` is
    the source event there, `note` says what is missing here and why."""

    view: str
    keyed_by: list[str]
    key: str | None
    values: dict[str, float | str | None]
    aggregates: dict[str, str]
    clean_log: str
    partition: int | None
    version: tuple[int, int] | None
    age_ms: int | None
    max_age_ms: int | None
    newest: SourceEvent | None = None
    window: Window | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about a prediction. `repeats` are the later times that its id was asked; `also_in`
    names other models that were asked the same id."""

    id: str
    model: str
    answer: Answer
    repeats: list[Answer]
    also_in: list[str]
    snapshot: SnapshotFacts | None
    outcome: OutcomeFacts
    value_age_ms: int | None
    request: list[RequestValue]
    views: list[ViewRead]
