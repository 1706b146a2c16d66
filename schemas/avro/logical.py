"""Logical types: what is known of each, and on what it may stand. One that is unknown, or does not
go with its type, is no error: its values are what they are without it.

Source: Apache Avro 1.12 specification, logical types.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from freshet.schemas.avro.tree import Logical

ON = {
    "decimal": ("bytes", "fixed"),
    "big-decimal": ("bytes",),
    "uuid": ("string", "fixed"),
    "date": ("int",),
    "time-millis": ("int",),
    "time-micros": ("long",),
    "timestamp-millis": ("long",),
    "timestamp-micros": ("long",),
    "timestamp-nanos": ("long",),
    "local-timestamp-millis": ("long",),
    "local-timestamp-micros": ("long",),
    "local-timestamp-nanos": ("long",),
    "duration": ("fixed",),
}
SIZES = {"uuid": 16, "duration": 12}  # in bytes, of a fixed


def logical_of(kind: str, attributes: Mapping[str, Any], size: int = 0) -> Logical | None:
    """The logical type that a type of this kind has; `size` is that of a fixed, in bytes."""
    name = attributes.get("logicalType")
    if not isinstance(name, str) or kind not in ON.get(name, ()):
        return None
    if kind == "fixed" and size != SIZES.get(name, size):
        return None
    if name != "decimal":
        return Logical(name)
    precision = attributes.get("precision")
    scale = attributes.get("scale", 0)
    if not isinstance(precision, int) or not isinstance(scale, int):
        return None
    # True and false are whole numbers to Python.
    if isinstance(precision, bool) or isinstance(scale, bool) or not 0 <= scale <= precision:
        return None
    # Of digits that so many bytes hold with a sign, every number must fit.
    if precision < 1 or (kind == "fixed" and precision > digits_of(size)):
        return None
    return Logical(name, precision, scale)


def digits_of(size: int) -> int:
    """How many decimal digits every number of which fits into a two's complement of `size`
    bytes."""
    return max(0, math.floor(math.log10(2) * (8 * size - 1)))
