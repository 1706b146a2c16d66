"""The rows of a partition, of which memory holds those that were used last, and a disk the others.

A row lies in memory, or on disk, or in both; then the one in memory counts. Where it lies shows
nowhere: its bytes, and what is handed over, are those of `ViewRows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from freshet.features.cold.memory import RowMemory
from freshet.features.cold.named import (
    Dumped,
    NamedRows,
    as_arrays,
    ended,
    from_arrays,
    is_named,
    joined,
    names_of,
    rows_of,
    texts_of,
)
from freshet.features.keeping import FOR_EVER
from freshet.features.packed import Packed
from freshet.features.partition.as_stored import as_stored
from freshet.features.partition.events import NO_MORE, More
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.layout import CHECKPOINT, DIRTY
from freshet.features.rows.plan import RowPlan
from freshet.schemas.errors import CheckpointError
from freshet.schemas.text.columns import Texts

if TYPE_CHECKING:
    from freshet.features.cold.rocks import Rocks

I64 = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[Any]]
Named = tuple[list[bytes], Packed]
# Rows that are written, read or removed at once: some milliseconds of work.
A_PART = 10_000
# Rows on disk are looked at, whether they are over, in parts; beside those that came there, one for
# so many events.
A_LOOK = 1_000
# Where keys rise for ever, whoever looks at no more than come there would never come round.
LOOKS_A_ROW = 2
EVENTS_A_LOOK = 16
# What went to disk is kept for the next delta, up to this part of the memory of rows; where that
# would be more, a base is asked for, which has it in its files.
DELTA_PARTS = 16


class BoundedRows:
    """As `ViewRows`, within the memory that `memory` gives it. Not thread-safe.

    Until that is too little no row is on disk, and dumps are those of `ViewRows`. From then on they
    are by names, and a full one is files.
    """

    def __init__(self, plan: RowPlan, memory: RowMemory) -> None:
        self.plan = plan
        self._memory = memory
        self._clear()
        memory.hold(self)

    def _clear(self) -> None:
        self._here = ViewRows(self.plan)
        self._disk: Rocks | None = None
        self._only_there = 0  # rows that are on disk, and not in memory
        self._to_look_at = 0  # rows on disk, whether they are over
        self._looked_at: bytes | None = None  # up to this key
        self._folder: Path | None = None  # for the files of a base
        self._files: list[Path] = []
        self._begin_delta()
        self._wants_full = False

    def _begin_delta(self) -> None:
        """What a delta has of rows that are in memory no more, and of keys that are nowhere."""
        self._moved: list[NamedRows] = []
        self._moved_bytes = 0
        self._gone: list[bytes] = []

    def __len__(self) -> int:
        return len(self._here) + self._only_there

    @property
    def on_disk(self) -> int:
        """How many rows are on disk, and not in memory."""
        return self._only_there

    @property
    def used_bytes(self) -> int:
        """Memory of rows and keys."""
        return self._here.live_bytes

    # ---------------------------------------------------------------------------- what rows become

    def fold(
        self,
        keys: Texts,
        times: I64,
        values: npt.NDArray[np.float64],
        version_offset: int,
        version_index: npt.NDArray[np.int32] | I64,
        more: More = NO_MORE,
    ) -> None:  # fmt: skip
        """As `ViewRows.fold`."""
        self._bring(keys)
        self._here.fold(keys, times, values, version_offset, version_index, more)
        self._make_room()

    def erase(
        self, keys: Texts, version_offset: int, version_index: npt.NDArray[np.int32] | I64
    ) -> None:
        """As `ViewRows.erase`."""
        self._bring(keys)
        self._here.erase(keys, version_offset, version_index)

    def hand_over(self) -> Named:
        """As `ViewRows.hand_over`."""
        handed = self._here.hand_over()
        # Those were kept here until now.
        self._make_room()
        return handed

    def sweep(self, now_ms: int, rows: int) -> None:
        """As `ViewRows.sweep`; of rows on disk, too."""
        self._here.sweep(now_ms, rows)
        if self._disk is not None and self.plan.keep_ms != FOR_EVER:
            self._sweep_disk(self._disk, now_ms, rows)

    def let_go(self) -> list[bytes]:
        """As `ViewRows.let_go`."""
        gone = self._here.let_go()
        # Also while none is on disk: the next delta may be the first by names.
        self._gone += gone
        if self._disk is not None and gone:
            # What lies there is from before they ended.
            self._disk.remove(gone)
        return gone

    def all_parts(self) -> Iterator[Named]:
        """As `ViewRows.all_parts`. Nothing may be folded before the last one was taken."""
        yield from self._here.all_parts()
        if self._disk is None:
            return
        for keys, rows in self._disk.parts(A_PART):
            alone = np.flatnonzero(self._here.find(texts_of(keys)) < 0).tolist()
            words, ends = rows_of([rows[at] for at in alone])
            yield [keys[at] for at in alone], as_stored(words, ends)

    # ------------------------------------------------------------------- between memory and disk

    def _named(self, ids: I64) -> NamedRows:
        return NamedRows(*self._here.named(ids))

    def _bring(self, keys: Texts) -> None:
        """Have in memory all of these that there are."""
        if self._disk is None or not self._only_there:
            return
        missing = self._here.find(keys) < 0
        if not missing.any():
            return
        names = sorted(set(names_of(keys.where(missing))))
        self._take(self._disk.get(names))

    def _take(self, rows: NamedRows) -> I64:
        """Have in memory rows that were on disk alone; their ids."""
        self._only_there -= len(rows.keys)
        return self._here.put(texts_of(rows.keys), rows.words, rows.ends)

    def _sweep_disk(self, disk: Rocks, now_ms: int, rows: int) -> None:
        # More than came there: of keys that come and go for ever, most are on disk.
        self._to_look_at += rows // EVENTS_A_LOOK
        if self._to_look_at < A_LOOK:
            return
        part = next(disk.parts(self._to_look_at, self._looked_at), None)
        self._to_look_at = 0
        if part is None:
            self._looked_at = None
            return
        keys, found = part
        self._looked_at = keys[-1] + b"\0"
        words, ends = rows_of(found)
        is_over = ended(words, ends, now_ms, int(self.plan.keeps[1]))
        # Of one that is in memory, too, only that counts.
        is_over &= self._here.find(texts_of(keys)) < 0
        over = np.flatnonzero(is_over).tolist()
        if over:
            words, ends = rows_of([found[at] for at in over])
            ids = self._take(NamedRows([keys[at] for at in over], words, ends))
            self._here.end_over(ids, now_ms)

    def _make_room(self) -> None:
        """Move rows to disk until memory is as it may be, or none is left that may go."""
        while excess := self._memory.excess_bytes(self):
            ids = self._here.unused(excess, A_PART)
            if not ids.size:
                return
            self._move(ids)

    def _move(self, ids: I64) -> None:
        """Rows to disk, in a part."""
        # The next delta must have them: who goes on from there has none of this disk.
        self._note(ids[self._here.has_mark(ids, CHECKPOINT)])
        # The others are there already as they are.
        self._write(self._named(ids[self._here.has_mark(ids, DIRTY)]))
        self._here.forget(ids)
        self._only_there += ids.size
        self._to_look_at += LOOKS_A_ROW * ids.size

    def _note(self, ids: I64) -> None:
        if self._wants_full or not ids.size:
            return
        rows = self._named(ids)
        self._moved.append(rows)
        self._moved_bytes += rows.words.nbytes + sum(map(len, rows.keys))
        if self._moved_bytes * DELTA_PARTS > self._memory.most_bytes:
            self._wants_full = True
            self._moved = []

    def _write(self, rows: NamedRows) -> None:
        if not rows.keys:
            return
        if self._disk is None:
            folder = self._memory.new_path()
            folder.mkdir()
            self._disk = self._memory.open(folder, self)
        self._disk.put(rows)

    # ------------------------------------------------------------------------------- checkpoints

    @property
    def wants_full(self) -> bool:
        """Whether the next dump has to be full."""
        return self._wants_full

    @property
    def files(self) -> list[Path]:
        """The files of the full dump made last, which are there until the next one."""
        return self._files

    def folder(self) -> Path:
        """A new empty folder, for the files of the base that is loaded next."""
        self._folder = self._memory.new_path()
        self._folder.mkdir()
        return self._folder

    def dump(self) -> Arrays:
        """As `ViewRows.dump`; where rows are on disk, all of them are in `files`."""
        self._begin_delta()
        self._wants_full = False
        self._files = []
        if self._disk is None:
            return self._here.dump()
        self._here.take_touched()
        everything = self._here.ids()
        changed = everything[self._here.has_mark(everything, DIRTY)]
        for first in range(0, changed.size, A_PART):
            part = changed[first : first + A_PART]
            self._disk.put(self._named(part))
            self._here.mark(part, DIRTY, is_set=False)
        self._files = self._disk.freeze(self._memory.new_path())
        return self._dumped([], is_base=True)

    def dump_delta(self) -> Arrays:
        """As `ViewRows.dump_delta`; not where a full dump is wanted."""
        if self._disk is None:
            dumped = self._here.dump_delta()
        else:
            touched = self._named(self._here.take_touched())
            # What is in memory is newer than what went to disk.
            dumped = self._dumped([*self._moved, touched], is_base=False)
        self._begin_delta()
        return dumped

    def _dumped(self, rows: Sequence[NamedRows], is_base: bool) -> Arrays:
        pending = self._named(self._here.pending()).keys
        what = Dumped(is_base, len(self), self._gone, joined(rows), pending)
        return as_arrays(what, self.plan.digest)

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Iterable[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        """As `ViewRows.load`, of its dumps, too; the folder made last has a base's files."""
        folder = self._folder
        self._clear()
        parts = [base, *deltas]
        by_ids = [part for part in parts if not is_named(part)]
        by_names = [from_arrays(part, self.plan.digest) for part in parts if is_named(part)]
        if by_ids:
            # They come first: the others began when the first row went to disk.
            self._here.load(by_ids[0], by_ids[1:])
            self._here.mark(self._here.ids(), DIRTY)
        for part in by_names:
            self._apply(part, folder)
        if by_names:
            self._await_store(by_names[-1].pending)
        # A delta would have to say by ids what this one says by names.
        self._wants_full = bool(by_names)
        self._make_room()
        if not self._memory.most_bytes:
            self._leave_disk()

    def _apply(self, part: Dumped, folder: Path | None) -> None:
        if part.is_base:
            assert folder is not None
            self._disk = self._memory.open(folder, self)
            self._only_there = part.total
        self._remove(part.gone)
        for first in range(0, len(part.rows.keys), A_PART):
            rows = part.rows.part(first, first + A_PART)
            keys = texts_of(rows.keys)
            # Those that are on disk alone are so no more.
            self._bring(keys)
            self._here.mark(self._here.put(keys, rows.words, rows.ends), DIRTY)
            self._make_room()
        if len(self) != part.total:
            raise CheckpointError(
                f"rows of {part.total} keys",
                f"are {len(self)}: a part of them is missing",
                "Load the deltas of one base, in order.",
            )

    def _await_store(self, names: Sequence[bytes]) -> None:
        """The store has yet to see the rows of these keys."""
        keys = texts_of(names)
        self._bring(keys)
        ids = self._here.find(keys)
        self._here.touch_for_store(ids[ids >= 0])

    def _remove(self, names: Sequence[bytes]) -> None:
        keys = texts_of(names)
        self._bring(keys)
        ids = self._here.find(keys)
        self._here.forget(ids[ids >= 0])
        if self._disk is not None and names:
            self._disk.remove(names)

    def _leave_disk(self) -> None:
        """Have all rows in memory, which has no bound any more."""
        if self._disk is None:
            return
        for keys, _rows in self._disk.parts(A_PART):
            self._bring(texts_of(keys))
        self._here.mark(self._here.ids(), DIRTY)
        self._disk.close()
        self._disk = None
        self._wants_full = True
