"""What an app says about itself: one `Status`, gathered by `control`, read by page, terminal and
CLI alike.

Every field has a default, so that a status can be told before all its parts are known. Names ending
in `_ms` are milliseconds: `at_ms` and `seen_ms` and request latencies on the wall, all other
moments and lags on the app's clock. Counts are since the run's start. A figure that is not known
yet is None, never 0 and never NaN.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Light = Literal["green", "amber", "red"]
RunState = Literal["starting", "running", "ended"]
RoleState = Literal["starting", "running", "busy", "held", "restarting", "stopped", "lost"]


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """Where the app stands. A replay (`paced`) has an end; live, `end_ms` is None and nothing is
    `done`."""

    state: RunState = "starting"
    paced: bool = False
    app_ms: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    wall_seconds: float = 0.0

    @property
    def done(self) -> float | None:
        """Share of a replay that lies behind, 0 to 1."""
        now = self.app_ms
        start = self.start_ms
        end = self.end_ms
        if now is None or start is None or end is None or end <= start:
            return None
        # While labels are still waited for, the clock goes on beyond the end.
        return min(1.0, max(0.0, (now - start) / (end - start)))

    @property
    def left_seconds(self) -> float | None:
        """Wall seconds that the rest of a replay takes at its pace so far."""
        done = self.done
        # Of the first hundredth the pace is that of starting, and would promise hours.
        if done is None or done < 0.01:
            return None
        return self.wall_seconds * (1 - done) / done


class Promise(msgspec.Struct, frozen=True):
    """A promise to the operator, whether it holds, and why (not)."""

    name: str
    state: Light
    reason: str


class FieldFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a topic's applied events: how many had it, how many it was missing from (and was
    imputed in). `min` to `deviation` are of numbers, `values` counts the texts first seen."""

    name: str
    kind: str = ""
    seen: int = 0
    missing: int = 0
    imputed: int = 0
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    deviation: float | None = None
    # Never shared: msgspec gives each struct an empty one of its own.
    values: dict[str, int] = {}


class SourceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One source of a topic's events, such as origin=JFK: applied, late and dead events, the newest
    one's append time (app clock, ms) and the usual rate."""

    name: str
    events: int = 0
    late: int = 0
    dead: int = 0
    newest_ms: int | None = None
    rate_per_hour: float | None = None


class LateFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A source whose events came late of late: how many of its newest were `judged`, how many of
    these were `late`, and when the newest late one was appended (app clock, ms). `source` is None
    for events without one."""

    source: str | None = None
    judged: int = 0
    late: int = 0
    late_ms: int = 0

    @property
    def share(self) -> float:
        return self.late / self.judged if self.judged else 0.0


# By which an hour is told of: the first two of fields, all of features of models.
Measure = Literal[
    "jensen_shannon",
    "unseen",
    "new_values",
    "outside",
    "one_value",
    "hour",
    "level",
    "magnitude",
    "missing",
]


class DriftFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a source (None: of those without one, or of all) whose values in the hour from
    `hour_ms` on (event time) were unlike those of its reference: the `distance` is beyond its
    `bound`. By its `measure` that is the Jensen–Shannon distance, the share of values that the
    reference never had (`unseen`), or of features of models how far it goes beyond every hour
    before (see `freshet.serving.values.usual`). `psi` and `largest` (L∞) say the same otherwise.
    `moved` names the values whose share differs most."""

    field: str
    source: str | None = None
    hour_ms: int = 0
    measure: Measure = "jensen_shannon"
    distance: float = 0.0
    bound: float = 0.0
    psi: float = 0.0
    largest: float = 0.0
    events: int = 0
    reference_events: int = 0
    moved: str = ""
    share: float = 0.0
    usual_share: float = 0.0


class StatisticsFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the values of a topic by hour of event time: up to which hour (ms), how many
    bytes that takes, fields of sources that are `watched`, and such of which too little is known
    yet (`learning`), with the least of the `weeks_missing`. `drifts` are those of the newest hours,
    a few; unlike the `reference`, which moves on with time unless it `is_fixed`."""

    newest_hour_ms: int | None = None
    held_bytes: int = 0
    watched: int = 0
    learning: int = 0
    weeks_missing: int | None = None
    drifts: list[DriftFigures] = []
    reference: str = ""
    is_fixed: bool = False


class TopicFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A topic's records by fate. `records` counts what was read: the sum of the fates, once intake
    is idle. `dropped` is by filter (`late` among them: beyond the lateness), `dead` by reason,
    `tombstones` are records without a value, which were ignored or erased rows, as declared; where
    each element of an array is an event, these are counted, and `empty` are records without any.
    `late_sources` are those with the largest shares of late events, a few; `unreadable_schemas` say
    what is wrong with schemas of a registry whose records are dead letters, a few. `lag_ms` is how
    far intake is behind the app's clock, `settings` its freshness as it is now, `declared` as the
    app's file has it. The newest applied event was appended at `newest_applied_ms`, for `silent_ms`
    before the time that intake told last none had come (app clock). `start` is where it begins, as
    declared; `starts` by partition the first offset, where that was decided when it first ran.
    `statistics` are by hour of event time."""

    name: str
    records: int = 0
    per_second: float = 0.0
    applied: int = 0
    deduplicated: int = 0
    dropped: dict[str, int] = {}
    dead: dict[str, int] = {}
    tombstones: int = 0
    empty: int = 0
    lag_ms: int | None = None
    partitions: int = 1
    owner: str = ""
    description: str = ""
    newest_ms: int | None = None
    newest_event_ms: int | None = None
    settings: dict[str, str] = {}
    declared: dict[str, str] = {}
    fields: list[FieldFigures] = []
    sources: list[SourceFigures] = []
    late_sources: list[LateFigures] = []
    start: str = "earliest"
    starts: dict[str, int] = {}
    unreadable_schemas: list[str] = []
    statistics: StatisticsFigures = StatisticsFigures()
    newest_applied_ms: int | None = None
    silent_ms: int | None = None


class PastFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A view that is being built from the past: `hydrating` while there is more to read, `lagging`
    once all is read that intake has settled, `failing` where no record has come for a minute;
    `waits_for` says what holds it up now. `seconds_left` at the rate that it has."""

    state: str
    records: int = 0
    records_left: int = 0
    records_a_second: int = 0
    seconds_left: int | None = None
    waits_for: str = ""


class PastColumnsFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Columns of a model that are computed of what was asked before anybody read them: `hydrating`
    while there is more to compute, `lagging` once all is there that the join has saved. Until all
    is `ready`, lineages that read them wait. `questions_left` is about how many there are to come,
    `records_left` how many records of topics stand before them."""

    state: str
    columns: int = 0
    questions: int = 0
    questions_left: int = 0
    questions_a_second: int = 0
    seconds_left: int | None = None
    records: int = 0
    records_left: int = 0
    waits_for: str = ""


class ViewFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A view: feature lag on the app's clock, its bound, and the role that the rows wait for most:
    they are `behind` by it. `topic` is the one whose promise is the bound, of all its `topics`.
    `refused` keys have a row that the store does not take, and `refusal` says of one of them why;
    of all `rows` memory has no room for those `on_disk`. `past` is set while it is built from the
    past: until then it has no value."""

    name: str
    topic: str = ""
    topics: list[str] = []
    key: str = ""
    rows: int | None = None
    on_disk: int = 0
    lag_ms: int | None = None
    slo_ms: int | None = None
    behind: str = ""
    max_age_ms: int | None = None
    events: int | None = None
    refused: int = 0
    refusal: str = ""
    past: PastFigures | None = None
    features: list[str] = []
    owner: str = ""
    description: str = ""


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How good `n` labelled predictions were: area under the ROC curve, normalised entropy (log
    loss over that of always predicting their share of positives; He et al. 2014), log loss (nats),
    accuracy (a probability of at least one half says yes) and calibration: mean prediction over
    share of positives, 1 where as many came true as were expected in all.

    Each task has its own figures, and the others are null: classes have macro F1 and the expected
    calibration error, and their calibration is mean highest probability over accuracy; numbers
    have mean absolute error, root of the mean squared error and bias in the label's unit, and the
    mean squared error."""

    n: int = 0
    auc: float | None = None
    ne: float | None = None
    calibration: float | None = None
    log_loss: float | None = None
    accuracy: float | None = None
    macro_f1: float | None = None
    calibration_error: float | None = None
    mae: float | None = None
    rmse: float | None = None
    bias: float | None = None
    squared_error: float | None = None


