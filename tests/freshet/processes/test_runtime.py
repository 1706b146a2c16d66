"""What is refused before anything of a run starts: the addresses of its two servers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from freshet.processes.runtime import Runtime
from freshet.schemas.errors import ComponentError
from freshet.settings import Settings
from tests.toy_app import toy_app


def start(folder: Path, **given: object) -> None:
    with Runtime(
        toy_app(), "app.py", Settings(**{"run_dir": folder, "port": 0, "status_port": 0, **given})
    ):
        pytest.fail("it started")


def test_a_port_in_use_is_told_in_either_family(tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ComponentError) as caught:
            start(tmp_path, host="::1", port=port)
    told = f"address [::1]:{port}: cannot be used: Address already in use. Choose another with --port (0: any)."
    assert told in str(caught.value)


def test_an_address_that_is_not_here_is_no_matter_of_ports(tmp_path: Path) -> None:
    with pytest.raises(
        ComponentError, match=r"192\.0\.2\.1.*Choose an address of this machine with --host"
    ):
        start(tmp_path, host="192.0.2.1")
