"""Values that are larger than a server's `proto-max-bulk-len`: it hangs up on whoever sends one, so
that its refusal looks as if it were away."""

from __future__ import annotations

from collections.abc import Callable

import redis

from freshet.features.packed import Packed
from freshet.features.stores.contract import ValueRefused
from freshet.features.stores.refused import Write, written
from freshet.schemas.errors import StoreError

# The least that the server lets itself be told.
LEAST_LIMIT = 1 << 20


def written_apart(write: Write, rows: Packed, is_there: Callable[[], object], resource: str) -> int:
    """`written`, where the server may also hang up on rows that are too large for it. `is_there`
    raises `StoreError` where it is away.

    Raises:
        RowsRefused: rows are refused, each by itself; all others are written.
    """

    def attempt(first: int, after: int) -> int:
        try:
            return write(first, after)
        except StoreError as error:
            size = rows.part(first, after).data.size
            if not isinstance(error.__cause__, redis.ConnectionError) or size <= LEAST_LIMIT:
                raise
            # Where it answers all else, what it hung up on was the call.
            is_there()
            cause = f"hangs up on a call with rows of {size:,} bytes"
            next_step = "Raise its proto-max-bulk-len, or keep the view's rows shorter."
            raise ValueRefused(resource, f"{cause} (proto-max-bulk-len)", next_step) from error

    return written(attempt, len(rows), resource)
