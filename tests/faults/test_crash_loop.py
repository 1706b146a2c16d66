"""A role that ends again and again is shown for it, with its reason, by the run, the status and the
promise."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.operated_run import OperatedRun, until


@pytest.fixture
def run(tmp_path: Path) -> Iterator[OperatedRun]:
    found = OperatedRun(tmp_path)
    found.start()
    yield found
    found.stop()


def test_a_trainer_whose_key_was_torn_is_shown_with_its_last_words(
    run: OperatedRun, tmp_path: Path
) -> None:
    (key,) = (run.folder / "keys" / "trainer").glob("*.key")
    key.write_bytes(b"")
    trainer = run.role(run.trainers[0])
    assert trainer.pid is not None
    os.kill(trainer.pid, signal.SIGKILL)
    until(lambda: run.role(run.trainers[0]).state == "restarting", "it is known to fail")
    found = run.role(run.trainers[0])
    # It failed three times; the start after the third may still be to come.
    assert found.restarts >= 2
    assert f"key file {key}: is empty" in found.last_exit
    (alive,) = [p for p in run.status().promises if p.name == "roles alive"]
    assert alive.state == "red"
    assert "is empty" in alive.reason
    told = run.cli("status")
    assert told.status == 0
    assert "is empty" in told.out
    output = tmp_path / "output"
    until(
        lambda: f"role {run.trainers[0]} ends again and again" in output.read_text(),
        "the run says so",
    )
