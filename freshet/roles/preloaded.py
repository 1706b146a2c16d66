"""What the process that roles are forked from has loaded: each role, and what one would else load
with its first kernel and its first column, which is most of what its start costs.

Importing it does it. It starts no thread: those would not be forked."""

from __future__ import annotations

import gc
from importlib import import_module

import pyarrow as pa

from freshet.roles.process import ROLES
from freshet.schemas.text.columns import Texts

for module, _ in ROLES.values():
    import_module(module)
# The first column that Arrow makes of a list imports pandas, where that is installed; the first
# kernel loads numba's own functions, for which it imports scipy. Any will do.
Texts.from_arrow(pa.array([""])).hashes()
# Collections in a role leave alone what was there before it, so that its pages stay shared.
gc.collect()
gc.freeze()
