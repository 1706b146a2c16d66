"""The app of `freshet init`, run by the commands that its README names, until what it has learned
answers."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from freshet.servers.server import free_ports

START_SECONDS = 120.0
LEARN_SECONDS = 60.0


def lineage_that_answers(
    folder: Path, freshet: Sequence[str], python: str, environment: Mapping[str, str]
) -> str:
    """Run the app in `folder`, with its producer, until a learned model answers; that model's
    lineage."""
    port, status_port = free_ports(2)
    scorer = f"http://127.0.0.1:{port}"
    env = {
        **environment,
        "FRESHET_PORT": str(port),
        "FRESHET_STATUS_PORT": str(status_port),
        "SCORER": scorer,
        "PYTHONUNBUFFERED": "1",
    }
    with ExitStack() as stack:
        run = stack.enter_context(_running(*freshet, "run", "app.py", cwd=folder, env=env))
        deadline = time.monotonic() + START_SECONDS
        while not _ready(scorer):
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < deadline, "the scorer did not start"
            time.sleep(0.1)
        producer = stack.enter_context(_running(python, "produce.py", cwd=folder, env=env))
        deadline = time.monotonic() + LEARN_SECONDS
        while (told := _asked(python, folder, env)).get("rung") != "champion":
            assert producer.poll() is None, producer.communicate()
            assert time.monotonic() < deadline, told
        return str(told["lineage"])


@contextmanager
def _running(*command: str, cwd: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A command until the end of the block, then stopped as by Ctrl-C."""
    process = subprocess.Popen(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/v2/health/live", timeout=5.0, verify=False).status_code == 200
    except httpx.TransportError:
        return False


def _asked(python: str, cwd: Path, env: Mapping[str, str]) -> dict[str, object]:
    """What `python ask.py` tells of its answer; `{}` while nobody answers."""
    done = subprocess.run(
        [python, "ask.py"],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return json.loads(done.stdout.split("\n", 1)[1]) if done.returncode == 0 else {}
