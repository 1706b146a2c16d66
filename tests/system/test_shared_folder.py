"""Roles on two machines that share a bucket and a Kafka, and nothing else: each machine is a folder
of its own.

Intake, views, join and the page are on one; trainers, release and the scorer on the other. A third
takes the trainers over.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from freshet.roles.names import role_names
from freshet.streams import objects
from tests.s3 import S3Server, Way
from tests.system.operated_run import OperatedRun, command, until

pytestmark = pytest.mark.timeout(900)
FIRST = ("intake", "view", "join", "control")
TABLE = Path(__file__).parents[2] / "docs" / "run-folder.md"


class Machines(OperatedRun):
    """The template's app, each of its roles on a machine that is said. What is asked of a run is
    asked of the first machine; the scorer may be on another."""

    def __init__(self, directory: Path, url: str, kafka: str, redis: str) -> None:
        super().__init__(directory)
        self.url = url
        self._directory = directory
        self._servers = ["--log", f"kafka://{kafka}", "--store", f"redis://{redis}/0"]
        self._on: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}

    def local(self, machine: str) -> Path:
        return self._directory / machine

    def begin(self, role: str, machine: str) -> None:
        options = ["--run-dir", self.url, "--local-dir", str(self.local(machine))]
        options += ["--port", "0", "--status-port", "0", *self._servers]
        line = [sys.executable, "-m", "freshet", "run", str(self.file), "--role", role, *options]
        # A machine of its own has a working directory of its own.
        here = self._directory / f"{machine}-home"
        here.mkdir(exist_ok=True)
        with (self._directory / f"{role}-{machine}.output").open("wb") as output:
            process = subprocess.Popen(
                line, stdout=output, stderr=output, cwd=here, start_new_session=True
            )
        self._on[role] = machine, process

    def end(self, role: str, how: signal.Signals) -> None:
        _, process = self._on.pop(role)
        os.killpg(process.pid, how)
        process.wait(60.0)

    def start(self) -> None:
        for role in role_names(self.app):
            self.begin(role, "first" if role in FIRST else "second")
        for role, name in (("serve", "serve"), ("control", "status")):
            file = self.local(self._on[role][0]) / f"{name}.address"
            until(lambda file=file: self._all_live() and file.exists(), f"{name} listens")
        self.connect()
        wanted = {role.split("/")[0] for role in role_names(self.app)} - {"control"}
        until(
            lambda: wanted <= {r.instance.split("/")[0] for r in self.status().roles},
            "every role is there",
        )

    def _all_live(self) -> bool:
        for role, (machine, process) in self._on.items():
            output = (self._directory / f"{role}-{machine}.output").read_text()
            assert process.poll() is None, (role, output)
        return True

    def connect(self) -> None:
        self._stack = ExitStack()
        self.folder = self.local(self._on["serve"][0])
        self.scorer = self._client("serve")
        self.folder = self.local(self._on["control"][0])
        self.page = self._client("status")

    def stop(self) -> None:
        self._stack.close()
        for _, process in self._on.values():
            process.terminate()
        for _, process in self._on.values():
            try:
                process.wait(60.0)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._on.clear()

    def served(self) -> tuple[str, int]:
        """The lineage and the number of the snapshot that answers one more parcel; none yet: 0."""
        told = self.ask(self.parcels(1))
        return str(told.get("lineage", "")), int(told.get("snapshot") or 0)

    def said(self, role: str, machine: str) -> list[dict[str, object]]:
        file = self.local(machine) / "logs" / f"{role}.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def way(s3: S3Server) -> Iterator[Way]:
    with Way(s3.port) as found:
        yield found


@pytest.fixture
def machines(
    tmp_path: Path,
    kafka: str,
    redis_address: str,
    s3: S3Server,
    way: Way,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Machines]:
    url = f"{s3.make_bucket()}/runs/{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", way.endpoint)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = Machines(tmp_path, url, kafka, redis_address)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def rows_of(table: str) -> dict[str, str]:
    """`shared` or `local` by what stands under a run's folder, as the page of the docs says."""
    return dict(re.findall(r"^\| `([^`]+)` \| (shared|local) \|", table, re.MULTILINE))


