"""A folder, a key, a disk or a port that cannot be used is told in one sentence that names it, and
nothing is left broken."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from freshet.learners.snapshots.keys import create_key
from freshet.runs.record import FORMAT
from freshet.servers.server import free_ports
from freshet.streams.control import switches
from tests.small_disk import fill, small_disk
from tests.system.operated_run import command

RECORD = (
    f'{{"app": "parcels", "app_file": "app.py", "log": "log", "store": "", "format": {FORMAT}}}'
)


@pytest.fixture(autouse=True)
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a sound app, where commands run."""
    monkeypatch.chdir(tmp_path)
    assert command("init", "app").status == 0
    monkeypatch.chdir(tmp_path / "app")
    return tmp_path / "app"


@pytest.fixture
def full_soon(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "64k") as folder:
        yield folder


@pytest.mark.parametrize("name", ["status", "topics", "models", "switch", "explain", "dlq"])
@pytest.mark.parametrize("kind", ["a file", "under a file", "too long", "not there"])
def test_a_folder_that_is_no_run_s_is_told_for_its_true_reason(
    name: str, kind: str, app: Path
) -> None:
    (app / "file").write_text("")
    folder = {
        "a file": "file",
        "under a file": "file/run",
        "too long": "x" * 300,
        "not there": "nowhere",
    }[kind]
    more = {"explain": ["id"], "dlq": ["list"]}.get(name, [])
    told = command(name, *more, "--run-dir", folder)
    assert (told.status, told.out) == (2, "")
    assert len(told.err.splitlines()) == 1
    assert folder in told.err
    why = {
        "a file": "file is a file, not a folder",
        "under a file": "file is a file, not a folder",
        "too long": "its path is longer than this system takes",
        "not there": "nothing runs there"
        if name in ("status", "topics", "models")
        else "there is none",
    }
    assert why[kind] in told.err


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("file", "file is a file, not a folder"),
        ("file/run", "file is a file, not a folder"),
        ("/".join(["x" * 200] * 2), "up to 300 leave room for the names in it"),
    ],
)
@pytest.mark.parametrize("role", [(), ("--role", "intake")])
def test_a_run_cannot_be_in_such_a_folder(
    folder: str, why: str, role: tuple[str, ...], app: Path
) -> None:
    (app / "file").write_text("")
    told = command("run", "app.py", *role, "--run-dir", folder, "--port", "0", "--status-port", "0")
    assert (told.status, told.out) == (2, "")
    assert why in told.err
    assert len(told.err.splitlines()) == 1


def test_a_run_cannot_be_on_a_disk_that_is_to_be_read_only(full_soon: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(full_soon)], check=True)
    told = command(
        "run", "app.py", "--run-dir", str(full_soon / "run"), "--port", "0", "--status-port", "0"
    )
    assert told.status == 2
    assert told.err == (
        f"error: freshet run folder {full_soon}/run: cannot be used: Read-only file system. "
        "Make it writable. Name another folder with --run-dir.\n"
    )


def test_one_port_for_both_is_refused() -> None:
    (port,) = free_ports(1)
    told = command("run", "app.py", "--port", str(port), "--status-port", str(port))
    assert told.status == 2
    assert told.err.startswith(
        f"error: definition setting status_port={port}: is the port of the scorer, too, and only one can listen there."
    )


@pytest.mark.parametrize(
    ("servers", "why"),
    [
        (("redis:7000", "kafka:7000"), "port 7000: is named for two servers"),
        (("redis:7000", "redis:7001"), "server 'redis': is named twice"),
    ],
)
def test_two_servers_are_told_apart(servers: tuple[str, ...], why: str) -> None:
    told = command("servers", "start", *servers)
    assert (told.status, told.out) == (2, "")
    assert why in told.err


def test_an_empty_host_is_not_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_HOST", "")
    told = command("run", "app.py")
    assert told.status == 2
    assert "setting host=''" in told.err


def test_a_port_of_the_newer_protocol_is_asked_for_by_that() -> None:
    try:
        taken = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no such address")
    with taken:
        port = taken.getsockname()[1]
        told = command("run", "app.py", "--host", "::1", "--port", str(port), "--status-port", "0")
    assert told.status == 2
    assert (
        f"address [::1]:{port}: cannot be used: Address already in use. Choose another with --port"
        in told.err
    )


@pytest.mark.parametrize(
    ("suffix", "content", "why"),
    [
        ("key", b"", "is empty"),
        ("key", b"short", "is torn: it has 5 bytes, a key has 32"),
        ("pub", b"", "is empty"),
        ("pub", bytes(40), "is torn: it has 40 bytes, a key has 32"),
    ],
)
def test_a_torn_key_is_told_before_anything_starts(
    suffix: str, content: bytes, why: str, app: Path
) -> None:
    create_key(app / "run" / "keys" / "trainer")
    (file,) = (app / "run" / "keys" / "trainer").glob(f"*.{suffix}")
    file.write_bytes(content)
    told = command("run", "app.py", "--run-dir", "run", "--port", "0", "--status-port", "0")
    assert (told.status, told.out) == (2, "")
    assert (
        f"key file run/keys/trainer/{file.name}: {why}. Restore it from a copy, or remove it"
        in told.err
    )


def test_keys_are_their_owner_s_alone(app: Path) -> None:
    create_key(app / "keys")
    (private,) = (app / "keys").glob("*.key")
    assert private.stat().st_mode & 0o777 == 0o600
    assert len(list((app / "keys").iterdir())) == 2


def test_a_switch_on_a_full_disk_is_told_and_stays_as_it_was(full_soon: Path) -> None:
    (full_soon / "run.json").write_text(RECORD)
    assert command("switch", "learn", "off", "--run-dir", str(full_soon)).status == 0
    before = (full_soon / switches.FILE).read_bytes()
    stuffing = fill(full_soon)
    told = command("switch", "answer", "off", "--run-dir", str(full_soon))
    assert (told.status, told.out) == (2, "")
    assert told.err == (
        f"error: freshet file {full_soon}/switches.json: cannot be written: No space left on device; all switches are "
        "as they were. Make room there, or make it writable, and turn the switch again.\n"
    )
    assert (full_soon / switches.FILE).read_bytes() == before
    assert sorted(os.listdir(full_soon)) == ["run.json", "stuffing", "switches.json"]
    stuffing.unlink()
    assert command("switch", "answer", "off", "--run-dir", str(full_soon)).status == 0
