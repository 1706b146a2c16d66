"""The Avro type of a column, from the kinds of its values: the commonest kind rules, and what is of
another kind is told with its first row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from freshet.samples import values as kinds
from freshet.samples.column_profile import Profile
from freshet.samples.names import TIMES, says
from freshet.schemas.events.times import TEXT

# A share of a CSV's column that may be something else than the rest: a slip. With more of them
# the column is one of texts, which anything written fits.
SLIPS = 0.05
_SECONDS_1990 = 631_152_000
_SECONDS_2100 = 4_102_444_800
# How many of each are a second; years tell which of them is meant.
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_LOGICAL = {"ms": "timestamp-millis", "us": "timestamp-micros", "ns": "timestamp-nanos"}
_EXACT = 1 << 53  # beyond, a double may stand for several whole numbers
_GROUPS = {
    "true or false": (kinds.BOOLEAN,),
    "numbers": kinds.NUMBERS,
    "texts": (kinds.TEXT,),
    "dates and times": (kinds.MOMENT, kinds.DATE),
    "lists": (kinds.LIST,),
    "objects": (kinds.OBJECT,),
    "bytes": (kinds.BINARY,),
    "times of day": (kinds.TIME_OF_DAY,),
    "values of another type": (kinds.OTHER,),
}
# Why intake sets aside what is not of a column's type.
_REASONS = {"bytes": "undecodable"}


@dataclass(frozen=True, slots=True)
class Told:
    """What values tell of their column: a type, or why there is none (`left_out`). `unit` is what
    it counts as a time, and `zoned` whether its times say where; `within` are the fields of a
    record."""

    type: Any = None
    unit: str | None = None
    zoned: bool = True
    doubts: tuple[str, ...] = ()
    left_out: str = ""
    within: tuple[Any, ...] = ()


def told_type(column: str, profile: Profile, as_text: bool) -> Told:
    """The type of a column that has a value."""
    counts = {group: profile.count(*of) for group, of in _GROUPS.items()}
    main = max(counts, key=lambda group: counts[group])
    others = profile.present - counts[main]
    # Whatever was written is a text, but for what no character can be made of.
    written = others - counts["bytes"]
    is_text = main == "texts" or written > SLIPS * profile.present
    if as_text and written and is_text and main != "bytes":
        return _texts(column, profile, _mixed(profile, counts))
    # What is read of such a column are bytes, also where they could be a text.
    if not as_text and counts["bytes"] and _is_binary(profile.arrow):
        return Told("bytes")
    doubts: tuple[str, ...] = ()
    if others:
        doubts = tuple(_others(profile, main, counts))
    match main:
        case "true or false":
            return Told("boolean", doubts=doubts)
        case "numbers":
            return _numbers(column, profile, doubts)
        case "texts":
            return _texts(column, profile, doubts)
        case "dates and times":
            return _moments(profile, doubts)
        case "bytes" if as_text:
            return Told(left_out="holds texts that are not UTF-8: iconv -t utf-8 makes them that")
        case "bytes":
            return Told("bytes", doubts=doubts)
        case _:
            return Told(left_out=f"holds {main}, and no field of an event can")


def _mixed(profile: Profile, counts: dict[str, int]) -> tuple[str, ...]:
    """Of a CSV's texts nothing is lost, but one may have meant numbers."""
    if counts["numbers"] < 0.5 * profile.present:
        return ()
    seen = profile.kinds.get(kinds.TEXT)
    if seen is None:
        return ()
    return (f"is mostly numbers, but row {seen.first_row:,} says {seen.example!r}: so texts",)


def _others(profile: Profile, main: str, counts: dict[str, int]) -> list[str]:
    """What is not of the main kind, by kinds: how much, where, and what becomes of it."""
    told = []
    for group, count in counts.items():
        if group == main or not count:
            continue
        seen = min(
            (profile.kinds[kind] for kind in _GROUPS[group] if kind in profile.kinds),
            key=lambda kind: kind.first_row,
        )
        rows = f"{count:,} rows hold"
        if count == 1:
            rows = "1 row holds"
        told.append(
            f"{rows} {group}, first row {seen.first_row:,} ({_brief(seen.example)}): "
            f"dead letters, as {_REASONS.get(group, 'wrong_type')}"
        )
    return told


