"""What is measured of a column's values: extremes of its numbers, which of its texts are times or
UUIDs, whether it rises from row to row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import le
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.samples import values as kinds
from freshet.schemas.durations import EARLIEST_MS, LATEST_MS
from freshet.schemas.events.times import NO_TIME, TEXT, EventTime, moments_of
from freshet.schemas.text.columns import Texts

I64 = npt.NDArray[np.int64]
_ISO = EventTime("at", TEXT, "UTC")
_DATE = len("2013-01-31")


@dataclass(slots=True)
class Measures:
    """`times` of the texts (or moments of Parquet) are dates and times, `dates` of these have no
    time of day, `zoned` name a zone. `in_order` of `pairs` of neighbours do not fall. `first_ms`
    and `last_ms` are the earliest and latest time, ms since 1970 (UTC).
    """

    lowest: float | int | None = None
    highest: float | int | None = None
    uuids: int = 0
    digits: int = 0
    times: int = 0
    dates: int = 0
    zoned: int = 0
    in_order: int = 0
    pairs: int = 0
    first_ms: int | None = None
    last_ms: int | None = None


def measure(measures: Measures, values: Sequence[Any], of_values: Sequence[str]) -> None:
    """Add some rows' values, none of them missing, with the kind of each."""
    told = set(of_values)
    pairs = list(zip(values, of_values))
    numbers = [number(value, kind) for value, kind in pairs if kind in kinds.NUMBERS]
    if numbers:
        _stretch(measures, numbers)
    # Neighbours are compared where all of them can be.
    if told <= {kinds.WHOLE, kinds.REAL}:
        _compare(measures, numbers)
    elif told <= {kinds.MOMENT, kinds.DATE}:
        _measure_moments(measures, values)
    texts = [value.strip() for value, kind in pairs if kind == kinds.TEXT]
    if texts:
        _measure_texts(measures, texts)


def number(value: Any, kind: str) -> float | int:
    """A number as it is, or as its text says."""
    if kind == kinds.REAL:
        return float(value)
    return int(value)


def _stretch(measures: Measures, numbers: list[float | int]) -> None:
    """The least and the greatest number so far."""
    low = min(numbers)
    high = max(numbers)
    if measures.lowest is None or low < measures.lowest:
        measures.lowest = low
    if measures.highest is None or high > measures.highest:
        measures.highest = high


def _compare(measures: Measures, values: Sequence[Any]) -> None:
    """Count neighbours, and those that do not fall."""
    measures.in_order += sum(map(le, values, values[1:]))
    measures.pairs += max(0, len(values) - 1)


def _measure_texts(measures: Measures, texts: list[str]) -> None:
    """Which of them are UUIDs, digits alone, or times of ISO 8601."""
    for text in texts:
        if kinds.UUID.fullmatch(text):
            measures.uuids += 1
        elif text.isascii() and text.isdigit():
            measures.digits += 1
    # Every date begins with a digit, and most texts do not.
    if not any(text[:1].isdigit() for text in texts):
        return
    ms = moments_of(Texts.of([_encodable(text) for text in texts]), _ISO)
    known = (ms >= EARLIEST_MS) & (ms <= LATEST_MS) & (ms != NO_TIME)
    found = [text for text, is_time in zip(texts, known.tolist()) if is_time]
    measures.times += len(found)
    for text in found:
        # Exactly a date's length: any time of day makes it longer.
        if len(text) == _DATE:
            measures.dates += 1
        elif _names_a_zone(text):
            measures.zoned += 1
    _span(measures, ms[known])


def _names_a_zone(text: str) -> bool:
    """Whether a time of ISO 8601 ends with Z or an offset, such as +02:00 or +0200."""
    time_of_day = text[_DATE:]
    return text[-1] in "Zz" or "+" in time_of_day or "-" in time_of_day


def _encodable(text: str) -> str:
    """What is no UTF-8 is no time either, whatever stands in its place."""
    return text.encode("utf-8", "replace").decode()


def _measure_moments(measures: Measures, moments: Sequence[Any]) -> None:
    """Dates and times of Parquet, which are so by their type."""
    found = [_aware(moment) for moment in moments]
    measures.times += len(moments)
    for moment in moments:
        if not isinstance(moment, datetime):
            measures.dates += 1
        elif moment.tzinfo is not None:
            measures.zoned += 1
    _span(measures, np.array([round(m.timestamp() * 1_000) for m in found], np.int64))


def _aware(moment: Any) -> datetime:
    """In UTC, where nobody says where; a date is its midnight."""
    if not isinstance(moment, datetime):
        return datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment


def _span(measures: Measures, ms: I64) -> None:
    """The earliest and the latest time, and whether they rise."""
    if not len(ms):
        return
    _compare(measures, ms.tolist())
    first = int(ms.min())
    last = int(ms.max())
    if measures.first_ms is None or first < measures.first_ms:
        measures.first_ms = first
    if measures.last_ms is None or last > measures.last_ms:
        measures.last_ms = last
