"""What roles are forked from."""

from __future__ import annotations

import os
import subprocess
import sys

from freshet.processes.fork_server import SINGLE_THREADED

CODE = """
import sys

import psutil


def loaded():
    return {name for name in sys.modules if name.split(".")[0] in ("numba", "scipy", "pandas")}


import freshet.roles.serve

threads = psutil.Process().num_threads()
import freshet.processes.preloaded

print("threads", psutil.Process().num_threads() - threads)
before = loaded()
from freshet.features.partition.warm import warm

warm()
print("modules", sorted(loaded() - before))
"""


def test_it_starts_no_thread_and_leaves_kernels_and_columns_nothing_to_import() -> None:
    """A thread would not be forked, and what it holds would stay locked in each role."""
    environment = {**os.environ, **SINGLE_THREADED}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["threads 0", "modules []"]
