"""What stands in the place of a row that its store refused: a short row which says why, so that
whoever asks for the key is told, and takes the row neither for an absent one nor for an older one.

    0   16  version: the one before that of the refused row, which so is taken once the store does
    16  16  what no row has there, as no event is of that time
    32  …   why, in the server's words (UTF-8)
"""

from __future__ import annotations

from freshet.features.stores.contract import VERSION_BYTES

MARK = b"\xfffreshet:refused"
# Of what a server says: it is to fit where the row did not.
MOST_BYTES = 400


def refusal(version: bytes, why: str) -> bytes:
    """The row that says why another was refused; `version` is its own."""
    return version + MARK + why.encode()[:MOST_BYTES]


def is_refusal(row: bytes) -> bool:
    """Whether a stored value is one."""
    return row.startswith(MARK, VERSION_BYTES)


def may_hold_refusals(data: bytes | bytearray) -> bool:
    """Whether any of the rows may be one whose bytes come one after the other."""
    return MARK in data


def why_of(row: bytes) -> str:
    """What one says to readers, after "the store"."""
    # A character may have been cut in two.
    why = row[VERSION_BYTES + len(MARK) :].decode(errors="ignore")
    return f"refused it when it was written: {why}"
