"""Where intake begins a topic of which it has no checkpoint: decided once, for all partitions that
are there, and kept beside the checkpoints.

    {url}/intake/{topic}.{digest}/{identity}.starts.json

So whoever begins after a crash, or beside others, or to recompute a ledger, begins at the same
records. A partition that is added later is not in it: it begins at its first record.
"""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Mapping

import fsspec
import msgspec
import structlog

from freshet.schemas.durations import text_of
from freshet.schemas.errors import CheckpointError, DefinitionError
from freshet.schemas.topics.start import EARLIEST, moment_ms
from freshet.schemas.topics.topic import Topic
from freshet.streams.log.contract import Bounds, Log
from freshet.streams.objects import put_new
from freshet.streams.operators.checkpoints import START_ANEW, positions

SUFFIX = ".starts.json"


class Starts(msgspec.Struct, frozen=True):
    """The first offset of each partition, as `start` had it at `decided_ms`. Of partitions that are
    `cut` records from before that offset were gone by then, and may have been meant, too."""

    start: str
    decided_ms: int
    offsets: dict[int, int]
    cut: list[int] = []

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
    found = decided(url, topic, bounds.identity)
    if found is None:
        _refuse_recreated(url, topic, source)
        found = _keep(url, topic, bounds.identity, _decide(log, topic, source, bounds, now_ms))
        structlog.get_logger().info(
            "start decided", topic=source, start=found.start, offsets=found.offsets
        )
    _refuse_gone(url, topic, source, found, bounds)
    return found


def decided(url: str, topic: Topic, identity: str) -> Starts | None:
    """What was decided of a log with this identity; None where nothing was."""
    fs, folder = _folder(url, topic)
    try:
        return msgspec.json.decode(fs.cat_file(_file(folder, identity)), type=Starts)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise CheckpointError(
            f"file {_file(folder, identity)}",
            f"cannot be read: {error}",
            f"Restore it from a backup. {START_ANEW}",
        ) from error


def _keep(url: str, topic: Topic, identity: str, made: Starts) -> Starts:
    """What counts from now on: `made`, unless another process was first."""
    fs, folder = _folder(url, topic)
    fs.makedirs(folder, exist_ok=True)
    data = msgspec.json.format(msgspec.json.encode(made))
    with contextlib.suppress(FileExistsError):
        put_new(fs, _file(folder, identity), data)
    found = decided(url, topic, identity)
    return found or made


def _decide(log: Log, topic: Topic, source: str, bounds: Bounds, now_ms: int) -> Starts:
    start = str(topic.start)
    moment = moment_ms(start)
    if moment is None:
        # An end is the offset after the last record: what comes next is read.
        ends = {partition: after for partition, (_, after) in bounds.spans.items()}
        return Starts(start, now_ms, ends)
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
    return Starts(start, now_ms, offsets, cut)


def _listed(offsets: Mapping[int, int]) -> str:
    told = []
    word = "partition "
    for partition, offset in sorted(offsets.items()):
        told.append(f"{offset} of {word}{partition}")
        word = ""
    return ", ".join(told)


def _refuse_recreated(url: str, topic: Topic, source: str) -> None:
    """Nothing was decided of this log, but of another one of its name."""
    fs, folder = _folder(url, topic)
    if not fs.isdir(folder):
        return
    if any(name.endswith(SUFFIX) for name in fs.ls(folder, detail=False)):
        raise CheckpointError(
            f"of intake:{topic.name}",
            f"topic {source} was recreated since its start was decided",
            f"Restore the topic. {START_ANEW}",
            topic=source,
        )


def _refuse_gone(url: str, topic: Topic, source: str, found: Starts, bounds: Bounds) -> None:
    """The records at a start, which no checkpoint is behind yet, are not retained any more."""
    for partition, offset in found.offsets.items():
        first, _ = bounds.spans[partition]
        if offset >= first or positions(url, _task(topic, partition)):
            continue
        lost = f"the {first - offset} records from its start, offset {offset}, on are gone"
        raise CheckpointError(
            f"of intake:{topic.name}:{partition}",
            f"topic {source} starts at offset {first}: {lost}",
            f"Restore them, and retain records for longer. {START_ANEW}",
            topic=source,
        )


def _task(topic: Topic, partition: int) -> str:
    return f"intake:{topic.name}.{topic.digest}:{partition}"


def _folder(url: str, topic: Topic) -> tuple[fsspec.AbstractFileSystem, str]:
    fs, root = fsspec.core.url_to_fs(url)
    return fs, f"{root.rstrip('/')}/intake/{topic.name}.{topic.digest}"


def _file(folder: str, identity: str) -> str:
    # Kafka's identities have slashes.
    return f"{folder}/{urllib.parse.quote(identity, safe='')}{SUFFIX}"