class References(msgspec.Struct, frozen=True, kw_only=True):
    """What answers without any feature would have scored on the same labels; see
    `freshet.learners.training.references`. `no_change` answers with a class: it has an accuracy
    only."""

    prior: Quality = Quality()
    no_change: Quality = Quality()


class SliceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Served predictions of one value of a slice field, such as carrier=UA, beside the baseline on
    them."""

    field: str
    value: str
    served: Quality = Quality()
    baseline: Quality = Quality()


class SkipFigures(msgspec.Struct, frozen=True, kw_only=True):
    """So many `examples` of a span of time (app clock; None: it goes on) that a lineage did not
    learn, by whom and why."""

    start_ms: int
    until_ms: int | None = None
    by: str = ""
    why: str = ""
    examples: int = 0


class LineageFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A lineage: `overall`, `rolling` and `slices` (their `served`) are prequential (predicted
    before learned), `references` are of the labels of `overall`. `cut_ms` is the newest snapshot's
    tick, `refused` why its newest refused snapshot was; `newest_approved` and `newest_refused` are
    numbers, `verdict` is what was decided last of one of them, in a sentence; `skips` are what it
    did not learn."""

    name: str
    alias: str = ""
    state: RoleState = "running"
    number: int | None = None
    examples: int = 0
    overall: Quality = Quality()
    rolling: Quality = Quality()
    references: References = References()
    slices: list[SliceFigures] = []
    cut_ms: int | None = None
    refusals: int = 0
    refused: str = ""
    newest_approved: int | None = None
    newest_refused: int | None = None
    verdict: str = ""
    skips: list[SkipFigures] = []

    @property
    def held(self) -> SkipFigures | None:
        """What it does not learn now."""
        return next((skip for skip in self.skips if skip.until_ms is None), None)

    @property
    def refused_last(self) -> bool:
        """Whether the newest judged snapshot is a refused one. Numbers rise, so no moment is
        needed."""
        if self.newest_refused is None:
            return False
        return self.newest_approved is None or self.newest_refused > self.newest_approved


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Served predictions between two probabilities: how many were labelled, their mean, and the
    share that came true. Of classes it is the highest probability, and the share whose class came;
    of numbers a tenth of the answers, their mean, and mean and `deviation` of the labels."""

    low: float
    high: float
    n: int = 0
    predicted: float | None = None
    observed: float | None = None
    deviation: float | None = None


class ClassCounts(msgspec.Struct, frozen=True, kw_only=True):
    """One class, of the newest labelled answers: how many labels were it, how many answers said
    it, and how many of both at once."""

    name: str
    labelled: int = 0
    answered: int = 0
    right: int = 0


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot that answers, and the app time since when its lineage does."""

    lineage: str
    number: int
    since_ms: int | None = None


class ConflictFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Questions for one id that said different things: how many there were beside the first of
    their id, and the newest id that was contested so, shortened, and when (app clock)."""

    questions: int = 0
    example: str = ""
    newest_ms: int | None = None


class LabelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Labels that came for a model, those `used` as examples, and by reason those that came to
    nothing since the last one that was used; the newest one's time (app clock, ms).

    `fates` are of the events of its label's topic, as intake saw them: `used` (sent on as a label),
    `null` (no label, as declared), `bad` (a dead letter of the label) or `without_id`."""

    fates: dict[str, int] = {}
    came: int = 0
    used: int = 0
    since_used: dict[str, int] = {}
    newest_ms: int | None = None


class SkewFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How far a feature's values in the newest vectors that a model was `asked` on are from those
    in the newest that it `learned` from (how many of each): population stability index,
    Jensen–Shannon distance (0 to 1), and the largest difference of a bin's share (L∞). `bound` is
    the declared one, None where what is usual is learned; of that `weeks_missing` are, None before
    the first judgement."""

    feature: str
    psi: float = 0.0
    jensen_shannon: float = 0.0
    largest: float = 0.0
    asked: int = 0
    learned: int = 0
    bound: float | None = None
    weeks_missing: int | None = None


class MissingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """An input that a model lacks: a topic of a view that is silent (`source`), or a `feature`; in
    which of its `features` that shows, since when (app clock), and why it is said."""

    kind: Literal["source", "feature"]
    name: str
    view: str = ""
    topic: str = ""
    features: list[str] = []
    since_ms: int = 0
    reason: str = ""

    @property
    def told(self) -> str:
        """Which it is, for a person."""
        if self.kind == "source":
            return f"topic {self.topic} of view {self.view}"
        if self.view:
            return f"feature {self.name} of view {self.view} over {self.topic}"
        return f"feature {self.name} of {self.topic}"


class ModelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A model: what is served, why this lineage (`decision`), how fresh and how good it is; the
    role that the served snapshot waits for most (it is `behind` by it). `baseline` is the lineage
    it is held against; references are of the labels that what was served is judged by. `missing`
    are inputs that it lacks now, and `missing_inputs` is what it does then. `past` is set while
    columns of it are computed of the past. `task` is what it predicts: `binary`, `classes` or
    `regression`; `calibration` is a reliability diagram of the newest 20,000 labelled answers, and
    `classes`, in the order declared, are counts of the same."""

    name: str
    task: str = "binary"
    served: Served | None = None
    baseline: str = ""
    lag_ms: int | None = None
    slo_ms: int | None = None
    behind: str = ""
    asked: int = 0
    labelled: int = 0
    expired: int = 0
    conflicts: ConflictFigures = ConflictFigures()
    labels: LabelFigures = LabelFigures()
    snapshots: int = 0
    approvals: int = 0
    refusals: int = 0
    swaps: int = 0
    rolling: Quality = Quality()
    rolling_baseline: Quality = Quality()
    overall: Quality = Quality()
    overall_baseline: Quality = Quality()
    rolling_references: References = References()
    overall_references: References = References()
    lineages: list[LineageFigures] = []
    slices: list[SliceFigures] = []
    calibration: list[CalibrationBin] = []
    classes: list[ClassCounts] = []
    rungs: dict[str, int] = {}
    skew: list[SkewFigures] = []
    skewed: list[DriftFigures] = []
    missing: list[MissingFigures] = []
    missing_inputs: str = "go_on"
    decision: str = ""
    past: PastColumnsFigures | None = None
    owner: str = ""
    description: str = ""


class RequestFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Requests to the scorers (wall clock). `refused` are those that an operator decided not to
    answer (503): by the switch `answer`, or by `on_violation`. `in_error` are those that were told
    what is wrong with them (4xx): malformed, unknown, too large, too slow. `p99_swap_ms` is that of
    requests near a swap."""

    answered: int = 0
    failed: int = 0
    refused: int = 0
    in_error: int = 0
    rows: int = 0
    per_second: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    p99_swap_ms: float | None = None

    @property
    def total(self) -> int:
        return self.answered + self.failed + self.refused + self.in_error


class RoleFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One process: `seen_ms` is when it was last heard of (wall), `last_exit` why the one before it
    ended, `clock_off_ms` how far the wall of its machine is ahead of the time that it goes by,
    after somebody set it. It is restarting while it ends again and again soon after its start."""

    role: str
    instance: str = ""
    pid: int | None = None
    state: RoleState = "starting"
    memory_mb: float | None = None
    seen_ms: int | None = None
    restarts: int = 0
    last_exit: str = ""
    cpu_seconds: float | None = None
    started_ms: int | None = None
    metrics: str = ""
    clock_off_ms: int = 0

    @property
    def shown_name(self) -> str:
        """What it is called on the page, by alerts and by commands."""
        return self.instance or self.role

    @property
    def lasting_name(self) -> str:
        """Its name over all its starts, such as `view.2`; of several processes of one name, each
        bears its start after it."""
        return self.shown_name.split("/", 1)[0]


class OutageFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A server that roles are waiting out; see `freshet.streams.outages`. `roles` are those that
    said so, `since_ms` wall."""

    component: str
    resource: str
    cause: str
    meanwhile: str
    next_step: str
    since_ms: int
    roles: list[str] = []

    @property
    def word(self) -> str:
        """What it is: servers are away, a disk is full."""
        if self.component == "disk":
            return "full"
        return "away"

    @property
    def silences_roles(self) -> bool:
        """Roles speak through the log, which needs the disk: while either is away nobody can be
        heard, which says nothing of who is there."""
        return self.component in ("log", "disk")


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something is wrong (or was: `state`), since when (wall, ms), what it means and what to try.
    `policy` and `subject` together are its identity."""

    policy: str
    subject: str
    light: Light
    reason: str
    meaning: str
    next_step: str
    since_ms: int = 0
    state: Literal["firing", "resolved"] = "firing"
    resolved_ms: int | None = None


class SwitchFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One of the three switches; see `freshet.streams.control.switches`."""

    name: str
    on: bool = True
    by: str = ""
    at_ms: int = 0


class SettingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A live setting that somebody changed (`at_ms` wall)."""

    topic: str
    key: str
    value: str
    by: str
    at_ms: int


class ArchivedFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive has of a log: `archived` records or gaps of all `partitions`, up to the one
    that was appended at `newest_ms`, in `files` of `bytes`; the oldest that was read and is not
    archived has waited for `waiting_seconds`. Where the log deletes records by itself after
    `retention_ms`, the oldest that is not archived has been there for the share `spent` of that, or
    for longer, and `lost` were deleted first."""

    log: str
    kind: str
    partitions: int = 0
    archived: int = 0
    files: int = 0
    bytes: int = 0
    newest_ms: int | None = None
    waiting_seconds: float = 0.0
    retention_ms: int | None = None
    spent: float = 0.0
    lost: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, at one moment (`at_ms`, wall). While the process that tells it is `catching_up`
    with what was said before it was started, figures are those of some moment before. `applying`
    says how far another version of the app is that is built beside this one."""

    app: str
    at_ms: int
    catching_up: bool = False
    clock: Clock = Clock()
    events_per_second: float = 0.0
    promises: list[Promise] = []
    topics: list[TopicFigures] = []
    views: list[ViewFigures] = []
    models: list[ModelFigures] = []
    archive: list[ArchivedFigures] = []
    requests: RequestFigures = RequestFigures()
    roles: list[RoleFigures] = []
    outages: list[OutageFigures] = []
    alerts: list[Alert] = []
    switches: list[SwitchFigures] = []
    changes: list[SettingChange] = []
    applying: str = ""

    @property
    def over(self) -> bool:
        """Nothing in here will change any more."""
        return self.clock.state == "ended"


# Fields that it does not know are left out: a command may be older than the run that it asks.
_decoder = msgspec.json.Decoder(Status)


def _plain(value: object) -> object:
    if hasattr(value, "item"):  # a numpy scalar: figures come out of arrays
        return value.item()
    # Anything else would be told as some text, and read by the page as a figure.
    raise TypeError(f"{type(value).__name__} is no figure")


encode = msgspec.json.Encoder(enc_hook=_plain).encode


def decode(data: bytes) -> Status:
    """Raises `msgspec.ValidationError` for what is no status.

    >>> decode(encode(Status(app="flights", at_ms=0))).clock.state
    'starting'
    """
    return _decoder.decode(data)
