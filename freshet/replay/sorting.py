"""Events of many files in the order of their times, by an external merge sort: what is in memory is
bounded, however many there are.

Events come in pieces. A piece is sorted and appended to the first *run* on disk that ends before it
begins, or starts a new one; so a file that is in order makes one run, whatever its size. The runs
are then merged. Of equal times that which came first is first, so that two replays are equal.

Source: Knuth, The Art of Computer Programming, volume 3, section 5.4.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import polars as pl
import pyarrow as pa

from freshet.datafiles.files import DataError

SCHEMA = pa.schema(
    {
        "time": pa.int64(),
        "place": pa.int64(),
        "topic": pa.int16(),
        "partition": pa.int32(),
        "record": pa.large_binary(),
    }
)
# Of each run so many events are in memory while runs are merged, and each has a file open.
READ_ROWS = 2_048
MOST_RUNS = 200


class _Run:
    """A file of events in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last = (0, 0)
        self._file = pa.ipc.new_file(path, SCHEMA)

    def append(self, piece: pl.DataFrame) -> None:
        table = piece.to_arrow().cast(SCHEMA)
        self._file.write_table(table, max_chunksize=READ_ROWS)
        self.last = _key(piece, -1)

    def close(self) -> None:
        self._file.close()

    def pieces(self) -> Iterator[pl.DataFrame]:
        with pa.memory_map(str(self.path)) as source, pa.ipc.open_file(source) as file:
            for i in range(file.num_record_batches):
                yield _frame(pa.Table.from_batches([file.get_batch(i)]))


class SortedEvents:
    """Sorts in a folder of its own, which goes with it: a context manager. `add` everything, then
    read it by `pieces`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs: list[_Run] = []
        self.rows = 0

    def __enter__(self) -> SortedEvents:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for run in self._runs:
            run.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, found: pl.DataFrame, where: str) -> None:
        """Take events in, as rows of `SCHEMA`, in any order; `where` says of which file they are.

        Raises:
            DataError: they are so little in order that merging them would take too much memory.
        """
        if not len(found):
            return
        piece = found.sort("time", "place")
        first = _key(piece, 0)
        run = next((run for run in self._runs if run.last <= first), None)
        if run is None:
            run = self._new_run(where)
        run.append(piece)
        self.rows += len(piece)

    def _new_run(self, where: str) -> _Run:
        if len(self._runs) >= MOST_RUNS:
            raise DataError(
                f"file {where}",
                f"is too little in order of time: with it there are over {MOST_RUNS} runs to merge",
                "Sort it by its time first, "
                "as polars.scan_parquet(…).sort(…).sink_parquet(…) does.",
            )
        self._runs.append(_Run(self._folder / f"{len(self._runs)}.arrow"))
        return self._runs[-1]

    def pieces(self) -> Iterator[pl.DataFrame]:
        """All events, in order, some thousands at a time."""
        for run in self._runs:
            run.close()
        # Closed above, which writes the footer that reading needs.
        coming = [run.pieces() for run in self._runs]
        # No run is empty: each was made for a piece.
        held = [next(pieces) for pieces in coming]
        while held:
            # Up to here no run can bring anything that belongs before it.
            time, place = min(_key(piece, -1) for piece in held)
            now = (pl.col("time") < time) | ((pl.col("time") == time) & (pl.col("place") <= place))
            yield pl.concat([piece.filter(now) for piece in held]).sort("time", "place")
            rest = [piece.filter(~now) for piece in held]
            refilled = [
                piece if len(piece) else next(pieces, None) for piece, pieces in zip(rest, coming)
            ]
            kept = [i for i, piece in enumerate(refilled) if piece is not None]
            held = [piece for piece in refilled if piece is not None]
            coming = [coming[i] for i in kept]


def frame(rows: list[tuple[int, int, int, int, bytes]]) -> pl.DataFrame:
    """Events in the order of `SCHEMA`'s columns."""
    columns = list(zip(*rows)) if rows else [()] * len(SCHEMA)
    arrays = [pa.array(c, field.type) for c, field in zip(columns, SCHEMA)]
    return _frame(pa.Table.from_arrays(arrays, schema=SCHEMA))


def _frame(table: pa.Table) -> pl.DataFrame:
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found


def _key(piece: pl.DataFrame, row: int) -> tuple[int, int]:
    return int(piece["time"][row]), int(piece["place"][row])
