"""Nothing is forgotten that is not safe in the archive, needed by a reader or to be kept; whoever
is killed on the way loses nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.errors import LogError
from freshet.streams.archive.log import ArchivedLog
from freshet.streams.archive.trimming import Needs, Rule, Trimmer, first_kept
from freshet.streams.catalog import open_log
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.operators.checkpoints import Checkpoints, positions
from freshet.streams.sqlite.log import SqliteLog
from tests.contracts.log_battery import fill
from tests.streams.archive.trimming_child import (
    CONSUMER,
    KEEP,
    Copier,
    Places,
    run,
    value_of,
)

TOPIC = "t"
KILLS = 200
offsets = st.integers(0, 50)


@given(offsets, st.integers(0, 50), offsets, st.lists(st.none() | offsets), offsets)
def test_what_anybody_needs_stays(
    first: int, records: int, archived: int, read: list[int | None], kept_from: int
) -> None:
    span = (first, first + records)
    found = first_kept(span, Needs(archived, read, kept_from))
    assert first <= found <= span[1]
    # Each record before it is below everything that would hold it.
    for offset in range(first, found):
        assert offset < archived
        assert offset < kept_from
        assert all(at is not None and offset < at for at in read)
    # And the one at it is held by something, or is not there.
    held = [found == first, found == span[1], found == archived, found == kept_from]
    assert any(held) or found in read


class Shop:
    """A log of one partition whose record i was appended at time i, its archive, one consumer."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(folder, TOPIC)
        self.log = SqliteLog(folder / "log")
        self.log.ensure(TOPIC, 1)
        self.identity = self.log.bounds(TOPIC).identity
        for number in range(100):
            fill(self.log, TOPIC, 1, [0], number)
        self.copier = Copier(self.places, self.log)
        self.archive = self.places.opened()
        self.now_ms: int | None = 100
        self.trimmer = Trimmer(self.log, self.archive, self.places.checkpoints, lambda: self.now_ms)

    def consumed(self, at: int) -> None:
        saved = Checkpoints(self.places.checkpoints, CONSUMER, self.identity)
        saved.save(at, {"at": np.array([at])}, full=True)

    def trim(self, keep_ms: int = KEEP) -> int:
        self.trimmer.trim(Rule(TOPIC, keep_ms, lambda partition: [CONSUMER]))
        return self.log.bounds(TOPIC).spans[0][0]


@pytest.fixture
def shop(tmp_path: Path):
    shop = Shop(tmp_path)
    yield shop
    shop.log.close()


def test_the_least_of_archive_readers_and_keep_is_what_goes(shop: Shop) -> None:
    assert shop.trim() == 0  # nothing is archived, nothing was read
    shop.copier.copy(50)
    assert shop.trim() == 0  # its reader begins at the first record
    shop.consumed(20)
    assert shop.trim() == 20
    shop.consumed(60)
    assert shop.trim() == 20  # it may still go on from the older one
    shop.consumed(61)
    shop.consumed(62)  # of three bases two are kept
    assert shop.trim() == 50
    shop.copier.copy(90)
    assert shop.trim() == 61
    shop.consumed(99)
    shop.consumed(99 + 1)
    assert shop.trim() == 100 - KEEP
    assert shop.trim(5) == 90
    shop.now_ms = None  # nobody has told the time yet
    assert shop.trim(0) == 90


def test_a_copy_is_read_back_before_what_it_copied_is_forgotten(shop: Shop) -> None:
    for until in (10, 20, 30):
        shop.copier.copy(until)
    shop.consumed(99)
    damaged = shop.copier.files[1]
    (path,) = Path(shop.places.archive).rglob(f"*-{damaged.digest}.parquet")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(LogError, match="from 10 to 20 are not as they were written"):
        shop.trim()
    assert shop.log.bounds(TOPIC).spans[0][0] == 0
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert shop.trim() == 30


def test_what_the_archive_lacks_in_the_middle_holds_all_that_follows(shop: Shop) -> None:
    for until in (10, 20, 30):
        shop.copier.copy(until)
    del shop.copier.files[1]
    shop.copier.copy(40)
    shop.consumed(99)
    assert shop.trim() == 10


