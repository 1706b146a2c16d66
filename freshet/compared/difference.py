"""What two runs may differ in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

DEFINITIONS = "definitions"
SETTINGS = "settings"
FATES = "fates"
ROWS = "rows"
QUALITY = "quality"
PARTS = (DEFINITIONS, SETTINGS, FATES, ROWS, QUALITY)

# Of a definition, a setting, a count, a feature's value, a figure.
Value = str | int | float | None


class Difference(msgspec.Struct, frozen=True):
    """In one of PARTS, of a `thing` (such as `topic clicks`), `what` is `a` in the first run and
    `b` in the second; None where it has none."""

    part: str
    thing: str
    what: str
    a: Value
    b: Value


class Comparison(msgspec.Struct, frozen=True):
    """What differs between the runs `a` and `b` (as a person names them), whose rows are as of
    `until_a_ms` and `until_b_ms`, and finished as of the later of both. `compared` says how many
    things or values were looked at, by part; `not_compared` what could not be, and why."""

    a: str
    b: str
    until_a_ms: int | None
    until_b_ms: int | None
    differences: Sequence[Difference]
    compared: Mapping[str, int]
    not_compared: Sequence[str]
