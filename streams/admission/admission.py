"""Admission: of the events that keep their topic's rules, which are repeats, and which come late.

A repeat has the id of an event that is remembered: an id is kept for one to two times the topic's
`dedup` (at least a minute). Ids are forgotten by whole generations, and only where a checkpoint
says so: no event's time makes others forgotten. Time is the app's clock. Where much is read that
was appended long ago, it is when that was appended: else all that a day brought would be remembered
at once.

An event is late if it lies behind the newest event of its own source by more than `lateness`. One
without a source is compared with the time at which its record was appended. So is the first event
of a source that is not known any more: the sources met last are kept, `MOST_SOURCES` of them at
least and twice as many at most. Until that many have been met, a source that is not known is new,
and its first event is not late.

Where records of several source partitions are brought together by their ids, ids are those of all
of them, and each partition has sources of its own: how fast one was read makes no event of another
late.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.schemas.durations import milliseconds
from freshet.schemas.events.codec import frozen
from freshet.schemas.events.columns import Columns
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire.blocks import NO_TICK
from freshet.streams.admission import kernels
from freshet.streams.admission.names import are_texts, names_of
from freshet.streams.admission.seen_ids import SeenIds
from freshet.streams.admission.sources import ARRAYS, Sources
from freshet.streams.operators.task import as_json, from_json

SHORTEST_MS = 60_000  # a generation of ids lasts as long, as each new one costs a checkpoint
# Fewer ids than that take too little room to be worth a checkpoint before the clock asks for one.
MANY_IDS = 1 << 16
KEPT = 10_000  # turns; an audit reaches no further back, and nobody else needs them
I64 = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]
# The source partition whose arrays bear plain names in a dump; those of others say which.
PLAIN = 0


class When(NamedTuple):
    """When events were, and when their records were appended, both int64 `[n]`, ms; and the source
    partition of each (None: they are all of one)."""

    events: I64
    appended: I64
    partitions: I64 | None = None


class Admission:
    """What is remembered of ids and sources. All of it is a function of the records that it was
    given, and of the places in the log at which a generation of ids was forgotten."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._dedup_ms = max(SHORTEST_MS, milliseconds(topic.dedup))
        self._text = are_texts(topic)
        self._seen = SeenIds()
        self._sources = {PLAIN: Sources()}
        self._since_ms = NO_TICK  # the time as of which the current generation of ids began
        self._turns: list[int] = []

    @property
    def newest_event_ms(self) -> int | None:
        """The latest event time of any event that is no repeat."""
        known = [sources.newest_event_ms for sources in self._sources.values()]
        return max((newest for newest in known if newest is not None), default=None)

    @property
    def turns(self) -> list[int]:
        """The offsets from which on a new generation of ids was written."""
        return self._turns

    def judge(
        self,
        columns: Columns,
        ids: npt.NDArray[np.uint64],
        when: When,
        code: Codes,
        lateness_ms: int,
    ) -> None:
        """Set the fate (`code` uint8 `[n]`) of repeats and late events among those that are still
        applied. `ids` are uint64 `[n, 2]`."""
        # A record is read at its own place only.
        if self._topic.event_id is not None:
            self._seen.mark_repeats(ids, code)
        names = names_of(self._topic, columns)
        if when.partitions is None:
            rows = kernels.Rows(frozen(when.events), frozen(when.appended), code)
            self._judge(self._of(PLAIN), rows, names, lateness_ms)
            self._note_late(columns, names, code, self._of(PLAIN))
            return
        for partition in np.unique(when.partitions).tolist():
            sources = self._of(partition)
            chosen = np.flatnonzero(when.partitions == partition)
            # These are copies, so what was judged is put back.
            judged = code[chosen]
            rows = kernels.Rows(frozen(when.events[chosen]), frozen(when.appended[chosen]), judged)
            self._judge(sources, rows, _chosen(names, chosen), lateness_ms)
            code[chosen] = judged
            self._note_late(columns, names, code, sources, chosen)

    def _judge(
        self, sources: Sources, rows: kernels.Rows, names: kernels.Names, lateness_ms: int
    ) -> None:
        """Rows of one source partition."""
        sources.reach(int(rows.appended.max(initial=NO_TICK)))
        if self._topic.source is not None:
            sources.make_room(len(rows.appended))
        sources.judge(rows, names, lateness_ms)

    def reach(self, partition: int, tick: int) -> None:
        """All that a source partition held at `tick` was given to it."""
        self._of(partition).reach(tick)

    def turn(self, tick: int, bound_ms: int | None, offset: int) -> bool:
        """Forget the generation of ids before the current one if that was written for as long as
        ids are to be remembered, and from `offset` on enter them in a new one; whether that was so.

        One only, however long the last is ago: what was read of late is remembered for a whole
        `dedup` yet. It is `tick` now, or later if records say so; none was appended after
        `bound_ms` (None: all of them say rightly when).
        """
        # Nearly always: neither the clock nor so many ids ask for it.
        is_new = self._since_ms == NO_TICK or self._seen.is_empty
        old_enough = self._since_ms + self._dedup_ms
        is_many = self._seen.in_current >= MANY_IDS
        if not is_new and not is_many and tick < old_enough:
            return False
        # The slowest partition's: what it still holds may be a repeat of what another brought.
        appended = min(self._reached(), default=NO_TICK)
        if bound_ms is not None:
            appended = min(appended, bound_ms)
        now = max(tick, appended)
        if now == NO_TICK:
            return False
        if is_new:
            self._since_ms = now
            old_enough = now + self._dedup_ms
        if tick < old_enough and not (is_many and now >= old_enough):
            return False
        self._seen.turn()
        self._since_ms = now
        self._turns = [*self._turns, offset][-KEPT:]
        return True

    def recall(self, turns: Sequence[int], tick: int, offset: int) -> None:
        """Forget as another one has that was given the same records, as of `offset`: `turns` are
        the last `KEPT` of its own. Where those do not reach back it forgets by itself, at `tick`.
        """
        begun = bisect_left(turns, self._turns[-1]) if self._turns else 0
        if begun < len(turns) and self._turns and turns[begun] == self._turns[-1]:
            begun += self._turns.count(self._turns[-1])
        due = turns[begun : bisect_right(turns, offset)]
        for turn in due:
            self.turn_as_recorded(turn)
        if not due and len(turns) == KEPT and offset < turns[0]:
            self.turn(tick, None, offset)

    def turn_as_recorded(self, offset: int) -> None:
        """Forget as it was done before, at this offset."""
        self._seen.turn()
        self._turns = [*self._turns, offset][-KEPT:]

    def dump(self, full: bool) -> dict[str, npt.NDArray[Any]]:
        """Of ids (`full` false) those alone that came since the last dump."""
        state: dict[str, npt.NDArray[Any]] = {
            "turns": np.array([self._since_ms, *self._turns], np.int64),
            "source": as_json(self._topic.source),
        }
        state |= self._seen.dump(full)
        for partition, sources in self._sources.items():
            for name, values in sources.dump().items():
                state[_named(name, partition)] = values
        return state

    def load(self, chain: Sequence[Mapping[str, npt.NDArray[Any]]]) -> None:
        """Become what was dumped: in full, then what came since, in order."""
        self._seen.load(chain)
        state = chain[-1]
        self._since_ms, *self._turns = state["turns"].tolist()
        are_same = from_json(state["source"]) == self._topic.source
        known = [name.partition("@")[2] for name in state if name.startswith("meta@")]
        for partition in (PLAIN, *map(int, known)):
            own = {name: state[_named(name, partition)] for name in ARRAYS}
            self._of(partition).load(own, are_same)

    def facts(self) -> list[dict[str, Any]]:
        """Who was late of late, the most first; see `Sources.facts`. A source is told of once for
        each partition in which it was late."""
        found = [told for sources in self._sources.values() for told in sources.facts()]
        return sorted(found, key=lambda told: -told["late"])

    def _of(self, partition: int) -> Sources:
        if partition not in self._sources:
            self._sources[partition] = Sources()
        return self._sources[partition]

    def _reached(self) -> Iterator[int]:
        """How far each partition is of which anything was heard."""
        for sources in self._sources.values():
            if sources.reached_ms != NO_TICK:
                yield sources.reached_ms

    def _note_late(
        self,
        columns: Columns,
        names: kernels.Names,
        code: Codes,
        sources: Sources,
        chosen: I64 | None = None,
    ) -> None:
        """The late ones of all rows, or of those `chosen`."""
        if self._topic.source is None:
            return
        (late,) = (code == kernels.LATE).nonzero()
        if chosen is not None:
            late = chosen[code[chosen] == kernels.LATE]
        if len(late):
            texts = columns.key(self._topic.source).take(late)
            sources.note_late(texts, names.start[late], self._text)


def _chosen(names: kernels.Names, chosen: I64) -> kernels.Names:
    valid = frozen(names.valid[chosen])
    # Where a topic tells no source apart, there is no text of a row to choose.
    if not len(names.start):
        return names._replace(valid=valid)
    start = frozen(names.start[chosen])
    end = frozen(names.end[chosen])
    return names._replace(start=start, end=end, valid=valid)


def _named(name: str, partition: int) -> str:
    if partition == PLAIN:
        return name
    return f"{name}@{partition}"
