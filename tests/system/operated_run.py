"""The app of `freshet init` at run in processes of its own, and what producers, askers and
operators do with it."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import psutil

from freshet.app import App, load
from freshet.audit import kept as kept_by_run
from freshet.audit import ledger as audit
from freshet.cli import main as cli
from freshet.runs import record as run_record
from freshet.schemas.wire import blocks, messages
from freshet.schemas.wire.messages import Message
from freshet.serving.status.status import RoleFigures, Status, TopicFigures, decode
from freshet.streams.catalog import open_log
from freshet.streams.control.channels import Follower
from freshet.streams.intake.ledger import Ledger
from freshet.streams.log.contract import Log

SECONDS = 120.0
# A look at the status costs ten milliseconds of CPU, which what is waited for needs, too.
POLL_SECONDS = 0.1
EVERY = "1s"
ROLES = {"intake", "view", "join", "release", "serve"}  # beside trainers
COURIERS, CITIES = ("ann", "bob", "cleo"), ("Berlin", "Lyon", "Porto")
Event = dict[str, Any]


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first truth that `condition` gives."""
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {SECONDS:.0f} s: {what}"
        time.sleep(POLL_SECONDS)
    return found


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Told:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


def command(*arguments: str) -> Told:
    """`freshet ARGUMENTS`, from its entry point on."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["freshet", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as end:
            return Told(int(end.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("the entry point ends by SystemExit")


def app_file(directory: Path) -> Path:
    """The template's app, which cuts a snapshot every second and releases one after a few
    examples."""
    text = files("freshet.cli").joinpath("template", "app.py").read_text()
    for old, new in (
        # So that several may share a Kafka.
        ('fr.App("parcels"', f'fr.App("parcels_{uuid.uuid4().hex[:8]}"'),
        ('snapshot_every="5s"', f'snapshot_every="{EVERY}"'),
        ("min_examples=100", "min_examples=8"),
    ):
        assert old in text
        text = text.replace(old, new)
    file = directory / "app.py"
    file.write_text(text)
    return file


@dataclass(frozen=True)
class Audited:
    """Intake's ledger, what its log says with the settings that the checkpoint records, what it
    says without them, and how many events went on to the view."""

    kept: Ledger
    again: Ledger
    without: Ledger
    passed_on: int


class OperatedRun:
    """A run in a folder, started and stopped as from a shell, any number of times. `heard` is all
    that its roles decided, `labelled` how many deliveries of asked parcels were pushed,
    `handed_over` how many parcels. `options` are those of `freshet run` beside folder and ports;
    `descriptors` bounds how many each of its processes may have open."""

    def __init__(self, directory: Path, *options: str, descriptors: int | None = None) -> None:
        self.folder, self.file = directory / "run", app_file(directory)
        self.app: App = load(self.file)
        self._options = options
        self._descriptors = descriptors
        self._output = directory / "output"
        self._numbers = itertools.count()
        self.labelled = self.handed_over = 0
        self.heard: list[Message] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()

    def start(self, *more: str) -> None:
        """Start it, with `more` options, and wait until every role has told its status."""
        options = ["--port", "0", "--status-port", "0", "--run-dir", str(self.folder)]
        options += [*self._options, *more]
        began = now_ms()
        with self._output.open("wb") as output:
            command = [sys.executable, "-m", "freshet", "run", str(self.file), *options]
            if self._descriptors is not None:
                bound = f'ulimit -n {self._descriptors} && exec "$@"'
                command = ["sh", "-c", bound, "sh", *command]
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True
            )
        until(
            lambda: self._lives() and b"status page " in self._output.read_bytes(),
            "it says where it listens",
        )
        self._stack = ExitStack()
        self.connect()
        self.log: Log = open_log(run_record.read(self.folder).log)
        self._stack.callback(self.log.close)
        self._follower = Follower(self.log, self.app.control_log)
        self._stack.callback(self._follower.close)
        self.heard = []
        until(lambda: self._is_whole(self._started_since(began)), "every role is there")

    def _is_whole(self, roles: set[str]) -> bool:
        # By number: a run that goes on with a change may have other lineages by now.
        trainers = [role for role in roles if role.startswith("train.")]
        return roles >= ROLES and len(trainers) >= len(self.trainers)

    def _started_since(self, began: int) -> set[str]:
        try:
            roles = self.status().roles
        except httpx.ConnectError:
            # A run that goes on with a change may put another page in this one's place just now.
            self.connect()
            return set()
        return {_name(role) for role in roles if (role.started_ms or 0) >= began}

    def printed(self) -> str:
        """Since its last start."""
        return self._output.read_text()

    def _lives(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._output.read_text()
        return True

    def stop(self) -> None:
        """As by Ctrl-C."""
        if self._process is None:
            return
        self._stack.close()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(60.0)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process = None

    def kill_all(self) -> None:
        """SIGKILL to the run and to all of its processes."""
        assert self._process is not None
        self._stack.close()
        tree = psutil.Process(self._process.pid)
        for process in [tree, *tree.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def trainers(self) -> list[str]:
        model = self.app.models[0]
        return [f"train.{model.name}.{model.lineage(x)}" for x in model.learners]

    def cli(self, *arguments: str) -> Told:
        return command(*arguments, "--run-dir", str(self.folder))

    def changed(self, *arguments: str) -> str:
        """What a command that went well printed."""
        told = self.cli(*arguments)
        assert (told.status, told.err) == (0, ""), told
        return told.out

    def connect(self) -> None:
        """To scorer and page, where they listen now: one that is started again may get another
        port."""
        self.scorer = self._client("serve")
        self.page = self._client("status")

    def _client(self, name: str) -> httpx.Client:
        address = (self.folder / f"{name}.address").read_text()
        return self._stack.enter_context(httpx.Client(base_url=address, timeout=30.0))

    def status(self) -> Status:
        return decode(self.page.get("/status.json").raise_for_status().content)

    def topic(self, name: str) -> TopicFigures:
        return next(t for t in self.status().topics if t.name == name)

    def role(self, name: str) -> RoleFigures:
        return max(
            (r for r in self.status().roles if _name(r) == name), key=lambda r: r.started_ms or 0
        )

    def switch(self, name: str, on: bool) -> None:
        answer = self.page.put(
            f"/v1/switches/{name}", json={"on": on}, headers={"x-freshet-user": "ann"}
        )
        assert answer.status_code == 200, answer.text
        assert next(s for s in answer.json()["switches"] if s["name"] == name)["on"] is on

    def kill(self, *names: str, meanwhile: Callable[[], Any] = lambda: None) -> None:
        """SIGKILL to roles, which the run then starts again; wait until they are there."""
        before = {name: self.role(name) for name in names}
        for role in before.values():
            assert role.pid is not None
            os.kill(role.pid, signal.SIGKILL)
        meanwhile()

        def back() -> bool:
            now = {r.pid for r in self.status().roles if _name(r) in names and r.state != "lost"}
            return len(now - {r.pid for r in before.values()}) == len(names)

        until(back, f"{', '.join(names)} are there again")

    def parcels(self, n: int, late_ms: int = 0) -> list[Event]:
        """Handed over now, or `late_ms` before."""
        at = now_ms() - late_ms
        return [
            {
                "parcel": f"p{next(self._numbers)}-{at}",
                "at": at,
                "courier": COURIERS[i % 3],
                "city": CITIES[i % 3],
            }
            for i in range(n)
        ]

    def push(self, topic: str, events: list[Event]) -> None:
        columns = {name: [e[name] for e in events] for name in events[0]}
        told = self.scorer.post("/push", json={"push_source_name": topic, "df": columns})
        assert (told.status_code, told.json().get("accepted")) == (200, len(events)), told.text
        self.handed_over += len(events) * (topic == "handovers")

    def ask(self, parcels: list[Event]) -> Event:
        """How the scorer answered, in words."""
        names = ("parcel", "courier", "city")
        data = {name: [p[name] for p in parcels] for name in names}
        inputs = [
            {"name": k, "shape": [len(v)], "datatype": "BYTES", "data": v} for k, v in data.items()
        ]
        answer = self.scorer.post("/v2/models/late/infer", json={"inputs": inputs})
        assert answer.status_code == 200, answer.text
        parameters: Event = answer.json()["parameters"]
        return parameters

    def rung(self) -> str:
        """By what one more parcel is answered; it is never delivered."""
        return str(self.ask(self.parcels(1))["rung"])

    def learn(self, n: int) -> None:
        """Parcels are handed over, asked about and delivered, every other one late."""
        parcels = self.parcels(n)
        self.ask(parcels)
        self.push("handovers", [{**p, "weight_kg": 1.0} for p in parcels])
        at = now_ms() + 1
        self.push(
            "deliveries",
            [{**p, "at": at, "minutes_late": 30.0 * (i % 2)} for i, p in enumerate(parcels)],
        )
        self.labelled += n

    def learned(self) -> dict[str, int]:
        """Examples learned, by lineage, as the status says."""
        return {x.name: x.examples for x in self.status().models[0].lineages}

    def all_learned(self) -> bool:
        return set(self.learned().values()) == {self.labelled}

    def listen(self) -> list[Message]:
        """What was decided since the last call."""
        found = self._follower.poll(0.0)
        self.heard += found
        return found

    def cuts(self) -> list[messages.Cut]:
        self.listen()
        return [m for m in self.heard if isinstance(m, messages.Cut)]

    def settled(self) -> list[messages.Settled]:
        self.listen()
        return [m for m in self.heard if isinstance(m, messages.Settled)]

    def taken_on(self, role: str) -> list[Event]:
        """What a role's log says of settings that it took on."""
        lines = (self.folder / "logs" / f"{role}.jsonl").read_text().splitlines()
        return [
            told for line in lines if (told := json.loads(line))["event"] == "settings taken on"
        ]

    def checkpointed(self, topic: str) -> int:
        """Up to which offset intake's newest checkpoint of a topic goes."""
        kept = kept_by_run.ledger(
            self.log,
            str(self.folder / "checkpoints"),
            self.app.topic(topic),
            self.app.log_of(topic),
            0,
        )
        return kept[0]

    def audited(self, topic: str) -> Audited:
        """As of intake's newest checkpoint."""
        declared, checkpoints, log = (
            self.app.topic(topic),
            str(self.folder / "checkpoints"),
            self.app.log_of(topic),
        )
        while True:
            end, kept = kept_by_run.ledger(self.log, checkpoints, declared, log, 0)
            recorded = kept_by_run.taken_on(self.log, checkpoints, declared, log, 0)
            # both are of one checkpoint
            if kept_by_run.ledger(self.log, checkpoints, declared, log, 0)[0] == end:
                break
        found = list(takewhile(lambda r: r.offset < end, kept_by_run.records(self.log, log, 0)))
        again, without = (
            audit.recompute(declared, iter(found), None, s)
            for s in (recorded, replace(recorded, settings=()))
        )
        (view,) = [v for v in self.app.views if v.topic is declared]
        rows = (
            blocks.decode(r.value).rows
            for r in kept_by_run.records(self.log, self.app.clean_log_of(view), 0)
        )
        passed_on = {
            o
            for table in rows
            if table is not None
            for o in table.column("_offset").to_pylist()
            if o < end
        }
        return Audited(kept, again, without, len(passed_on))


def _name(role: RoleFigures) -> str:
    """Its lasting name."""
    return role.instance.split("/")[0]
