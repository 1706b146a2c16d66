"""Names of others as names of Avro.

Source: Apache Avro 1.12 specification, "Names".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]+")


def avro_name(column: str, taken: Collection[str]) -> str:
    """A column's name as one of Avro: letters without their accents, digits and `_`, no digit
    first, and none of those that are taken.

    >>> [avro_name(column, ()) for column in ("Price (EUR)", "größe", "2nd", "价")]
    ['Price_EUR', 'grosse', '_2nd', 'column']
    """
    plain = unicodedata.normalize("NFKD", column.replace("ß", "ss"))
    ascii_only = plain.encode("ascii", "ignore").decode()
    name = _NOT_IN_NAMES.sub("_", ascii_only)
    if name != column:
        name = name.strip("_")
    if not name.strip("_"):
        name = "column"
    if name[0].isdigit():
        name = f"_{name}"
    found = name
    count = 2
    # Two columns may differ by nothing that a name may hold.
    while found in taken:
        found = f"{name}_{count}"
        count += 1
    return found
