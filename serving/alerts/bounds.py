"""What alerts rest on beside a `Status`: the bounds, and the figures of late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from freshet.schemas.durations import HOUR_MS
from freshet.serving.status.bounds import (
    DEAD_RECORDS,
    DEAD_SHARE,
    DRIFT_MS,
    LATE_SHARE,
    RED_DEAD_SHARE,
    RED_LAG,
    RED_LATE_SHARE,
)


@dataclass(frozen=True, slots=True)
class AlertBounds:
    """When something is wrong.

    A lag is red beyond `red_lag` times its SLO. A source is silent after `silent_intervals` of its
    usual intervals and at least `silent_ms` (app clock), if `silent_missed` of its events were to
    be expected by what the topic's other sources brought meanwhile; a topic after
    `topic_silent_ms`; neither is judged before `silent_events`. Dead letters are a share of the
    newest `dead_window` records, once there are `dead_records`. Late events are a share of a
    source's newest ones, see `freshet.serving.status.promises.recently_late`. Calibration is that
    of the newest labelled answers (mean prediction over the share that came true), once there are
    `labelled`; of classes confidence is (mean highest probability over accuracy); the RMSE of
    numbers is held to `over_prior` times that of the mean label so far. `restarts` are allowed
    within `restarts_ms` (wall). Questions in conflict are told of for `conflict_ms` (app clock)
    after the newest, drift for `drift_ms` after the hour that was unlike others.
    """

    red_lag: float = RED_LAG
    silent_intervals: float = 10.0
    silent_ms: int = 5 * 60_000
    silent_missed: float = 15.0
    silent_events: int = 20
    # Beyond any night: with all its sources silent there is nothing to tell a night by.
    topic_silent_ms: int = 24 * HOUR_MS
    dead_share: float = DEAD_SHARE
    red_dead_share: float = RED_DEAD_SHARE
    dead_records: int = DEAD_RECORDS
    # Promises judge the whole run; an alert is to go once the producer is mended.
    dead_window: int = 1_000
    late_share: float = LATE_SHARE
    red_late_share: float = RED_LATE_SHARE
    calibration: tuple[float, float] = (0.8, 1.25)
    red_calibration: tuple[float, float] = (0.5, 2.0)
    confidence: tuple[float, float] = (0.8, 1.25)
    red_confidence: tuple[float, float] = (0.5, 2.0)
    # A learner that has found nothing yet answers about the mean, and is a little worse by chance.
    over_prior: float = 1.1
    red_over_prior: float = 2.0
    labelled: int = 500
    restarts: int = 3
    restarts_ms: int = 10 * 60_000
    conflict_ms: int = HOUR_MS
    drift_ms: int = DRIFT_MS


@dataclass(frozen=True, slots=True)
class Missed:
    """How many events of a source were to be expected since its newest one, by what its topic's
    other sources brought meanwhile; and the most that it was `usually` missed by lately before it
    came back."""

    events: float
    usually: float = 0.0


@dataclass(frozen=True, slots=True)
class Recent:
    """Figures of late. `records` and `dead` (by reason) are the newest of each topic, `missed` is
    by topic and source, `restarts` by role and instance."""

    records: Mapping[str, int] = field(default_factory=dict)
    dead: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    missed: Mapping[tuple[str, str], Missed] = field(default_factory=dict)
    restarts: Mapping[tuple[str, str], int] = field(default_factory=dict)
