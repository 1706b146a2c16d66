"""Where lights turn: the bounds that promises and alerts share, so that the two never disagree."""

from __future__ import annotations

from freshet.schemas.durations import HOUR_MS
from freshet.serving.status.status import Light

# Beyond its SLO by less than this factor, a lag is amber.
RED_LAG = 1.2
# Shares of a topic's records that end as dead letters.
DEAD_SHARE = 0.02
RED_DEAD_SHARE = 0.2
# A share of fewer records says nothing: the very first one may be dead.
DEAD_RECORDS = 200
# Shares of a source's newest events that are late.
LATE_SHARE = 0.02
RED_LATE_SHARE = 0.2
# A share of fewer events says nothing.
LATE_EVENTS = 20
# So long one late event keeps its source among the late (app clock).
LATE_FOR_MS = HOUR_MS
# So long after its hour (event time) drift is told of.
DRIFT_MS = 24 * HOUR_MS
# Of the time after which a log deletes a record by itself: how old what is not archived may be
# before it is amber, and before it is red.
RETENTION_SHARES = (0.5, 0.8)


def lag_light(lag_ms: int | None, slo_ms: int | None, red_lag: float = RED_LAG) -> Light:
    """Amber where nothing is known: what nobody has heard of is not said to hold."""
    if lag_ms is None or slo_ms is None:
        return "amber"
    if lag_ms <= slo_ms:
        return "green"
    if lag_ms <= red_lag * slo_ms:
        return "amber"
    return "red"
