"""Where a sample and a schema disagree: what intake would set aside, and what it would pass over.

Values are made those of their fields as `freshet replay` makes them, then judged by the rules of
validation, one by one. Names and kinds follow the anomalies of TensorFlow Data Validation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as field_of
from typing import Any

from freshet.replay.events import converters
from freshet.replay.nesting import tops
from freshet.samples import values as kinds
from freshet.samples.column_profile import Profile, lack, take
from freshet.samples.proposal import propose_field
from freshet.samples.sample import ABSENT, Chunk, Sample
from freshet.schemas.avro.json_values import value_at
from freshet.schemas.durations import EARLIEST_MS
from freshet.schemas.events.field import FLOATS, INTEGERS, TEXTS, Field, fits
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.times import EventTime, moment_ms

NEW_COLUMN = "new_column"
MISSING_COLUMN = "missing_column"
MISSING_VALUES = "missing_values"
WRONG_TYPE = "wrong_type"
BAD_UUID = "bad_uuid"
OUT_OF_DOMAIN = "out_of_domain"
OUT_OF_RANGE = "out_of_range"
BAD_TIME = "bad_time"
NO_EVENT = "no_event"
# By the names of `anomalies.proto` in tensorflow/metadata; where freshet has a word of its own
# there is none.
TFDV: dict[str, str] = {
    NEW_COLUMN: "SCHEMA_NEW_COLUMN",
    MISSING_COLUMN: "SCHEMA_MISSING_COLUMN",
    MISSING_VALUES: "FEATURE_TYPE_LOW_FRACTION_PRESENT",
    WRONG_TYPE: "UNEXPECTED_DATA_TYPE",
    BAD_UUID: "",
    OUT_OF_DOMAIN: "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
    OUT_OF_RANGE: "INT_TYPE_BIG_INT or _SMALL_INT, FLOAT_TYPE_BIG_FLOAT or _SMALL_FLOAT",
    BAD_TIME: "",
    NO_EVENT: "",
}
MOST_EXAMPLES = 5
_JUDGED = (*TEXTS, *INTEGERS, *FLOATS, "boolean")
Judge = Callable[[Any], str | None]


@dataclass(slots=True)
class Anomaly:
    """Of one kind in one field (empty: whole rows): how many rows, which first, and the distinct
    values that were seen first. `lowest` and `highest` are of numbers out of range, `values` of
    texts out of their domain, `kinds` of values of another type, each with its count. `is_needed`:
    no event of the topic can be without the field."""

    kind: str
    field: str
    rows: int = 0
    first_row: int = 0
    examples: list[Any] = field_of(default_factory=list)
    lowest: float | None = None
    highest: float | None = None
    values: dict[str, int] = field_of(default_factory=dict)
    kinds: dict[str, int] = field_of(default_factory=dict)
    profile: Profile | None = None
    is_needed: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """A sample beside a schema. `passed_over` are columns that no field could be for, and why."""

    rows: int
    anomalies: Sequence[Anomaly]
    passed_over: Mapping[str, str]


def compare(sample: Sample, rows: int, schema: EventSchema, when: EventTime | None) -> Compared:
    """Judge each value of a sample by its field. `when` is how the topic's events say when they
    were, where a topic is known."""
    found = _Found(sample, schema, when)
    for chunk in sample.chunks(rows):
        found.take(chunk)
    return found.compared()


def judge_of(own: Field, when: EventTime | None) -> Judge:
    """What is wrong with a value of a field, as intake has it: presence first, then its type, its
    form, its domain, its range, at last whether it is a time."""

    missing = None
    if own.required or not own.nullable:
        missing = MISSING_VALUES

    def judge(value: Any) -> str | None:
        if value is None:
            return missing
        # Lists, bytes and decimals: that there is one is all that is known here.
        if own.type not in _JUDGED:
            return None
        if not fits(value, own.type, own.symbols):
            # A text that is no symbol is of the right type all the same.
            if own.type == "enum" and isinstance(value, str):
                return OUT_OF_DOMAIN
            return WRONG_TYPE
        # Such an event is undecodable, which of its fields is at fault or not.
        if isinstance(value, str) and kinds.is_no_text(value):
            return WRONG_TYPE
        if own.logical == "uuid" and not kinds.UUID.fullmatch(value):
            return BAD_UUID
        if own.domain is not None and value not in own.domain:
            return OUT_OF_DOMAIN
        if own.type in (*INTEGERS, *FLOATS) and _is_out_of_range(value, own):
            return OUT_OF_RANGE
        if when is not None and when.field == own.name and _is_no_time(value, when):
            return BAD_TIME
        return None

    return judge


def _is_out_of_range(value: float, own: Field) -> bool:
    """By the bounds in the digits of its type, as validation has them."""
    # A float that is not finite is out of range, whether or not it has one.
    if isinstance(value, float) and not math.isfinite(value):
        return True
    if own.bounds is None:
        return False
    lowest, highest = own.bounds
    return not lowest <= value <= highest


def _is_no_time(value: Any, when: EventTime) -> bool:
    """Whether intake would call it one: unreadable, or before 1900."""
    time = moment_ms(value, when)
    return time is None or time < EARLIEST_MS


class _Found:
    """Anomalies while a sample is being read."""

    def __init__(self, sample: Sample, schema: EventSchema, when: EventTime | None) -> None:
        self._schema = schema
        self._as_text = sample.as_text
        self._converts: dict[str, Callable[[Any], Any]] = {
            own.name: _as_it_is for own in schema.fields
        }
        # Records of a log are taken as they are.
        if not sample.of_log:
            self._converts = converters(schema, when)
        self._judges = {own.name: judge_of(own, when) for own in schema.fields}
        # A column is a field's by its name, or else by an alias.
        self._tops = {top.name: top for top in tops(schema)}
        self._known = {name for top in self._tops.values() for name in top.names}
        self._anomalies: dict[tuple[str, str], Anomaly] = {}
        self._new: dict[str, Profile] = {}
        self._seen: set[str] = set()
        self._rows = 0

    def take(self, chunk: Chunk) -> None:
        whole, numbers = _whole_rows(chunk)
        for fault in chunk.broken:
            self._note(NO_EVENT, "", fault.row or 0, fault.text)
        for own in self._schema.fields:
            column = self._column(own, whole)
            if column is not None:
                self._seen.add(own.name)
                self._take_field(own, column, numbers)
            elif self._judges[own.name](own.default) is not None:
                self._lack(own, numbers)
        for name, values in whole.items():
            if name not in self._known:
                self._take_new(name, values, numbers, chunk)
        self._rows += len(numbers)
        for profile in self._new.values():
            lack(profile, self._rows)

    def _column(self, own: Field, whole: Mapping[str, list[Any]]) -> list[Any] | None:
        """The values of a field, which may be within those of a column."""
        # A table may have a column for what is within another.
        if own.name in whole:
            return whole[own.name]
        top = self._tops[own.name.split(".")[0]]
        column = next((whole[name] for name in top.names if name in whole), None)
        if column is None or own.name == top.name:
            return column
        within = own.name.removeprefix(f"{top.name}.")
        return [_within(value, within) for value in column]

    def _take_field(self, own: Field, column: list[Any], numbers: Sequence[int]) -> None:
        """Judge the values of a field, each distinct one once."""
        convert = self._converts[own.name]
        judge = self._judges[own.name]
        # Most values come many times; by type and value, since 1 is true to Python.
        known: dict[tuple[type, Any], tuple[Any, str | None]] = {}
        for row, value in zip(numbers, column):
            key = type(value), _hashable(value)
            if key not in known:
                known[key] = self._judged(own, convert, judge, value)
            made, wrong = known[key]
            if wrong is not None:
                self._note(wrong, own.name, row, made)

    def _judged(
        self, own: Field, convert: Callable[[Any], Any], judge: Judge, value: Any
    ) -> tuple[Any, str | None]:
        """What a value is made, and what is wrong with that."""
        if value is ABSENT:
            # Its default stands for it, if it has one; else it is null.
            return None, judge(own.default)
        # Texts of CSV are bytes to the replay, and only those of CSV may say that there is none.
        given = value
        if self._as_text and isinstance(value, str):
            given = value.encode("utf-8", "surrogateescape")
        made = convert(given)
        return made, judge(made)

    def _lack(self, own: Field, numbers: Sequence[int]) -> None:
        """A chunk without the column of a field that every row needs."""
        for row in numbers:
            self._note(MISSING_VALUES, own.name, row, None)

    def _take_new(self, name: str, column: list[Any], numbers: Sequence[int], chunk: Chunk) -> None:
        """A column that the schema does not know."""
        profile = self._new.setdefault(name, Profile(name))
        profile.arrow = chunk.types.get(name)
        lack(profile, self._rows)
        take(profile, column, chunk.first_row, self._as_text)
        for row, value in zip(numbers, column):
            if value is not ABSENT and value is not None:
                self._note(NEW_COLUMN, name, row, value)

    def _note(self, kind: str, name: str, row: int, value: Any) -> None:
        """Add a row to an anomaly."""
        found = self._anomalies.get((name, kind))
        if found is None:
            found = self._anomalies[name, kind] = Anomaly(kind, name, first_row=row)
        found.rows += 1
        is_new = value is not None and value not in found.examples
        if is_new and len(found.examples) < MOST_EXAMPLES:
            found.examples.append(value)
        if kind == OUT_OF_DOMAIN:
            found.values[value] = found.values.get(value, 0) + 1
        elif kind == WRONG_TYPE:
            what = kinds.kind_of(value)
            found.kinds[what] = found.kinds.get(what, 0) + 1
            _stretch(found, value)
        elif kind == OUT_OF_RANGE:
            _stretch(found, value)

    def compared(self) -> Compared:
        """All that was found, in the order of the fields."""
        passed_over = {}
        for (name, kind), anomaly in list(self._anomalies.items()):
            anomaly.profile = self._new.get(name)
            if anomaly.profile is not None:
                proposed = propose_field(name, anomaly.profile, self._as_text, [])
                # What no field can hold would be an anomaly for ever.
                if isinstance(proposed, str):
                    passed_over[name] = proposed
                    del self._anomalies[name, kind]
            # Nothing of a field at all is another thing than a gap here and there.
            if kind == MISSING_VALUES and name not in self._seen:
                anomaly.kind = MISSING_COLUMN
        # In the order of the schema, then new columns, then rows that are none.
        places = {own.name: at for at, own in enumerate(self._schema.fields)}
        last = len(places)
        found = sorted(
            self._anomalies.values(),
            key=lambda anomaly: (places.get(anomaly.field, last), not anomaly.field),
        )
        return Compared(self._rows, found, passed_over)


def _whole_rows(chunk: Chunk) -> tuple[Mapping[str, list[Any]], list[int]]:
    """Columns without the rows that are none, and which rows these are."""
    not_rows = {fault.row for fault in chunk.broken}
    numbers = list(range(chunk.first_row, chunk.first_row + chunk.rows))
    if not not_rows:
        return chunk.columns, numbers
    kept = [row not in not_rows for row in numbers]
    columns = {
        name: [value for value, is_kept in zip(column, kept) if is_kept]
        for name, column in chunk.columns.items()
    }
    return columns, [row for row, is_kept in zip(numbers, kept) if is_kept]


def _within(value: Any, path: str) -> Any:
    """A part of a nested value; where that is missing, so are its parts."""
    if isinstance(value, Mapping):
        return value_at(value, path, ABSENT)
    return ABSENT


def _as_it_is(value: Any) -> Any:
    """In place of a conversion."""
    return value


def _hashable(value: Any) -> Any:
    """What is nested is told apart by where it is."""
    if isinstance(value, dict | list):
        return id(value)
    return value


def _stretch(found: Anomaly, value: Any) -> None:
    """The least and the greatest finite number that was seen."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (isinstance(value, float) and not math.isfinite(value)):
        return
    if found.lowest is None or value < found.lowest:
        found.lowest = value
    if found.highest is None or value > found.highest:
        found.highest = value
