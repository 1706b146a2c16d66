"""Events pushed by producers over HTTP: judged as intake will judge them, then appended to their
topic's log.

The request has the shape of Feast's `/push`: a push source (here: a topic) and a data frame as
columns. Nothing of a push is appended if any of its events is refused, so that a producer mends and
sends the same push again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from freshet.schemas.durations import text_of
from freshet.schemas.errors import LogError, RequestError
from freshet.schemas.events.columns import BAD_TIME, OUT_OF_DOMAIN, REASONS, TOO_LARGE
from freshet.schemas.events.decode import Columns, EventCodec, decode
from freshet.schemas.events.field import BOUNDS, Field
from freshet.schemas.events.validation import timed
from freshet.schemas.events.writer import EventWriter, Misfit
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.topics.exploding import explode, without_event
from freshet.schemas.topics.reader import place_of, require_id
from freshet.schemas.topics.topic import Freshness, Topic
from freshet.streams.clock import Clock
from freshet.streams.intake.refusals import Keys, refuse_large
from freshet.streams.log.contract import Writer
from freshet.streams.log.errors import RecordTooLarge

log = structlog.get_logger()
MAX_EVENTS = 4096
_EXPECTED = {
    "string": "a text",
    "boolean": "true or false",
    "enum": "a text",
    "bytes": "bytes, as a text of which each character is one",
    "array": "a list of its items",
    "map": "an object",
}
EXAMPLE = '{"push_source_name": "topic", "df": {"field": [values, …], …}}'


class PushRequest(msgspec.Struct):
    """`push_source_name` is a topic, `df` a list for every field of its events, all of one length;
    a list may be left out if its field has a default. What a run takes in goes to the store and the
    log alike, so `to` changes nothing."""

    push_source_name: str
    df: dict[str, list[Any]]
    to: Literal["online", "online_and_offline"] = "online"


class PushAnswer(msgspec.Struct):
    """`accepted` events are in the topic's log. Duplicates of earlier events, and what a filter
    drops, are found there."""

    topic: str
    accepted: int


class Refusal(msgspec.Struct):
    """Why event `index` of a push was refused; `field` is null where no single field is at
    fault."""

    index: int
    reason: str
    field: str | None
    expected: str


class PushRefused(msgspec.Struct):
    """What is wrong with the push; `refused` are its events that were, if any. None of the push was
    appended."""

    error: str
    refused: list[Refusal] = []


class EventsRefused(RequestError):
    """Some events of a push are not as their topic's schema says."""

    def __init__(self, topic: str, events: int, refused: list[Refusal]) -> None:
        first = refused[0]
        where = f"event {first.index}" + (f", field {first.field!r}" if first.field else "")
        super().__init__(
            f"push to {topic}",
            f"{len(refused)} of {events} events are refused, so none was appended; "
            f"{where}: {first.reason}",
            f"Send {first.expected}.",
        )
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Judged:
    """Accepted events as records, and the partition of each, int64 `[n]`."""

    values: list[bytes]
    partitions: npt.NDArray[np.int64]


_request = msgspec.json.Decoder(PushRequest)


def read_request(body: bytes | memoryview) -> PushRequest:
    """Raises `RequestError` for what is no push; the text says where."""
    try:
        return _request.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("body", f"is no push: {error}", f"Send JSON as {EXAMPLE}.") from error


