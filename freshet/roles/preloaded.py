"""What the process that roles are forked from has loaded: each role, and what one would else load
with its first kernel and its first column, which is most of what its start costs.

Importing it does it. It starts no thread: those would not be forked."""

from __future__ import annotations

import gc

# Imported for those that are forked.
import freshet.roles.control
import freshet.roles.operators
import freshet.roles.process
import freshet.roles.release
import freshet.roles.serve  # noqa: F401
from freshet.schemas.text.columns import Texts

# The first column that is made of a list imports pandas, where that is installed; the first kernel
# loads numba's own functions, for which it imports scipy. Any will do.
Texts.of([""]).hashes()
# Collections in a role leave alone what was there before it, so that its pages stay shared.
gc.collect()
gc.freeze()
