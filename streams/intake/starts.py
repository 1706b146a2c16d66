"""Where intake begins a topic of which it has no checkpoint: decided once, for all partitions that
are there, and kept beside the checkpoints.

    {url}/starts/{log}/{start}/{identity}.json

So whoever begins after a crash, or beside others, or to recompute a ledger, begins at the same
records; and so does a topic that is declared otherwise, by another filter, say: what was appended
while nobody read is not lost to it. A partition that is added later is not in it: it begins at its
first record.
"""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from msgspec import structs

from freshet.schemas.durations import text_of
from freshet.schemas.errors import CheckpointError, DefinitionError
from freshet.schemas.topics.start import EARLIEST, moment_ms
from freshet.schemas.topics.topic import Topic
from freshet.streams.log.contract import Bounds, Log
from freshet.streams.objects import opened, put_new
from freshet.streams.operators.checkpoints import START_ANEW, positions

SUFFIX = ".json"
# Whose checkpoints tell what was read of a source.
_READERS = ("intake", "repartition")


class Starts(msgspec.Struct, frozen=True):
    """The first offset of each partition, as `start` had it at `decided_ms`. Of partitions that are
    `cut` records from before that offset were gone by then, and may have been meant, too."""

    start: str
    decided_ms: int
    offsets: dict[int, int]
    cut: list[int] = []
    cluster: str | None = None

    def sentence(self, topic: str) -> str:
        """For whoever starts the app.

        >>> Starts("2026-01-31T00:00:00+00:00", 0, {0: 120, 1: 7}, [1]).sentence("orders")
        'topic orders starts at 2026-01-31T00:00:00+00:00, which is offset 120 of partition 0, \
7 of 1; records from before offset 7 of partition 1 were not retained.'
        """
        told = _listed(self.offsets)
        sentence = f"topic {topic} starts at {self.start}, which is offset {told}"
        if self.cut:
            gone = _listed({partition: self.offsets[partition] for partition in self.cut})
            sentence += f"; records from before offset {gone} were not retained"
        return f"{sentence}."


def settle(url: str, log: Log, topic: Topic, source: str, now_ms: int) -> Starts | None:
    """Where `topic`, read from the log `source`, begins: as it was decided, or, where nobody has,
    as it is now. None of a topic that is read from its first record on.

    Raises:
        CheckpointError: the topic was recreated since, or lacks records that were to be read.
        DefinitionError: it starts at a moment that is still to come.
        LogError: the log cannot be asked.
    """
    if topic.start == EARLIEST:
        return None
    bounds = log.bounds(source)
    found = decided(url, topic, source, bounds.identity)
    if found is None:
        _refuse_recreated(url, topic, source, bounds.identity)
        made = _decide(log, topic, source, bounds, now_ms)
        found = _keep(url, topic, source, bounds.identity, made)
        structlog.get_logger().info(
            "start decided", topic=source, start=found.start, offsets=found.offsets
        )
    return _retained(url, topic, source, found, bounds)


def decided(url: str, topic: Topic, source: str, identity: str) -> Starts | None:
    """What was decided of the log `source` with this identity; None where nothing was."""
    fs, folder = _folder(url, topic, source)
    try:
        return _read(fs, _file(folder, identity))
    except FileNotFoundError:
        return None


def _read(fs: Any, file: str) -> Starts:
    try:
        return msgspec.json.decode(fs.cat_file(file), type=Starts)
    except msgspec.DecodeError as error:
        raise CheckpointError(
            f"file {file}",
            f"cannot be read: {error}",
            f"Restore it from a backup. {START_ANEW}",
        ) from error


def _keep(url: str, topic: Topic, source: str, identity: str, made: Starts) -> Starts:
    """What counts from now on: `made`, unless another process was first."""
    fs, folder = _folder(url, topic, source)
    fs.makedirs(folder, exist_ok=True)
    data = msgspec.json.format(msgspec.json.encode(made))
    with contextlib.suppress(FileExistsError):
        put_new(fs, _file(folder, identity), data)
    found = decided(url, topic, source, identity)
    return found or made


