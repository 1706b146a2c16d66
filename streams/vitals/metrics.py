"""What roles tell of themselves, as Prometheus metrics named `freshet_*`, in base units, with
moments rather than ages.

Moments of records and ticks are on the app's clock, those of processes and outages on the wall.
Labels are names that the app declares; of what the data says, only the first values: 50 of a slice,
64 of a source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import Metric, generate_latest
from prometheus_client.registry import Collector

from freshet.schemas.wire.messages import Status
from freshet.streams.vitals.metric_table import Figure
from freshet.streams.vitals.metric_table import families as families_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MS = 1e-3
MB = 1e6
_TRAINER = "train:{model}.{lineage}:{partition}"

ROLE_METRICS: tuple[Figure, ...] = (
    # every process
    Figure(
        "gauge",
        "freshet_process_start_timestamp_seconds",
        "When the process started.",
        "started_ms",
        MS,
    ),
    Figure(
        "counter", "freshet_process_cpu_seconds_total", "CPU time of the process.", "cpu_seconds"
    ),
    Figure(
        "gauge",
        "freshet_process_resident_memory_bytes",
        "Resident memory of the process.",
        "memory_mb",
        MB,
    ),
    Figure(
        "gauge",
        "freshet_process_told_timestamp_seconds",
        "When its loop last told its figures.",
        "told_ms",
        MS,
    ),
    Figure("gauge", "freshet_process_held", "1 while a switch holds the role.", "held"),
    Figure(
        "counter",
        "freshet_outages_total",
        "Servers that were found away since the start.",
        "outages_begun",
    ),
    Figure(
        "gauge",
        "freshet_outage_since_timestamp_seconds",
        "Since when a server is away. Only while it is.",
        "outages/[component,resource]/since",
        MS,
    ),
    # operators
    Figure(
        "counter",
        "freshet_operator_records_total",
        "Records read since the start, of all logs.",
        "records",
    ),
    Figure(
        "gauge",
        "freshet_task_finished_timestamp_seconds",
        "The newest tick (app clock) up to which a task has taken all input.",
        "{task}/finished",
        MS,
    ),
    # archive
    Figure(
        "gauge",
        "freshet_archive_position",
        "The offset up to which all records of a partition are archived.",
        "{task}/archive/archived",
    ),
    Figure(
        "gauge",
        "freshet_archive_newest_append_timestamp_seconds",
        "Append time of the newest record that was archived since the start.",
        "{task}/archive/archived_ms",
        MS,
    ),
    Figure(
        "gauge",
        "freshet_archive_waiting_seconds",
        "For how long the oldest record that was read has waited to be archived.",
        "{task}/archive/waiting_seconds",
    ),
    Figure(
        "gauge",
        "freshet_archive_files",
        "Archived files of a partition.",
        "{task}/archive/files",
    ),
    Figure(
        "gauge",
        "freshet_archive_bytes",
        "Bytes of the archived files of a partition.",
        "{task}/archive/bytes",
    ),
    Figure(
        "counter",
        "freshet_archive_kept_records_total",
        "Records whose bytes are archived beside their rows, since the start.",
        "{task}/archive/kept",
    ),
    # intake
    Figure(
        "counter",
        "freshet_intake_records_total",
        "Records of a topic by their fate.",
        "intake:{topic}:{partition}/fates/{fate}",
    ),
    Figure(
        "counter",
        "freshet_intake_imputed_total",
        "Missing values that were filled, by field.",
        "intake:{topic}:{partition}/imputed/{field}",
    ),
    Figure(
        "gauge",
        "freshet_intake_newest_event_timestamp_seconds",
        "Event time of the newest event taken in (app clock).",
        "intake:{topic}:{partition}/newest_event_ms",
        MS,
    ),
    Figure(
        "gauge",
        "freshet_intake_newest_append_timestamp_seconds",
        "Append time of the newest event read (app clock).",
        "intake:{topic}:{partition}/newest_ms",
        MS,
    ),
    Figure(
        "counter",
        "freshet_source_events_total",
        "Events applied, of each value of a topic's source field.",
        "intake:{topic}:{partition}/sources/{source:64}/events",
    ),
    Figure(
        "gauge",
        "freshet_source_newest_append_timestamp_seconds",
        "Append time of the newest event of a source (app clock).",
        "intake:{topic}:{partition}/sources/{source:64}/newest_ms",
        MS,
    ),
    Figure(
        "counter",
        "freshet_field_seen_total",
        "Applied events that could have had a field.",
        "intake:{topic}:{partition}/fields/{field}/seen",
    ),
    Figure(
        "counter",
        "freshet_field_missing_total",
        "Applied events that a field was missing from.",
        "intake:{topic}:{partition}/fields/{field}/missing",
    ),
    # views
    Figure(
        "counter",
        "freshet_view_events_total",
        "Events folded into a view.",
        "view:{view}:{partition}/events",
    ),
    Figure(
        "gauge",
        "freshet_view_keys",
        "Keys, and so rows, of a view.",
        "view:{view}:{partition}/keys",
    ),
    # join
    Figure(
        "counter",
        "freshet_join_asked_total",
        "Predictions that wait or waited.",
        "join:{model}:{partition}/asked",
    ),
    Figure(
        "counter",
        "freshet_join_outcomes_total",
        "What became of predictions and labels.",
        "join:{model}:{partition}/{outcome:labelled|expired|corrected|conflicted"
        "|settled_conflicts|repeated_questions|conflicting_questions|unreadable_questions"
        "|repeated_labels|conflicting_labels|late_labels|unmatched_labels}",
    ),
    Figure(
        "gauge",
        "freshet_join_open",
        "Predictions that wait for their label.",
        "join:{model}:{partition}/open",
    ),
    # trainers
    Figure(
        "counter",
        "freshet_trainer_examples_total",
        "Examples a lineage has learned.",
        f"{_TRAINER}/learned",
    ),
    Figure(
        "counter",
        "freshet_trainer_skipped_examples_total",
        "Examples a lineage has read and not learned: while it was held, or rewound.",
        f"{_TRAINER}/skipped",
    ),
    Figure(
        "counter",
        "freshet_trainer_snapshots_total",
        "Snapshots a lineage has cut.",
        f"{_TRAINER}/snapshots",
    ),
    Figure(
        "gauge",
        "freshet_trainer_log_loss",
        "Prequential log loss, over all examples and over the newest.",
        f"{_TRAINER}/{{window:all|rolling}}/log_loss",
    ),
    Figure(
        "gauge",
        "freshet_trainer_normalised_entropy",
        "Prequential log loss over that of the base rate.",
        f"{_TRAINER}/{{window:all|rolling}}/normalised_entropy",
    ),
    Figure(
        "gauge", "freshet_trainer_auc", "Prequential AUC.", f"{_TRAINER}/{{window:all|rolling}}/auc"
    ),
    Figure(
        "gauge",
        "freshet_trainer_accuracy",
        "Prequential share of right answers; a probability of at least one half says yes.",
        f"{_TRAINER}/{{window:all|rolling}}/accuracy",
    ),
    Figure(
        "gauge",
        "freshet_trainer_calibration",
        "Mean prediction over share of positives: "
        "1 where as many came true as were expected in all. Of classes, mean highest probability "
        "over accuracy.",
        f"{_TRAINER}/{{window:all|rolling}}/calibration",
    ),
    Figure(
        "gauge",
        "freshet_trainer_macro_f1",
        "Of classes: prequential macro F1.",
        f"{_TRAINER}/{{window:all|rolling}}/macro_f1",
    ),
    Figure(
        "gauge",
        "freshet_trainer_mean_absolute_error",
        "Of numbers: prequential mean absolute error, in the label's unit.",
        f"{_TRAINER}/{{window:all|rolling}}/mae",
    ),
    Figure(
        "gauge",
        "freshet_trainer_root_mean_squared_error",
        "Of numbers: root of the prequential mean squared error, in the label's unit.",
        f"{_TRAINER}/{{window:all|rolling}}/rmse",
    ),
    Figure(
        "gauge",
        "freshet_trainer_bias",
        "Of numbers: mean prediction less mean label, in the label's unit.",
        f"{_TRAINER}/{{window:all|rolling}}/bias",
    ),
    Figure(
        "gauge",
        "freshet_trainer_reference_log_loss",
        "Log loss on the same labels of the running share of positives, or of each class.",
        f"{_TRAINER}/references/{{window:all|rolling}}/{{reference:prior|no_change}}/log_loss",
    ),
    Figure(
        "gauge",
        "freshet_trainer_reference_accuracy",
        "Accuracy on the same labels of the running share of positives, and of the label before.",
        f"{_TRAINER}/references/{{window:all|rolling}}/{{reference:prior|no_change}}/accuracy",
    ),
    Figure(
        "gauge",
        "freshet_trainer_reference_mean_absolute_error",
        "Of numbers: mean absolute error on the same labels of the mean label so far, and of the "
        "label before.",
        f"{_TRAINER}/references/{{window:all|rolling}}/{{reference:prior|no_change}}/mae",
    ),
    Figure(
        "gauge",
        "freshet_trainer_reference_root_mean_squared_error",
        "Of numbers: root of the mean squared error of the same.",
        f"{_TRAINER}/references/{{window:all|rolling}}/{{reference:prior|no_change}}/rmse",
    ),
    Figure(
        "gauge",
        "freshet_trainer_slice_examples_scored",
        "Examples of a slice that the prequential figures are of.",
        f"{_TRAINER}/slices/{{slice}}/{{value:50}}/n",
    ),
    Figure(
        "gauge",
        "freshet_trainer_slice_log_loss",
        "Prequential log loss of a slice.",
        f"{_TRAINER}/slices/{{slice}}/{{value:50}}/log_loss",
    ),
    Figure(
        "gauge",
        "freshet_trainer_slice_mean_absolute_error",
        "Of numbers: prequential mean absolute error of a slice.",
        f"{_TRAINER}/slices/{{slice}}/{{value:50}}/mae",
    ),
    # the scorer
    Figure(
        "counter",
        "freshet_scorer_requests_total",
        "Requests by outcome. Refused: 503 as an operator decided. "
        "In error: 4xx, by the client's own fault.",
        "requests/{outcome:answered|failed|refused|in_error}",
    ),
    Figure(
        "counter", "freshet_scorer_rows_total", "Rows that requests asked for.", "requests/rows"
    ),
    Figure("counter", "freshet_scorer_swaps_total", "Snapshots swapped in.", "requests/swaps"),
    Figure(
        "histogram",
        "freshet_scorer_request_duration_seconds",
        "What requests took, from first sight to the last byte handed over; "
        "those in error are not timed.",
        "requests/duration",
    ),
    Figure(
        "histogram",
        "freshet_scorer_request_duration_near_swaps_seconds",
        "The same, of requests from 10 ms before to 0.4 s after a swap.",
        "requests/duration_near_swaps",
    ),
    Figure(
        "counter",
        "freshet_scorer_predictions_total",
        "Rows answered, by rung.",
        "models/{model}/rungs/{rung}",
    ),
    Figure(
        "gauge",
        "freshet_scorer_snapshot",
        "Number of the live snapshot.",
        "models/{model}[lineage]/snapshot",
    ),
    Figure(
        "gauge",
        "freshet_scorer_snapshot_cut_timestamp_seconds",
        "When the live snapshot was cut (app clock).",
        "models/{model}[lineage]/tick",
        MS,
    ),
    Figure(
        "gauge",
        "freshet_prediction_log_held",
        "Predictions not in the log yet.",
        "models/{model}/unlogged",
    ),
    Figure(
        "counter",
        "freshet_prediction_log_lost_total",
        "Predictions never logged.",
        "models/{model}/lost",
    ),
)


def families(app: str, status: Status) -> Iterator[Metric]:
    """The metrics of a role's own figures. `instance` is its lasting name, without what tells its
    starts apart: there would be no end of them."""
    constant = {"app": app, "role": status.role, "instance": status.instance.split("/", 1)[0]}
    return families_of(ROLE_METRICS, status.facts, constant)


def exposition(app: str, status: Status) -> bytes:
    """The same in Prometheus's text format; see `CONTENT_TYPE`."""
    return text_of(families(app, status))


def text_of(found: Iterable[Metric]) -> bytes:
    """Metrics in Prometheus's text format, version 0.0.4."""
    return generate_latest(_Found(found))


class _Found(Collector):
    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found
