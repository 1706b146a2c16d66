"""Python's collector of cycles, where a loop makes many short-lived objects a second beside
libraries, schemas and kernels that stay.

Each time that it looks at all of them takes a tenth of a second, in which nothing moves, and finds
nothing.
"""

from __future__ import annotations

import gc

# Objects that there are to be more of before the collector looks at the newest, and how often it
# does so before it looks at older ones, too. A turn of a loop makes hundreds, which are gone after
# it without a collector: what is left to it are errors with their frames.
NEWEST = 20_000
OLDER = 20


def leave_alone() -> None:
    """Never look at what is there by now again, and seldom at what comes."""
    gc.freeze()
    gc.set_threshold(NEWEST, OLDER, OLDER)
