"""An app at run: its folder, its embedded store, its processes. Used by `freshet run` and `freshet
demo`."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any

import structlog

from freshet.app import App
from freshet.declared.lineages import trainers
from freshet.features.catalog import open_store
from freshet.hydration import past_columns
from freshet.hydration import record as hydrations
from freshet.learners.snapshots.keys import create_key, publish
from freshet.processes.applying import Applier
from freshet.processes.crew import Place
from freshet.processes.fork_server import PRELOADED
from freshet.processes.supervisor import RoleSpec, Supervisor
from freshet.processes.versioned import log_folder, take
from freshet.roles import preflight
from freshet.roles.names import HYDRATE, role_names
from freshet.roles.process import ANEW, run_role
from freshet.runs import children, folder, logs
from freshet.runs import record as run_record
from freshet.runs.archived import over_archive
from freshet.runs.clusters import routed
from freshet.runs.lock import RunLock
from freshet.schemas.addresses import authority
from freshet.schemas.errors import ComponentError, FreshetError, LogError
from freshet.schemas.topics.readers import ARCHIVE
from freshet.schemas.wire.messages import NewLineage
from freshet.servers.redis_server import RedisServer
from freshet.servers.server import free_ports
from freshet.serving.edge.sockets import bound, resolved
from freshet.settings import SIGNERS, Settings
from freshet.streams.catalog import open_brokers, open_log
from freshet.streams.control.channels import Follower
from freshet.streams.log.contract import Log
from freshet.streams.objects import plain
from freshet.streams.outages import Outages
from freshet.versions import taking_back
from freshet.versions.record import Left

log = structlog.get_logger()
KEEP_SECONDS = 0.5
LOOK_SECONDS = 0.1  # between two looks at whether another version is asked for
LISTEN_SECONDS = 0.5
RETRY_SECONDS = 1.0
# In a replay, by role: each step waits for the others, learners are waited for now and then, and
# the archive by nobody. Somebody may look at the page: it is to show where the replay is.
BEHIND = {"control": 3, "join": 5, "train": 5, ARCHIVE: 10}
# what is listened for, and the role that announces it
ADDRESSED = {"serve": "serve", "status": "control"}
READY_SECONDS = 180.0  # a busy machine takes a minute to import what the roles need


class Runtime:
    """Everything that runs for an app on this machine; a context manager. Before anything starts,
    `say` is given a sentence for each thing that is declared otherwise than it was.

    A `versioned` one runs a copy of the app's files, and can be changed while it runs.

    Raises `LogError` if the folder is in use by another run, `ComponentError` if a port is,
    `StoreError` if there is no store to use.
    """

    def __init__(
        self,
        app: App,
        app_path: str,
        given: Settings,
        say: Callable[[str], None] = lambda sentence: None,
        versioned: bool = False,
    ) -> None:
        self.app = app
        self._versioned = versioned
        self._applier: Applier | None = None
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
        for signer in SIGNERS:
            create_key(self.settings.keys_dir / signer, self.settings.keys.get(signer, ""))
            if self.settings.is_shared:
                publish(self.settings.keys_dir / signer, f"{self.settings.keys_url}/{signer}")
        own = open_log(self.settings.log_url, outages=self.outages)
        clusters = self.settings.clusters
        live = routed(
            self.app,
            own,
            clusters,
            outages=self.outages,
        )
        self.log: Log = over_archive(self.app, live, self.settings)
        self._stack.callback(self.log.close)
        for sentence in preflight.check(self.app, self.log, self.settings):
            self._say(sentence)
        place = self._place()
        run_record.write(self.app.name, self._path, self.settings)
        self._stack.callback(children.forget, run_dir)
        self.supervisor = Supervisor([], _preload(self.app), self._tell)
        self.supervisor.specs = self._specs(place)
        self.supervisor.start()
        self._stack.callback(self.supervisor.stop)
        if self._applier is not None:
            self._watch(self._applier)
        begin = Thread(target=self._begin_lineages, name="lineages", daemon=True)
        self._stack.callback(begin.join)
        self._stack.callback(self._ending.set)
        begin.start()

    def _place(self) -> Place | None:
        """Where versions of the app are; None where it runs from its own folder."""
        if not self._versioned or self.settings.is_shared:
            return None
        taken = take(self.app, Path(self._path), self.settings)
        if isinstance(taken, str):
            self._say(taken)
            return None
        self._path = str(taken.app_file(taken.active()))
        listener = bound(self.settings.host, self.settings.port)
        self._stack.callback(listener.close)
        return Place(taken, self.settings, listener)

    def _specs(self, place: Place | None) -> list[RoleSpec]:
        """The processes to start with."""
        if place is not None:
            self._applier = Applier(
                place,
                self.supervisor,
                self._take_back,
                self._moved,
            )
            return self._applier.specs()
        declared = role_names(self.app)
        url = self.settings.checkpoints_url
        specs = [
            self._role(name)
            for name in [*declared, *trainers(url, declared)]
            if name.split(".")[0] != ARCHIVE or self.settings.archive_url is not None
        ]
        if hydrations.unfinished(url, self.app) or past_columns.unfinished(url, self.app):
            specs.append(self._role(HYDRATE, ends=True))
        return specs

    def _role(self, name: str, ends: bool = False) -> RoleSpec:
        args = (self._path, name, self.settings, "", self.app.digest)
        behind = _behind(name) if self.settings.replay else 0
        return RoleSpec(
            name,
            run_role,
            args,
            ends,
            behind,
            ANEW,
        )

    def _begin_lineages(self) -> None:
        """Start the trainers of lineages that somebody starts while all runs."""
        # Logs are not thread-safe: this one is of the thread alone.
        own = open_log(self.settings.log_url, outages=self.outages)
        follower = Follower(own, self.app.control_log)
        while not self._ending.is_set():
            try:
                told = follower.poll(LISTEN_SECONDS)
            except LogError as error:
                log.warning("log is away; no lineage can be started", error=str(error))
                self._ending.wait(LISTEN_SECONDS)
                continue
            if any(isinstance(message, NewLineage) for message in told):
                known = self.supervisor.facts()
                for spec in self._trainers():
                    if spec.name not in known:
                        log.info("lineage begins", role=spec.name)
                        self.supervisor.add(spec)
        follower.close()
        own.close()

    def _trainers(self) -> list[RoleSpec]:
        """Of lineages that were started, of what is active now."""
        if self._applier is not None:
            return self._applier.trainers()
        url = self.settings.checkpoints_url
        return [self._role(name) for name in trainers(url, role_names(self.app))]

    def _watch(self, applier: Applier) -> None:
        """See whether another version is asked for, and carry that out."""

        def work() -> None:
            while not self._ending.wait(LOOK_SECONDS):
                try:
                    applier.step()
                except (FreshetError, OSError) as error:
                    log.error("the change of version does not come on", error=str(error))
                    self._ending.wait(RETRY_SECONDS)

        watcher = Thread(target=work, name="versions", daemon=True)
        self._stack.callback(watcher.join)
        self._stack.callback(self._ending.set)
        watcher.start()

    def _take_back(self, made: Left, version: int) -> None:
        checkpoints = Path(plain(self.settings.checkpoints_url))
        brokers = open_brokers(self.settings.log_url)
        if brokers is not None:
            with closing(brokers):
                taking_back.remove_of_brokers(made, self.app.name, version, brokers)
        # Last: who goes on after a kill begins with the brokers.
        taking_back.remove(made, checkpoints, self.log, log_folder(self.settings))
        for text in (self.settings.local_path / "logs").glob(f"*.v{version}.jsonl"):
            text.unlink()

    def _moved(self, app_file: Path) -> None:
        self._path = str(app_file)
        run_record.write(self.app.name, self._path, self.settings)

    def _tell(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """What the supervisor knows, for the process of the status page. It is told again at the
        next change."""
        # A version that is built says itself how far it is.
        staged = self._applier.staged if self._applier is not None else ""
        shown = {
            name: of_role
            for name, of_role in facts.items()
            if not staged or not name.endswith(staged)
        }
        try:
            children.write(self.settings.local_path, shown)
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


def _behind(name: str) -> int:
    return BEHIND.get(name.split(".")[0], 0)


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
    return [*learners, PRELOADED]


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
