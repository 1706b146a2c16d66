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
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.schemas.durations import milliseconds
from freshet.schemas.events.codec import frozen
from freshet.schemas.events.columns import Columns
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire.blocks import NO_TICK
from freshet.streams.admission import kernels
from freshet.streams.admission.names import are_texts, names_in, names_of
from freshet.streams.admission.seen_ids import SeenIds
from freshet.streams.operators.task import as_json, from_json

MOST_SOURCES = 16_384
FIRST_SOURCES = 100  # for which there is room in the beginning
SHORTEST_MS = 60_000  # a generation of ids lasts as long, as each new one costs a checkpoint
# Fewer ids than that take too little room to be worth a checkpoint before the clock asks for one.
MANY_IDS = 1 << 16
KEPT = 10_000  # turns; an audit reaches no further back, and nobody else needs them
OFFENDERS, LONGEST = 16, 64  # late sources that are told by name, and bytes of a name
I64 = npt.NDArray[np.int64]


class When(NamedTuple):
    """When events were, and when their records were appended, both int64 `[n]`, ms."""

    events: I64
    appended: I64


class Admission:
    """What one source partition remembers of ids and sources. All of it is a function of the
    records that it was given, and of the places in the log at which a generation of ids was
    forgotten."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._dedup_ms = max(SHORTEST_MS, milliseconds(topic.dedup))
        self._text = are_texts(topic)
        self._seen = SeenIds()
        self._known = _known([], np.zeros(kernels.FIGURES, np.int64), FIRST_SOURCES)
        self._offenders = _no_offenders()
        self._meta = np.zeros(kernels.META, np.int64)
        self._since_ms = NO_TICK  # the time as of which the current generation of ids began
        self._appended_ms = NO_TICK  # the newest time at which any record was appended
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
        when: When,
        code: npt.NDArray[np.uint8],
        lateness_ms: int,
    ) -> None:
        """Set the fate (`code` uint8 `[n]`) of repeats and late events among those that are still
        applied. `ids` are uint64 `[n, 2]`."""
        self._make_room(len(code))
        self._appended_ms = max(self._appended_ms, int(when.appended.max(initial=NO_TICK)))
        # A record is read at its own place only.
        if self._topic.event_id is not None:
            self._seen.mark_repeats(ids, code)
        rows = kernels.Rows(frozen(when.events), frozen(when.appended), code)
        names = names_of(self._topic, columns)
        kernels.mark_late(rows, names, self._known, self._meta, lateness_ms, MOST_SOURCES)
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
        """The table of sources is at most half full, whatever the rows are."""
        if self._topic.source is None:
            return
        # No more than that stand in a generation at once, however many rows come.
        needed = min(int(self._meta[kernels.SOURCES]) + rows, MOST_SOURCES)
        if needed * 2 > self._known.table.shape[1]:
            self._known = _known(self._known.table, self._known.apart, needed)

    def turn(self, tick: int, bound_ms: int | None, offset: int) -> bool:
        """Forget the generation of ids before the current one if that was written for as long as
        ids are to be remembered, and from `offset` on enter them in a new one; whether that was so.

        One only, however long the last is ago: what was read of late is remembered for a whole
        `dedup` yet. It is `tick` now, or later if records say so; none was appended after
        `bound_ms` (None: all of them say rightly when).
        """
        appended = self._appended_ms
        if bound_ms is not None:
            appended = min(appended, bound_ms)
        now = max(tick, appended)
        if now == NO_TICK:
            return False
        if self._since_ms == NO_TICK or self._seen.is_empty:
            self._since_ms = now
        old_enough = self._since_ms + self._dedup_ms
        is_many = self._seen.in_current >= MANY_IDS
        if tick < old_enough and not (is_many and now >= old_enough):
            return False
        self._seen.turn()
        self._since_ms = now
        self._turns = [*self._turns, offset][-KEPT:]
        return True

    def dump(self, full: bool) -> dict[str, npt.NDArray[Any]]:
        """Of ids (`full` false) those alone that came since the last dump."""
        state: dict[str, npt.NDArray[Any]] = {
            "meta": self._meta,
            "turns": np.array([self._since_ms, *self._turns], np.int64),
            "appended": np.array([self._appended_ms]),
            "source": as_json(self._topic.source),
        }
        state |= self._seen.dump(full)
        for g, table in enumerate(self._known.table):
            state[f"sources.{g}"] = table[table[:, kernels.LOW] != 0]
        state["sources.apart"] = self._known.apart
        return state | {
            f"offenders.{name}": values for name, values in self._offenders._asdict().items()
        }

    def load(self, chain: Sequence[Mapping[str, npt.NDArray[Any]]]) -> None:
        """Become what was dumped: in full, then what came since, in order."""
        self._seen.load(chain)
        state = chain[-1]
        self._meta = state["meta"].copy()
        self._since_ms, *self._turns = state["turns"].tolist()
        self._appended_ms = int(state["appended"][0])
        if from_json(state["source"]) != self._topic.source:
            # Told apart by another field now, sources are all new.
            self._meta[[kernels.SOURCES, kernels.ROOM_MADE]] = 0
            return
        generations = [state["sources.0"], state["sources.1"]]
        needed = max(map(len, generations))
        self._known = _known(generations, state["sources.apart"].copy(), needed)
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


def _told(source: str | None, figures: I64) -> dict[str, Any]:
    return {
        "source": source,
        "judged": int(figures[kernels.RECENT]),
        "late": int(figures[kernels.RECENT_LATE]),
        "late_ms": int(figures[kernels.LATE_MS]),
    }


def _known(generations: Sequence[I64], apart: I64, needed: int) -> kernels.Known:
    """The entries of both generations in a table with room for as many as are `needed`, which is
    half full at most."""
    capacity = 2 << (max(needed, FIRST_SOURCES) - 1).bit_length()
    table = np.zeros((2, capacity, kernels.FIGURES), np.int64)
    for g, entries in enumerate(generations):
        kernels.put_sources(table, g, frozen(entries))
    return kernels.Known(table, apart)


def _no_offenders() -> kernels.Offenders:
    return kernels.Offenders(
        np.zeros((OFFENDERS, 2), np.int64),
        np.zeros(OFFENDERS, np.int64),
        np.zeros((OFFENDERS, LONGEST), np.uint8),
        np.zeros(OFFENDERS, np.int64),
        np.zeros(1, np.int64),
    )
