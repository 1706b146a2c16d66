"""A run as it lies in its folder, opened for reading: its app and its log, whether it still goes on
or has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freshet.app import App, load
from freshet.declared.lineages import running
from freshet.runs import folder
from freshet.runs import record as run_record
from freshet.runs.archived import over_archive
from freshet.runs.clusters import routed
from freshet.schemas.errors import ComponentError
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.topic import Topic
from freshet.settings import Settings, settings
from freshet.streams.catalog import open_log
from freshet.streams.intake import known_schemas
from freshet.streams.log.contract import Log
from freshet.versions.excluded import as_run


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """`settings` say where its snapshots, keys and checkpoints lie."""

    app: App
    log: Log
    settings: Settings

    def earlier(self, topic: Topic) -> dict[int, EventSchema]:
        """The schemas that a topic's records bear beside its own, by wire id."""
        return known_schemas.earlier_of(
            self.settings.checkpoints_url, self.app.log_of(topic.name), topic
        )


@contextmanager
def opened(run_dir: str | Path) -> Iterator[OpenedRun]:
    """The run in a folder, or at a URL, as far as it has run on this machine.

    Raises:
        ComponentError: none was ever started there, or its log is gone.
        DefinitionError: its app's file is wrong by now.
    """
    here = folder.local(run_dir)
    record = run_record.read(here)
    # Before it is opened, which would make an empty one.
    if "://" not in record.log and not Path(record.log).is_dir():
        raise ComponentError(
            f"run in {here}",
            f"its log is gone: there is no folder {record.log}",
            "Name the folder of another run with --run-dir.",
        )
    app = load(record.app_file)
    given = settings(
        run_dir=record.shared or here,
        local_dir=here if record.shared else "",
        log=record.log,
        store=record.store,
        archive=record.archive,
    )
    # With the lineages that were started of it, and without what was taken out of its views.
    app = running(as_run(app, given), given.checkpoints_url)
    log = over_archive(app, routed(app, open_log(record.log), given.clusters), given)
    try:
        yield OpenedRun(app, log, given)
    finally:
        log.close()
