"""`enum`, `const` and bounds of a JSON Schema as a field's domain and range."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

from freshet.schemas.json_schema.reading import Keywords, Place

DOMAIN = "domain"
BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
# Of a long, and of a double: what is not bounded on one side ends there.
_WHOLE = (-(1 << 63), (1 << 63) - 1)
_REAL = (-sys.float_info.max, sys.float_info.max)
Number = int | float


@dataclass(frozen=True, slots=True)
class Constraints:
    """A field's rules. `null`: null is among the values that are listed; `keywords` are those that
    the rules are of."""

    domain: tuple[str, ...] | None = None
    range: tuple[Number, Number] | None = None
    null: bool = False
    keywords: frozenset[str] = frozenset({*BOUNDS, "enum", "const"})


def constraints_of(keywords: Keywords, types: list[str], place: Place) -> Constraints:
    """The rules that keywords say of values of these types.

    Raises:
        SchemaError: a keyword is none, or no rule says the same.
    """
    bounds = [keyword for keyword in BOUNDS if keyword in keywords]
    if "enum" not in keywords and "const" not in keywords:
        if not bounds:
            return Constraints()
        # Bounds say nothing of values that are no numbers.
        kinds = [kind for kind in types if kind in ("integer", "number")]
        if not kinds:
            place.refuse(
                bounds[0], f"bounds no {types[0]}", "Leave it out: only numbers are bounded."
            )
        return Constraints(range=_range(keywords, kinds[0], place))
    if bounds:
        place.refuse(bounds[0], "stands beside a list of values", "Leave one of the two out.")
    return _of_values(keywords, types, place)


def _range(keywords: Keywords, kind: str, place: Place) -> tuple[Number, Number]:
    """Inclusive on both sides: of whole numbers and of doubles there is a next one."""
    for keyword in BOUNDS:
        value = keywords.get(keyword, 0)
        # A boolean it was until draft-06.
        if isinstance(value, bool) or not isinstance(value, int | float):
            place.refuse(keyword, f"is {value!r}", "Write a number.")
        # JSON has numbers of any size; Python reads 1e999 as infinity.
        if not -_REAL[1] <= value <= _REAL[1]:
            place.refuse(keyword, "is beyond what a double can be", "Leave it out, or write less.")
    lowest, highest = _REAL
    step_up = _next_real
    step_down = _previous_real
    if kind == "integer":
        lowest, highest = _WHOLE
        step_up = _next_whole
        step_down = _previous_whole
    if "minimum" in keywords:
        lowest = max(lowest, keywords["minimum"])
    if "exclusiveMinimum" in keywords:
        lowest = max(lowest, step_up(keywords["exclusiveMinimum"]))
    if "maximum" in keywords:
        highest = min(highest, keywords["maximum"])
    if "exclusiveMaximum" in keywords:
        highest = min(highest, step_down(keywords["exclusiveMaximum"]))
    if lowest > highest:
        place.refuse(
            "minimum", f"and the others leave nothing ({lowest} to {highest})", "Widen them."
        )
    return lowest, highest


def _next_whole(bound: Number) -> Number:
    return math.floor(bound) + 1


def _previous_whole(bound: Number) -> Number:
    return math.ceil(bound) - 1


def _next_real(bound: Number) -> Number:
    return math.nextafter(bound, math.inf)


def _previous_real(bound: Number) -> Number:
    return math.nextafter(bound, -math.inf)


def _of_values(keywords: Keywords, types: list[str], place: Place) -> Constraints:
    keyword = "enum"
    if "enum" not in keywords:
        keyword = "const"
    listed = keywords[keyword]
    if keyword == "const":
        listed = [listed]
    if not isinstance(listed, list) or not listed:
        place.refuse(keyword, f"is {listed!r}", "List at least one value.")
    values = [value for value in listed if value is not None]
    null = len(values) < len(listed)
    if values and all(isinstance(value, str) for value in values) and types == ["string"]:
        return Constraints(domain=tuple(dict.fromkeys(values)), null=null)
    span = _span(values)
    if span is not None and types == ["integer"]:
        return Constraints(range=span, null=null)
    if set(map(repr, values)) == {"True", "False"} and types == ["boolean"]:
        return Constraints(null=null)
    place.refuse(
        keyword,
        f"lists {', '.join(map(repr, values[:3])) or 'no value but null'}",
        "A field can be one of several texts, or of whole numbers without a gap.",
    )


def _span(values: list[Any]) -> tuple[int, int] | None:
    """The least and the greatest of whole numbers, where all between them are listed, too."""
    if not values or not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return None
    least = min(values)
    greatest = max(values)
    if len(set(values)) != greatest - least + 1:
        return None
    return least, greatest
