"""The one encoding of keys and ids: a text for each value, and one for several of them.

A value's *canonical text* depends on its declared type, and not on how it came in: decimal digits
of a whole number, `true` or `false`, a UUID in lower case, a text or an enum's symbol as it is. Ids
are canonical texts; an id is never null.

A *key* is one value or several, any of which may be null. Its text is that of its values, joined by
`|`, where in a value

    \\   is written \\\\
    |   is written \\|
    null is written \\N, which no value's text can be

so that different values have different texts, the values can be told from the text, and a key of
one plain text is that text. It is what the partitioner and the store see, what groups of imputes
are told apart by, and how a prediction's categories are logged.

Source: the text format of PostgreSQL's COPY with `|` as delimiter, without its other escapes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from freshet.schemas.text import key_kernels as kernels
from freshet.schemas.text.columns import I64, Texts

SEPARATOR = "|"
ESCAPE = "\\"
NULL = "\\N"
ENCODING = 2  # rises with every change of it, and with it the names of what is kept by key
TEXT = "text"
WHOLE = "whole number"
BOOLEAN = "boolean"
UUID = "uuid"
_ONLY_TEXTS = {str}
_LOWEST = -(1 << 63)
_HIGHEST = (1 << 63) - 1
# 19 digits are enough for 64 bits; Python refuses to read thousands.
_DIGITS = re.compile(r"[+-]?0*[0-9]{1,19}", re.ASCII)
UUID_PATTERN = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # to Python and to Arrow alike
_HEXADECIMAL = re.compile(UUID_PATTERN)
_TOKEN = re.compile(r"\\.|[^\\]", re.DOTALL)


def canonical(value: object, kind: str) -> str | None:
    """The canonical text of a value of a kind (`TEXT`, `WHOLE`, `BOOLEAN` or `UUID`); None of None.

    Also of one that came as text, as a command's arguments do. Raises `ValueError` for what is
    none.

    >>> canonical(7, WHOLE), canonical("+007", WHOLE), canonical(True, BOOLEAN)
    ('7', '7', 'true')
    """
    if value is None:
        return None
    text = _canonical(value, kind)
    if text is None:
        raise ValueError(f"{str(value)[:60]!r} is no {kind}")
    return text


def canonical_column(values: Sequence[object], kind: str) -> Sequence[str | None]:
    """The canonical text of each value, as `canonical` has it: the column itself, where all are
    texts already."""
    if kind == TEXT and set(map(type, values)) == _ONLY_TEXTS:
        return cast(Sequence[str], values)
    return [canonical(value, kind) for value in values]


def _canonical(value: object, kind: str) -> str | None:
    if kind == BOOLEAN:
        return _boolean(value)
    if kind == WHOLE:
        return _whole(value)
    if not isinstance(value, str):
        return None
    if kind == UUID:
        return value.lower() if _HEXADECIMAL.fullmatch(value) else None
    return value


def _boolean(value: object) -> str | None:
    if value is True or value == "true":
        return "true"
    if value is False or value == "false":
        return "false"
    return None


def _whole(value: object) -> str | None:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    # True is an int to Python, and 1 to nobody else.
    if isinstance(value, bool) or not isinstance(value, int) or not _LOWEST <= value <= _HIGHEST:
        return None
    return str(value)


def key_of(parts: Sequence[str | None]) -> str:
    """The text of one key, given its values' canonical texts (None: null); `joined`, the slow way.

    >>> print(key_of(["a|b", "c"]), key_of(["a", "b|c"]), key_of([None]), key_of(["\\\\N"]))
    a\\|b|c a|b\\|c \\N \\\\N
    """
    return SEPARATOR.join(map(_escaped, parts))


def keys_of(columns: Sequence[Sequence[str]]) -> Sequence[str]:
    """The key of each row, of which each column holds one value's text, `escaped`: `key_of` for
    columns of Python texts, as requests have them.

    >>> keys_of([escaped(["a|b", None]), escaped(["c", "c"])])
    ['a\\\\|b|c', '\\\\N|c']
    """
    if len(columns) == 1:
        return columns[0]
    return list(map(SEPARATOR.join, zip(*columns)))


def escaped(column: Sequence[str | None]) -> Sequence[str]:
    """Each value as it stands in a key; the column itself where that changes none."""
    if None not in column:
        there = cast(Sequence[str], column)
        whole = "".join(there)
        if SEPARATOR not in whole and ESCAPE not in whole:
            return there
    return list(map(_escaped, column))


def _escaped(part: str | None) -> str:
    if part is None:
        return NULL
    # The escape first, else it would escape what escapes the separator.
    return part.replace(ESCAPE, ESCAPE + ESCAPE).replace(SEPARATOR, ESCAPE + SEPARATOR)


def parts_of(text: str) -> list[str | None]:
    """The values that `key_of` had.

    >>> parts_of("a\\\\|b|c"), parts_of("\\\\N|")
    (['a|b', 'c'], [None, ''])
    """
    if ESCAPE not in text:
        return list(text.split(SEPARATOR))
    parts: list[str | None] = [""]
    for token in _TOKEN.findall(text):
        if token == SEPARATOR:
            parts.append("")
        elif token == NULL:
            parts[-1] = None
        else:
            # Of an escape and what it escapes, the latter.
            parts[-1] = (parts[-1] or "") + token[-1]
    return parts


# The key of all rows, where a key has no fields.
NO_KEY = ""


def without_key(rows: int) -> Texts:
    """The key of each row, where a key has no fields."""
    nowhere = np.zeros(rows, np.int64)
    # Not empty, as Arrow wants it; no text reaches into it.
    return Texts(np.zeros(1, np.uint8), nowhere, nowhere.copy(), np.ones(rows, np.bool_))


def joined(columns: Sequence[Texts]) -> Texts:
    """The key of each row, of which each column holds one value's canonical text; none is missing.

    One column that needs no escape is handed back as it is, over the same bytes.
    """
    rows = len(columns[0])
    sizes = np.full(rows, len(columns) - 1, np.int64)  # a separator before each value but the first
    given = [_read_only(column) for column in columns]
    changed = [kernels.measure(*arrays, sizes) for arrays in given]
    there = np.ones(rows, np.bool_)
    if len(columns) == 1 and not changed[0]:
        return Texts(columns[0].data, columns[0].start, columns[0].end, there)
    ends: I64 = np.cumsum(sizes)
    starts = ends - sizes
    written = np.zeros(max(1, int(sizes.sum())), np.uint8)  # not empty, as Arrow wants it
    place = starts.copy()
    for i, arrays in enumerate(given):
        kernels.put(*arrays, i > 0, written, place)
    return Texts(written, starts, ends, there)


def taken_apart(keys: Texts, values: int) -> list[Texts]:
    """The canonical texts that keys of so many values were `joined` of, a column each."""
    count = len(keys)
    sizes = keys.end - keys.start
    written = np.zeros(max(1, int(sizes.sum())), np.uint8)  # not empty, as Arrow wants it
    starts = np.zeros((values, count), np.int64)
    ends = np.zeros((values, count), np.int64)
    valid = np.zeros((values, count), np.bool_)
    # Of keys without a value each is the empty text.
    if values:
        kernels.take_apart(*_read_only(keys)[:3], written, starts, ends, valid)
    return [Texts(written, starts[i], ends[i], valid[i]) for i in range(values)]


def _read_only(texts: Texts) -> list[npt.NDArray[Any]]:
    """A column's arrays, all read-only: kernels are compiled for one kind of arrays."""
    views = [array.view() for array in (texts.data, texts.start, texts.end, texts.valid)]
    for view in views:
        view.setflags(write=False)
    return views
