"""What one value of a sample is: its kind, told from the value alone."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from freshet.replay import events
from freshet.samples.sample import ABSENT
from freshet.schemas.events.field import BOUNDS

ABSENT_KIND = "absent"  # a JSON object without the name
NULL = "null"
BOOLEAN = "boolean"
WHOLE = "whole number"
HUGE = "whole number beyond 64 bits"
REAL = "number with a fraction"
TEXT = "text"
MOMENT = "date and time"
DATE = "date"
BINARY = "bytes"
TIME_OF_DAY = "time of day"
LIST = "list"
OBJECT = "object"
OTHER = "something else"  # of Parquet, such as an interval
NOTHING = (ABSENT_KIND, NULL)
NESTED = (LIST, OBJECT)
NUMBERS = (WHOLE, HUGE, REAL)
# In a column of texts they stay texts: NA is also Namibia.
MISSING = frozenset(word.decode() for word in events.MISSING)
_DIGITS = re.compile(r"[+-]?\d{1,400}", re.ASCII)
_REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LEADING_ZERO = re.compile(r"[+-]?0\d", re.ASCII)
_TRUTHS = ("true", "false")
_BY_TYPE: dict[type, str] = {
    type(None): NULL,
    type(ABSENT): ABSENT_KIND,
    bool: BOOLEAN,
    str: TEXT,
    bytes: BINARY,
    Decimal: REAL,
    datetime: MOMENT,
    date: DATE,
    time: TIME_OF_DAY,
    list: LIST,
    dict: OBJECT,
}


def kind_of(value: Any) -> str:
    """The kind of a value that has a type of its own, as those of JSON and Parquet have.

    >>> kind_of(7), kind_of(True), kind_of("7"), kind_of(1 << 70)
    ('whole number', 'boolean', 'text', 'whole number beyond 64 bits')
    """
    kind = _BY_TYPE.get(type(value))
    if kind is TEXT and is_no_text(value):
        return BINARY
    if kind is not None:
        return kind
    if isinstance(value, int):
        lowest, highest = BOUNDS["long"]
        if lowest <= value <= highest:
            return WHOLE
        return HUGE
    if isinstance(value, float):
        # NaN is how tables of numbers say that there is none.
        if math.isnan(value):
            return NULL
        return REAL
    return OTHER


def is_no_text(text: str) -> bool:
    """Whether bytes that are no UTF-8 stand in it."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def kind_of_text(text: str | None) -> str:
    """The kind of what a text stands for, as CSV has it. A number with leading zeros, or with a
    plus, is an identifier that lost its quotes: reading it as a number would change it.

    >>> kind_of_text("12"), kind_of_text("007"), kind_of_text("1e3"), kind_of_text("true")
    ('whole number', 'text', 'number with a fraction', 'boolean')
    """
    if text is None:
        return NULL
    # Bytes that are no UTF-8 were told apart by surrogates, which no text has.
    if is_no_text(text):
        return BINARY
    bare = text.strip()
    if bare in MISSING:
        return NULL
    if bare.lower() in _TRUTHS:
        return BOOLEAN
    if not bare or bare[0] == "+" or _LEADING_ZERO.match(bare):
        return TEXT
    if _DIGITS.fullmatch(bare):
        return kind_of(int(bare))
    if _REAL.fullmatch(bare):
        return REAL
    return TEXT
