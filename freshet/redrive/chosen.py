"""Which dead letters are to be sent again, or given up: by topic, reason, field, source and time;
each with all of its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from freshet.dead_letters.letters import Letter, every
from freshet.dead_letters.value import readable
from freshet.runs.opened import OpenedRun
from freshet.schemas.avro.json_values import value_at
from freshet.schemas.errors import LogError
from freshet.schemas.topics.topic import Topic
from freshet.streams.fates.told import Told, runs_of
from freshet.streams.log.spans import Found, PartitionSpans
from freshet.streams.redrive.records import ALL


@dataclass(frozen=True, slots=True)
class Wanted:
    """Letters of this `topic`, `reason`, `field` at fault, of events of this `source`, buried from
    `since_ms` on and before `until_ms`; None: of any."""

    topic: str | None = None
    reason: str | None = None
    field: str | None = None
    source: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A letter of a topic of the app, with its record's headers that the topic reads; `why_not`
    says, where it is so, why it cannot be sent again. Of a record that holds several events the
    `element` says which one it is about (`ALL`: all of it)."""

    letter: Letter
    topic: Topic
    headers: tuple[bytes | None, ...] = ()
    why_not: str = ""
    element: int | None = None


def chosen(run: OpenedRun, wanted: Wanted) -> list[Chosen]:
    """In the order in which they were buried.

    Raises:
        RequestError: there is no such topic or reason.
    """
    topics = {topic.name: topic for topic in run.app.topics}
    by_partition: dict[tuple[str, int], list[Letter]] = {}
    order: list[Letter] = []
    for letter in every(run, wanted.topic, wanted.reason):
        # What crashed an operator within the app is no event of a topic.
        if letter.topic in topics and _is_wanted(letter, wanted):
            order.append(letter)
            by_partition.setdefault((letter.topic, letter.partition), []).append(letter)
    found: dict[Letter, Chosen] = {}
    for (name, partition), letters in by_partition.items():
        for one in _with_records(run, topics[name], partition, letters):
            found[_key(one.letter)] = one
    kept = [found[_key(letter)] for letter in order]
    if wanted.source is None:
        return kept
    return [one for one in kept if _source_of(run, one) == wanted.source]


def _key(letter: Letter) -> Letter:
    """By its place alone."""
    return replace(
        letter,
        append_ms=None,
        size=0,
        value=b"",
        detail=None,
    )


def _is_wanted(letter: Letter, wanted: Wanted) -> bool:
    if wanted.field not in (None, letter.field):
        return False
    if wanted.since_ms is not None and letter.buried_ms < wanted.since_ms:
        return False
    return wanted.until_ms is None or letter.buried_ms < wanted.until_ms


def _with_records(
    run: OpenedRun, topic: Topic, partition: int, letters: Sequence[Letter]
) -> Iterator[Chosen]:
    """Each with all of its record, read from the topic's own log or its archive."""
    wholes = _wholes(
        run,
        topic,
        partition,
        letters,
    )
    try:
        headers = list(topic.headers.values())
        with PartitionSpans(run.log, run.app.log_of(topic.name), partition, headers) as spans:
            for letter in letters:
                one = _chosen(
                    topic,
                    letter,
                    spans.record(letter.offset),
                )
                yield _with_element(
                    one,
                    wholes,
                )
    except LogError:  # a log that was removed: there is what its letters have
        for letter in letters:
            yield _with_element(_chosen(topic, letter, None), wholes)


def _chosen(topic: Topic, letter: Letter, record: Found | None) -> Chosen:
    headers: tuple[bytes | None, ...] = (None,) * len(topic.headers)
    if record is not None:
        headers = tuple(
            bytes(one.data[one.start[0] : one.end[0]]) if one.valid[0] else None
            for one in record.headers
        )
        value = bytes(record.value)
        letter = replace(
            letter,
            append_ms=record.time_ms,
            size=len(value),
            value=value,
        )
    if letter.size > len(letter.value):
        return Chosen(
            letter,
            topic,
            headers,
            "its record is gone, and longer than what was kept",
        )
    if not letter.value:
        return Chosen(
            letter,
            topic,
            headers,
            "it has no value",
        )
    return Chosen(
        letter,
        topic,
        headers,
    )


def _wholes(
    run: OpenedRun, topic: Topic, partition: int, letters: Sequence[Letter]
) -> Mapping[int, bool | None]:
    """Of records that hold several events, by offset, whether a letter is about all of the record;
    None: nothing is told of it yet. What became of a second event of it says that it is not."""
    if topic.explode is None:
        return {}
    with PartitionSpans(run.log, run.app.fates_log_of(topic)) as spans:
        batches = list(spans.read(spans.first, spans.after))
    told = Told(runs_of(batches, topic.name), partition)
    found: dict[int, bool | None] = {}
    for offset in sorted({letter.offset for letter in letters}):
        is_told = told.fate((offset, 0)) is not None
        found[offset] = told.fate((offset, 1)) is None if is_told else None
    return found


def _with_element(one: Chosen, wholes: Mapping[int, bool | None]) -> Chosen:
    letter = one.letter
    if letter.offset not in wholes:
        return one
    is_whole = wholes[letter.offset]
    if is_whole is None:
        return replace(
            one,
            why_not="of what else its record holds nothing is told yet",
        )
    # Its neighbours may have been taken: they are not sent.
    return replace(
        one,
        element=ALL if is_whole else letter.place,
    )


def _source_of(run: OpenedRun, one: Chosen) -> str | None:
    if one.topic.source is None:
        return None
    fields = readable(one.letter, one.topic, run.earlier(one.topic)).fields
    found = value_at(
        fields,
        one.topic.source,
    )
    return None if found is None else str(found)