class TopicDoor:
    """Judges what is pushed to one topic; `freshness` tells its settings as they are now, `keys`
    the fields of the keys that are made of its events."""

    def __init__(
        self,
        topic: Topic,
        freshness: Callable[[str], Freshness] | None = None,
        keys: Iterable[Keys] = (),
    ) -> None:
        # Ids are held to the bound of keys.
        self._keys = {*keys}
        if topic.event_id is not None:
            self._keys.add((topic.event_id,))
        self.topic = topic
        self._schema = topic.records
        self._codec = EventCodec(topic.records)
        self._writer = EventWriter(topic.records)
        self._freshness = freshness or (lambda name: topic.freshness)

    def judge(self, columns: Mapping[str, Sequence[Any]], now_ms: int) -> Judged:
        """The events as records of the topic's schema.

        Raises:
            EventsRefused: some events break the schema or its rules, by intake's own judgement.
            RequestError: the columns are not the topic's, or not of one length.
        """
        n = self._rows(columns)
        names = list(columns)
        values: list[bytes] = []
        misfits: dict[int, Misfit] = {}
        for i, row in enumerate(zip(*columns.values())):
            try:
                values.append(self._writer.encode(dict(zip(names, row))))
            except Misfit as misfit:
                misfits[i] = misfit
        # From a record's place among `values` back to its place in the push.
        kept = [i for i in range(n) if i not in misfits]
        refused = [self._misfit(i, misfit) for i, misfit in misfits.items()]
        # With its type: where all are misfits the list is empty, and its sums would be floats.
        ends = np.cumsum([len(v) for v in values], dtype=np.int64)
        starts = ends - np.array([len(v) for v in values], np.int64)
        # Read back as intake will read it, so that what it would bury is refused here.
        decoded = decode(np.frombuffer(b"".join(values), np.uint8), starts, ends, self._codec)
        refused += self._broken(decoded, kept, now_ms)
        if refused:
            # In the order of the push: misfits were found before the others.
            raise EventsRefused(self.topic.name, n, sorted(refused, key=lambda r: r.index))
        if self.topic.record_id is None:
            places = [place_of(value, self.topic.partitions) for value in values]
            return Judged(values, np.array(places, np.int64))
        return Judged(values, decoded.key(self.topic.record_id).partitions(self.topic.partitions))

    def _broken(self, records: Columns, kept: Sequence[int], now_ms: int) -> list[Refusal]:
        """Records of which an event breaks a rule, each by the first that does; `kept` are their
        places in the push."""
        events: Columns = records
        parents = np.arange(records.n)
        if self.topic.exploding is not None:
            exploded = explode(records, self.topic.exploding)
            events = exploded
            parents = exploded.parents
        now = np.full(events.n, now_ms)
        timed(events, self.topic.time, now, self._settings.ms("max_future"))
        refuse_large(events, self._keys)
        # What is no event breaks no rule.
        without_event(events)
        rows = np.flatnonzero(events.reason)
        _, first = np.unique(parents[rows], return_index=True)
        rows = rows[first]
        found = []
        for row, name in zip(rows.tolist(), events.at_fault(rows)):
            index = kept[int(parents[row])]
            reason = int(events.reason[row])
            field = None
            if name is not None:
                field = events.schema[name]
            if field is not None and REASONS[reason] == "far_future":
                found.append(self._far_future(index, field, now_ms))
            else:
                found.append(self._refusal(index, reason, field))
        return found

    def _misfit(self, index: int, misfit: Misfit) -> Refusal:
        field = None
        if misfit.field >= 0:
            field = self._schema.fields[misfit.field]
        return self._refusal(index, misfit.reason, field)

    @property
    def _settings(self) -> Freshness:
        return self._freshness(self.topic.name)

    def _rows(self, columns: Mapping[str, Sequence[Any]]) -> int:
        known = [f.name for f in self._schema.fields]
        # What is nested may come by its path, or as objects from any level up.
        levels = {level for name in known for level in _levels(name)}
        other = [name for name in columns if name not in levels]
        if other or not columns:
            raise RequestError(
                f"push to {self.topic.name}",
                f"has unknown columns {', '.join(other)}" if other else "has no columns",
                f"The fields are {', '.join(known)}.",
            )
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {n}" for name, n in lengths.items())
            raise RequestError(
                f"push to {self.topic.name}",
                f"columns differ: {told}",
                "Send lists of one length.",
            )
        n = next(iter(lengths.values()))
        if not 1 <= n <= MAX_EVENTS:
            raise RequestError(
                f"push to {self.topic.name}",
                f"has {n} events",
                f"Send 1 to {MAX_EVENTS} events a request.",
            )
        return n

    def _refusal(self, index: int, reason: int, field: Field | None) -> Refusal:
        name = None
        if field is not None:
            name = field.name
        return Refusal(index, REASONS[reason], name, self._expected(reason, field))

    def _far_future(self, index: int, field: Field, now_ms: int) -> Refusal:
        """It says whose now the time is held against, since it may be another's clock that is
        wrong."""
        date = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_ms / 1000))
        ahead = text_of(self._settings.ms("max_future"))
        assert self.topic.time is not None  # where records have times of their own, none is ahead
        expected = (
            f"a time ({self.topic.time.counted}) that is at most {ahead} after this app's "
            f"clock, which stood at {now_ms} ms since 1970 ({date})"
        )
        return Refusal(index, "far_future", field.name, expected)

    def _expected(self, reason: int, f: Field | None) -> str:
        if f is None:
            return "text that is UTF-8"
        if reason == BAD_TIME and self.topic.time is not None:
            return f"a time from 1900 on ({self.topic.time.counted})"
        if reason == TOO_LARGE:
            return f"keys and ids of at most {KEY_BYTES} bytes"
        if reason == OUT_OF_DOMAIN:
            return "one of " + ", ".join(f.domain or f.symbols)
        if REASONS[reason] == "out_of_range":
            return " to ".join(f.bounds_text) if f.range else "a finite number"
        if f.type in BOUNDS:
            return f"a whole number ({f.type})"
        if f.type == "decimal":
            whole = f.precision - f.scale
            return f"a decimal of at most {whole} digits before and {f.scale} after the point"
        return _EXPECTED.get(f.type, "a number")


