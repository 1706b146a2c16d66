"""What the report of a replay holds, such as `demo-report.json`. Names that end in `_ms` are
milliseconds; lags are on the app's clock."""

from __future__ import annotations

from typing import TypedDict

from freshet.quality.report_types import TaskReport


class QuantilesReport(TypedDict):
    p50: float | None
    p99: float | None
    max: float | None


class TopicReport(TypedDict):
    """`records` are those in the log; where each element of an array is an event, the events, and
    records without any. The rest of them by fate, as intake's ledger has it, and whether the ledger
    recomputed from the log is equal."""

    records: int
    applied: int
    deduplicated: int
    empty: int
    dropped: dict[str, int]
    dead: dict[str, int]
    ledger_agrees: bool


def lost(topic: TopicReport) -> int:
    """Records in a topic's log for which the ledger has no fate: 0, or the first law is broken."""
    with_fate = (
        topic["applied"]
        + topic["deduplicated"]
        + topic["empty"]
        + sum(topic["dropped"].values())
        + sum(topic["dead"].values())
    )
    return topic["records"] - with_fate


class LineageReport(TypedDict):
    """Prequential quality (predicted when asked, before anything of it was learned), beside what
    needs no features on the same labels; and how many labels it has learned."""

    learned: int
    prequential: TaskReport
    prior: TaskReport
    no_change: TaskReport


class ModelReport(TypedDict):
    """`served`, `baseline` and `slices` (by field, by value) are of what was served, after the
    first `after` labels, and so are `prior` and `no_change`, which need no features
    (`freshet.learners.training.references`); all of the model's task. `without_features`: the
    quality without stream features; it and `baseline` are None where they were not computed again.
    `label_delay_ms` is from question to label, `not_learned` counts questions and labels by
    reason."""

    asked: int
    examples: int
    labelled: int
    expired: int
    corrections: int
    snapshots: int
    approvals: int
    refusals: int
    swaps: int
    served_lineage: str | None
    baseline_lineage: str
    after: int
    served: TaskReport
    baseline: TaskReport | None
    without_features: TaskReport | None
    prior: TaskReport
    no_change: TaskReport
    lineages: dict[str, LineageReport]
    slices: dict[str, dict[str, TaskReport]]
    lag_ms: QuantilesReport
    label_delay_ms: QuantilesReport
    not_learned: dict[str, int]


class RequestReport(TypedDict):
    """Every attempt of the replay's clients: `answered`, `refused` (put off by a scorer that waits
    for its store), `failed` (any other status than 200; also those that scorers counted of
    anybody's) or `broken` (no status: the connection was refused or broke off)."""

    attempts: int
    answered: int
    refused: int
    failed: int
    broken: int
    rows: int
    latency_ms: QuantilesReport
    latency_near_swaps_ms: QuantilesReport


class ReplayReport(TypedDict):
    """`verdict` is empty if the run passed, else why it did not; `exit_code` is 0 only then."""

    app: str
    app_from_ms: int
    app_to_ms: int
    steps: int
    wall_seconds: float
    topics: dict[str, TopicReport]
    ledger_agrees: bool
    views: dict[str, QuantilesReport]
    models: dict[str, ModelReport]
    requests: RequestReport
    peak_memory_mb: dict[str, float]
    restarts: dict[str, int]
    verdict: list[str]
    exit_code: int
