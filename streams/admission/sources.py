"""How late the events of one source partition come: what is remembered of its sources, and of when
its records were appended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.events.codec import frozen
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire.blocks import NO_TICK
from freshet.streams.admission import kernels
from freshet.streams.admission.names import names_in

MOST_SOURCES = 16_384
FIRST_SOURCES = 100  # for which there is room in the beginning
OFFENDERS, LONGEST = 16, 64  # late sources that are told by name, and bytes of a name
I64 = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[Any]]
# What a partition's sources are dumped as.
ARRAYS = (
    "meta",
    "appended",
    "sources.0",
    "sources.1",
    "sources.apart",
    *(f"offenders.{name}" for name in kernels.Offenders._fields),
)


class Sources:
    """Of one source partition. `reached_ms` is a time before which none of its records that are
    still to come was appended: the newest append time, or a tick."""

    def __init__(self) -> None:
        self._known = _known([], np.zeros(kernels.FIGURES, np.int64), FIRST_SOURCES)
        self._offenders = _no_offenders()
        self._meta = np.zeros(kernels.META, np.int64)
        self.reached_ms = NO_TICK

    @property
    def newest_event_ms(self) -> int | None:
        """The latest event time of any event that is no repeat."""
        if not self._meta[kernels.BEGUN]:
            return None
        return int(self._meta[kernels.NEWEST])

    def reach(self, time_ms: int) -> None:
        """Records were appended then, or it was told that all from before are read."""
        self.reached_ms = max(self.reached_ms, time_ms)

    def judge(self, rows: kernels.Rows, names: kernels.Names, lateness_ms: int) -> None:
        """Set the fate of late events among those that are still applied."""
        kernels.mark_late(rows, names, self._known, self._meta, lateness_ms, MOST_SOURCES)

    def note_late(self, texts: Texts, words: I64, are_texts: bool) -> None:
        """Who sent these events, which are late."""
        kernels.note_late(names_in(texts), frozen(words), are_texts, self._offenders)

    def make_room(self, rows: int) -> None:
        """The table of sources is at most half full, whatever the rows are."""
        # No more than that stand in a generation at once, however many rows come.
        needed = min(int(self._meta[kernels.SOURCES]) + rows, MOST_SOURCES)
        if needed * 2 > self._known.table.shape[1]:
            self._known = _known(self._known.table, self._known.apart, needed)

    def dump(self) -> Arrays:
        state = {"meta": self._meta, "appended": np.array([self.reached_ms])}
        for g, table in enumerate(self._known.table):
            state[f"sources.{g}"] = table[table[:, kernels.LOW] != 0]
        state["sources.apart"] = self._known.apart
        offenders = self._offenders._asdict().items()
        return state | {f"offenders.{name}": values for name, values in offenders}

    def load(self, state: Mapping[str, npt.NDArray[Any]], are_same: bool) -> None:
        """Become what was dumped. `are_same`: sources are told apart by the same field now."""
        self._meta = state["meta"].copy()
        self.reached_ms = int(state["appended"][0])
        if not are_same:
            # Told apart by another field now, sources are all new.
            self._meta[[kernels.SOURCES, kernels.ROOM_MADE]] = 0
            return
        generations = [state["sources.0"], state["sources.1"]]
        needed = max(map(len, generations))
        self._known = _known(generations, state["sources.apart"].copy(), needed)
        made = (state[f"offenders.{name}"].copy() for name in kernels.Offenders._fields)
        self._offenders = kernels.Offenders(*made)

    def facts(self) -> list[dict[str, Any]]:
        """Who was late of late: the `source` (None: events without one), how many of its newest
        events were `judged` and how many of these were `late`, and when the newest late one was
        appended (`late_ms`)."""
        out = [_told(None, self._known.apart)]
        figures = np.zeros(kernels.FIGURES, np.int64)
        for i in range(OFFENDERS):
            low, high = self._offenders.ids[i]
            if self._offenders.counts[i] and kernels.look_up(
                self._known.table, self._meta, low, high, figures
            ):
                name = self._offenders.texts[i, : self._offenders.sizes[i]].tobytes()
                out.append(_told(name.decode(errors="replace"), figures))
        return [told for told in out if told["late"]]


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
