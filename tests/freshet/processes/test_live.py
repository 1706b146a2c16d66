"""What `freshet run` prints while it runs: each trouble once when it begins, and once when it is
over."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from freshet.processes import live
from freshet.schemas.errors import ComponentError, DefinitionError
from freshet.serving.status import status as s
from freshet.settings import Settings
from tests.toy_app import toy_app

UP = s.Clock(wall_seconds=live.SETTLING_SECONDS)
WELL = s.Status(app="toy", at_ms=0, clock=UP)
AWAY = s.Status(
    app="toy",
    at_ms=0,
    clock=UP,
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
        s.Alert(
            policy="feature_lag",
            subject="shops",
            light="red",
            reason="lag 9s",
            meaning="m",
            next_step="Look.",
        ),
        s.Alert(
            policy="outage", subject="store", light="red", reason="r", meaning="m", next_step="n"
        ),
        s.Alert(
            policy="calibration",
            subject="x",
            light="red",
            reason="r",
            meaning="m",
            next_step="n",
            state="resolved",
        ),
    ],
    roles=[s.RoleFigures(role="view", instance="view", state="lost")],
)


def test_notices_are_outages_firing_alerts_and_lost_roles() -> None:
    found = live.notices(AWAY)
    assert list(found) == ["store away", "feature lag shops", "role view"]
    assert (
        found["store away"]
        == "Redis at here is away: cannot be reached. Meanwhile: views wait. Start it."
    )
    assert live.notices(WELL) == {}


def printed(script: list[s.Status | None], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines, without their times, for one status after the other; None: the page does not
    answer."""
    stop, left = threading.Event(), list(script)

    class Page:
        def __init__(self, run_dir: Path) -> None: ...

        def __enter__(self) -> Page:
            return self

        def __exit__(self, *_: object) -> None: ...

        def status(self) -> Any:
            now = left.pop(0)
            if not left:
                stop.set()
            if now is None:
                raise ComponentError("status page", "does not answer", "Wait.")
            return now

    monkeypatch.setattr(live, "PageClient", Page)
    monkeypatch.setattr(live, "TELL_SECONDS", 0.001)
    out = io.StringIO()
    live.tell_until(stop, Path("."), Console(file=out, width=60))
    return [line[10:] for line in out.getvalue().splitlines()]


OVER = ["feature lag shops: over", "role view: over", "store away: over"]


def test_each_is_printed_once_when_it_begins_and_once_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = printed([WELL, AWAY, None, AWAY, WELL], monkeypatch)
    assert lines[:3] == list(live.notices(AWAY).values())
    assert sorted(lines[3:]) == OVER


def test_a_page_that_was_started_again_ends_nothing_and_begins_nothing_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    young = msgspec.structs.replace(WELL, clock=s.Clock(wall_seconds=live.SETTLING_SECONDS - 1))
    catching_up = msgspec.structs.replace(WELL, catching_up=True)
    lines = printed([AWAY, None, young, catching_up, AWAY, WELL], monkeypatch)
    assert lines[:3] == list(live.notices(AWAY).values())
    assert sorted(lines[3:]) == OVER


def test_a_run_whose_clock_nobody_moves_is_refused_with_the_way_to_replay(tmp_path: Path) -> None:
    given = Settings(run_dir=tmp_path / "run", replay=True)
    with pytest.raises(DefinitionError, match=r"replay=True.*freshet replay APP\.py DATA"):
        live.run_all(toy_app(), "app.py", given, Console(file=io.StringIO()))
    assert not (tmp_path / "run").exists()
