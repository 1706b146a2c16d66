"""The rows of a partition, of which memory holds those that were used last, and a disk the others.

Where a row lies shows nowhere: its bytes, and what is handed over, are those of `ViewRows`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features.cold.memory import RowMemory
from freshet.features.cold.named import (
    Dumped,
    NamedRows,
    as_arrays,
    from_arrays,
    is_named,
    joined,
    texts_of,
)
from freshet.features.cold.places import Places
from freshet.features.packed import Packed
from freshet.features.partition.as_stored import as_stored
from freshet.features.partition.events import NO_MORE, More
from freshet.features.rows.layout import DIRTY
from freshet.features.rows.plan import RowPlan
from freshet.schemas.errors import CheckpointError
from freshet.schemas.parted_arrays import PartedArrays, whole
from freshet.schemas.text.columns import Texts

I64 = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[Any]]
Named = tuple[list[bytes], Packed]


class BoundedRows:
    """As `ViewRows`, within the memory that `memory` gives it. Not thread-safe.

    Until that is too little no row is on disk, and dumps are those of `ViewRows`. From then on they
    are by names, and a full one is files.
    """

    def __init__(self, plan: RowPlan, memory: RowMemory) -> None:
        self.plan = plan
        self._memory = memory
        self._clear()

    def _clear(self) -> None:
        self._places = Places(self.plan, self._memory)
        self._folder: Path | None = None  # for the files of a base
        self._files: list[Path] = []

    def __len__(self) -> int:
        return len(self._places)

    @property
    def on_disk(self) -> int:
        """How many rows are on disk, and not in memory."""
        return self._places.only_there

    @property
    def used_bytes(self) -> int:
        """Memory of rows and keys."""
        return self._places.used_bytes

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
        self._places.bring(keys)
        self._places.here.fold(
            keys,
            times,
            values,
            version_offset,
            version_index,
            more,
        )
        self._places.make_room()

    def erase(
        self, keys: Texts, version_offset: int, version_index: npt.NDArray[np.int32] | I64
    ) -> None:
        """As `ViewRows.erase`."""
        self._places.bring(keys)
        self._places.here.erase(keys, version_offset, version_index)

    def hand_over(self) -> Named:
        """As `ViewRows.hand_over`."""
        handed = self._places.here.hand_over()
        # Those were kept here until now.
        self._places.make_room()
        return handed

    def sweep(self, now_ms: int, rows: int) -> None:
        """As `ViewRows.sweep`; of rows on disk, too."""
        self._places.here.sweep(now_ms, rows)
        self._places.sweep_disk(now_ms, rows)

    def let_go(self) -> list[bytes]:
        """As `ViewRows.let_go`."""
        return self._places.let_go()

    def all_parts(self) -> Iterator[Named]:
        """As `ViewRows.all_parts`. Nothing may be folded before the last one was taken."""
        yield from self._places.here.all_parts()
        for part in self._places.alone_on_disk():
            yield part.keys, as_stored(part.words, part.ends)

    # ------------------------------------------------------------------------------- checkpoints

    @property
    def wants_full(self) -> bool:
        """Whether the next dump has to be full."""
        return self._places.wants_full

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
        return whole(self.dump_in_parts())

    def dump_in_parts(self) -> PartedArrays:
        """As `dump`; what is in memory, part by part."""
        places = self._places
        places.begin_delta()
        places.wants_full = False
        self._files = []
        if places.disk is None:
            return places.here.dump_in_parts()
        places.here.take_touched()
        self._files = places.freeze(places.disk)
        return self._dumped([], is_base=True)

    def dump_delta(self) -> Arrays:
        """As `ViewRows.dump_delta`; not where a full dump is wanted."""
        places = self._places
        if places.disk is None:
            dumped = places.here.dump_delta()
        else:
            touched = places.named(places.here.take_touched())
            # What is in memory is newer than what went to disk.
            dumped = self._dumped([*places.moved, touched], is_base=False)
        places.begin_delta()
        return dumped

    def _dumped(self, rows: Sequence[NamedRows], is_base: bool) -> Arrays:
        pending = self._places.named(self._places.here.pending()).keys
        what = Dumped(
            is_base,
            len(self),
            self._places.gone,
            joined(rows),
            pending,
        )
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
        places = self._places
        if by_ids:
            # They come first: the others began when the first row went to disk.
            places.here.load(by_ids[0], by_ids[1:])
            places.here.mark(places.here.ids(), DIRTY)
        for part in by_names:
            self._apply(part, folder)
        if by_names:
            self._await_store(by_names[-1].pending)
        # A delta would have to say by ids what this one says by names.
        places.wants_full = bool(by_names)
        places.make_room()
        if not self._memory.most_bytes:
            places.leave_disk()

    def _apply(self, part: Dumped, folder: Path | None) -> None:
        if part.is_base:
            assert folder is not None
            self._places.open(folder, part.total)
        self._places.remove(part.gone)
        self._places.put(part.rows)
        if len(self) != part.total:
            raise CheckpointError(
                f"rows of {part.total} keys",
                f"are {len(self)}: a part of them is missing",
                "Load the deltas of one base, in order.",
            )

    def _await_store(self, names: Sequence[bytes]) -> None:
        """The store has yet to see the rows of these keys."""
        keys = texts_of(names)
        self._places.bring(keys)
        ids = self._places.here.find(keys)
        self._places.here.touch_for_store(ids[ids >= 0])