def test_files_that_were_joined_are_read_back_once_more(shop: Shop) -> None:
    shop.copier.copy(10)
    shop.copier.copy(20)
    shop.consumed(15)
    assert shop.trim() == 15
    shop.copier.join(0, 2)
    (path,) = Path(shop.places.archive).rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-1])
    shop.consumed(99)
    shop.consumed(100)
    with pytest.raises(LogError, match="not as they were written"):
        shop.trim()
    assert shop.log.bounds(TOPIC).spans[0][0] == 15


def test_another_identity_of_the_log_is_another_log(shop: Shop) -> None:
    shop.copier.copy(50)
    shop.consumed(99)
    for file in shop.log.directory.glob(f"{TOPIC}.*"):
        file.unlink()
    shop.log.ensure(TOPIC, 1)
    fill(shop.log, TOPIC, 100, [0], 7)
    assert shop.trim() == 0
    log = ArchivedLog(shop.log, shop.archive)
    assert log.bounds(TOPIC).spans[0] == (0, 100)


def check(url: str, places: Places) -> int:
    """All that was acknowledged is there, whole and in its place, and live what is to be; how much
    of it the live log has forgotten."""
    live = open_log(url)
    log = ArchivedLog(live, places.opened())
    found = live.bounds(places.topic)
    first, after = found.spans[0]
    told = int((places.folder / "acknowledged").read_text() or 0)
    assert after >= told
    assert first <= max(0, after - KEEP)
    read = [at for of, at in positions(places.checkpoints, CONSUMER) if of == found.identity]
    assert first <= min(read, default=0)
    assert log.bounds(places.topic).spans[0] == (0, after)
    with PartitionSpans(log, places.topic) as spans:
        at = 0
        for batch in spans.read(0, after):
            for i in range(len(batch)):
                assert int(batch.offsets[i]) == at
                # Kafka stamps what was appended at 0 with the first millisecond that it takes.
                assert int(batch.times[i]) in (at, max(at, 1))
                assert bytes(batch.value(i)) == value_of(at)
                at += 1
    assert at == after
    log.close()
    return first


def killed_after(steps: int, work: Callable[[Callable[[], None]], None]) -> None:
    """Do it in a process of its own, and kill that after so many steps, wherever it has got to by
    then."""
    ours, its = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            work(lambda: os.write(its, b"."))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)  # it never ends by itself
    os.close(its)
    for _ in range(steps):
        assert os.read(ours, 1)
    os.kill(pid, signal.SIGKILL)
    os.close(ours)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "it ended by itself"


class Enough(Exception):
    pass


def work_once(folder: Path) -> None:
    """All that whoever is forked and killed does, here: what it imports and loads of kernels meanwhile
    is most of what each of them would cost."""
    url = str(folder / "log")
    log = open_log(url)
    log.ensure(TOPIC, 1)
    log.close()
    steps = iter(range(40))

    def tell() -> None:
        if next(steps, None) is None:
            raise Enough

    with pytest.raises(Enough):
        run(url, folder, TOPIC, 0, tell)


def test_two_hundred_kills_around_trimming_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    work_once(tmp_path / "once")
    chance = random.Random(1)
    places = Places(tmp_path, TOPIC)
    url = str(tmp_path / "log")
    log = open_log(url)
    log.ensure(TOPIC, 1)
    log.close()
    (tmp_path / "acknowledged").write_text("0")
    forgotten = []
    for kill in range(KILLS):
        steps = chance.randint(1, 12)
        killed_after(steps, lambda tell, seed=kill: run(url, tmp_path, TOPIC, seed, tell))
        if kill % 25 == 24:
            forgotten.append(check(url, places))
    # It went on and on: nobody was held up by what somebody else had left.
    assert forgotten[-1] > forgotten[len(forgotten) // 2] > 0


def test_kills_around_trimming_lose_nothing_on_kafka(tmp_path: Path, kafka: str) -> None:
    chance = random.Random(2)
    topic = f"trimmed.{tmp_path.name}"
    places = Places(tmp_path, topic)
    url = f"kafka://{kafka}"
    log = open_log(url)
    log.ensure(topic, 1)
    log.close()
    (tmp_path / "acknowledged").write_text("0")
    command = [sys.executable, "-m", "tests.streams.archive.trimming_child", url, str(tmp_path)]
    first = 0
    for kill in range(8):
        child = subprocess.Popen([*command, topic, str(kill)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(chance.randint(1, 60)):
            assert child.stdout.readline() == b"\n"
        child.kill()
        child.communicate()
        first = check(url, places)
    assert first > 0
