"""Admission: of the events that keep their topic's rules, which are repeats, and which come late.

A repeat has the id of an event that is remembered: an id is kept for one to two times the topic's
`dedup` (at least a minute) of the app's clock. Ids are forgotten by whole generations, and only
where a checkpoint says so: no event's time makes others forgotten.

An event is late if it lies behind the newest event of its own source by more than `lateness`. One
without a source is compared with the time at which its record was appended. So is the first event
of a source that is not known any more: the sources met last are kept, `MOST_SOURCES` of them at
least and twice as many at most. Until that many have been met, a source that is not known is new,
and its first event is not late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.durations import milliseconds
from freshet.schemas.events.codec import frozen
from freshet.schemas.events.columns import Columns
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire.blocks import NO_TICK
from freshet.streams.intake import kernels
from freshet.streams.operators.task import as_json, from_json

MOST_SOURCES = 16_384
# slots of the tables in the beginning; they grow as they fill
FIRST_IDS, FIRST_SOURCES = 1 << 12, 1 << 8
SHORTEST_MS = 60_000  # a generation of ids lasts as long, as each new one costs a checkpoint
KEPT = 10_000  # turns; an audit reaches no further back, and nobody else needs them
OFFENDERS, LONGEST = 16, 64  # late sources that are told by name, and bytes of a name
I64 = npt.NDArray[np.int64]


class Admission:
    """What one source partition remembers of ids and sources. All of it is a function of the
    records that it was given, and of the places in the log at which a generation of ids was
    forgotten."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._dedup_ms = max(SHORTEST_MS, milliseconds(topic.dedup))
        self._text = are_texts(topic)
        self._ids = np.zeros((2, FIRST_IDS, 2), np.uint64)
        self._known = _no_sources(FIRST_SOURCES)
        self._offenders = _no_offenders()
        self._meta = np.zeros(kernels.META, np.int64)
        self._since_tick = NO_TICK  # the tick as of which the current generation of ids began
        self._turns: list[int] = []

    @property
    def newest_event_ms(self) -> int | None:
        """The latest event time of any event that is no repeat."""
        if not self._meta[kernels.BEGUN]:
            return None
        return int(self._meta[kernels.NEWEST])

    @property
    def turns(self) -> list[int]:
        """The offsets from which on a new generation of ids was written."""
        return self._turns

    def judge(
        self,
        columns: Columns,
        ids: npt.NDArray[np.uint64],
        appended: I64,
        code: npt.NDArray[np.uint8],
        lateness_ms: int,
    ) -> None:
        """Set the fate (`code` uint8 `[n]`) of repeats and late events among those that are still
        applied. `ids` are uint64 `[n, 2]`, `appended` (ms) int64 `[n]`."""
        self._make_room(len(code))
        times, _ = columns.integers(self._topic.event_time)
        rows = kernels.Rows(frozen(ids), frozen(times), frozen(appended), code)
        names = names_of(self._topic, columns)
        kernels.admit(
            rows,
            names,
            self._ids,
            self._known,
            self._meta,
            lateness_ms,
            MOST_SOURCES,
        )
        if self._topic.source is not None:
            self._note_late(columns, names, code)

    def _note_late(
        self, columns: Columns, names: kernels.Names, code: npt.NDArray[np.uint8]
    ) -> None:
        late = np.flatnonzero(code == kernels.LATE)
        if not len(late) or self._topic.source is None:
            return
        texts = columns.key(self._topic.source).take(late)
        shown = names_in(texts)
        kernels.note_late(shown, frozen(names.start[late]), self._text, self._offenders)

    def _make_room(self, rows: int) -> None:
        """Tables are at most half full, whatever the rows are."""
        while (int(self._meta[kernels.IDS]) + rows) * 2 > self._ids.shape[1]:
            self._ids = kernels.regrow(self._ids, self._ids.shape[1] * 2)
        if self._topic.source is None:
            return
        # No more than that stand in a generation at once, however many rows come.
        needed = min(int(self._meta[kernels.SOURCES]) + rows, MOST_SOURCES)
        while needed * 2 > self._known.table.shape[1]:
            table = kernels.regrow_sources(self._known.table, self._known.table.shape[1] * 2)
            self._known = kernels.Known(table, self._known.apart)

    def is_due(self, tick: int) -> bool:
        """Whether a generation of ids is to be forgotten, as of a tick: the current one has been
        written for as long as ids are to be remembered."""
        if tick == NO_TICK:
            return False
        remembers = self._meta[kernels.IDS] or self._meta[kernels.OLDER_IDS]
        if self._since_tick == NO_TICK or not remembers:
            self._since_tick = tick
        return tick - self._since_tick >= self._dedup_ms

    def turn(self, tick: int, offset: int) -> None:
        """Forget the generation of ids before the current one; those from `offset` on are of a new
        one. One only, however long the last is ago: what was read of late is remembered for a whole
        `dedup` yet."""
        oldest = 1 - int(self._meta[kernels.GENERATION])
        self._ids[oldest] = 0
        self._meta[kernels.GENERATION] = oldest
        self._meta[kernels.OLDER_IDS] = self._meta[kernels.IDS]
        self._meta[kernels.IDS] = 0
        self._since_tick = tick
        self._turns = [*self._turns, offset][-KEPT:]

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        state: dict[str, npt.NDArray[Any]] = {
            "seen": self._ids,
            "meta": self._meta,
            "turns": np.array([self._since_tick, *self._turns], np.int64),
            "source": as_json(self._topic.source),
        }
        state |= {f"sources.{name}": values for name, values in self._known._asdict().items()}
        return state | {
            f"offenders.{name}": values for name, values in self._offenders._asdict().items()
        }

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self._ids = state["seen"].copy()
        self._meta = state["meta"].copy()
        self._since_tick, *self._turns = state["turns"].tolist()
        if from_json(state["source"]) != self._topic.source:
            # Told apart by another field now, sources are all new.
            self._meta[[kernels.SOURCES, kernels.ROOM_MADE]] = 0
            return
        self._known = kernels.Known(
            *(state[f"sources.{name}"].copy() for name in kernels.Known._fields)
        )
        made = (state[f"offenders.{name}"].copy() for name in kernels.Offenders._fields)
        self._offenders = kernels.Offenders(*made)

    def facts(self) -> list[dict[str, Any]]:
        """Who was late of late, the most first: the `source` (None: events without one), how many
        of its newest events were `judged` and how many of these were `late`, and when the newest
        late one was appended (`late_ms`)."""
        out = [_told(None, self._known.apart)]
        figures = np.zeros(kernels.FIGURES, np.int64)
        for i in range(OFFENDERS):
            low, high = self._offenders.ids[i]
            if self._offenders.counts[i] and kernels.look_up(
                self._known.table, self._meta, low, high, figures
            ):
                name = self._offenders.texts[i, : self._offenders.sizes[i]].tobytes()
                out.append(_told(name.decode(errors="replace"), figures))
        return sorted((told for told in out if told["late"]), key=lambda told: -told["late"])


