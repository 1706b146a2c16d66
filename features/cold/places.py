"""The two places of a partition's rows, memory and disk, and how rows go from one to the other.

A row lies in memory, or on disk, or in both; then the one in memory counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from freshet.features.cold.memory import RowMemory
from freshet.features.cold.named import NamedRows, ended, names_of, rows_of, texts_of
from freshet.features.keeping import FOR_EVER
from freshet.features.partition.rows import ViewRows
from freshet.features.rows.layout import CHECKPOINT, DIRTY
from freshet.features.rows.plan import RowPlan
from freshet.schemas.text.columns import Texts

if TYPE_CHECKING:
    from freshet.features.cold.rocks import Rocks

I64 = npt.NDArray[np.int64]
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


class Places:
    """Rows in memory (`here`) and on `disk` (None: none went there yet), of which `only_there` are
    not in memory, too. Not thread-safe."""

    def __init__(self, plan: RowPlan, memory: RowMemory) -> None:
        self.here = ViewRows(plan)
        self.disk: Rocks | None = None
        self.only_there = 0
        self.wants_full = False  # whether the next dump has to be full
        self._plan = plan
        self._memory = memory
        self._to_look_at = 0  # rows on disk, whether they are over
        self._looked_at: bytes | None = None  # up to this key
        self.begin_delta()
        memory.hold(self)

    def begin_delta(self) -> None:
        """What a delta has of rows that are in memory no more, and of keys that are nowhere."""
        self.moved: list[NamedRows] = []
        self._moved_bytes = 0
        self.gone: list[bytes] = []

    @property
    def used_bytes(self) -> int:
        """Memory of rows and keys."""
        return self.here.live_bytes

    def __len__(self) -> int:
        return len(self.here) + self.only_there

    def open(self, folder: Path, rows: int) -> None:
        """Have on disk what lies in a folder: so many rows."""
        self.disk = self._memory.open(folder, self)
        self.only_there = rows

    def named(self, ids: I64) -> NamedRows:
        """Rows in memory, with their keys."""
        return NamedRows(*self.here.named(ids))

    def bring(self, keys: Texts) -> None:
        """Have in memory all of these that there are."""
        if self.disk is None or not self.only_there:
            return
        missing = self.here.find(keys) < 0
        if not missing.any():
            return
        names = sorted(set(names_of(keys.where(missing))))
        self._take(self.disk.get(names))

    def _take(self, rows: NamedRows) -> I64:
        """Have in memory rows that were on disk alone; their ids."""
        self.only_there -= len(rows.keys)
        return self.here.put(
            texts_of(rows.keys),
            rows.words,
            rows.ends,
        )

    def put(self, rows: NamedRows) -> None:
        """Have in memory rows that no disk has as they are."""
        for first in range(0, len(rows.keys), A_PART):
            part = rows.part(first, first + A_PART)
            keys = texts_of(part.keys)
            # Those that are on disk alone are so no more.
            self.bring(keys)
            self.here.mark(self.here.put(keys, part.words, part.ends), DIRTY)
            self.make_room()

    def alone_on_disk(self) -> Iterator[NamedRows]:
        """What is not in memory, in parts."""
        if self.disk is None:
            return
        for keys, rows in self.disk.parts(A_PART):
            alone = np.flatnonzero(self.here.find(texts_of(keys)) < 0).tolist()
            yield NamedRows([keys[at] for at in alone], *rows_of([rows[at] for at in alone]))

    def sweep_disk(self, now_ms: int, rows: int) -> None:
        """As `ViewRows.sweep`, of rows that are not in memory."""
        disk = self.disk
        if disk is None or self._plan.keep_ms == FOR_EVER:
            return
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
        is_over = ended(
            words,
            ends,
            now_ms,
            int(self._plan.keeps[1]),
        )
        # Of one that is in memory, too, only that counts.
        is_over &= self.here.find(texts_of(keys)) < 0
        over = np.flatnonzero(is_over).tolist()
        if over:
            words, ends = rows_of([found[at] for at in over])
            ids = self._take(NamedRows([keys[at] for at in over], words, ends))
            self.here.end_over(ids, now_ms)

    def make_room(self) -> None:
        """Move rows to disk until memory is as it may be, or none is left that may go."""
        while excess := self._memory.excess_bytes(self):
            ids = self.here.unused(excess, A_PART)
            if not ids.size:
                return
            self._move(ids)

    def _move(self, ids: I64) -> None:
        """Rows to disk, in a part."""
        # The next delta must have them: who goes on from there has none of this disk.
        self._note(ids[self.here.has_mark(ids, CHECKPOINT)])
        # The others are there already as they are.
        self._write(self.named(ids[self.here.has_mark(ids, DIRTY)]))
        self.here.forget(ids)
        self.only_there += ids.size
        self._to_look_at += LOOKS_A_ROW * ids.size

    def _note(self, ids: I64) -> None:
        if self.wants_full or not ids.size:
            return
        rows = self.named(ids)
        self.moved.append(rows)
        self._moved_bytes += rows.words.nbytes + sum(map(len, rows.keys))
        if self._moved_bytes * DELTA_PARTS > self._memory.most_bytes:
            self.wants_full = True
            self.moved = []

    def _write(self, rows: NamedRows) -> None:
        if not rows.keys:
            return
        if self.disk is None:
            folder = self._memory.new_path()
            folder.mkdir()
            self.disk = self._memory.open(folder, self)
        self.disk.put(rows)

    def let_go(self) -> list[bytes]:
        """As `ViewRows.let_go`."""
        gone = self.here.let_go()
        # Also while none is on disk: the next delta may be the first by names.
        self.gone += gone
        if self.disk is not None and gone:
            # What lies there is from before they ended.
            self.disk.remove(gone)
        return gone

    def freeze(self, disk: Rocks) -> list[Path]:
        """Have all rows on disk, too; its files as they are then."""
        everything = self.here.ids()
        changed = everything[self.here.has_mark(everything, DIRTY)]
        for first in range(0, changed.size, A_PART):
            part = changed[first : first + A_PART]
            disk.put(self.named(part))
            self.here.mark(part, DIRTY, is_set=False)
        return disk.freeze(self._memory.new_path())

    def remove(self, names: Sequence[bytes]) -> None:
        """These keys are nowhere any more."""
        keys = texts_of(names)
        self.bring(keys)
        ids = self.here.find(keys)
        self.here.forget(ids[ids >= 0])
        if self.disk is not None and names:
            self.disk.remove(names)

    def leave_disk(self) -> None:
        """Have all rows in memory, which has no bound any more."""
        if self.disk is None:
            return
        for keys, _rows in self.disk.parts(A_PART):
            self.bring(texts_of(keys))
        self.here.mark(self.here.ids(), DIRTY)
        self.disk.close()
        self.disk = None
        self.wants_full = True
