"""A person's word on a snapshot reaches release, and odd records around it stop nobody, over a
restart too."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from freshet.cli.main import cli
from freshet.explain.explain import explain
from freshet.runs.opened import opened
from freshet.runs.rulings import rule
from freshet.schemas.errors import RequestError
from freshet.schemas.wire.messages import Setting, Settled, Verdict, encode
from freshet.testing import LocalRun
from tests.freshet.toy_day import toy_day


def poison(local: LocalRun) -> None:
    """What used to stop roles for good: a duration without end, a tick in the year 36,000,000, a
    path, odd facts."""
    writer = local.log.writer()
    records = [
        encode(Setting("payments", "snapshot_every", "9" * 400 + "s", "x", 1)),
        encode(Settled("unpaid", 1, 1 << 60, None, None, None, "")),
        b'{"type":"cut","model":"unpaid","lineage":"../../x\\u0000","number":1,"tick":1,"digest":null,"stats":{}}',
        b'{"type":"status","role":"view","instance":"view/1","pid":1,"at":1,"facts":{"outages":7,"requests":[]}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ]
    for channel in local.app.channels:
        writer.append(channel, 0, records, 1)
    writer.flush()
    writer.close()


def test_a_ruling_is_carried_out_and_odd_records_stop_nobody(tmp_path: Path) -> None:
    def before(hour: int, local: LocalRun) -> None:
        if hour == 1:
            poison(local)

    with toy_day(tmp_path, before=before, hours=8) as (_, local):
        swaps = [swap for swap in local.swaps if swap.lineage is not None]
        assert len(swaps) >= 2
        newest = swaps[-1]
    assert newest.lineage is not None
    assert newest.number is not None
    with opened(tmp_path) as run:
        assert explain(run, "5.north").model == "unpaid"
    answer = CliRunner().invoke(
        cli, ["refuse", "unpaid", newest.lineage, str(newest.number), "--run-dir", str(tmp_path)]
    )
    assert answer.exit_code == 0, answer.output
    assert f"asked release to refuse snapshot {newest.number} of unpaid" in answer.output
    with toy_day(tmp_path, hours=0) as (_, again):
        told = [m for m in again.messages if isinstance(m, Verdict) and m.by]
        assert [(m.number, m.approved) for m in told] == [(newest.number, False)]
        order = again.swaps[-1]
        assert order.back
        assert order.number is not None
        assert order.number < newest.number


def test_what_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with toy_day(tmp_path, hours=1), opened(tmp_path) as run:
        with pytest.raises(RequestError, match="Its models are unpaid"):
            rule(run, "late", "x", 1, True, "ann")
        with pytest.raises(RequestError, match="Its own are "):
            rule(run, "unpaid", "x", 1, True, "ann")
        model = run.app.models[0]
        lineage = model.lineage(model.learners[0])
        with pytest.raises(RequestError, match="it was never cut"):
            rule(run, "unpaid", lineage, 9_999, True, "ann")
