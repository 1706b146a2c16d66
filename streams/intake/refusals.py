"""What makes an event a dead letter though its schema allows it: what a topic's views and models
are, decides."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from freshet.schemas.events.columns import OK, TOO_LARGE, Columns
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.text.keys import joined
from freshet.schemas.topics.derivations import DERIVED_BYTES

# No number, as a text, has more: a decimal's digits, its sign and its point.
NUMBER_BYTES = 64
Keys = tuple[str, ...]
Rows = npt.NDArray[np.intp]


def refuse_large(columns: Columns, keys: Iterable[Keys]) -> None:
    """Rows, ok so far, of which a key or an id is longer than every store takes. `keys` are the
    fields of each, which are joined; those that are still to be derived leave room for the longest
    that they may be."""
    for every in keys:
        fields = [name for name in every if name in columns.schema.positions]
        if not fields:
            continue
        # Twice: each byte may be escaped.
        most = KEY_BYTES - 2 * DERIVED_BYTES * (len(every) - len(fields))
        # No text is longer than all bytes that texts lie in: of few records none is looked at.
        if 2 * len(fields) * max(len(columns.data), NUMBER_BYTES) <= most:
            continue
        texts = [columns.key(name) for name in fields]
        longest = sum(int((text.end - text.start).max(initial=0)) for text in texts)
        # The longest of each, with an escape before each byte, would still be taken: no need to
        # join any.
        if 2 * longest <= most:
            continue
        key = joined(texts)
        separators = len(fields) - 1
        size = key.end - key.start - separators
        rows = np.flatnonzero((size > most) & (columns.reason == OK))
        columns.refuse(rows, TOO_LARGE, fields[0])
