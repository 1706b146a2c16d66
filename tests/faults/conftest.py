"""What several files of disturbed runs are compared with."""

from __future__ import annotations

import fcntl
import os
import pickle

import pytest

from tests.faults.disturbance import Left
from tests.faults.disturbance import undisturbed as undisturbed_run


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """Run once for all files, also where they are the work of several processes: whoever comes
    first runs it, and the others wait."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    kept = folder / "undisturbed.pickle"
    with (folder / "undisturbed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            found = undisturbed_run(tmp_path_factory.mktemp("undisturbed"))
            # Aside first: a worker that is killed halfway leaves none.
            part = kept.with_suffix(".part")
            part.write_bytes(pickle.dumps(found))
            part.rename(kept)
        left: Left = pickle.loads(kept.read_bytes())
        return left
