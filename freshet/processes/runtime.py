"""An app at run: its folder, its embedded store, its processes. Used by `freshet run` and `freshet
demo`."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from threading import Event, Thread
from types import TracebackType
from typing import Any

import structlog

from freshet.app import App
from freshet.declared.lineages import Lineages
from freshet.features.catalog import open_store
from freshet.hydration import record as hydrations
from freshet.learners.snapshots.signing import create_key, publish
from freshet.processes.supervisor import RoleSpec, Supervisor
from freshet.roles import preflight
from freshet.roles.names import HYDRATE, role_names
from freshet.roles.process import ANEW, run_role
from freshet.runs import children, folder, logs
from freshet.runs import record as run_record
from freshet.runs.archived import over_archive
from freshet.runs.clusters import routed
from freshet.runs.lock import RunLock
from freshet.schemas.addresses import authority
from freshet.schemas.errors import ComponentError, LogError
from freshet.schemas.topics.readers import ARCHIVE
from freshet.schemas.wire.messages import NewLineage
from freshet.servers.redis_server import RedisServer
from freshet.servers.server import free_ports
from freshet.serving.edge.sockets import resolved
from freshet.settings import Settings
from freshet.streams.catalog import open_log
from freshet.streams.control.channels import Follower
from freshet.streams.log.contract import Log
from freshet.streams.outages import Outages

log = structlog.get_logger()
KEEP_SECONDS = 0.5
LISTEN_SECONDS = 0.5
# what is listened for, and the role that announces it
ADDRESSED = {"serve": "serve", "status": "control"}
READY_SECONDS = 180.0  # a busy machine takes a minute to import what the roles need


class Runtime:
    """Everything that runs for an app on this machine; a context manager. Before anything starts,
    `say` is given a sentence for each thing that is declared otherwise than it was.

    Raises `LogError` if the folder is in use by another run, `ComponentError` if a port is,
    `StoreError` if there is no store to use.
    """

    def __init__(
        self,
        app: App,
        app_path: str,
        given: Settings,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.app = app
        self._path = app_path
        self._given = given
        self._say = say
        self._stack = ExitStack()
        self.outages = Outages()
        self._ending = Event()
        self.settings = given

    def __enter__(self) -> Runtime:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _start(self) -> None:
        run_dir = self._given.local_path
        folder.take(self._given)
        self._stack.enter_context(RunLock(run_dir))
        where = _ports(self._given)
        logs.configure("supervisor", run_dir / "logs")
        self._forget_addresses()
        self._stack.callback(self._forget_addresses)
        store = self._given.store
        if not store:
            embedded = self._stack.enter_context(RedisServer(run_dir / "redis"))
            keeper = Thread(
                target=_keep, args=(embedded, self._ending), name="embedded-store", daemon=True
            )
            self._stack.callback(keeper.join)
            self._stack.callback(self._ending.set)
            keeper.start()
            store = embedded.url
        # a wrong address is told here, once, not by every role that needs it
        open_store(store).close()
        self.settings = self._given.model_copy(
            update={"store": store, "log": self._given.log_url, "metrics_port": 0, **where}
        )
        run_record.check(self.app.name, self.settings)
        for signer in ("trainer", "qualifier"):
            create_key(self.settings.keys_dir / signer)
            if self.settings.is_shared:
                publish(self.settings.keys_dir / signer, f"{self.settings.keys_url}/{signer}")
        own = open_log(self.settings.log_url, outages=self.outages)
        clusters = self.settings.clusters
        live = routed(self.app, own, clusters, outages=self.outages)
        self.log: Log = over_archive(self.app, live, self.settings)
        self._stack.callback(self.log.close)
        for sentence in preflight.check(self.app, self.log, self.settings):
            self._say(sentence)
        run_record.write(self.app.name, self._path, self.settings)
        lineages = Lineages(self.app, self.settings.checkpoints_url)
        specs = [
            self._role(name)
            for name in role_names(lineages.take_up())
            if name.split(".")[0] != ARCHIVE or self.settings.archive_url is not None
        ]
        if hydrations.unfinished(self.settings.checkpoints_url, self.app):
            specs.append(self._role(HYDRATE, ends=True))
        self._stack.callback(children.forget, run_dir)
        self.supervisor = Supervisor(specs, _preload(self.app), self._tell)
        self.supervisor.start()
        self._stack.callback(self.supervisor.stop)
        if self.app.models:
            begin = Thread(target=self._begin_lineages, args=(lineages,), name="lineages")
            self._stack.callback(begin.join)
            self._stack.callback(self._ending.set)
            begin.start()

    def _role(self, name: str, ends: bool = False) -> RoleSpec:
        args = (self._path, name, self.settings, "", self.app.digest)
        return RoleSpec(name, run_role, args, ends=ends, anew=ANEW)

    def _begin_lineages(self, lineages: Lineages) -> None:
        """Start the trainers of lineages that somebody starts while all runs."""
        # Logs are not thread-safe: this one is of the thread alone.
        own = open_log(self.settings.log_url, outages=self.outages)
        follower = Follower(own, self.app.control_log)
        known = set(role_names(lineages.app))
        while not self._ending.is_set():
            try:
                told = follower.poll(LISTEN_SECONDS)
            except LogError as error:
                log.warning("log is away; no lineage can be started", error=str(error))
                self._ending.wait(LISTEN_SECONDS)
                continue
            if any(isinstance(message, NewLineage) for message in told):
                found = role_names(lineages.take_up())
                for name in [name for name in found if name not in known]:
                    log.info("lineage begins", role=name)
                    self.supervisor.add(self._role(name))
                known |= set(found)
        follower.close()
        own.close()

    def _tell(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """What the supervisor knows, for the process of the status page. It is told again at the
        next change."""
        try:
            children.write(self.settings.local_path, facts)
        except OSError as error:
            log.warning("the status page is not told of restarts", error=str(error))

    def _forget_addresses(self) -> None:
        for name in ("serve", "status"):
            (self._given.local_path / f"{name}.address").unlink(missing_ok=True)

    def address(self, what: str) -> str:
        """Where `serve` or `status` listens, once it does."""
        path = self.settings.local_path / f"{what}.address"
        deadline = time.monotonic() + READY_SECONDS
        while not path.exists():
            self._refuse_failing(ADDRESSED[what])
            if time.monotonic() > deadline:
                raise ComponentError(
                    f"role {what}",
                    f"did not come up within {READY_SECONDS:.0f} s",
                    f"Look at {path.parent}/logs.",
                )
            time.sleep(0.02)
        return path.read_text()

    def _refuse_failing(self, role: str) -> None:
        """Nobody waits for an address that a role which ends again and again will not have."""
        facts = self.supervisor.facts()[role]
        if facts["failing"]:
            raise ComponentError(
                f"role {role}",
                f"ended {facts['restarts']} times soon after its start, "
                f"the last time by: {facts['last_exit']}",
                f"Mend that; its log is {self.settings.local_path}/logs/{role}.jsonl.",
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()


def _keep(server: RedisServer, ending: Event) -> None:
    """Start the embedded store again if it ends; views then write their rows anew."""
    while not ending.wait(KEEP_SECONDS):
        if not server.alive:
            log.error("embedded Redis ended and is started again", log=str(server.log))
            try:
                server.start()
            except ComponentError as error:
                log.error("embedded Redis does not start", error=str(error))


def _preload(app: App) -> list[str]:
    """What the fork server imports once, and no role again: that is most of what starting one
    costs."""
    modules = dict.fromkeys(type(spec).__module__ for m in app.models for spec in m.learners)
    # A learner beside the app's file is imported by each role, from that folder.
    learners = [name for name in modules if name.startswith("freshet.")]
    # Last, since it closes what garbage collection looks at.
    return [*learners, "freshet.roles.preloaded"]


def _ports(given: Settings) -> dict[str, int]:
    """The ports of both servers, the given ones or any (0): chosen here, so that they keep them
    when they are started again.

    Raises:
        ComponentError: another process has one of them.
    """
    found: dict[str, int] = {}
    for name in ("port", "status_port"):
        port: int = getattr(given, name)
        while port == 0 or port in found.values():
            port = _free_port(given.host)
        _probe(given.host, port, name)
        found[name] = port
    return found


def _free_port(host: str) -> int:
    """Of those that nobody is given by chance, one that is free on loopback and on `host`."""
    while True:
        port = free_ports(1)[0]
        try:
            _probe(host, port, "port")
        except ComponentError as error:
            if (
                not isinstance(error.__cause__, OSError)
                or error.__cause__.errno != errno.EADDRINUSE
            ):
                raise
        else:
            return port


def _probe(host: str, port: int, name: str) -> None:
    option = "--" + name.replace("_", "-")
    try:
        family, address = resolved(host, port)
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (socket.gaierror, UnicodeError) as error:
        cause = f"cannot be used: {getattr(error, 'strerror', None) or error}"
        raise ComponentError(
            f"address {authority(host, port)}",
            cause,
            "Choose an address of this machine with --host.",
        ) from error
    except OSError as error:
        next_step = f"Choose another with {option} (0: any)."
        if error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL):
            next_step = "Choose an address of this machine with --host."  # no port would do
        raise ComponentError(
            f"address {authority(host, port)}", f"cannot be used: {error.strerror}", next_step
        ) from error
