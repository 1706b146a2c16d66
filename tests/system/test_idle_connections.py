"""Connections that say nothing, more of them than a process may have open."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.system.operated_run import OperatedRun, until

pytestmark = pytest.mark.timeout(300)
DESCRIPTORS = 1_024
IDLE = 1_100
PARCELS = 12


@contextmanager
def idle_connections(*addresses: str) -> Iterator[None]:
    """`IDLE` of them to each."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # This process holds the other end of each.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        with ExitStack() as stack:
            for address in addresses:
                url = httpx.URL(address)
                for _ in range(IDLE):
                    stack.enter_context(socket.create_connection((url.host, url.port or 80), 30.0))
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def test_idle_connections_keep_nobody_out_and_no_role_dies_of_them(tmp_path: Path) -> None:
    run = OperatedRun(tmp_path, descriptors=DESCRIPTORS)
    try:
        run.start()
        addresses = [str(client.base_url) for client in (run.scorer, run.page)]
        with idle_connections(*addresses):
            # Who comes after them is answered, by both servers.
            run.connect()
            run.learn(PARCELS)
            until(run.all_learned, "all are learned")
            until(lambda: run.rung() == "champion", "a model answers")
        status = run.status()
        assert all(role.restarts == 0 for role in status.roles)
        assert {p.name: p.state for p in status.promises}["roles alive"] == "green"
        for role in ("serve", "control"):
            told = (run.folder / "logs" / f"{role}.jsonl").read_text()
            # What no descriptor is left for hits whoever opens a file next.
            assert "out of system resource" not in told
            assert "Too many open files" not in told
    finally:
        run.stop()