def _brief(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    text = repr(value)
    if len(text) > 40:
        return f"{text[:40]}…"
    return text


def _numbers(column: str, profile: Profile, doubts: tuple[str, ...]) -> Told:
    """Whole numbers, perhaps counting time, or numbers with fractions."""
    own = _arrow_number(profile.arrow)
    has_fractions = profile.count(kinds.REAL) > 0
    unit = epoch_unit(profile)
    if profile.count(kinds.HUGE):
        seen = profile.kinds[kinds.HUGE]
        lost = (
            f"row {seen.first_row:,} has a whole number beyond 64 bits, and a double has only "
            "its first 15 digits: publish it as a text",
        )
        return Told("double", doubts=(*doubts, *lost))
    if has_fractions:
        return _reals(column, profile, own or "double", unit, doubts)
    if unit is None:
        return Told(own or "long", doubts=(*doubts, *_calendar(column, profile)))
    if not says(column, TIMES):
        return Told(own or "long", unit, doubts=doubts)
    # Seconds have no logicalType.
    if unit == "s" or own == "int":
        return Told(own or "long", unit, doubts=doubts)
    return Told({"type": "long", "logicalType": _LOGICAL[unit]}, unit, doubts=doubts)


def _reals(
    column: str, profile: Profile, type_: str, unit: str | None, doubts: tuple[str, ...]
) -> Told:
    """Numbers with fractions, which are exact up to 15 digits."""
    highest = profile.measures.highest or 0
    lowest = profile.measures.lowest or 0
    if max(abs(highest), abs(lowest)) > _EXACT and profile.count(kinds.WHOLE):
        doubts = (*doubts, "has whole numbers beyond 2^53 among fractions: a double rounds them")
    if pa.types.is_decimal(profile.arrow or pa.null()):
        doubts = (*doubts, "holds decimals: a double rounds them")
    # Among fractions, units that are finer than a second have no use for them.
    if unit == "s" and says(column, TIMES) and type_ == "double":
        return Told(type_, "s", doubts=doubts)
    return Told(type_, doubts=doubts)


def _arrow_number(arrow: pa.DataType | None) -> str | None:
    """A column's own type, which Parquet says; None: nobody says."""
    if arrow is None:
        return None
    if pa.types.is_float32(arrow) or pa.types.is_float16(arrow):
        return "float"
    if pa.types.is_integer(arrow) and arrow.bit_width < 32:
        return "int"
    if pa.types.is_int32(arrow):
        return "int"
    return None


def _is_binary(arrow: pa.DataType | None) -> bool:
    """Whether Parquet says that a column is of bytes."""
    if arrow is None:
        return False
    return bool(pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow))


def epoch_unit(profile: Profile) -> str | None:
    """The unit in which all numbers of a column lie from 1990 to 2100; a factor of a thousand lies
    between units, and one of seven between the years, so there is one at most."""
    lowest = profile.measures.lowest
    highest = profile.measures.highest
    if lowest is None or highest is None:
        return None
    for unit, per_second in _PER_SECOND.items():
        if _SECONDS_1990 * per_second <= lowest and highest <= _SECONDS_2100 * per_second:
            return unit
    return None


def _calendar(column: str, profile: Profile) -> tuple[str, ...]:
    """Whether whole numbers look like 20130131."""
    lowest = profile.measures.lowest or 0
    highest = profile.measures.highest or 0
    # 1990-01-01 to 2100-12-31.
    if says(column, TIMES) and lowest >= 19_900_101 and highest <= 21_001_231:
        return ("may be dates written as numbers (YYYYMMDD), which are not read as times",)
    return ()


def _texts(column: str, profile: Profile, doubts: tuple[str, ...]) -> Told:
    """Texts: UUIDs, times, or any."""
    texts = profile.count(kinds.TEXT)
    measures = profile.measures
    all_texts = texts == profile.present
    if all_texts and measures.uuids == texts:
        return Told({"type": "string", "logicalType": "uuid"}, doubts=doubts)
    if all_texts and measures.times == texts:
        # Some with and some without one: the zone that is declared holds for the latter.
        return Told("string", TEXT, measures.zoned == measures.times, doubts)
    if measures.times and measures.times >= (1 - SLIPS) * texts:
        doubts = (*doubts, f"{texts - measures.times:,} rows are no times of ISO 8601")
        return Told("string", TEXT, measures.zoned == measures.times, doubts)
    if measures.digits and measures.digits == texts and all_texts:
        doubts = (*doubts, "is of digits alone, and stays a text: leading zeros would be lost")
    return Told("string", doubts=doubts)


def _moments(profile: Profile, doubts: tuple[str, ...]) -> Told:
    """Dates and times of Parquet, in the unit of their column."""
    if not profile.count(kinds.MOMENT):
        return Told({"type": "int", "logicalType": "date"}, "d", doubts=doubts)
    unit = "us"
    if profile.arrow is not None and pa.types.is_timestamp(profile.arrow):
        unit = profile.arrow.unit
    # Avro has no timestamp of seconds.
    if unit == "s":
        unit = "ms"
    zoned = profile.measures.zoned > 0
    logical = _LOGICAL[unit]
    if not zoned:
        logical = f"local-{logical}"
    return Told({"type": "long", "logicalType": logical}, unit, zoned, doubts)
