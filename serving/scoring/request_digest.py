"""What a request said, as 128 bits a row: two questions for one id are one question only if they
said the same.

The digest is cryptographic (BLAKE2b, RFC 7693), since who asks under somebody else's id must not
find other values of the same digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from freshet.schemas.events.schema import EventSchema
from freshet.schemas.text.keys import UUID
from freshet.serving.scoring.contract import Column

U64 = npt.NDArray[np.uint64]
BYTES = 16
VALUE_BYTES = 64  # a Python object of a list, and what leads to it, about
_json = msgspec.json.Encoder().encode


class RequestDigests:
    """Of the requests of one model. `request` is the schema of the topic that it is asked on; its
    field `id` is no part of what is said.

    All other fields count that were sent, whether the model reads them or not, and by their
    declared types: how values were sent, and beside whose, makes no difference. A null is said; a
    field that was left out is not."""

    def __init__(self, request: EventSchema, id: str) -> None:
        self._id = id
        self._singles = {f.name for f in request.fields if f.type == "float"}
        self._uuids = {f.name for f in request.fields if f.key_kind == UUID}

    def of(self, columns: Mapping[str, Column], n: int) -> U64:
        """uint64 `[n, 2]`."""
        names = sorted(name for name in columns if name != self._id)
        # Which values these are comes first, so that equal ones of other fields differ.
        head = hashlib.blake2b(_json(names), digest_size=BYTES)
        digests = bytearray()
        for row in zip(*(self._values(name, columns[name]) for name in names)):
            digest = head.copy()
            digest.update(_text(row))
            digests += digest.digest()
        # Without a column there is nothing to go through, but there are rows.
        if not names:
            digests += head.digest() * n
        return np.frombuffer(digests, "<u8").reshape(n, 2)

    def _values(self, name: str, column: Column) -> list[Any]:
        if isinstance(column, list):
            return _lower(column) if name in self._uuids else column
        # Beside a missing value, or somebody else's, the same number came with more digits.
        if name in self._singles:
            column = column.astype(np.float32)
        values: list[Any] = column.tolist()
        return values


def bytes_of(columns: Mapping[str, Column]) -> int:
    """How much memory a request's columns hold, about."""
    size = 0
    for column in columns.values():
        if isinstance(column, list):
            size += VALUE_BYTES * len(column)
            size += sum([len(value) for value in column if isinstance(value, str)])
        else:
            size += column.nbytes
    return size


def _text(row: tuple[Any, ...]) -> bytes:
    """A row as JSON, in which NaN is null."""
    try:
        return _json(row)
    except (TypeError, ValueError, OverflowError):
        # What no client can send, but who asks within this process can: half a surrogate pair, say.
        return repr(row).encode(errors="surrogatepass")


def _lower(column: list[Any]) -> list[Any]:
    return [value.lower() if isinstance(value, str) else value for value in column]