def are_texts(topic: Topic) -> bool:
    """Whether the topic's sources are told apart by a text, and not by a number."""
    if topic.source is None:
        return False
    return topic.events.fields[topic.events.position(topic.source)].type == "string"


def names_of(topic: Topic, columns: Columns) -> kernels.Names:
    """Nobody where the topic tells no source apart. A source's texts are canonical: a UUID in upper
    case is the same one. All arrays are frozen, for kernels are compiled for one kind of arrays."""
    if topic.source is None:
        nothing = frozen(np.zeros(0, np.int64))
        nobody = frozen(np.zeros(columns.n, np.bool_))
        return kernels.Names(frozen(columns.data), nothing, nothing, nobody, False)
    if are_texts(topic):
        return names_in(columns.text(topic.source))
    at = topic.events.position(topic.source)
    first, second = columns.words[at]
    valid = frozen(columns.valid[at])
    return kernels.Names(frozen(columns.data), frozen(first), frozen(second), valid, False)


def names_in(texts: Texts) -> kernels.Names:
    """Each row by its text."""
    data = frozen(texts.data)
    return kernels.Names(data, frozen(texts.start), frozen(texts.end), frozen(texts.valid), True)


def _told(source: str | None, figures: I64) -> dict[str, Any]:
    return {
        "source": source,
        "judged": int(figures[kernels.RECENT]),
        "late": int(figures[kernels.RECENT_LATE]),
        "late_ms": int(figures[kernels.LATE_MS]),
    }


def _no_sources(capacity: int) -> kernels.Known:
    table = np.zeros((2, capacity, kernels.FIGURES), np.int64)
    return kernels.Known(table, np.zeros(kernels.FIGURES, np.int64))


def _no_offenders() -> kernels.Offenders:
    return kernels.Offenders(
        np.zeros((OFFENDERS, 2), np.int64),
        np.zeros(OFFENDERS, np.int64),
        np.zeros((OFFENDERS, LONGEST), np.uint8),
        np.zeros(OFFENDERS, np.int64),
        np.zeros(1, np.int64),
    )
