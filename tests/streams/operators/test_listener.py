"""Settings are taken on at a checkpoint that records them, and never for what was told before."""

from __future__ import annotations

from freshet.schemas.wire.messages import Setting
from freshet.streams.control.channels import send
from freshet.streams.operators.loop import Rhythm
from tests.streams.operators.deaths import CHANNELS
from tests.streams.operators.toys import AT_EVERY_STEP, LANDINGS, Bench, Fragile, Patient

ROUNDS, STEP_MS = 8, 3_000


def test_a_setting_is_taken_on_at_a_checkpoint_that_records_it_and_survives_restarts(
    bench: Bench,
) -> None:
    bench.kind = Patient
    bench.put(0, b"a", b"b")
    op = bench.operator(AT_EVERY_STEP, declared=LANDINGS)
    op.step(0.0)
    send(bench.writer, CHANNELS, [Setting("landings", "lateness", "7m", "ann", 1)], 1)
    op.step(0.0)
    assert bench.made[0].taken == [(2, "7m")]
    bench.put(0, b"c")
    op.step(1.0)
    op.close()  # killed: what came after the setting is not saved
    again = bench.operator(AT_EVERY_STEP, declared=LANDINGS)
    again.step(0.0)
    assert bench.made[0].taken == [(2, "7m")], "from its checkpoint"
    assert bench.made[1].taken == [(0, "7m")]
    assert bench.made[0].seen == 3
    again.close()


def test_a_setting_that_came_while_it_was_killed_is_not_taken_on_for_what_was_told_before(
    bench: Bench,
) -> None:
    bench.kind = Patient
    bench.put(0, b"a", b"b")
    op = bench.operator(AT_EVERY_STEP, declared=LANDINGS)
    op.step(0.0)
    op.close()  # killed: what it told of both is in the log, and no checkpoint
    send(bench.writer, CHANNELS, [Setting("landings", "lateness", "7m", "ann", 1)], 1)
    again = bench.operator(AT_EVERY_STEP, declared=LANDINGS)
    for _ in range(3):
        again.step(0.0)
    assert bench.made[0].taken == [(2, "7m")]
    again.close()


def test_a_setting_that_came_before_a_crash_is_not_taken_on_for_what_was_told_before(
    bench: Bench,
) -> None:
    class Both(Patient, Fragile):
        """Crashes, and takes settings on."""

    bench.kind = Both
    bench.put(0, b"a", b"b")
    now = [0.0]
    op = bench.operator(Rhythm(listen_seconds=0.2, wall=lambda: now[0]), declared=LANDINGS)
    op.step(0.0)
    bench.made[0].refusals = 2
    bench.put(0, b"c")
    op.step(0.0)
    send(bench.writer, CHANNELS, [Setting("landings", "lateness", "7m", "ann", 1)], 1)
    now[0] += 0.2
    op.step(0.0)  # the setting is heard, and the rows cannot be written
    bench.put(0, b"d", b"bad")
    for _ in range(12):
        op.step(0.0)
    assert [at >= 2 for at, _ in bench.made[0].taken] == [True]
    op.close()


def test_who_gets_a_partition_hears_all_that_was_set_before_it_tells_the_task(bench: Bench) -> None:
    bench.kind = Patient
    bench.put(0, b"a")
    now = [0.0]
    rhythm = Rhythm(listen_seconds=0.2, wall=lambda: now[0])
    long_there = bench.operator(rhythm, declared=LANDINGS)
    long_there.step(0.0)
    bench.given[0].take_away([("in", 0)])
    other = bench.operator(AT_EVERY_STEP, declared=LANDINGS, group="of another member")
    send(bench.writer, CHANNELS, [Setting("landings", "lateness", "7m", "ann", 1)], 1)
    other.step(0.0)
    assert bench.made[0].taken == [(1, "7m")]
    other.close()
    bench.given[0].give_back([("in", 0)])
    for _ in range(2):
        long_there.step(0.0)
        assert bench.made[0].taken == [(1, "7m")], "what it was declared with is out of date"
    now[0] += 0.2
    long_there.step(0.0)
    assert bench.made[0].taken == [(1, "7m")]
    long_there.close()
