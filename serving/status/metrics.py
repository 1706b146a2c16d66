"""The figures of a whole app as Prometheus metrics: what only `control` knows, out of its `Status`.

Lags are told as the moment (app clock) as of which rows or a served snapshot are fresh, so
`freshet_clock_timestamp_seconds` less that moment is the lag.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import msgspec
from prometheus_client import Metric

from freshet.schemas.durations import milliseconds
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.topic import Freshness
from freshet.serving.status.bounds import DRIFT_MS
from freshet.serving.status.status import ModelFigures, RoleFigures, StatisticsFigures, Status
from freshet.streams.vitals.metric_table import Figure
from freshet.streams.vitals.metric_table import families as families_of

MS = 1e-3  # Prometheus counts in seconds
LIGHTS = ("green", "amber", "red")
# All settings but the one that is a choice of words.
DURATIONS = tuple(field.name for field in fields(Freshness) if field.name != "on_violation")
_QUALITY = "models/{{model}}/rolling/{{answered_by:served|baseline}}/{}"
_BESIDE_REFERENCES = "models/{{model}}/rolling/{{answered_by:served|baseline|prior|no_change}}/{}"

APP_METRICS: tuple[Figure, ...] = (
    Figure(
        "gauge",
        "freshet_clock_timestamp_seconds",
        "The app's clock: the wall, or a replay's.",
        "clock",
        MS,
    ),
    Figure(
        "gauge",
        "freshet_promise_light",
        "1 for the light that a promise shows.",
        "promises/{promise}/{light}",
    ),
    Figure(
        "gauge",
        "freshet_alert_since_timestamp_seconds",
        "Since when an alert fires. Only while it does.",
        "alerts/[policy,subject,light]/since_ms",
        MS,
    ),
    Figure("gauge", "freshet_switch_on", "1 where a switch is on.", "switches/{switch}"),
    Figure(
        "gauge",
        "freshet_topic_setting_seconds",
        "A topic's freshness settings as they are now.",
        "topics/{topic}/settings/{setting}",
        MS,
    ),
    Figure(
        "gauge",
        "freshet_statistics_newest_hour_timestamp_seconds",
        "Event time of the newest hour that statistics of a topic's values are of.",
        "topics/{topic}/statistics/newest_hour_ms",
        MS,
    ),
    Figure(
        "gauge",
        "freshet_statistics_held_bytes",
        "What statistics of a topic's values take in memory.",
        "topics/{topic}/statistics/held_bytes",
    ),
    Figure(
        "gauge",
        "freshet_statistics_series",
        "Fields of sources by whether their drift is watched, or what is usual is still learned.",
        "topics/{topic}/statistics/{state:watched|learning}",
    ),
    Figure(
        "gauge",
        "freshet_statistics_drifting",
        "Fields of sources that were unlike what they are compared with within the last day.",
        "topics/{topic}/statistics/drifting",
    ),
    Figure(
        "gauge",
        "freshet_topic_fresh_timestamp_seconds",
        "As of when intake has taken in all of a topic (app clock).",
        "topics/{topic}/fresh_ms",
        MS,
    ),
    Figure(
        "gauge",
        "freshet_view_fresh_timestamp_seconds",
        "As of when a view's rows reflect all that was acknowledged (app clock).",
        "views/{view}/fresh_ms",
        MS,
    ),
    Figure(
        "gauge",
        "freshet_view_slo_seconds",
        "Bound on a view's feature lag.",
        "views/{view}/slo_ms",
        MS,
    ),
    Figure(
        "gauge",
        "freshet_model_fresh_timestamp_seconds",
        "As of when the served snapshot reflects all joined examples (app clock).",
        "models/{model}/fresh_ms",
        MS,
    ),
    Figure(
        "gauge", "freshet_model_slo_seconds", "Bound on a model's lag.", "models/{model}/slo_ms", MS
    ),
    Figure(
        "counter",
        "freshet_model_verdicts_total",
        "Snapshots that release approved or refused.",
        "models/{model}/{verdict:approved|refused}",
    ),
    Figure(
        "gauge",
        "freshet_model_served_since_timestamp_seconds",
        "Since when the lineage that answers does (app clock).",
        "models/{model}/served/[lineage]/since_ms",
        MS,
    ),
    Figure(
        "gauge",
        "freshet_model_skew",
        "Jensen–Shannon distance (0 to 1) of a feature's values in the newest vectors that were "
        "asked on from those learned from, of the first hundred.",
        "models/{model}/skew/[feature]/jensen_shannon",
    ),
    Figure(
        "gauge",
        "freshet_model_skewed",
        "Features that a model was asked on otherwise than it learned within the last day.",
        "models/{model}/skewed",
    ),
    Figure(
        "gauge",
        "freshet_model_held",
        "Lineages of a model that learn nothing of what comes, by people or by conditions.",
        "models/{model}/held",
    ),
    Figure(
        "counter",
        "freshet_model_label_fates_total",
        "Events of a model's label topic by what became of them as labels: used, null (none, as "
        "declared), bad (a dead letter of the label) or without_id.",
        "models/{model}/label_fates/{label_fate}",
    ),
    Figure(
        "gauge",
        "freshet_model_inputs_missing",
        "Topics and features that a model lacks.",
        "models/{model}/missing",
    ),
    Figure(
        "gauge",
        "freshet_model_normalised_entropy",
        "Log loss over that of the base rate, of the newest labelled answers and of the baseline.",
        _QUALITY.format("ne"),
    ),
    Figure("gauge", "freshet_model_auc", "AUC of the same.", _QUALITY.format("auc")),
    Figure(
        "gauge",
        "freshet_model_log_loss",
        "Log loss (nats) of the same, and of the running share of positives.",
        _BESIDE_REFERENCES.format("log_loss"),
    ),
    Figure(
        "gauge",
        "freshet_model_accuracy",
        "Share of right answers of the same, of the running share of positives, and of the label "
        "before.",
        _BESIDE_REFERENCES.format("accuracy"),
    ),
    Figure(
        "gauge",
        "freshet_model_calibration",
        "Mean prediction over share of positives of the same.",
        _QUALITY.format("calibration"),
    ),
    Figure(
        "gauge",
        "freshet_model_macro_f1",
        "Of classes: macro F1 of the same, of the most frequent class so far, and of the label "
        "before.",
        _BESIDE_REFERENCES.format("macro_f1"),
    ),
    Figure(
        "gauge",
        "freshet_model_mean_absolute_error",
        "Of numbers: mean absolute error of the same, of the mean label so far, and of the label "
        "before, in the label's unit.",
        _BESIDE_REFERENCES.format("mae"),
    ),
    Figure(
        "gauge",
        "freshet_model_root_mean_squared_error",
        "Of numbers: root of the mean squared error of the same, of the mean label so far, and of "
        "the label before, in the label's unit.",
        _BESIDE_REFERENCES.format("rmse"),
    ),
    Figure(
        "gauge",
        "freshet_model_bias",
        "Of numbers: mean prediction less mean label of the same, in the label's unit.",
        _QUALITY.format("bias"),
    ),
    Figure(
        "gauge",
        "freshet_role_running",
        "1 where a process is heard of.",
        "roles/[of_role,process]/running",
    ),
    Figure(
        "gauge",
        "freshet_role_seen_timestamp_seconds",
        "When a process was last heard of.",
        "roles/[of_role,process]/seen_ms",
        MS,
    ),
    Figure(
        "counter",
        "freshet_role_restarts_total",
        "How often a process was started again.",
        "roles/[of_role,process]/restarts",
    ),
)


def families(status: Status, role: str = "control", instance: str = "control") -> Iterator[Metric]:
    """The app's metrics, as the process `instance` of `role` exports them."""
    return families_of(
        APP_METRICS, _facts(status), {"app": status.app, "role": role, "instance": instance}
    )


