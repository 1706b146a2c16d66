"""What roles tell each other: one JSON record each, told apart by `type`, on one of two logs of one partition.

The *control* log carries decisions and what they rest on (`Cut`, `Waiting`, `Verdict`, `Settled`, `Setting`): whoever
follows it from its start knows the same, in the same order. The *reports* log carries everything else: how far each role
is and how it is doing. There is much more of that, and who only acts on decisions is not woken by it.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Progress(msgspec.Struct, frozen=True, tag="progress", tag_field="type"):
    """A role has finished everything up to these ticks (app clock, ms), by task such as `view:origin_delay:0`."""

    role: str
    instance: str
    ticks: dict[str, int]


class Cut(msgspec.Struct, frozen=True, tag="cut", tag_field="type"):
    """A trainer cut a snapshot at a tick. `stats` are its prequential figures as of that tick."""

    model: str
    lineage: str
    number: int
    tick: int
    path: str
    stats: dict[str, Any]


class Waiting(msgspec.Struct, frozen=True, tag="waiting", tag_field="type"):
    """The first example that snapshot `number` of a lineage does not reflect was joined at `since` (app clock, ms)."""

    model: str
    lineage: str
    number: int
    since: int


class Verdict(msgspec.Struct, frozen=True, tag="verdict", tag_field="type"):
    """Release qualified a snapshot, or refused it with reasons."""

    model: str
    lineage: str
    number: int
    tick: int
    approved: bool
    reasons: list[str]


class Settled(msgspec.Struct, frozen=True, tag="settled", tag_field="type"):
    """Release has decided all that was due at `tick`; the alias stands at this lineage and snapshot (None: nothing
    approved yet)."""

    model: str
    alias: str
    tick: int
    lineage: str | None
    number: int | None
    path: str | None
    reason: str


class Swapped(msgspec.Struct, frozen=True, tag="swapped", tag_field="type"):
    """A scorer now answers from this snapshot."""

    instance: str
    model: str
    lineage: str
    number: int
    tick: int


class Logged(msgspec.Struct, frozen=True, tag="logged", tag_field="type"):
    """A scorer's predictions up to and including `sequence` are in the outcomes log, but for the `lost` that never will
    be (of all that it has answered so far)."""

    instance: str
    sequence: int
    lost: int


class Status(msgspec.Struct, frozen=True, tag="status", tag_field="type"):
    """A role's own figures, about once a second of wall time. `at` is wall time in ms."""

    role: str
    instance: str
    pid: int
    at: int
    facts: dict[str, Any]


class Clock(msgspec.Struct, frozen=True, tag="clock", tag_field="type"):
    """The app's clock is paced by a replay and stands at `now` (ms); `done` once its source has ended."""

    now: int
    done: bool


class Span(msgspec.Struct, frozen=True, tag="span", tag_field="type"):
    """A replay will go from `start` to about `end` (app clock, ms)."""

    start: int
    end: int


class Setting(msgspec.Struct, frozen=True, tag="setting", tag_field="type"):
    """A live setting of a topic (or of `*`) was changed: by whom, when (wall, ms)."""

    topic: str
    key: str
    value: str
    by: str
    at: int


Message = Progress | Cut | Waiting | Verdict | Settled | Swapped | Logged | Status | Clock | Span | Setting

CONTROL = Cut | Waiting | Verdict | Settled | Setting

encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def decode(value: bytes | memoryview) -> Message:
    """Raises `msgspec.DecodeError` (or `UnicodeDecodeError`) for what is no message."""
    return _decoder.decode(value)
