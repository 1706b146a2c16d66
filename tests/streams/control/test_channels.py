"""What roles tell each other comes back as it was said, on the log where it belongs, whatever else lies there."""

from __future__ import annotations

import typing
from pathlib import Path

import msgspec
import pytest

from freshet.schemas.wire import messages
from freshet.streams.control.channels import Channels, Follower, send
from freshet.streams.sqlite.log import SqliteLog

CHANNELS = Channels("app.control", "app.reports")
SAMPLES: dict[type, object] = {str: "a", int: -(1 << 62), bool: True, float: 0.1}


def sample(kind: type[messages.Message]) -> messages.Message:
    """A message with something in every field."""
    values = {}
    for name, type_ in typing.get_type_hints(kind).items():
        origin, arguments = typing.get_origin(type_), typing.get_args(type_)
        if origin is dict:
            values[name] = {"k": 3}
        elif origin is list:
            values[name] = ["x"]
        else:
            values[name] = SAMPLES.get(type_, SAMPLES.get(arguments[0] if arguments else str, "a"))
    return kind(**values)


ALL = [sample(kind) for kind in typing.get_args(messages.Message)]


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


def test_decisions_and_reports_go_to_logs_of_their_own_in_order_and_rubbish_is_skipped(tmp_path: Path) -> None:
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
