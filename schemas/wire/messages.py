"""What roles tell each other: one JSON record each, told apart by `type`, on one of two logs of one
partition.

The *control* log carries decisions and what they rest on (`Cut`, `Verdict`, `NewLineage`, `Hold`,
`Inputs`, `Settled`, `Setting`, `Tick`): whoever follows it from its start knows the same, in the
same order.
The *reports* log carries everything else: how far each role is and how it is doing. There is much
more of that, and who only acts on decisions is not woken by it.

Whoever may write a log may write anything. So each type says what its fields may be, and `decode`
refuses all else: what comes out of it can be counted with, dated, shown and made part of a file's
name. It need not be true.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from freshet.schemas.wire import facts as facts_of
from freshet.schemas.wire.facts import ONE_LINE, Count, Line, Moment

# Part of a file's path: it begins with no dot, and has neither a slash nor a NUL.
Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}\Z")]
Instance = Annotated[Line, Meta(min_length=1)]
SnapshotNumber = Annotated[int, Meta(ge=0, le=2**31 - 1)]  # as in a prediction's row
OrderNumber = Annotated[int, Meta(ge=1, le=2**53)]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Reasons = Annotated[list[Line], Meta(max_length=50)]
TopicName = Annotated[str, Meta(pattern=r"\A(\*|[a-z][a-z0-9_]{0,62})\Z")]
Word = Annotated[str, Meta(max_length=64, pattern=ONE_LINE)]

MOST_BYTES = 8 << 20  # far beyond what a trainer with thousands of slices tells
# How far a tick may lie ahead of the clock of who reads it: more than clocks of machines differ,
# and little enough that nothing stands still for long behind one that was made up.
AHEAD_MS: Final = 600_000


class Progress(msgspec.Struct, frozen=True, tag="progress", tag_field="type"):
    """A role has finished everything up to these ticks (app clock, ms), by task such as
    `view:origin_delay:0`."""

    role: Word
    instance: Instance
    ticks: dict[str, Moment]


class Cut(msgspec.Struct, frozen=True, tag="cut", tag_field="type"):
    """A trainer cut a snapshot at a tick, which reflects all labels up to it. `digest` is that of
    its manifest, None where the learner has no arrays to export; `stats` are its prequential
    figures as of that tick (`freshet.schemas.wire.facts.CutStats`)."""

    model: Name
    lineage: Name
    number: SnapshotNumber
    tick: Moment
    digest: Digest | None
    stats: dict[str, Any]


class Verdict(msgspec.Struct, frozen=True, tag="verdict", tag_field="type"):
    """Release qualified a snapshot, or refused it, with reasons: why not, or why all the same.
    `held`: nothing is wrong with it but that it answers so differently. `by` is the person who
    decided it, empty where release did."""

    model: Name
    lineage: Name
    number: SnapshotNumber
    tick: Moment
    digest: Digest | None
    approved: bool
    reasons: Reasons
    held: bool = False
    by: Line = ""


class Ruling(msgspec.Struct, frozen=True, tag="ruling", tag_field="type"):
    """A person lets a snapshot be served, or not, at `at` (wall, ms)."""

    model: Name
    lineage: Name
    number: SnapshotNumber
    approved: bool
    by: Line
    at: Moment


class NewLineage(msgspec.Struct, frozen=True, tag="new_lineage", tag_field="type"):
    """A person started a lineage of a model at `at` (wall, ms); what it is of stands beside the
    checkpoints."""

    model: Name
    lineage: Name
    by: Line
    at: Moment


class Hold(msgspec.Struct, frozen=True, tag="hold", tag_field="type"):
    """The learning of a model is held, or goes on, from `tick` (app clock) on: what trainers read
    meanwhile is not learned. By a person, or by a `condition` of the model's, which is named; each
    holds by itself. `at` is wall, ms."""

    model: Name
    held: bool
    tick: Moment
    why: Line
    by: Line
    at: Moment
    condition: Line = ""


class Inputs(msgspec.Struct, frozen=True, tag="inputs", tag_field="type"):
    """From `tick` (app clock) on these features of a model are `missing`, and why; none: all are
    there. Scorers of a model that falls back for it answer without a model meanwhile. `at` is
    wall, ms."""

    model: Name
    missing: Annotated[list[Line], Meta(max_length=10_000)]
    why: Line
    tick: Moment
    at: Moment


class Settled(msgspec.Struct, frozen=True, tag="settled", tag_field="type"):
    """Release has decided all that was due at `tick`: scorers are to answer from this snapshot (all
    three None: nothing is approved yet), and why.

    It is an order. Orders of a model are numbered upwards, and one that names an earlier snapshot
    of a lineage than was ordered before counts only if it says that it goes `back`; see
    `freshet.streams.control.orders`. `reflects` is the tick at which the snapshot was cut: it
    reflects all labels up to then."""

    model: Name
    order: OrderNumber
    tick: Moment
    lineage: Name | None
    number: SnapshotNumber | None
    digest: Digest | None
    reason: Line
    back: bool = False
    reflects: Moment | None = None

    def __post_init__(self) -> None:
        known = [part is not None for part in (self.lineage, self.number, self.digest)]
        if any(known) and not all(known):
            raise ValueError("lineage, number and digest name a snapshot together")


class Swapped(msgspec.Struct, frozen=True, tag="swapped", tag_field="type"):
    """A scorer now answers from this snapshot."""

    instance: Instance
    model: Name
    lineage: Name
    number: SnapshotNumber
    tick: Moment


class Logged(msgspec.Struct, frozen=True, tag="logged", tag_field="type"):
    """A scorer's predictions up to and including `sequence` are in the outcomes log, but for the
    `lost` that never will be (of all that it has answered so far)."""

    instance: Instance
    sequence: Annotated[int, Meta(ge=-1, le=2**53)]  # -1: none yet
    lost: Count
    model: Word = ""  # of which: each model's predictions are numbered by themselves


class Status(msgspec.Struct, frozen=True, tag="status", tag_field="type"):
    """A role's own figures, about once a second of wall time. `at` is wall time in ms. What `facts`
    may be is said in `freshet.schemas.wire.facts`."""

    role: Word
    instance: Instance
    pid: Count
    at: Moment
    facts: dict[str, Any]


class Clock(msgspec.Struct, frozen=True, tag="clock", tag_field="type"):
    """The app's clock is paced by a replay and stands at `now` (ms); `done` once its source has
    ended."""

    now: Moment
    done: bool


class Tick(msgspec.Struct, frozen=True, tag="tick", tag_field="type"):
    """A replay has published all that comes before `now` (ms), and moves the app's clock there:
    intake says so in its outputs once it has read as far."""

    now: Moment


class Span(msgspec.Struct, frozen=True, tag="span", tag_field="type"):
    """A replay will go from `start` to about `end` (app clock, ms)."""

    start: Moment
    end: Moment


class Setting(msgspec.Struct, frozen=True, tag="setting", tag_field="type"):
    """A live setting of a topic (or of `*`) was changed: by whom, when (wall, ms)."""

    topic: TopicName
    key: Word
    value: Word
    by: Line
    at: Moment


Message = (
    Progress
    | Cut
    | Verdict
    | Ruling
    | NewLineage
    | Hold
    | Inputs
    | Settled
    | Swapped
    | Logged
    | Status
    | Clock
    | Tick
    | Span
    | Setting
)

CONTROL = Cut | Verdict | Ruling | NewLineage | Hold | Inputs | Settled | Setting | Tick

encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def decode(value: bytes | memoryview) -> Message:
    """Raises `msgspec.DecodeError` for what is no message, or says what none of ours would."""
    if len(value) > MOST_BYTES:
        raise msgspec.DecodeError(f"{len(value)} bytes, {MOST_BYTES} are allowed")
    try:
        found = _decoder.decode(value)
        match found:
            case Status():
                facts_of.check_status(found.facts)
            case Cut():
                facts_of.check_stats(found.stats)
            case _:
                pass
    except (UnicodeDecodeError, RecursionError) as error:  # bad UTF-8; nested without end
        raise msgspec.DecodeError(str(error)) from error
    return found


def newest_tick(message: Message) -> int | None:
    """The newest moment of the app's clock that a message says was reached; None where it says
    nothing of it."""
    match message:
        case Cut() | Verdict() | Settled() | Swapped():
            return message.tick
        case Tick():
            return message.now
        case Progress():
            return max(message.ticks.values(), default=None)
        case _:
            return None
