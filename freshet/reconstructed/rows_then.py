"""The rows of a view as they were at any moment of the past, one after the other: folded by the
kernels that views run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.features.packed import Packed
from freshet.features.partition.as_stored import as_stored, have_events
from freshet.features.partition.events import More
from freshet.features.partition.rows import ViewRows
from freshet.features.stores.contract import RowKeys, Rows
from freshet.features.views.erasing import left_of, times_of
from freshet.features.views.event_columns import taken
from freshet.features.views.view import View
from freshet.reconstructed.clean_events import END_MS, CleanStream, Piece, in_order
from freshet.schemas.parted_arrays import PartedArrays
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire import blocks

I64 = npt.NDArray[np.int64]


class RowsThen:
    """One view's rows. Time goes on only; events come in stretches, each of a time after the one
    before."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._rows = ViewRows(view.plan)
        self._folded = 0  # events of the stretches before
        self._newest = blocks.NO_TICK  # the latest event of those
        self.take([])

    def take(self, pieces: Sequence[Piece]) -> None:
        """The next stretch. Of the one before all is folded."""
        order = in_order(pieces)
        self._reached = _concatenated([piece.reached for piece in pieces], np.int64)[order]
        self._times = _concatenated([times_of(piece.rows) for piece in pieces], np.int64)[order]
        view = self._view
        columns = [_taken(view, piece.rows) for piece in pieces]
        fields = len(view.plan.fields)
        self._values = np.concatenate([np.empty((0, fields)), *(own[0] for own in columns)])[order]
        wholes = [own[1] for own in columns if own[1] is not None]
        self._wholes = np.concatenate(wholes)[order] if wholes else None
        kept = zip(*(own[2] for own in columns))
        self._texts = [Texts.concatenate(parts).take(order) for parts in kept]
        keys = [Texts.from_arrow(piece.rows.column("key")) for piece in pieces]
        self._keys = Texts.concatenate([Texts.missing(0), *keys]).take(order)
        self._erases = _concatenated([_erasing(piece.rows) for piece in pieces], np.bool_)[order]
        # How far the view's log would have been at each: events that it saw, as far as the clock.
        seen = np.maximum(np.maximum.accumulate(self._times), self._newest)
        self._clocks = np.minimum(seen, self._reached)
        if len(seen):
            self._newest = int(seen[-1])
        self._at = 0

    def fold_all(self) -> None:
        """All of the stretch; nothing of it is held any more."""
        self.go_to(END_MS)
        self._folded += self._at
        self.take([])

    def go_to(self, moment_ms: int) -> None:
        """Fold all of the stretch that was appended before a moment."""
        end = int(np.searchsorted(self._reached, moment_ms))
        if end > self._at:
            self._fold(slice(self._at, end))
            self._at = end

    def dump(self) -> PartedArrays:
        """Between two stretches."""
        own = np.array([self._folded, self._newest], np.int64)
        return {**self._rows.dump_in_parts(), "_then": own}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self._rows.load(state, [])
        self._folded, self._newest = state["_then"].tolist()
        self.take([])

    def _fold(self, part: slice) -> None:
        chosen = np.arange(part.start, part.stop)
        if self._erases[part].any():
            erases = pa.array(self._erases[part])
            keys = self._keys.where(part).to_arrow()
            left = left_of(pa.RecordBatch.from_arrays([keys, erases], ["key", blocks.ERASED]))
            assert left is not None
            gone = chosen[left.erased]
            self._rows.erase(self._keys.take(gone), 0, self._folded + gone)
            chosen = chosen[left.events]
        wholes = self._wholes
        if wholes is not None:
            wholes = wholes[chosen]
        texts = [column.take(chosen) for column in self._texts]
        # Versions rise over all stretches.
        places = self._folded + chosen
        more = More(wholes, self._clocks[chosen], texts)
        values = self._values[chosen]
        self._rows.fold(
            self._keys.take(chosen),
            self._times[chosen],
            values,
            0,
            places,
            more,
        )

    def read(self, keys: Sequence[bytes]) -> Packed:
        """The rows of keys as a store has them; one that is not there has no bytes."""
        ids = self._rows.find(Texts.of([key.decode() for key in keys]))
        there = np.flatnonzero(ids >= 0)
        lengths = np.zeros(len(keys), np.int64)
        if not len(there):
            return Packed(np.empty(0, np.uint8), lengths)
        _, words, ends = self._rows.named(ids[there])
        found = as_stored(words, ends)
        alive = have_events(found)
        if not alive.all():
            there = there[alive]
            found = Packed.of([found.row(at) for at in np.flatnonzero(alive).tolist()])
        lengths[there] = found.lengths
        return Packed(found.data, np.cumsum(lengths))


