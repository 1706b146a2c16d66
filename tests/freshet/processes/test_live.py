"""What `freshet run` prints while it runs: each trouble once when it begins, and once when it is over."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from freshet.processes import live
from freshet.schemas.errors import ComponentError
from freshet.serving.status import status as s

WELL = s.Status(app="toy", at_ms=0)
AWAY = s.Status(
    app="toy",
    at_ms=0,
    outages=[
        s.OutageFigures(
            component="store",
            resource="Redis at here",
            cause="cannot be reached",
            meanwhile="views wait",
            next_step="Start it.",
            since_ms=1,
            roles=["view"],
        )
    ],
    alerts=[
        s.Alert(policy="feature_lag", subject="shops", light="red", reason="lag 9s", meaning="m", next_step="Look."),
        s.Alert(policy="outage", subject="store", light="red", reason="r", meaning="m", next_step="n"),
        s.Alert(
            policy="calibration", subject="x", light="red", reason="r", meaning="m", next_step="n", state="resolved"
        ),
    ],
    roles=[s.RoleFigures(role="view", instance="view", state="lost")],
)


def test_notices_are_outages_firing_alerts_and_lost_roles() -> None:
    found = live.notices(AWAY)
    assert list(found) == ["store away", "feature lag shops", "role view"]
    assert found["store away"] == "Redis at here is away: cannot be reached. Meanwhile: views wait. Start it."
    assert live.notices(WELL) == {}


def test_each_is_printed_once_when_it_begins_and_once_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, script = threading.Event(), [WELL, AWAY, None, AWAY, WELL]

    class Page:
        def __init__(self, run_dir: Path) -> None: ...

        def __enter__(self) -> Page:
            return self

        def __exit__(self, *_: object) -> None: ...

        def status(self) -> Any:
            now = script.pop(0)
            if not script:
                stop.set()
            if now is None:
                raise ComponentError("status page", "does not answer", "Wait.")
            return now

    monkeypatch.setattr(live, "PageClient", Page)
    monkeypatch.setattr(live, "TELL_SECONDS", 0.001)
    out = io.StringIO()
    live.tell_until(stop, Path("."), Console(file=out, width=60))
    lines = [line[10:] for line in out.getvalue().splitlines()]
    assert lines[:3] == list(live.notices(AWAY).values())
    assert sorted(lines[3:]) == ["feature lag shops: over", "role view: over", "store away: over"]
