"""What roles tell each other comes back as it was said, on the log where it belongs, whatever else
lies there."""

from __future__ import annotations

import typing
from pathlib import Path

import msgspec
import pytest

from freshet.schemas.wire import messages
from freshet.streams.control.channels import MESSAGE_BYTES, Channels, Follower, send
from freshet.streams.sqlite.log import SqliteLog

CHANNELS = Channels("app.control", "app.reports")
DIGEST = "0123456789abcdef" * 4
QUALITY = {"n": 3, "auc": None, "normalised_entropy": 0.9, "calibration": 1.0, "log_loss": 0.2}
ALL: list[messages.Message] = [
    messages.Progress("view", "view/1f", {"view:by_shop:0": 7}),
    messages.Cut("late", "river-0a", 3, 20, DIGEST, {"learned": 3, "rolling": QUALITY}),
    messages.Verdict("late", "river-0a", 3, 20, DIGEST, False, ["held back"], True, "ann@laptop"),
    messages.Ruling("late", "river-0a", 3, True, "ann@laptop", 9),
    messages.NewLineage("late", "river-r1-0a", "ann@laptop", 9),
    messages.Hold("late", True, 20, "a storm", "ann@laptop", 9),
    messages.Hold("late", True, 20, "silent", "condition c", 9, "c"),
    messages.Inputs("late", ["price"], "80% lack it", 20, 9),
    messages.Settled("late", 4, 20, "river-0a", 3, DIGEST, "no champion yet", True, 20),
    messages.Settled("late", 5, 20, None, None, None, "no lineage has an approved snapshot"),
    messages.Swapped("serve/1f", "late", "river-0a", 3, 20),
    messages.Logged("serve/1f", -1, 0),
    messages.Status(
        "view", "view/1f", 71, 9, {"held": False, "view:by_shop:0": {"events": 1, "keys": 1}}
    ),
    messages.Clock(7, True),
    messages.Tick(7),
    messages.Span(7, 8),
    messages.Setting("*", "snapshot_every", "2h", "ann@laptop", 9),
]


def test_there_is_a_sample_of_every_message() -> None:
    assert {type(m) for m in ALL} == set(typing.get_args(messages.Message))


@pytest.mark.parametrize("message", ALL, ids=lambda m: type(m).__name__)
def test_a_message_comes_back(message: messages.Message) -> None:
    assert messages.decode(messages.encode(message)) == message


def test_what_is_no_message_is_refused() -> None:
    for value in (
        b"",
        b"{",
        b"{}",
        b'{"type": "no such"}',
        b'{"type": "span", "start": 1}',
        b'{"type": "span", "start": 1, "end": "x"}',
        b'{"type": "\xff"}',
    ):
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            messages.decode(value)


def test_a_message_that_no_log_takes_is_left_out_and_of_figures_the_rest_is_told(
    tmp_path: Path,
) -> None:
    log = SqliteLog(tmp_path)
    for topic in CHANNELS:
        log.ensure(topic, 1)
    writer, everything = log.writer(), Follower(log, *CHANNELS)
    large = "x" * MESSAGE_BYTES
    told = {type(message): message for message in ALL}
    status = msgspec.structs.replace(told[messages.Status], facts={"task": large})
    verdict = msgspec.structs.replace(told[messages.Verdict], reasons=[large])
    setting = told[messages.Setting]
    send(writer, CHANNELS, [verdict, setting, status], 7)
    expected = [setting, msgspec.structs.replace(status, facts={})]
    assert sorted(map(repr, everything.poll(0.0))) == sorted(map(repr, expected))
    for one in (everything, writer, log):
        one.close()


def test_decisions_and_reports_go_to_logs_of_their_own_in_order_and_rubbish_is_skipped(
    tmp_path: Path,
) -> None:
    log = SqliteLog(tmp_path)
    for topic in CHANNELS:
        log.ensure(topic, 1)
    writer = log.writer()
    everything, control = Follower(log, *CHANNELS), Follower(log, CHANNELS.control)
    writer.append(CHANNELS.control, 0, [b"rubbish", b'{"type": "no such"}', b'{"type": "\xff"}'], 0)
    send(writer, CHANNELS, ALL, 7)
    send(writer, CHANNELS, [], 7)
    decisions = [m for m in ALL if isinstance(m, messages.CONTROL)]
    assert 0 < len(decisions) < len(ALL)
    assert control.poll(0.0) == decisions
    assert control.poll(0.0) == []
    assert sorted(map(repr, everything.poll(0.0))) == sorted(map(repr, ALL))
    assert control.position == len(decisions) + 3
    for one in (everything, control, writer, log):
        one.close()
