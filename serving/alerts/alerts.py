"""Alerts in time: what `alert_policy` finds at each moment, told once when it has held, and once
when it is gone.

Told is: to the log, to whoever reads `current` (the page), and to a webhook.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from freshet.serving.alerts.bounds import AlertBounds
from freshet.serving.alerts.policy import alerts
from freshet.serving.alerts.webhook import Webhook
from freshet.serving.alerts.window import Window
from freshet.serving.status.status import Alert, Status

log = structlog.get_logger()
# A role that is started again, or a bound passed by one batch, is nobody's business.
HOLD_SECONDS = 5.0
# Longer than holding: what comes and goes is one alert, not one a minute.
RESOLVE_SECONDS = 30.0
KEPT = 50  # resolved alerts


@dataclass(slots=True)
class _Case:
    """An alert by its identity: first and last found (wall, ms), and whether it was told."""

    alert: Alert
    first_ms: int
    last_ms: int
    told: bool = False


class Alerts:
    """Used by one thread; time is that of the statuses (wall), so it may be driven by hand.

    An alert fires once it was found at every moment for `hold_seconds`, and resolves once it was
    found at none for `resolve_seconds`. After the run's end nothing fires or resolves: what was
    wrong then stays on the page.
    """

    def __init__(
        self,
        app: str,
        webhook: str = "",
        bounds: AlertBounds | None = None,
        hold_seconds: float = HOLD_SECONDS,
        resolve_seconds: float = RESOLVE_SECONDS,
    ) -> None:
        self._bounds = bounds or AlertBounds()
        self._window = Window(self._bounds)
        self._hold_ms = hold_seconds * 1000
        self._resolve_ms = resolve_seconds * 1000
        self._webhook = None
        if webhook:
            self._webhook = Webhook(webhook, app)
        self._cases: dict[tuple[str, str], _Case] = {}
        self._resolved: deque[Alert] = deque(maxlen=KEPT)

    def observe(self, status: Status) -> list[Alert]:
        """The alerts as of this status: firing ones (red first, then the oldest), then resolved
        ones, newest first."""
        if not status.over:
            for alert in alerts(status, self._window.observe(status), self._bounds):
                self._found(alert, status.at_ms)
            # After those that were found, which have this status's moment now.
            gone = [case for case in self._cases.values() if case.last_ms != status.at_ms]
            for case in gone:
                self._gone(case, status.at_ms)
        firing = [case.alert for case in self._cases.values() if case.told]
        firing.sort(key=lambda alert: (alert.light != "red", alert.since_ms))
        return [*firing, *self._resolved]

    def close(self) -> None:
        """What the webhook has not told yet is tried once more."""
        if self._webhook is not None:
            self._webhook.close()

    def _found(self, alert: Alert, now_ms: int) -> None:
        case = self._cases.setdefault((alert.policy, alert.subject), _Case(alert, now_ms, now_ms))
        # Some policies know since when it is so, which may be before this process looked.
        case.alert = replace(alert, since_ms=alert.since_ms or case.first_ms)
        case.last_ms = now_ms
        if not case.told and now_ms - case.first_ms >= self._hold_ms:
            case.told = True
            self._tell(case.alert)

    def _gone(self, case: _Case, now_ms: int) -> None:
        # Nobody was told of what did not hold, so it goes at once: when it comes back it has to
        # hold anew.
        if case.told and now_ms - case.last_ms < self._resolve_ms:
            return
        del self._cases[case.alert.policy, case.alert.subject]
        if case.told:
            resolved = replace(case.alert, state="resolved", resolved_ms=now_ms)
            self._resolved.appendleft(resolved)
            self._tell(resolved)

    def _tell(self, alert: Alert) -> None:
        named = {"policy": alert.policy, "subject": alert.subject}
        if alert.state == "resolved":
            seconds = round(((alert.resolved_ms or 0) - alert.since_ms) / 1000, 1)
            log.info("alert is resolved", **named, lasted_seconds=seconds)
        else:
            tell = log.warning
            if alert.light == "red":
                tell = log.error
            tell(
                "alert",
                **named,
                light=alert.light,
                reason=alert.reason,
                meaning=alert.meaning,
                next_step=alert.next_step,
            )
        if self._webhook is not None:
            self._webhook.tell(alert)
