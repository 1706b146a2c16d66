"""A full disk, or a store of objects that is away, is an outage as that of a server is: told once,
waited out, over once a write succeeds."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

from freshet.schemas.errors import ComponentError, DiskError, ObjectStoreError
from freshet.streams.outages import Outages

T = TypeVar("T")
RETRY_SECONDS = 0.5
# Of a quota, to whoever writes, the same: it takes no more until somebody makes room.
FULL = (errno.ENOSPC, errno.EDQUOT)
WAITS = "this role waits and reads nothing; what was not written is written once there is room"


def is_full(error: BaseException) -> bool:
    """Whether a write failed because its disk takes no more."""
    if isinstance(error, ComponentError):
        return error.facts.get("disk_full") is True
    return isinstance(error, OSError) and error.errno in FULL


def until_there_is_room(
    write: Callable[[], T], outages: Outages, folder: str, meanwhile: str = WAITS
) -> T:
    """What `write` returns, which is tried again while its disk is full, or the store of objects
    does not take it: nothing of it may stay done when it fails that would be wrong to do again.
    `meanwhile` says what that means for others.

    Raises: DiskError, ObjectStoreError: the process is to end meanwhile; what was not written is
        computed again from the last checkpoint.
    """
    waited: set[str] = set()
    while True:
        try:
            result = write()
        except (OSError, ComponentError) as error:
            outage = _outage(error, folder)
            if outage is None:
                raise
            waited.add(outage.component)
            outages.begin(outage, meanwhile)
            if outages.ending.wait(RETRY_SECONDS):
                raise outage from error
        else:
            # Only by who waited: that another, smaller write succeeds says nothing of it.
            for component in waited:
                outages.over(component)
            return result


def _outage(error: OSError | ComponentError, folder: str) -> ComponentError | None:
    """What is waited out of an error; None where waiting would mend nothing."""
    # A disk error says by itself which disk it is of.
    if isinstance(error, (ObjectStoreError, DiskError)):
        return error
    if not is_full(error):
        return None
    return no_space(folder)


def no_space(folder: str) -> DiskError:
    """That the disk of a folder takes no more."""
    return DiskError(
        f"of {folder}",
        "no space is left on it",
        "Make room there: remove what is not needed, or give it more.",
        disk_full=True,
    )
