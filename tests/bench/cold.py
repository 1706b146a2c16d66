"""What does an event cost with a tenth of the rows in memory and the others on disk, and a checkpoint?

A million keys, or as many as FRESHET_BENCH_KEYS says, and events of them under Zipf 1.1. The rows are
those of the benchmark `rows`. Against the same events with all rows in memory.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from freshet.features.cold.bounded_rows import BoundedRows
from freshet.features.cold.memory import RowMemory
from freshet.features.partition.contract import PartitionRows
from freshet.features.partition.rows import ViewRows
from freshet.schemas.text.columns import Texts
from tests.bench.harness import Row
from tests.bench.rows import plan

KEYS = int(os.environ.get("FRESHET_BENCH_KEYS", "1_000_000"))
EVENTS = 1_000_000
BATCH = 10_000
EXPONENT = 1.1
PART = 10
STEP_MS = 1_000
# Batches from one checkpoint to the next.
EACH = 50


@dataclass
class Base:
    """A full dump: seconds by the wall and of CPU, and megabytes of it in all, and of files that
    the one before lacks."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    new_megabytes: float


@dataclass
class Run:
    """What one kind of rows took: seconds a batch, of CPU (all threads, RocksDB's too) and by the
    wall; and its bases."""

    batches: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    bases: list[Base] = field(default_factory=list)

    @property
    def microseconds(self) -> float:
        """An event, in the later half: by then memory holds the keys that come often."""
        later = self.batches[len(self.batches) // 2 :]
        return float(np.mean(later)) / BATCH * 1e6


def run() -> list[Row]:
    whole = _taken(ViewRows(plan()))
    with tempfile.TemporaryDirectory() as folder:
        # What a tenth of the rows and keys takes, and a third more, which is RocksDB's.
        most = _bytes_of_all() // PART * 4 // 3
        rows = BoundedRows(plan(), RowMemory(Path(folder), most))
        some = _taken(rows)
        in_memory = 1 - rows.on_disk / len(rows)
    first, *_, last = some.bases
    return [
        {
            "name": f"a tenth of {KEYS:,} keys in memory",
            "unit": "µs of CPU/event",
            "ours": some.microseconds,
            "baseline": whole.microseconds,
            "ratio": whole.microseconds / some.microseconds,
            "against": "all in memory",
            "detail": {
                "rows_in_memory": round(in_memory, 3),
                "memory_mb": round(most / 1e6),
                "batch_p99_ms": round(float(np.quantile(some.waits, 0.99)) * 1e3, 1),
                "batch_max_ms": round(max(some.waits) * 1e3, 1),
                "first_base": vars(first),
                "later_base": vars(last),
                "base_in_memory": vars(whole.bases[-1]),
            },
        }
    ]


def _bytes_of_all() -> int:
    rows = ViewRows(plan())
    for batch, keys in enumerate(_every_key()):
        _fold(rows, keys, batch)
    return rows.live_bytes


def _taken(rows: PartitionRows) -> Run:
    """Every key once, a base, then events, with a base now and then."""
    found = Run()
    offset = 0
    for keys in _every_key():
        _fold(rows, keys, offset)
        rows.hand_over()
        offset += 1
    seen: dict[str, int] = {}
    found.bases.append(_base(rows, seen))
    for batch, keys in enumerate(_drawn()):
        started = time.perf_counter()
        taken = time.process_time()
        _fold(rows, keys, offset)
        found.batches.append(time.process_time() - taken)
        found.waits.append(time.perf_counter() - started)
        rows.hand_over()
        offset += 1
        if (batch + 1) % EACH == 0:
            found.bases.append(_base(rows, seen))
    return found


def _base(rows: PartitionRows, seen: dict[str, int]) -> Base:
    started = time.perf_counter()
    taken = time.process_time()
    arrays = rows.dump()
    cpu_seconds = time.process_time() - taken
    seconds = time.perf_counter() - started
    dumped = sum(array.nbytes for array in arrays.values())
    files = {path.name: path.stat().st_size for path in rows.files}
    new = sum(size for name, size in files.items() if name not in seen)
    seen.clear()
    seen.update(files)
    return Base(
        round(seconds, 2),
        round(cpu_seconds, 2),
        round((dumped + sum(files.values())) / 1e6),
        round((dumped + new) / 1e6),
    )


def _fold(rows: PartitionRows, keys: Texts, offset: int) -> None:
    count = len(keys)
    times = np.full(count, offset * STEP_MS)
    rows.fold(keys, times, np.ones((count, 1)), offset, np.arange(count))


def _every_key() -> Iterator[Texts]:
    for first in range(0, KEYS, BATCH):
        yield _names(np.arange(first, min(first + BATCH, KEYS)))


def _drawn() -> Iterator[Texts]:
    rng = np.random.default_rng(1)
    weights = np.arange(1, KEYS + 1) ** -EXPONENT
    edges = weights.cumsum() / weights.sum()
    # Those that come often lie anywhere among the others.
    places = rng.permutation(KEYS)
    for _ in range(EVENTS // BATCH):
        yield _names(places[np.searchsorted(edges, rng.random(BATCH))])


def _names(keys: npt.NDArray[np.int64]) -> Texts:
    return Texts.of([f"key {key}" for key in keys.tolist()])
