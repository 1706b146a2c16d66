"""What the process that roles are forked from has loaded: each role, and what one would else load
with its first kernel, its first column, and the log and store that a run has where it names none.
That is most of what a role's start costs.

Importing it does it. It starts no thread: those would not be forked."""

from __future__ import annotations

import gc
from importlib import import_module

from freshet.processes.spared import spare

# Before the others: some of them make a column when they are imported.
spare()

import fsspec  # noqa: E402
import pyarrow as pa  # noqa: E402

from freshet.roles.process import ROLES  # noqa: E402
from freshet.schemas.text.columns import Texts  # noqa: E402

# Not librdkafka, which starts threads: it is loaded after the fork.
CLIENTS = ("freshet.streams.sqlite.log", "freshet.features.redis.redis_store")
# Of the module that a forked process runs in, and of multiprocessing's own.
FORKED = ("freshet.processes.supervisor", "multiprocessing.popen_forkserver")

for module in (*(place for place, _ in ROLES.values()), *CLIENTS, *FORKED):
    import_module(module)
# The first column that Arrow makes, the first kernel and the first folder load what their
# libraries load late. Any will do.
Texts.from_arrow(pa.array([""])).hashes()
fsspec.core.url_to_fs("file:///")
# Collections in a role leave alone what was there before it, so that its pages stay shared. None is
# made for that: it would look at all that was imported, to find hardly anything to let go of.
gc.freeze()
