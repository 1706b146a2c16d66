"""Whatever stands on the logs of messages, a board takes it in or passes it over, and goes on
telling the status."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.wire import messages
from freshet.serving.alerts.alerts import Alerts
from freshet.serving.status import metrics as status_metrics
from freshet.serving.status.status import encode
from freshet.streams.vitals.metrics import text_of
from tests.odd_values import odd_records
from tests.serving.board.toy_run import Said, half_a_day

REAL: list[bytes] = []


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    found = half_a_day(tmp_path_factory.mktemp("said"))
    kinds = {type(m): m for m in [*found.messages, *found.statuses]}
    swapped = messages.Swapped(
        "serve/1", "unpaid", found.app.models[0].lineage(found.app.models[0].learners[0]), 1, 5
    )
    requests = {"answered": 3, "failed": 0, "rows": 3, "per_second": 1.0, "p99_ms": 2.0}
    outage = {
        "component": "log",
        "resource": "x",
        "cause": "y",
        "meanwhile": "z",
        "next_step": "w",
        "since": 5,
    }
    serve = messages.Status(
        "serve", "serve/1", 7, 5, {"requests": requests, "outages": [outage], "told_ms": 5}
    )
    settings_ = messages.Setting("orders", "lateness", "5m", "ann", 5)
    of_all = [*kinds.values(), *found.statuses, swapped, serve, settings_]
    REAL[:] = [messages.encode(m) for m in of_all]
    return found


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_nothing_that_is_said_keeps_a_board_from_telling(said: Said, seed: int) -> None:
    board = said.board(paced=False)
    board.alerts = Alerts("toy").observe
    for record in odd_records(REAL, seed):
        try:
            message = messages.decode(record)
        except msgspec.DecodeError:
            continue
        board.note(message)
        status = board.observe()
        assert encode(status)
        assert text_of(status_metrics.families(status))


def test_most_odd_values_are_set_aside(said: Said) -> None:
    """Else the property above would be about nothing."""
    outcomes = set()
    for real in REAL:
        messages.decode(real)
        for name in msgspec.json.decode(real):
            try:
                messages.decode(msgspec.json.encode({**msgspec.json.decode(real), name: [[]]}))
                outcomes.add("taken")
            except msgspec.DecodeError:
                outcomes.add("set aside")
    assert outcomes == {"set aside"}
