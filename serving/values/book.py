"""The statistics of all topics: read from their log by one thread, asked for by any; and kept in
the run's folder, so that a restart goes on where it was."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from freshet.schemas.errors import ObjectStoreError, RequestError, SchemaError
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.serving.status.status import StatisticsFigures
from freshet.serving.values.report import Asked, Report, report
from freshet.serving.values.topic import KeptTopic, TopicStatistics
from freshet.streams import objects
from freshet.streams.log.contract import Batch, Log, Reader, TopicPartition

log = structlog.get_logger()
FILE = "statistics.msgpack"
ASIDE = "statistics.unreadable"
FORMAT = 2
MOST_RECORDS = 1_000  # at once


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    """`format` rises when what is below it changes its meaning. `position` is in the log that has
    the `identity`: what stands before it is in the topics."""

    format: int
    app: str
    identity: str
    position: int
    topics: dict[str, KeptTopic]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Content)


class Book:
    """`take` is called by one thread; all else by any."""

    def __init__(self, app: str, topics: Sequence[Topic]) -> None:
        self._app = app
        self._topics = {
            topic.name: TopicStatistics(topic) for topic in topics if topic.statistics is not None
        }
        self._without = [topic.name for topic in topics if topic.statistics is None]
        self._lock = threading.Lock()
        self._figures = {name: known.figures() for name, known in self._topics.items()}
        self._identity = ""
        self._position = 0
        self._saved = 0  # the position that the file has
        self._reader: Reader | None = None

    def take(self, log_: Log, name: str) -> bool:
        """Take what came to the log of that name since the last call; whether that was anything.
        Raises `LogError` while the log is away."""
        if self._reader is None:
            self._reader = self._open(log_, name)
        found = self._reader.poll(MOST_RECORDS, 0.0)
        for batch in found:
            with self._lock:
                self._take(batch)
                self._figure()
        return bool(found)

    def _figure(self) -> None:
        self._figures = {name: known.figures() for name, known in self._topics.items()}

    def _open(self, log_: Log, name: str) -> Reader:
        identity = log_.bounds(name).identity
        if identity != self._identity:
            # Another log: what is known stays, and its positions mean nothing in this one.
            with self._lock:
                for topic in self._topics.values():
                    topic.begin_again()
                self._identity = identity
                self._position = 0
        start = self._position

        def begin(gained: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
            if not start:
                return {}  # at the first that is retained
            return dict.fromkeys(gained, start)

        return log_.reader([name], None, begin)

    def _take(self, batch: Batch) -> None:
        for i in range(len(batch)):
            try:
                block = blocks.decode(batch.value(i))
                statistics = self._topics.get(block.origin)
                # None of a topic that is not declared any more.
                if statistics is not None:
                    statistics.take(block)
            # Whoever may write to the log may write anything.
            except (SchemaError, KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
                log.warning(
                    "record is no statistics; it is set aside",
                    topic=batch.topic,
                    offset=int(batch.offsets[i]),
                    error=str(error),
                )
        self._position = int(batch.offsets[-1]) + 1

    def figures(self, topic: str) -> StatisticsFigures:
        """Of a topic, for the status: as of the last `take`."""
        # Without the lock: a report of a year holds it for seconds, and a status is told at once.
        return self._figures.get(topic, StatisticsFigures())

    def report(self, topic: str, asked: Asked) -> Report:
        """What is known of the values of a topic. Raises `RequestError` for a topic, a field, a
        source or a span that there is not."""
        if topic in self._without:
            raise RequestError(
                f"topic {topic!r}",
                "keeps no statistics: it is declared with statistics=None",
                "Leave that out, or write fr.Statistics(…).",
                status=404,
            )
        if topic not in self._topics:
            raise RequestError(
                f"topic {topic!r}",
                "is unknown",
                f"The topics are {', '.join(self._topics)}.",
                status=404,
            )
        with self._lock:
            return report(self._topics[topic], asked)

    def save(self, place: str | Path) -> None:
        """Write the file, if anything came since it was written. A disk that takes nothing costs
        but what would be read again: it is logged."""
        content = self._content()
        if content is None:
            return
        try:
            objects.write(place, FILE, _encoder.encode(content))
            self._saved = content.position
        except (OSError, ObjectStoreError) as error:
            log.warning("statistics are not saved", folder=str(place), error=str(error))

    def _content(self) -> _Content | None:
        with self._lock:
            # What came of such a piece would be lost: it is read again as a whole.
            incomplete = any(topic.incomplete for topic in self._topics.values())
            if incomplete or self._position == self._saved:
                return None
            return _Content(
                format=FORMAT,
                app=self._app,
                identity=self._identity,
                position=self._position,
                topics={name: topic.kept() for name, topic in self._topics.items()},
            )

    def restore(self, place: str | Path) -> None:
        """Go on where the file ends. One that cannot be read, or is of another app or format, is
        set aside, and all is read again."""
        try:
            content = _decoder.decode(objects.read(place, FILE))
            if content.format != FORMAT or content.app != self._app:
                raise ValueError(f"it is of app {content.app}, format {content.format}")
        except FileNotFoundError:
            return  # the run's first start
        except (OSError, msgspec.DecodeError, ValueError) as error:
            log.warning(
                "statistics cannot be read; they are set aside and read from their log",
                file=f"{place}/{ASIDE}",
                error=str(error),
            )
            _set_aside(place)
            return
        self._identity = content.identity
        self._position = content.position
        for name, kept in content.topics.items():
            if name in self._topics:
                self._topics[name].restore(kept)
        self._figure()


def _set_aside(place: str | Path) -> None:
    try:
        objects.set_aside(place, FILE, ASIDE)
    except (OSError, ObjectStoreError) as error:
        log.warning("statistics cannot be set aside", file=f"{place}/{FILE}", error=str(error))