class StoreThen:
    """Rows of several views, by their names in the store, as readers of features ask for them, and
    the `streams` that their events come of; `logs` says of which log each view is. Time goes on
    only, and no further than `until_ms`. To be closed.

    Between two stretches, with all that is settled folded, `settled` is called: then it may be
    dumped."""

    def __init__(
        self,
        views: Mapping[str, RowsThen],
        logs: Mapping[str, str],
        streams: Sequence[CleanStream],
        known_ms: int = END_MS,
    ) -> None:
        self._views = views
        self._logs = logs
        self._streams = streams
        self.known_ms = known_ms  # later rows lack something
        self.reached_ms = blocks.NO_TICK  # what was appended before that is settled
        self.until_ms = END_MS
        self.settled: Callable[[], None] = lambda: None

    @property
    def records(self) -> tuple[int, int]:
        """Offsets of topics that were read, and that are left."""
        read = sum(stream.settled for stream in self._streams)
        return read, sum(stream.left for stream in self._streams)

    def go_to(self, moment_ms: int) -> None:
        """What was appended before a moment is in the rows."""
        while self.reached_ms < moment_ms:
            self.fold_all()
            if self.reached_ms > blocks.NO_TICK:
                self.settled()
            self._settle()
        for rows in self._views.values():
            rows.go_to(moment_ms)

    def fold_all(self) -> None:
        """All that is settled."""
        for rows in self._views.values():
            rows.fold_all()

    def _settle(self) -> None:
        """The next stretch: as far as one of the streams can go without reading on. All that was
        appended in a stretch's time is in it, so no order depends on where one ends."""
        ahead = [end for stream in self._streams if (end := stream.horizon()) is not None]
        self.reached_ms = min([self.until_ms, *ahead])
        pieces: dict[str, list[Piece]] = {log: [] for log in self._logs.values()}
        for stream in self._streams:
            for piece in stream.until(self.reached_ms):
                pieces[piece.to].append(piece)
        for name, rows in self._views.items():
            rows.take(pieces[self._logs[name]])

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        """Rows of many views."""
        return [Rows(self._views[asked.view].read(asked.keys)) for asked in wanted]

    def dump(self) -> PartedArrays:
        """All that is settled, once it is folded."""
        found: dict[str, Any] = {"_reached": np.array([self.reached_ms])}
        for name, part in self._parts():
            found |= {f"{name} {key}": values for key, values in part.dump().items()}
        return found

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.reached_ms = int(state["_reached"][0])
        for name, part in self._parts():
            prefix = f"{name} "
            part.load(
                {
                    key.removeprefix(prefix): values
                    for key, values in state.items()
                    if key.startswith(prefix)
                }
            )

    def _parts(self) -> list[tuple[str, RowsThen | CleanStream]]:
        """All that has a state, each under a name of its own."""
        return [*self._views.items(), *((stream.name, stream) for stream in self._streams)]

    def close(self) -> None:
        for stream in self._streams:
            stream.close()


def _concatenated(parts: Sequence[npt.NDArray[Any]], kind: type) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *parts])


def _erasing(rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    if blocks.ERASED not in rows.schema.names:
        return np.zeros(rows.num_rows, np.bool_)
    found: npt.NDArray[np.bool_] = rows.column(blocks.ERASED).to_numpy(zero_copy_only=False)
    return found


def _taken(
    view: View, rows: pa.RecordBatch
) -> tuple[npt.NDArray[np.float64], I64 | None, Sequence[Texts]]:
    columns = []
    for name in view.plan.fields:
        at = rows.schema.get_field_index(blocks.FIELD + name)
        # One of another topic's events.
        columns.append(pa.nulls(rows.num_rows) if at < 0 else rows.column(at))
    return taken(view.plan, columns, rows.num_rows)
