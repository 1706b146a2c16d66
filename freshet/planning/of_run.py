"""The plan for a run as it lies in its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from freshet.app import App
from freshet.declared import definitions
from freshet.declared.definitions import Definitions
from freshet.planning.compared import compared
from freshet.planning.frozen import frozen
from freshet.planning.history import History, history
from freshet.planning.plan import Plan, plan
from freshet.runs import record as run_record
from freshet.runs.archived import over_archive
from freshet.runs.clusters import routed
from freshet.runs.opened import OpenedRun
from freshet.settings import Settings
from freshet.streams.catalog import open_log
from freshet.streams.clock import WallClock
from freshet.streams.object_probe import probe


def planned(app: App, given: Settings) -> Plan:
    """Compare an app with what has run in the folder that `given` names. Nothing is changed there.

    Raises:
        ComponentError: the run is of another app, or its log cannot be reached.
    """
    if given.is_shared:
        probe(given.shared_url)
    run_record.check(app.name, given)
    given = _as_run(given)
    before = definitions.read(given.checkpoints_url)
    return plan(app, before, given, _history(app, before, given))


def _history(app: App, before: Definitions | None, given: Settings) -> History:
    now_ms = WallClock().now_ms()
    # Opening it would make an empty one.
    if "://" not in given.log_url and not Path(given.log_url).is_dir():
        return History(now_ms)
    log = over_archive(
        app,
        routed(app, open_log(given.log_url), given.clusters),
        given,
    )
    try:
        found = history(app, log, given.checkpoints_url, now_ms)
        return replace(
            found,
            compared=compared(OpenedRun(app, log, given), before),
            frozen=frozen(app, before, log, given),
        )
    finally:
        log.close()


def _as_run(given: Settings) -> Settings:
    """Where the run in the folder has its log, store and archive, unless that is given."""
    if not (given.local_path / run_record.FILE).exists():
        return given
    record = run_record.read(given.local_path)
    known = {"log": record.log, "store": record.store, "archive": record.archive}
    missing = {name: value for name, value in known.items() if not getattr(given, name)}
    return given.model_copy(update=missing)
