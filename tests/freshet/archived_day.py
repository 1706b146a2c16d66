"""The archive of a run that goes on in this process: its operator over the run's log, to the end of
that; and a run that has nothing but the files of such an archive."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from freshet.app import App
from freshet.demo.flights.schedule import Records
from freshet.roles import plans
from freshet.schemas.topics.topic import Topic
from freshet.streams.archive.folder import ArchiveFolder
from freshet.streams.archive.task import ArchiveTask, Rhythm, Start
from freshet.streams.log.contract import Log
from freshet.streams.operators import loop
from freshet.streams.operators.loop import Job, Operator, Place


def archived(app: App, log: Log, url: str, checkpoints_url: str, group: str = "archive") -> None:
    """All that the app's logs hold by now, each batch in a file of its own."""
    sources = [plans.intake_plan(app, topic) for topic in app.topics]
    kept = plans.archive_plans(app, sources, with_own=True)
    folder = ArchiveFolder(url)

    def made(name: str, partition: int) -> ArchiveTask:
        bounds = log.bounds(name)
        first, _ = bounds.spans[partition]
        start = Start(partition, first, bounds.identity)
        return ArchiveTask(kept[name], start, folder, Rhythm(age_seconds=0.0))

    job = Job("archive", list(kept), made, group, headers=plans.headers(app, whole=True))
    place = Place(log, app.channels, checkpoints_url, lambda: 7)
    operator = Operator(job, place, None, loop.Rhythm(checkpoint_seconds=0.0, max_records=50))
    while operator.step(0.0) or not operator.tasks():
        pass
    operator.checkpoint()
    operator.close()


class ArchivedTopic:
    """What a topic's archived files hold, as any reader of Parquet finds it."""

    def __init__(self, url: str, app: App, topic: Topic) -> None:
        name = f"app={app.name}/kind=source/name={app.log_of(topic.name)}"
        files = sorted(Path(url, name).rglob("*.parquet"))
        # A file's name begins with its partition.
        parts = sorted({file.name.split("-")[0] for file in files})
        # As the page of the layout says: what was joined may lie there twice for a moment.
        self.partitions = [
            pl.concat(pl.read_parquet(file) for file in files if file.name.startswith(f"{part}-"))
            .unique("offset")
            .sort("offset")
            for part in parts
        ]

    def events(self, from_ms: int, until_ms: int) -> ByPartition:
        """The records that were appended in a time."""
        found = []
        for frame in self.partitions:
            times = frame["time"].to_physical()
            chosen = frame.filter((times >= from_ms) & (times < until_ms))
            values = chosen["value"].to_list()
            found.append(Records(values, chosen["time"].to_physical().to_list(), []))
        return ByPartition(found)

    def columns(self, from_ms: int, until_ms: int) -> pl.DataFrame:
        """The fields of the events that were appended in a time."""
        times = pl.col("time").to_physical()
        whole = pl.concat(self.partitions)
        chosen = whole.filter(times >= from_ms, times < until_ms, pl.col("reason").is_null())
        return chosen.select(pl.col("^event\\..*$").name.map(lambda n: n.removeprefix("event.")))


class ByPartition:
    """See `freshet.replay.replayer.Events`."""

    def __init__(self, parts: list[Records]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def split(self, partitions: int) -> list[Records]:
        assert partitions == len(self._parts)
        return self._parts
