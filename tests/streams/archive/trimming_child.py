"""A process that appends, consumes, archives, joins files and shortens its log, in turn, until it
is killed; whoever comes next goes on from what is durable.

python -m tests.streams.archive.trimming_child LOG_URL FOLDER TOPIC SEED
"""

from __future__ import annotations

import contextlib
import random
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from freshet.streams.archive import records
from freshet.streams.archive.layout import SOURCE, ArchivedFile, Place, digest_of, task_of
from freshet.streams.archive.manifest import dumped, named_files
from freshet.streams.archive.stored import StoredArchive
from freshet.streams.archive.trimming import Rule, Trimmer
from freshet.streams.catalog import open_log
from freshet.streams.log.contract import WHOLE, Batch, Log, joined
from freshet.streams.operators.checkpoints import Checkpoints, positions

APP = "app"
KEEP = 30  # "milliseconds": record i is appended at time i
CONSUMER = "view:v:0"
PARTITION = 0


def value_of(number: int) -> bytes:
    body = f"{number}:".encode() * (1 + number % 40)
    return body + zlib.crc32(body).to_bytes(4, "little")


class Places(NamedTuple):
    folder: Path
    topic: str

    @property
    def checkpoints(self) -> str:
        return str(self.folder / "checkpoints")

    @property
    def archive(self) -> str:
        return str(self.folder / "archive")

    @property
    def task(self) -> str:
        return task_of(SOURCE, self.topic, PARTITION)

    def opened(self) -> StoredArchive:
        return StoredArchive(self.archive, self.checkpoints, APP, {self.topic: SOURCE})


class Copier:
    """As the archive's operator is: files first, then the checkpoint that names them."""

    def __init__(self, places: Places, log: Log, tell: Callable[[], None] = lambda: None) -> None:
        self._tell = tell
        self._places = places
        self._log = log
        identity = log.bounds(places.topic).identity
        self._checkpoints = Checkpoints(places.checkpoints, places.task, identity)
        self.files: list[ArchivedFile] = []
        if self._checkpoints.load() is not None:
            self.files = named_files(places.checkpoints, places.task, identity)

    @property
    def reached(self) -> int:
        return self.files[-1].after if self.files else 0

    def copy(self, until: int) -> None:
        if until <= self.reached:
            return
        batch = read_live(self._log, self._places.topic, self.reached, until)
        self.files.append(self._write(batch, self.reached, until))
        self._name()

    def join(self, first: int, after: int) -> None:
        chosen = self.files[first:after]
        if len(chosen) < 2:
            return
        archive = self._places.opened()
        part = (self._places.topic, PARTITION)
        (batch,) = joined([archive.read(part, file) for file in chosen])
        self.files[first:after] = [self._write(batch, chosen[0].first, chosen[-1].after)]
        self._name()
        # Only once a checkpoint names the file that has their records.
        place = Place(APP, SOURCE, *part)
        for file in chosen:
            with contextlib.suppress(FileNotFoundError):
                (Path(self._places.archive) / file.path(place)).unlink()

    def _write(self, batch: Batch, first: int, after: int) -> ArchivedFile:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(records.columns_of(batch)), sink)
        data = sink.getvalue().to_pybytes()
        file = ArchivedFile(first, after, 0, len(batch), len(data), digest_of(data))
        path = Path(self._places.archive) / file.path(Place(APP, SOURCE, self._places.topic, 0))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._tell()
        return file

    def _name(self) -> None:
        # The same position may be named by other files: what are joined reach no further.
        self._checkpoints.save(self.reached, dumped(self.files), full=True, again=True)
        self._tell()


def read_live(log: Log, topic: str, start: int, until: int) -> Batch:
    reader = log.reader(
        [topic], None, lambda parts: dict.fromkeys(parts, start), headers={topic: [WHOLE]}
    )
    read: list[Batch] = []
    while sum(map(len, read)) < until - start:
        read += reader.poll(until - start - sum(map(len, read)), 1.0)
    reader.close()
    (batch,) = joined(read)
    return batch


def run(
    url: str, folder: Path, topic: str, seed: int, tell: Callable[[], None] = lambda: None
) -> None:
    """`tell` is called after each step."""
    chance = random.Random(seed)
    places = Places(folder, topic)
    log = open_log(url)
    writer = log.writer()
    identity = log.bounds(topic).identity
    consumer = Checkpoints(places.checkpoints, CONSUMER, identity)
    consumer.load()
    # One that was killed after it wrote, and before it named a file, left it: nobody reads that.
    copier = Copier(places, log, tell)
    trimmer = Trimmer(log, places.opened(), places.checkpoints, lambda: log_end(log, topic))
    rule = Rule(topic, KEEP, lambda partition: [CONSUMER])
    acknowledged = folder / "acknowledged"
    while True:
        end = log_end(log, topic)
        for number in range(end, end + chance.randint(1, 15)):
            writer.append(topic, PARTITION, [value_of(number)], number)
        writer.flush()
        tell()
        acknowledged.write_text(str(log_end(log, topic)))
        end = log_end(log, topic)
        read = max([0, *(offset for _, offset in positions(places.checkpoints, CONSUMER))])
        at = chance.randint(read, end)
        consumer.save(at, {"at": np.array([at])}, full=consumer.wants_full or chance.random() < 0.5)
        tell()
        copier.copy(chance.randint(copier.reached, end))
        if chance.random() < 0.2 and len(copier.files) > 3:
            copier.join(0, chance.randint(2, len(copier.files)))
        trimmer.trim(rule)
        tell()


def log_end(log: Log, topic: str) -> int:
    return log.bounds(topic).spans[PARTITION][1]


def main(arguments: Sequence[str]) -> None:
    url, folder, topic, seed = arguments
    run(url, Path(folder), topic, int(seed), lambda: print(flush=True))


if __name__ == "__main__":
    main(sys.argv[1:])