def test_roles_on_several_machines_share_a_bucket_and_go_on_from_it(
    machines: Machines, way: Way
) -> None:
    # Snapshots that one machine's trainers cut, and its release approves, come through the bucket.
    machines.learn(30)
    until(lambda: machines.served()[1] > 0, "a snapshot answers")
    until(machines.all_learned, "all is learned")

    # A trainer dies, and goes on elsewhere: from its checkpoint, and with a key of its own.
    _, number = machines.served()
    for role in machines.trainers:
        machines.end(role, signal.SIGKILL)
        machines.begin(role, "third")
    machines.learn(30)
    until(machines.all_learned, "all is learned once")
    for role in machines.trainers:
        resumed = [x for x in machines.said(role, "third") if x["event"] == "resumed"]
        assert int(str(resumed[0]["offset"])) > 0, resumed
    until(lambda: machines.served()[1] > number, "a snapshot of another machine's answers")

    # The bucket is away: that is told, answers go on, and nothing is lost.
    number = machines.served()[1]
    way.cut()
    machines.learn(30)
    until(
        lambda: any(x.component == "object store" for x in machines.status().outages),
        "the outage is in the status",
    )
    (outage,) = [x for x in machines.status().outages if x.component == "object store"]
    assert machines.url in outage.resource
    assert "waits" in outage.meanwhile or "goes on" in outage.meanwhile
    assert machines.rung() == "champion"
    until(
        lambda: any(
            (x.policy, x.light) == ("outage", "amber") and machines.url in x.subject
            for x in machines.status().alerts
        ),
        "an amber alert tells of it",
    )
    way.mend()
    until(machines.all_learned, "all is learned after the outage")
    until(lambda: machines.served()[1] > number, "a snapshot from after the outage answers")
    until(
        lambda: all(x.component != "object store" for x in machines.status().outages),
        "the outage is over",
    )
    assert machines._all_live()

    # What commands say of it, by URL and by folder.
    first = str(machines.local("first"))
    told = command("switch", "learn", "off", "--run-dir", first)
    assert told.status == 0, told
    assert f"of the roles on this machine ({first})" in told.out
    assert command("status", "--run-dir", first).status == 0
    elsewhere = command("status", "--run-dir", machines.url)
    assert "nothing runs there" in elsewhere.err

    machines.stop()
    _hold_to_the_table(machines)


def _hold_to_the_table(machines: Machines) -> None:
    """Nothing lies under the URL, or in a machine's folder, that the docs do not say."""
    declared = rows_of(TABLE.read_text())
    shared = {name for name, kind in declared.items() if kind == "shared"}
    local = {name for name, kind in declared.items() if kind == "local"}
    fs, root = objects.opened(machines.url)
    kept = {"archive", "checkpoints", "snapshots", "keys", "run.json"}
    assert kept <= set(objects.names(fs, root))
    # Schemas that are known are among the checkpoints, and topics in the archive.
    assert objects.names(fs, f"{root}/checkpoints/schemas")
    (app,) = objects.names(fs, f"{root}/archive")
    assert "kind=source" in objects.names(fs, f"{root}/archive/{app}")
    assert set(objects.names(fs, root)) <= shared
    text = fs.cat_file(f"{root}/run.json")
    assert b'"app_file": ""' in text
    for signer in ("trainer", "qualifier"):
        assert all(n.endswith(".pub") for n in objects.names(fs, f"{root}/keys/{signer}"))
    for machine in ("first", "second", "third"):
        found = {path.name for path in machines.local(machine).iterdir()}
        # A run's private record and its private keys have the names of what is shared.
        assert found <= local | {"run.json", "keys"}, found


def test_all_of_a_run_lies_in_its_folder_as_the_page_says(tmp_path: Path) -> None:
    run = OperatedRun(tmp_path)
    try:
        run.start()
        run.learn(30)
        until(lambda: run.rung() == "champion", "a snapshot answers")
        run.switch("learn", False)
    finally:
        run.stop()
    found = {path.name for path in run.folder.iterdir()}
    assert {"checkpoints", "snapshots", "keys", "log", "run.json", "switches.json"} <= found
    assert found <= rows_of(TABLE.read_text()).keys()


def test_wrong_credentials_are_told_once_before_anything_starts(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = OperatedRun(tmp_path)
    url = f"{s3.make_bucket()}/run"
    s3.hold_to_known_keys(True)
    try:
        told = command("run", str(run.file), "--run-dir", url, "--log", "kafka://127.0.0.1:1")
        checked = command("check", str(run.file), "--run-dir", url)
    finally:
        s3.hold_to_known_keys(False)
    for each in (told, checked):
        assert each.status == 2
        assert each.err.count("\n") == 1
        assert f"object store {url}: refuses access" in each.err
    assert command("check", str(run.file), "--run-dir", url).status == 0


def test_a_shared_folder_needs_a_log_that_others_reach(tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    run = OperatedRun(tmp_path)
    for option in ([], ["--log", str(tmp_path / "log")]):
        told = command("run", str(run.file), "--run-dir", "s3://bucket/run", *option)
        assert "an embedded log is on one of them alone" in told.err
