"""What roles may say in the open parts of a message (`Status.facts`, `Cut.stats`): declared here,
and held by `decode`.

Only what somebody reads is declared. What else is in there passes, and nobody looks at it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from freshet.schemas.durations import EARLIEST_MS, LATEST_MS

Moment = Annotated[int, Meta(ge=EARLIEST_MS, le=LATEST_MS)]  # what has a date
# What a JSON reader in a browser holds exactly; sums over partitions stay far within 64 bits.
Count = Annotated[int, Meta(ge=0, le=2**53)]
Amount = Annotated[float, Meta(ge=0.0, le=1e15)]
# One line for a terminal, a page and a log: no control characters, no separators of lines.
ONE_LINE = r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z"
Line = Annotated[str, Meta(max_length=2_000, pattern=ONE_LINE)]
Text = Annotated[str, Meta(max_length=20_000)]
MOST_OUTAGES = 100

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_TASK = re.compile(r"([a-z_]+):(.+):([0-9]{1,6})", re.DOTALL)


class Quality(msgspec.Struct, frozen=True):
    """Figures of any task as JSON (`freshet.learners.training.by_task`): those that a task has
    not are not told."""

    n: Count
    auc: float | None = None
    normalised_entropy: float | None = None
    calibration: float | None = None
    log_loss: float | None = None
    accuracy: float | None = None
    macro_f1: float | None = None
    calibration_error: float | None = None
    counts: list[Count] = []
    mae: float | None = None
    rmse: float | None = None
    bias: float | None = None
    squared_error: float | None = None


class References(msgspec.Struct, frozen=True):
    prior: Quality
    no_change: Quality


class ReferenceFacts(msgspec.Struct, frozen=True):
    all: References | None = None
    rolling: References | None = None


class CutStats(msgspec.Struct, frozen=True):
    """A trainer's figures as of a cut."""

    rolling: Quality
    learned: Count | UnsetType = UNSET
    all: Quality | None = None
    references: ReferenceFacts = ReferenceFacts()


class SkipFacts(msgspec.Struct, frozen=True):
    """What a trainer did not learn of a span of time: so many `examples`, by whom and why."""

    start: Moment
    until: Moment | None
    by: Line
    why: Line
    examples: Count


class LackingFacts(msgspec.Struct, frozen=True):
    """A feature that is missing of late, since which tick, and the figures of then."""

    name: Line
    since: Moment
    why: Line


class TrainFacts(msgspec.Struct, frozen=True):
    skipped: Count = 0
    skips: list[SkipFacts] = []
    missing_inputs: list[LackingFacts] = []
    learned: Count = 0
    reconstructed: Count = 0
    all: Quality | None = None
    rolling: Quality | None = None
    references: ReferenceFacts = ReferenceFacts()
    slices: dict[str, dict[str, Quality]] = {}


class FieldFacts(msgspec.Struct, frozen=True):
    seen: Count
    missing: Count
    imputed: Count
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    values: dict[str, Count] = {}
    other: Count = 0


class SourceFacts(msgspec.Struct, frozen=True):
    events: Count
    late: Count
    dead: Count
    newest_ms: Moment | None = None
    rate_per_hour: Amount | None = None


class LateFacts(msgspec.Struct, frozen=True):
    source: Text | None
    judged: Count
    late: Count
    late_ms: Moment


class RepartitionFacts(msgspec.Struct, frozen=True):
    """`start` is a partition and the offset at which it was begun."""

    start: tuple[Count, Count] | UnsetType = UNSET


class IntakeFacts(RepartitionFacts, frozen=True):
    fates: dict[str, Count] = {}
    fields: dict[str, FieldFacts] = {}
    sources: dict[str, SourceFacts] = {}
    other_sources: SourceFacts | UnsetType = UNSET
    newest_ms: Moment | None = None
    newest_applied_ms: Moment | None = None
    newest_event_ms: Moment | None = None
    late_sources: list[LateFacts] = []
    unreadable_schemas: list[Text] = []
    # By model and fate.
    label_fates: dict[str, dict[str, Count]] = {}


class LabelFacts(msgspec.Struct, frozen=True):
    """Labels that came, those that made an example to learn, and the others by reason, also since
    the last one that was used. `newest_ms` is the newest one's time."""

    came: Count
    used: Count
    without_question: Count
    saw_future: Count
    late: Count
    repeated: Count
    conflicting: Count
    empty: Count
    since_used: dict[str, Count]
    newest_ms: Moment | None


class ConflictFacts(msgspec.Struct, frozen=True):
    id: Line
    at_ms: Moment


