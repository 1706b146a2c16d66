"""How long does it take to build the demo's views anew from the archive of a year of flights?

All flights of `FRESHET_BENCH_DAYS` (a year) are taken in and archived, and their topics emptied.
Then each view is built from the archive alone, up to all that intake had settled, in one process:
of two cores, one is left for whoever scores meanwhile.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from freshet.app import App
from freshet.features.cold.memory import RowMemory
from freshet.features.views.view import View
from freshet.hydration.hydrator import Hydrator, Rhythm
from freshet.hydration.record import FOLDER, Hydration
from freshet.rebuilding.works import work_of
from freshet.replay.replayer import published
from freshet.roles import plans
from freshet.runs.archived import kinds
from freshet.schemas.wire.messages import Tick
from freshet.streams.archive.folder import ArchiveFolder
from freshet.streams.archive.log import ArchivedLog
from freshet.streams.archive.stored import StoredArchive
from freshet.streams.archive.task import ArchiveTask, Start
from freshet.streams.archive.task import Rhythm as ArchiveRhythm
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import send
from freshet.streams.log.contract import Log
from freshet.streams.operators.loop import Job, Operator, Place
from freshet.streams.operators.ticks import ReplayPace
from freshet.streams.outages import Outages
from freshet.streams.sqlite.log import SqliteLog
from tests.bench.harness import Row, at_most

DAYS = int(os.environ.get("FRESHET_BENCH_DAYS", "365"))
BAR_SECONDS = 60.0
STEP_MS = 30 * 86_400_000
# Of the past all is read, or it is whole.
ENDS = ("lagging", "ready")


def run() -> list[Row]:
    from freshet.demo.flights.app import app

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with closing(SqliteLog(folder / "log")) as live:
            records = _taken_in(app, live, folder)
            _archive(app, live, folder)
            for topic in app.topics:
                source = app.log_of(topic.name)
                spans = live.bounds(source).spans
                live.delete_before(source, {p: after for p, (_, after) in spans.items()})
            size = sum(f.stat().st_size for f in (folder / "archive").rglob("*.parquet"))
            by_view = dict(_rebuilt(app, live, folder))
    wall = sum(each["wall"] for each in by_view.values())
    read = sum(each["records"] for each in by_view.values())
    row = Row(
        name="rebuild",
        unit="s",
        ours=round(wall, 1),
        baseline=None,
        ratio=None,
        against=f"{len(by_view)} views of {DAYS} days",
        detail={
            "cpu": round(sum(each["cpu"] for each in by_view.values()), 1),
            "records": records,
            "records read": read,
            "archive bytes": size,
            "views": by_view,
            "load": os.getloadavg()[0],
        },
    )
    row["bar"] = at_most(wall, BAR_SECONDS, "s")
    return [row]


def _taken_in(app: App, log: Log, folder: Path) -> int:
    """Publish all flights, and take them in; how many records."""
    from freshet.demo.flights.schedule import Schedule

    plans.ensure_topics(app, log)
    url = str(folder / "checkpoints")
    starts = plans.starts(app, log, url, WallClock().now_ms)
    sources = {app.log_of(t.name): plans.intake_plan(app, t) for t in app.topics}
    makers = {source: plans.reader(app, plan, starts) for source, plan in sources.items()}
    now_ms = 0
    job = Job(
        "intake",
        list(sources),
        lambda source, partition: makers[source](source, partition),
        origin_of=app.origin_of,
        dead=app.dead_log,
        pace=ReplayPace(),
        kept_as=lambda task: plans.kept_as(app, task),
        starts=starts,
    )
    place = Place(log, app.channels, url, lambda: now_ms)
    writer = log.writer()
    count = 0
    with closing(Operator(job, place)) as operator:
        for step in Schedule(DAYS, STEP_MS, 0):
            for part in published(app, step.events):
                for time_ms, values in part.runs:
                    writer.append(part.topic, part.partition, values, time_ms)
                    count += len(values)
            writer.flush()
            now_ms = step.end_ms
            send(writer, app.channels, [Tick(now_ms)], now_ms)
            while not operator.finished() or min(operator.finished()) < now_ms:
                operator.step(0.02)
        operator.checkpoint()
    writer.close()
    return count


def _archive(app: App, log: Log, folder: Path) -> None:
    """All that the app's logs hold."""
    sources = [plans.intake_plan(app, topic) for topic in app.topics]
    kept = plans.archive_plans(app, sources, with_own=True)
    url = ArchiveFolder(str(folder / "archive"))
    ends = False

    def made(name: str, partition: int) -> ArchiveTask:
        bounds = log.bounds(name)
        start = Start(partition, bounds.spans[partition][0], bounds.identity)
        return ArchiveTask(kept[name], start, url, ArchiveRhythm(ends=lambda: ends))

    job = Job("archive", list(kept), made, headers=plans.headers(app, whole=True))
    place = Place(log, app.channels, str(folder / "checkpoints"), lambda: 0)
    with closing(Operator(job, place)) as operator:
        while operator.step(0.0) or not operator.tasks():
            pass
        ends = True
        operator.checkpoint()


def _rebuilt(app: App, live: Log, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of each view what it took."""
    url = str(folder / "checkpoints")
    (folder / "checkpoints" / FOLDER).mkdir(exist_ok=True)
    log = ArchivedLog(live, StoredArchive(str(folder / "archive"), url, app.name, kinds(app)))
    for view in app.views:
        wall = time.monotonic()
        cpu = time.process_time()
        records = _build(app, view, log, url)
        yield (
            view.name,
            {
                "records": records,
                "wall": round(time.monotonic() - wall, 2),
                "cpu": round(time.process_time() - cpu, 2),
            },
        )


def _build(app: App, view: View, log: Log, url: str) -> int:
    starts = plans.starts(app, log, url, WallClock().now_ms)
    intakes = {topic.name: plans.intake_plan(app, topic) for topic in view.topics}
    work = work_of(app, view, intakes, (log, url, Outages()), starts, RowMemory())
    known = Hydration(view.name, view.digest, 1)
    with closing(Hydrator(work, known, Rhythm(look_seconds=0.0))) as hydrator:
        while hydrator.state not in ENDS:
            hydrator.step(0.05, 1)
        hydrator.save()
        return hydrator.records
