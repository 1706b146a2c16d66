"""Rows that their store refuses to give, or refused to take, each for its key alone: the answer to
whoever asks for one."""

from __future__ import annotations

from collections.abc import Sequence

from freshet.features.stores.contract import Rows
from freshet.schemas.errors import RequestError

# Of a key in the answer.
SHOWN_BYTES = 100


def check_given(view: str, keys: Sequence[bytes], rows: Rows) -> None:
    """Raises `RequestError` for the first of a view's keys whose row the store refuses: it is no
    outage, as all other keys are answered, and no missing value, as what is there is not known."""
    if not rows.refused:
        return
    at = min(rows.refused)
    key = keys[at][:SHOWN_BYTES].decode(errors="replace")
    raise RequestError(
        f"key {key!r} of view {view}",
        f"has no row that could be read: the store {rows.refused[at]}",
        "Mend what it names, as something else of that name there; until then, ask for other keys.",
    )
