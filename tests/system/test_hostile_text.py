"""Commands show what others wrote: as it is, never as markup, never as what a terminal obeys."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from freshet.runs.record import FORMAT
from freshet.serving.status import status as s
from tests.system.operated_run import command

# Unbalanced markup, an emoji's name, an escape of 7 and one of 8 bits, an end of line, a reversal
# of what follows.
HOSTILE = "[/red]a[bold]:bomb:\x1b[2J\x9b31m\nx\u202ey\\"
SHOWN = "[/red]a[bold]:bomb:\\x1b[2J\\x9b31m\\nx\\u202ey\\"


def hostile_status() -> s.Status:
    quality = s.Quality(n=3)
    line = s.LineageFigures(
        name=HOSTILE,
        alias=HOSTILE,
        refused=HOSTILE,
        refusals=1,
        slices=[s.SliceFigures(field=HOSTILE, value=HOSTILE, served=quality)],
    )
    return s.Status(
        app="parcels",
        at_ms=1,
        clock=s.Clock(state="running", app_ms=2**70 % 2**62),
        promises=[s.Promise(HOSTILE, "red", HOSTILE)],
        topics=[s.TopicFigures(name=HOSTILE, settings={HOSTILE: HOSTILE}, declared={HOSTILE: "x"})],
        views=[s.ViewFigures(name=HOSTILE, topic=HOSTILE)],
        models=[s.ModelFigures(name=HOSTILE, lineages=[line])],
        roles=[s.RoleFigures(role="view", instance=HOSTILE, last_exit=HOSTILE)],
        outages=[
            s.OutageFigures(
                component="store",
                resource=HOSTILE,
                cause=HOSTILE,
                meanwhile=HOSTILE,
                next_step=HOSTILE,
                since_ms=1,
            )
        ],
        alerts=[
            s.Alert(
                policy="outage",
                subject=HOSTILE,
                light="red",
                reason=HOSTILE,
                meaning=HOSTILE,
                next_step=HOSTILE,
            )
        ],
        switches=[s.SwitchFigures(name="learn", on=False, by=HOSTILE, at_ms=1)],
        changes=[s.SettingChange(topic=HOSTILE, key=HOSTILE, value=HOSTILE, by=HOSTILE, at_ms=1)],
    )


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = msgspec.json.encode(hostile_status())
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A run's folder, whose page tells a status in which every text is hostile."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (tmp_path / "status.address").write_text(f"http://127.0.0.1:{server.server_port}")
        record = dict.fromkeys(("app", "app_file", "log", "store"), "x")
        (tmp_path / "run.json").write_text(json.dumps({**record, "format": FORMAT}))
        yield tmp_path
        server.shutdown()


@pytest.mark.parametrize("name", ["status", "topics", "models", "switch"])
def test_a_command_shows_hostile_texts_as_they_are(name: str, folder: Path) -> None:
    switch = {"on": False, "by": HOSTILE, "at": 2**60}
    (folder / "switches.json").write_text(json.dumps({"learn": switch}))
    told = command(name, "--run-dir", str(folder))
    assert (told.status, told.err) == (0, "")
    assert all(char == "\n" or char.isprintable() for char in told.out)
    assert "[/red]a[bold]:bomb:" in told.out
    assert "\\x1b[2J" in told.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("switch", HOSTILE, "on"),
        ("switch", "learn", HOSTILE),
        ("topics", "set", HOSTILE, HOSTILE),
        (HOSTILE,),
    ],
)
def test_what_was_typed_is_told_without_what_a_terminal_obeys(
    arguments: tuple[str, ...], folder: Path
) -> None:
    told = command(*arguments, *(("--run-dir", str(folder)) if len(arguments) > 1 else ()))
    assert told.status == 2
    assert all(char == "\n" or char.isprintable() for char in told.out + told.err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "app.py", "--log", "kafak://ann:hunter2@broker:9092"),
        ("run", "app.py", "--log", "kafka:ann:hunter2@broker:9092"),
        ("run", "app.py", "--store", "reds://ann:hunter2@store"),
        ("run", "app.py", "--store", "redis://ann:hunter2/x@store"),
        ("run", "app.py", "--store", "cassandra://ann:hunter2@store/No-Keyspace"),
        ("run", "app.py", "--port", "kafka://ann:hunter2@broker"),
        ("run", "app.py", "kafka://ann:hunter2@broker"),
    ],
)
def test_no_password_of_a_mistyped_address_is_printed(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("init", "app").status == 0
    monkeypatch.chdir(tmp_path / "app")
    told = command(*arguments)
    assert told.status == 2
    assert "hunter2" not in told.out + told.err
    assert told.err


def test_no_secret_of_a_mistyped_webhook_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for url in (
        "https//hooks.example.org/T0?token=hunter2",
        "htps://u:hunter2@hooks.example.org/hunter2",
    ):
        monkeypatch.setenv("FRESHET_ALERT_WEBHOOK", url)
        told = command("run", "app.py")
        assert told.status == 2
        assert told.err.startswith("error: definition setting alert_webhook=")
        assert "hunter2" not in told.err


def test_a_reader_that_goes_away_ends_a_command_without_a_word(folder: Path) -> None:
    code = "import sys; sys.argv[0] = 'freshet'; from freshet.cli.main import main; main()"
    asked = [sys.executable, "-c", code, "status", "--run-dir", str(folder)]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        # Nobody reads a byte of it.
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
    assert (process.returncode, err) == (141, b"")


def test_an_output_that_takes_no_more_is_told(folder: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no such device")
    asked = [sys.executable, "-m", "freshet", "status", "--run-dir", str(folder)]
    with full.open("wb") as out:
        done = subprocess.run(asked, stdout=out, stderr=subprocess.PIPE, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr.decode() == (
        "error: freshet standard output: cannot be written: No space left on device. "
        "Send it elsewhere, or make room where it goes.\n"
    )


def test_a_closed_output_is_no_traceback(folder: Path) -> None:
    asked = f"exec {sys.executable} -m freshet status --run-dir {folder} >&- 2>{folder}/err"
    done = subprocess.run(["sh", "-c", asked], check=False, timeout=120)
    assert (done.returncode, (folder / "err").read_text()) == (0, "")
