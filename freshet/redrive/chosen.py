"""Which dead letters are to be sent again, or given up: by topic, reason, field, source and time;
each with all of its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from freshet.dead_letters.letters import Letter, every
from freshet.dead_letters.value import readable
from freshet.runs.opened import OpenedRun
from freshet.schemas.avro.json_values import value_at
from freshet.schemas.errors import LogError
from freshet.schemas.topics.topic import Topic
from freshet.streams.log.spans import Found, PartitionSpans


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
    says, where it is so, why it cannot be sent again."""

    letter: Letter
    topic: Topic
    headers: tuple[bytes | None, ...] = ()
    why_not: str = ""


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
    try:
        headers = list(topic.headers.values())
        with PartitionSpans(run.log, run.app.log_of(topic.name), partition, headers) as spans:
            for letter in letters:
                yield _chosen(
                    topic,
                    letter,
                    spans.record(letter.offset),
                )
    except LogError:  # a log that was removed: there is what its letters have
        for letter in letters:
            yield _chosen(topic, letter, None)


def _chosen(topic: Topic, letter: Letter, record: Found | None) -> Chosen:
    if topic.explode is not None:
        # Its neighbours may have been taken: they would be taken once more.
        return Chosen(
            letter,
            topic,
            why_not="one of several events of its record",
        )
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
        return Chosen(letter, topic, headers, "it has no value")
    return Chosen(letter, topic, headers)


def _source_of(run: OpenedRun, one: Chosen) -> str | None:
    if one.topic.source is None:
        return None
    fields = readable(one.letter, one.topic, run.earlier(one.topic)).fields
    found = value_at(fields, one.topic.source)
    return None if found is None else str(found)