class JoinFacts(msgspec.Struct, frozen=True):
    conflicting_questions: Count = 0
    conflict: ConflictFacts | UnsetType = UNSET
    labels: LabelFacts | UnsetType = UNSET


class ViewFacts(msgspec.Struct, frozen=True):
    events: Count = 0
    keys: Count = 0
    keys_on_disk: Count = 0
    refused: Count = 0
    refusal: Text | UnsetType = UNSET
    waits_for_its_past: bool = False


class HydrateFacts(msgspec.Struct, frozen=True):
    """A view that is built from the past; see `freshet.hydration.hydrator`."""

    state: Line
    records: Count = 0
    records_left: Count = 0
    records_a_second: Count = 0
    seconds_left: Count | None = None
    waits_for: Line = ""


class ColumnsFacts(msgspec.Struct, frozen=True):
    """Columns of a model, of questions that were asked before anybody read them; see
    `freshet.rebuilding.filler`."""

    state: Line
    columns: Count = 0
    questions: Count = 0
    questions_left: Count = 0
    questions_a_second: Count = 0
    seconds_left: Count | None = None
    records: Count = 0
    records_left: Count = 0
    waits_for: Line = ""


class OutageFacts(msgspec.Struct, frozen=True):
    component: Text
    resource: Text
    cause: Text
    meanwhile: Text
    next_step: Text
    since: Moment


class RequestFacts(msgspec.Struct, frozen=True):
    answered: Count
    failed: Count
    rows: Count
    per_second: Amount
    refused: Count = 0
    in_error: Count = 0
    p50_ms: Amount | None = None
    p99_ms: Amount | None = None
    p99_swap_ms: Amount | None = None


class ProcessFacts(msgspec.Struct, frozen=True):
    """`clock_off_ms` is how far its machine's clock is ahead of the app's, or behind it (< 0)."""

    memory_mb: Amount | None = None
    cpu_seconds: Amount | None = None
    started_ms: Moment | UnsetType = UNSET
    told_ms: Moment | None = None
    metrics: Line = ""
    held: bool = False
    ended: bool = False
    outages: Annotated[list[OutageFacts], Meta(max_length=MOST_OUTAGES)] = []
    requests: RequestFacts | UnsetType = UNSET
    clock_off_ms: Annotated[int, Meta(ge=-LATEST_MS, le=LATEST_MS)] = 0


class RetentionFacts(msgspec.Struct, frozen=True):
    """Of a partition of a log that deletes by itself: after how long, the share of that which its
    oldest record that is not archived has been there for, and how many offsets were deleted
    first."""

    retention_ms: Count
    spent: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    lost: Count = 0


class ArchiveFigures(msgspec.Struct, frozen=True):
    archived: Count
    files: Count
    bytes: Count
    waiting_seconds: Amount
    archived_ms: int | None = None
    kept: Count = 0
    retention: RetentionFacts | UnsetType = UNSET


class ArchiveFacts(msgspec.Struct, frozen=True):
    archive: ArchiveFigures


OF_TASKS: Mapping[str, type[msgspec.Struct]] = {
    "intake": IntakeFacts,
    "repartition": RepartitionFacts,
    "join": JoinFacts,
    "view": ViewFacts,
    "train": TrainFacts,
    "archive": ArchiveFacts,
    "hydrate": HydrateFacts,
    "columns": ColumnsFacts,
}


def check_status(facts: Mapping[str, Any]) -> None:
    """Raises `msgspec.ValidationError` for facts that no process of ours would tell."""
    msgspec.convert(facts, ProcessFacts)
    for name, told in facts.items():
        place = task_parts(name)
        if place is not None and place[0] in OF_TASKS:
            msgspec.convert(told, OF_TASKS[place[0]])


def check_stats(stats: Mapping[str, Any]) -> None:
    """Raises `msgspec.ValidationError` for figures that no trainer of ours would tell."""
    msgspec.convert(stats, CutStats)


def task_parts(task: str) -> tuple[str, str, int] | None:
    """Kind, name and partition of a task's name; None for what is none.

    >>> task_parts("train:late.river-1a2b3c4d:0")
    ('train', 'late.river-1a2b3c4d', 0)
    """
    found = _TASK.fullmatch(task)
    if found is None:
        return None
    kind, name, partition = found.groups()
    return kind, name, int(partition)


def one_line(text: str, most: int = 500) -> str:
    """A text of whatever origin as a `Line`: for a reason that an error or a file gave.

    >>> one_line("it broke:\\n  line 3")
    'it broke:   line 3'
    """
    line = _UNFIT.sub(" ", text)
    if len(line) > most:
        return line[: most - 1] + "…"
    return line
