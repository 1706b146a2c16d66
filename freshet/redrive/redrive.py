"""Sends dead letters again, or gives them up. What has been sent once is not sent once more; and
what is sent goes slowly, so that live events do not wait for it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from freshet.past.events import lazy_frame_of
from freshet.redrive.chosen import Chosen, Wanted, chosen
from freshet.redrive.elements import event_of, record_of
from freshet.redrive.patching import Patches, patched
from freshet.redrive.state import Place, SentAgain, now_ms
from freshet.runs.opened import OpenedRun
from freshet.schemas.events.writer import Misfit
from freshet.schemas.topics.reader import EventReader
from freshet.schemas.topics.topic import Topic
from freshet.streams.archive.events import EVENT
from freshet.streams.clock import WallClock
from freshet.streams.labels.letters import is_of_label
from freshet.streams.redrive.records import Again, blocks_of

FIRST = 100  # letters, by which it is seen whether the rest is to follow
LEAST_TAKEN = 0.95  # of them
LIVE_SHARE = 0.05  # of the rate at which live events come
LIVE_MS = 300_000  # over which that is measured
GIVEN_UP = "given up"
TAKEN = "taken already, under the same id"
# Of a letter that was sent; a repeat changed nothing, and is no failure.
_SOUND = ("applied", "deduplicated")
Kind = tuple[str, str]


@dataclass
class Outcome:
    """By topic and reason of letters how many would become, or became, what. `sent_before` were
    left out; of those that were sent `stopped` says, where it is so, why the rest was not."""

    became: dict[Kind, Counter[str]] = field(default_factory=dict)
    sent_before: int = 0
    sent: int = 0
    stopped: str = ""

    def note(self, one: Chosen, what: str) -> None:
        kind = (one.letter.topic, one.letter.reason)
        self.became.setdefault(kind, Counter())[what] += 1


def place_of(one: Chosen) -> Place:
    letter = one.letter
    return letter.topic, letter.partition, letter.offset, letter.place


def again_of(one: Chosen, gives_up: bool) -> Again:
    letter = one.letter
    appended_ms = letter.append_ms
    if appended_ms is None:
        appended_ms = letter.buried_ms
    return Again(
        letter.partition,
        letter.offset,
        letter.place,
        appended_ms,
        None if gives_up else letter.value,
        one.headers,
        one.element,
        is_of_label(letter.reason, letter.detail),
    )


class Redrive:
    """Of the letters that are `wanted` those that were not sent again yet, with these `patches`."""

    def __init__(self, run: OpenedRun, wanted: Wanted, patches: Patches) -> None:
        self._run = run
        self._sent_again = SentAgain(run)
        had = self._sent_again.fates()
        every = chosen(run, wanted)
        self.outcome = Outcome()
        self.letters = [one for one in every if place_of(one) not in had]
        self.outcome.sent_before = len(every) - len(self.letters)
        if patches:
            self.letters = list(self._patched(patches))

    def _patched(self, patches: Patches) -> Iterator[Chosen]:
        for topic, own in _by_topic(self.letters):
            yield from patched(self._run, topic, own, patches)

    def trial(self, gives_up: bool = False) -> Outcome:
        """What would become of them."""
        would = SentAgain(self._run)
        for topic, own in _by_topic(self._left(gives_up)):
            fates = would.would_become(topic.name, [again_of(one, gives_up) for one in own])
            for one in own:
                self.outcome.note(one, fates[place_of(one)])
        return self.outcome

    def send(
        self,
        gives_up: bool = False,
        rate: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Outcome:
        """Send them; `rate` are letters a second (None: a twentieth of what comes live; where
        nothing does, without a bound). The first of them decide whether the rest follows.

        Raises:
            LogError: the log cannot be written.
        """
        letters = self._left(gives_up)
        if rate is None and not gives_up:
            rate = live_share(self._run, {one.topic.name for one in letters})
        first = letters
        rest: list[Chosen] = []
        if not gives_up:
            first = letters[:FIRST]
            rest = letters[FIRST:]
        self._append(first, gives_up, rate, sleep)
        taken = sum(self._note(first))
        if first and not gives_up and taken < LEAST_TAKEN * len(first):
            self.outcome.stopped = (
                f"of the first {len(first)} only {taken} were taken: {len(rest)} were not sent"
            )
            return self.outcome
        self._append(rest, gives_up, rate, sleep)
        self._note(rest)
        return self.outcome

    def _left(self, gives_up: bool) -> list[Chosen]:
        """Those that can be sent; what is against the others is noted."""
        if gives_up:
            return list(self.letters)
        # The event of a bad label was taken: what is sent again is its label.
        of_events = [one for one in self.letters if not _is_of_label(one)]
        taken = {
            place
            for topic, own in _by_topic(of_events)
            for place in _taken_already(self._run, topic, own)
        }
        left = []
        for one in self.letters:
            why_not = one.why_not
            if place_of(one) in taken:
                why_not = TAKEN
            if why_not:
                self.outcome.note(one, why_not)
            else:
                left.append(one)
        return left

    def _append(
        self,
        letters: Sequence[Chosen],
        gives_up: bool,
        rate: float | None,
        sleep: Callable[[float], None],
    ) -> None:
        size = FIRST
        if rate is not None:
            # About one record a second, or more.
            size = max(1, min(FIRST, int(rate)))
        writer = self._run.log.writer()
        try:
            for first in range(0, len(letters), size):
                part = letters[first : first + size]
                for topic, own in _by_topic(part):
                    sent = [again_of(one, gives_up) for one in own]
                    values = blocks_of(topic.name, sent)
                    writer.append(
                        self._run.app.redriven_log,
                        0,
                        values,
                        now_ms(self._run),
                    )
                writer.flush()
                self.outcome.sent += len(part)
                if rate is not None:
                    sleep(len(part) / rate)
        finally:
            writer.close()

    def _note(self, letters: Sequence[Chosen]) -> list[bool]:
        """What became of them, as the log says; whether that is what was wanted."""
        if not letters:
            return []
        self._sent_again.read()
        fates = self._sent_again.fates()
        for one in letters:
            self.outcome.note(one, fates[place_of(one)])
        return [fates[place_of(one)] in _SOUND for one in letters]


def _is_of_label(one: Chosen) -> bool:
    return is_of_label(one.letter.reason, one.letter.detail)


def _by_topic(letters: Iterable[Chosen]) -> Iterator[tuple[Topic, list[Chosen]]]:
    found: dict[str, list[Chosen]] = {}
    for one in letters:
        found.setdefault(one.topic.name, []).append(one)
    for own in found.values():
        yield own[0].topic, own


def _taken_already(run: OpenedRun, topic: Topic, own: Sequence[Chosen]) -> set[Place]:
    """The letters whose ids the topic has taken meanwhile: their producers have sent them again
    themselves."""
    if topic.event_id is None:
        return set()
    if topic.explode is not None:
        return _elements_taken(run, topic, own)
    ids: dict[str, list[Place]] = {}
    reader = EventReader(topic, run.earlier(topic))
    for one in own:
        try:
            ids.setdefault(reader.event_id(one.letter.value), []).append(place_of(one))
        except Misfit:
            continue  # it has none that could be told
    if not ids:
        return set()
    identity = pl.col(EVENT + topic.event_id).cast(pl.String)
    events = lazy_frame_of(run, topic).filter(pl.col("fate") == "applied")
    known = events.select(id=identity).filter(pl.col("id").is_in(list(ids))).collect()
    return {place for found in known["id"].to_list() for place in ids[found]}


def _elements_taken(run: OpenedRun, topic: Topic, own: Sequence[Chosen]) -> set[Place]:
    """The same of records that hold several events: by the place in it, where an id is its
    record's."""
    assert topic.event_id is not None
    wanted = {}
    for one in own:
        record = record_of(one, run.earlier(topic))
        event = None if record is None else event_of(one, record)
        if event is not None and event[topic.event_id] is not None:
            wanted[str(event[topic.event_id]), _within(topic, one.element)] = place_of(one)
    identity = pl.col(EVENT + topic.event_id).cast(pl.String)
    events = lazy_frame_of(run, topic).filter(pl.col("fate") == "applied")
    known = events.select(identity.alias("id"), "index").collect()
    is_named = known["id"].is_in([name for name, _ in wanted])
    pairs = known.filter(is_named).iter_rows()
    return {
        wanted[name, _within(topic, index)]
        for name, index in pairs
        if (name, _within(topic, index)) in wanted
    }


def _within(topic: Topic, index: int | None) -> int | None:
    """An event's place in its record, where it is told apart by that."""
    return index if topic.record_id is not None else None


def live_share(run: OpenedRun, topics: Iterable[str]) -> float | None:
    """Letters a second that live events hardly notice; None where none come."""
    since_ms = WallClock().now_ms() - LIVE_MS
    came = 0
    for name in topics:
        log = run.app.log_of(name)
        ends = {partition: after for partition, (_, after) in run.log.bounds(log).spans.items()}
        since: Mapping[int, int] = run.log.since(log, since_ms)
        came += sum(
            max(0, ends[partition] - since.get(partition, end)) for partition, end in ends.items()
        )
    if not came:
        return None
    return max(1.0, LIVE_SHARE * came * 1_000 / LIVE_MS)