def _facts(status: Status) -> dict[str, Any]:
    """A status in the shape that the table's paths name."""
    now = status.clock.app_ms
    return {
        "clock": now,
        "promises": {
            # 0 for the lights that are off: a series that comes and goes cannot be alerted on
            promise.name: {light: promise.state == light for light in LIGHTS}
            for promise in status.promises
        },
        "alerts": [
            msgspec.to_builtins(alert) for alert in status.alerts if alert.state == "firing"
        ],
        "switches": {switch.name: switch.on for switch in status.switches},
        "topics": {
            topic.name: {
                "settings": _settings(topic.settings),
                "fresh_ms": _fresh_ms(now, topic.lag_ms),
                "statistics": _statistics(topic.statistics, now),
            }
            for topic in status.topics
        },
        "views": {
            view.name: {"slo_ms": view.slo_ms, "fresh_ms": _fresh_ms(now, view.lag_ms)}
            for view in status.views
        },
        "models": {model.name: _model(model, now) for model in status.models},
        "roles": [_role(role) for role in status.roles],
    }


def _statistics(found: StatisticsFigures, now: int | None) -> dict[str, Any]:
    """Of drift those that an alert tells of, too."""
    since = (now or 0) - DRIFT_MS
    drifting = {(d.source, d.field) for d in found.drifts if d.hour_ms >= since}
    return {
        "newest_hour_ms": found.newest_hour_ms,
        "held_bytes": found.held_bytes,
        "watched": found.watched,
        "learning": found.learning,
        "drifting": len(drifting),
    }


def _fresh_ms(now: int | None, lag_ms: int | None) -> int | None:
    if now is None or lag_ms is None:
        return None
    return now - lag_ms


def _settings(settings: dict[str, str]) -> dict[str, int]:
    """The durations among a topic's settings, in ms. What is none says nothing."""
    out = {}
    for name in DURATIONS:
        try:
            out[name] = milliseconds(settings.get(name, ""), name)
        except DefinitionError:
            continue
    return out


def _model(model: ModelFigures, now: int | None) -> dict[str, Any]:
    served = []
    if model.served is not None:
        served.append({"lineage": model.served.lineage, "since_ms": model.served.since_ms})
    return {
        "slo_ms": model.slo_ms,
        "approved": model.approvals,
        "refused": model.refusals,
        "fresh_ms": _fresh_ms(now, model.lag_ms),
        "served": served,
        "skew": [msgspec.to_builtins(each) for each in model.skew],
        "skewed": sum(each.hour_ms >= (now or 0) - DRIFT_MS for each in model.skewed),
        "held": sum(lineage.held is not None for lineage in model.lineages),
        "missing": len(model.missing),
        "label_fates": model.labels.fates,
        "rolling": {
            "served": msgspec.structs.asdict(model.rolling),
            "baseline": msgspec.structs.asdict(model.rolling_baseline),
            "prior": msgspec.structs.asdict(model.rolling_references.prior),
            "no_change": msgspec.structs.asdict(model.rolling_references.no_change),
        },
    }


def _role(role: RoleFigures) -> dict[str, Any]:
    return {
        # Not `role`: that label names the process which exports this.
        "of_role": role.role,
        "process": role.instance,
        "running": role.state in ("running", "busy", "held"),
        "seen_ms": role.seen_ms,
        "restarts": role.restarts,
    }