def _levels(path: str) -> Iterator[str]:
    """A path, and those of all that it is in: of `a.b.c` also `a.b` and `a`."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def _refused_by_log(topic: str, values: Sequence[bytes], error: RecordTooLarge) -> RequestError:
    """The log would refuse it tomorrow, too: no outage, and no use in sending it again."""
    limit = error.limit
    if limit is None:
        return RequestError(f"push to {topic}", error.cause, "Send smaller events.", status=413)
    refused = [
        Refusal(i, REASONS[TOO_LARGE], None, f"events of at most {limit} bytes")
        for i, value in enumerate(values)
        if len(value) > limit
    ]
    return EventsRefused(topic, len(values), refused)


class Pusher:
    """Takes pushes in and appends them. `topics` come with their logs' names; `freshness` tells a
    topic's settings as they are now (default: as declared), `keys` the fields of the keys that are
    made of a topic's events, by its name, `closed` the logs of those topics that others write.
    Not thread-safe."""

    def __init__(
        self,
        topics: Sequence[tuple[Topic, str]],
        open_writer: Callable[[], Writer],
        clock: Clock,
        freshness: Callable[[str], Freshness] | None = None,
        keys: Mapping[str, Iterable[Keys]] | None = None,
        closed: Mapping[str, str] | None = None,
    ) -> None:
        known = keys or {}
        self._closed = closed or {}
        self._doors = {t.name: TopicDoor(t, freshness, known.get(t.name, ())) for t, _ in topics}
        self._logs = {t.name: name for t, name in topics}
        self._open_writer = open_writer
        self._clock = clock
        self._writer: Writer | None = None

    def push(self, request: PushRequest) -> PushAnswer:
        """Append the events, with the app's time, to the partitions of their ids, and return once
        they are safe.

        Raises:
            RequestError: there is no such topic, an event is larger than its log takes, or as
            `TopicDoor.judge`. LogError: the log is away; what of the push is in it already is a
            duplicate when it is sent again.
        """
        topic = request.push_source_name
        if topic not in self._doors:
            raise RequestError(
                f"topic {topic!r}", "is unknown", f"The topics are {', '.join(self._doors)}."
            )
        if topic in self._closed:
            raise RequestError(
                f"push to {topic}",
                f"is refused: it is read from {self._closed[topic]}, which others write",
                "Have its own producers send the events.",
            )
        require_id(self._doors[topic].topic, f"push to {topic}")
        # One moment for the whole push: it is stamped with that by which it is judged.
        now_ms = self._clock.now_ms()
        judged = self._judged(topic, request.df, now_ms)
        try:
            # At the first push: a scorer that takes none opens none.
            self._writer = self._writer or self._open_writer()
            for p in np.unique(judged.partitions).tolist():
                mine = np.flatnonzero(judged.partitions == p).tolist()
                self._writer.append(self._logs[topic], p, [judged.values[i] for i in mine], now_ms)
            self._writer.flush()
        except RecordTooLarge as error:
            self._forget()
            raise _refused_by_log(topic, judged.values, error) from error
        except LogError:
            self._forget()
            raise
        return PushAnswer(topic, len(judged.values))

    def _judged(self, topic: str, columns: Mapping[str, Sequence[Any]], now_ms: int) -> Judged:
        """What no value can be taken for, such as a number of a thousand digits, is the push's
        fault, too."""
        try:
            return self._doors[topic].judge(columns, now_ms)
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            cause = f"cannot be read ({type(error).__name__}: {error})"
            raise RequestError(
                f"push to {topic}", cause, "Send values of the fields' own types."
            ) from error

    def _forget(self) -> None:
        """A writer that failed still holds what it could not append, and would append it with the
        next push."""
        writer = self._writer
        self._writer = None
        try:
            if writer is not None:
                writer.close()
        except LogError as error:
            log.warning("a writer that failed cannot be closed", error=str(error))

    def close(self) -> None:
        """Also from another thread: it ends a flush that waits for the log."""
        self._forget()