def _decide(log: Log, topic: Topic, source: str, bounds: Bounds, now_ms: int) -> Starts:
    start = str(topic.start)
    moment = moment_ms(start)
    if moment is None:
        # An end is the offset after the last record: what comes next is read.
        ends = {partition: after for partition, (_, after) in bounds.spans.items()}
        return Starts(start, now_ms, ends, cluster=topic.cluster)
    if moment > now_ms:
        raise DefinitionError(
            f"topic {topic.name}",
            f"start={start!r} is {text_of(moment - now_ms)} from now",
            'Start it then, or write start="latest".',
        )
    found = log.since(source, moment)
    # It may have got partitions since it was asked for its bounds: those were added later.
    offsets = {partition: found[partition] for partition in bounds.spans}
    cut = []
    for partition, (first, _) in bounds.spans.items():
        # What was appended before is gone, and with it what would tell when that was.
        if first and offsets[partition] == first:
            cut.append(partition)
    return Starts(start, now_ms, offsets, cut, topic.cluster)


def _listed(offsets: Mapping[int, int]) -> str:
    told = []
    word = "partition "
    for partition, offset in sorted(offsets.items()):
        told.append(f"{offset} of {word}{partition}")
        word = ""
    return ", ".join(told)


def _refuse_recreated(url: str, topic: Topic, source: str, identity: str) -> None:
    """Nothing was decided of this log, but of another one of its name."""
    fs, folder = _folder(url, topic, source)
    if not fs.isdir(folder):
        return
    names = [name for name in fs.ls(folder, detail=False) if name.endswith(SUFFIX)]
    # Of this very log another process may have decided a moment ago.
    own = _file("", identity)
    names = [name for name in names if not name.endswith(own)]
    # Other clusters may have a log of that name. The same one may be named by other brokers: which
    # log it is, its identity says.
    if any(_read(fs, name).cluster == topic.cluster for name in names):
        raise CheckpointError(
            f"of intake:{topic.name}",
            f"topic {source} was recreated since its start was decided",
            f"Restore the topic. {START_ANEW}",
            topic=source,
        )


def _retained(url: str, topic: Topic, source: str, found: Starts, bounds: Bounds) -> Starts:
    """What was decided, moved to the first records that are still there where the topic was read
    from its start by another definition; this one begins anew, with what is left.

    Raises:
        CheckpointError: nobody has read the records at its start, and they are gone.
    """
    offsets = dict(found.offsets)
    cut = set(found.cut)
    for partition, offset in found.offsets.items():
        first, _ = bounds.spans[partition]
        if offset >= first or positions(url, _task(topic, partition)):
            continue
        if not _was_read(url, bounds.identity, partition):
            raise _gone(topic, source, partition, offset, first)
        offsets[partition] = first
        cut.add(partition)
    return structs.replace(found, offsets=offsets, cut=sorted(cut))


def _gone(topic: Topic, source: str, partition: int, offset: int, first: int) -> CheckpointError:
    """The records at a start, which no checkpoint is behind yet, are not retained any more."""
    lost = f"the {first - offset} records from its start, offset {offset}, on are gone"
    return CheckpointError(
        f"of intake:{topic.name}:{partition}",
        f"topic {source} starts at offset {first}: {lost}",
        f"Restore them, and retain records for longer. {START_ANEW}",
        topic=source,
    )


def _was_read(url: str, identity: str, partition: int) -> bool:
    """Whether a topic of whatever definition has a checkpoint of a partition of this log."""
    fs, root = opened(url)
    for reader in _READERS:
        folder = f"{root.rstrip('/')}/{reader}"
        if not fs.isdir(folder):
            continue
        tasks = [name.rstrip("/").rsplit("/", 1)[1] for name in fs.ls(folder, detail=False)]
        for task in tasks:
            # Of the log that records were moved to intake's checkpoints bear another identity.
            found = positions(url, f"{reader}:{task}:{partition}")
            if any(saved == identity for saved, _ in found):
                return True
    return False


def _task(topic: Topic, partition: int) -> str:
    reader = "repartition" if topic.by_id else "intake"
    return f"{reader}:{topic.name}.{topic.digest}:{partition}"


def _folder(url: str, topic: Topic, source: str) -> tuple[Any, str]:
    fs, root = opened(url)
    start = urllib.parse.quote(str(topic.start), safe="")
    return fs, f"{root.rstrip('/')}/starts/{source}/{start}"


def _file(folder: str, identity: str) -> str:
    # Kafka's identities have slashes.
    return f"{folder}/{urllib.parse.quote(identity, safe='')}{SUFFIX}"
