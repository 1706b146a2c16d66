"""A role's process, from start to a clean stop. The only file that knows all roles."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module

import structlog
from msgspec.structs import replace

from freshet.app import App, load
from freshet.declared.lineages import running
from freshet.learners.snapshots.keys import create_key, publish
from freshet.roles import preflight
from freshet.roles.context import Context
from freshet.roles.names import elsewhere
from freshet.runs import logs
from freshet.runs import record as run_record
from freshet.runs.archived import over_archive
from freshet.runs.clusters import routed
from freshet.schemas.errors import (
    DefinitionError,
    FreshetError,
    LogError,
)
from freshet.settings import Settings
from freshet.streams.aside import behind, stand_aside
from freshet.streams.catalog import open_log
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import send
from freshet.streams.control.switches import SwitchBoard
from freshet.streams.disk import until_there_is_room
from freshet.streams.intake.expressions import tried_before
from freshet.streams.object_probe import probe
from freshet.streams.outages import Outages
from freshet.streams.vitals.heartbeat import Heartbeat
from freshet.streams.vitals.metrics_server import MetricsServer
from freshet.streams.vitals.vitals import Vitals
from freshet.versions.excluded import as_run
from freshet.versions.part import WHOLE, Part

log = structlog.get_logger()


# Where each role stands: module and function. Only the process that runs it imports it, so that no
# other waits for a web server or a learner.
ROLES = {
    "intake": ("freshet.roles.operators", "intake"),
    "dedup": ("freshet.roles.operators", "dedup"),
    "view": ("freshet.roles.operators", "view"),
    "join": ("freshet.roles.operators", "join"),
    "train": ("freshet.roles.operators", "train"),
    "archive": ("freshet.roles.operators", "archive"),
    # Found by its name alone, as it is made of other roles.
    "hydrate": ("freshet.rebuilding.role", "run"),
    "release": ("freshet.roles.release", "run"),
    "serve": ("freshet.roles.serve", "run"),
    "control": ("freshet.roles.control", "run"),
}
# The status of a role that is to go on in another process.
ANEW = 4
# Roles that sign, and the name of their key.
SIGNERS = {"train": "trainer", "release": "qualifier"}


def run_role(
    app_path: str,
    name: str,
    given: Settings,
    member: str = "",
    digest: str = "",
    part: Part = WHOLE,
) -> None:
    """Run a role in this process until SIGTERM or SIGINT; the target of the supervisor's processes.
    Members of one role share its group, and are told apart by `member`. `digest` is that of the app
    which the other roles run (empty: whatever the file holds), `part` what the role does where
    another version of the app runs beside it.

    A foreseen error ends the process with status 3, any other with 1, after it was logged: whoever
    supervises starts it again.
    """
    stop = threading.Event()
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda *_: stop.set())
    role = name.split(".", 1)[0]
    lasting = f"{name}.{member}".rstrip(".")
    logs.configure(lasting, given.local_path / "logs")
    if role not in ROLES:
        raise DefinitionError(f"role {name!r}", "is unknown", f"Use one of {', '.join(ROLES)}.")
    module, function = ROLES[role]
    if part.staged and role != "serve":
        # It ends when its version is active: then others go on with its work.
        stand_aside()
    try:
        wanted = (app_path, digest, given, part.version)
        app = behind(_loaded, *wanted) if part.staged else _loaded(*wanted)
        vitals = Vitals(role, f"{lasting}/{uuid.uuid4().hex[:8]}", Outages(stop))
        instance = f"{app.name}.{lasting}"
        own = open_log(given.log_url, instance, vitals.outages)
        live = routed(app, own, given.clusters, instance, vitals.outages)
        if given.is_shared:
            # One that is started again while the store of objects is away waits, as the others do.
            probing = partial(probe, given.shared_url)
            until_there_is_room(probing, vitals.outages, given.shared_url)
        opened = over_archive(app, live, given)
        make_keys(role, given)
        run_record.check(app.name, given)
        if not (given.local_path / run_record.FILE).exists():
            run_record.write(app.name, app_path, given)
        if part.staged:
            preflight.stage(app, opened, given)
        else:
            preflight.check(app, opened, given, elsewhere(app, name))
        log.info("role starts", pid=os.getpid())
        # After what is declared was checked: with what was started beside that.
        app = running(app, given.checkpoints_url)
        ctx = Context(
            app, given, name, opened, stop, vitals, SwitchBoard(given.local_path), member, part
        )
        with _measured(ctx):
            goes_on = getattr(import_module(module), function)(ctx)
        if ctx.faults:
            raise ctx.faults[0]
        _say_that_it_ends(ctx)
        opened.close()
        log.info("role ends")
        if goes_on:
            raise SystemExit(ANEW)
    except FreshetError as error:
        log.error("role fails", error=str(error), exc_info=True)
        raise SystemExit(3) from error
    except Exception as error:
        log.error("role fails by a fault of ours", error=str(error), exc_info=True)
        raise SystemExit(1) from error


def _loaded(app_path: str, digest: str, given: Settings, version: int) -> App:
    """The app in the file, as it runs; one of this digest, if any is given."""
    if not digest:
        return as_run(load(app_path), given, version)
    # Whoever gave the digest has tried what is declared, and what has another one is refused.
    with tried_before():
        app = as_run(load(app_path), given, version)
    _refuse_other(app, app_path, digest)
    return app


def _refuse_other(app: App, app_path: str, digest: str) -> None:
    """Else one role of a run would write by other definitions than the rest, where it has died and
    is started again."""
    if app.digest != digest:
        raise DefinitionError(
            f"app {app.name}",
            f"{app_path}, or a module beside it, declares something else than when the run started",
            "Stop the run and start it again; or put back what was there, and this role goes on.",
        )


def _say_that_it_ends(ctx: Context) -> None:
    """So that nobody takes for lost what was stopped. Not while the log is away: that would be
    waited for."""
    if any(outage.component in ("log", "disk") for outage in ctx.vitals.outages.current()):
        return
    last = ctx.vitals.status()
    try:
        writer = ctx.log.writer()
        send(writer, ctx.channels, [replace(last, facts={"ended": True})], WallClock().now_ms())
        writer.close()
    except LogError as error:
        log.warning("reports log is away; nobody is told that this role ends", error=str(error))


@contextmanager
def _measured(ctx: Context) -> Iterator[None]:
    """Serve the metrics of a role that has no HTTP server of its own, and speak for its loop while
    that is busy."""
    if ctx.vitals.role in ("serve", "control"):
        yield
        return
    with MetricsServer(ctx.settings.host, ctx.settings.metrics_port, ctx.metrics) as server:
        ctx.vitals.metrics = server.address
        with Heartbeat(ctx.log, ctx.channels, ctx.vitals):
            yield


def make_keys(role: str, given: Settings) -> None:
    """A role that signs makes its key pair the first time it runs."""
    if role in SIGNERS:
        signer = SIGNERS[role]
        create_key(given.keys_dir / signer, given.keys.get(signer, ""))
        if given.is_shared:
            # Before it signs anything: whoever verifies that is on another machine.
            publish(given.keys_dir / signer, f"{given.keys_url}/{signer}")
