"""Validation of decoded events against the rules of their schema: presence, domains, ranges, and
times to come."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from freshet.schemas.events import validation_kernels as kernels
from freshet.schemas.events.codec import frozen
from freshet.schemas.events.columns import Columns
from freshet.schemas.events.field import BOUNDS, FLOATS, Field
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.times import EventTime, event_times
from freshet.schemas.events.validation_kernels import Rules

I64 = npt.NDArray[np.int64]
_compiled: dict[str, Rules] = {}
# A row of `Rules.checks`: kind, field and two numbers.
Check = tuple[int, int, int, int]


def timed(columns: Columns, time: EventTime | None, appended_ms: I64, max_future_ms: int) -> I64:
    """When events were, in ms, int64 `[n]`, and what of them can be believed: `event_times`, by
    which they are validated."""
    times = event_times(columns, time, appended_ms)
    field = None
    if time is not None:
        field = time.field
    validate(columns, appended_ms, field, times, max_future_ms)
    return times


def validate(
    columns: Columns,
    append_time_ms: I64,
    event_time_field: str | None,
    event_time: I64,
    max_future_ms: int,
) -> None:
    """Set `reason` and `detail_field` of rows that are still ok and break a rule.

    All fields' presence comes first, then whether UUIDs are some, then domains, then ranges (a
    float that is not finite is out of range, whether or not it has a range), each in the order of
    the fields; last, an event before 1900, as one is whose time cannot be read, and one later than
    its append time by more than `max_future_ms`. `append_time_ms` and `event_time` are int64 `[n]`,
    ms; the field is None where it is no field that says the time. Judges what was decoded, not
    what was replaced.
    """
    schema = columns.schema
    at_fault = -1
    if event_time_field is not None:
        at_fault = schema.position(event_time_field)
    rows = kernels.Rows(
        columns.data,
        frozen(columns.words),
        frozen(columns.words.view(np.float64)),
        frozen(columns.valid),
        columns.reason,
        columns.detail_field,
    )
    times = kernels.Times(
        at_fault,
        frozen(np.ascontiguousarray(event_time, np.int64)),
        frozen(np.ascontiguousarray(append_time_ms, np.int64)),
        max_future_ms,
    )
    kernels.judge(rows, _compiled.get(schema.digest) or rules(schema), times)


def rules(schema: EventSchema) -> Rules:
    """Compile a schema's rules; they are kept by its digest."""
    table = _Table()
    # One loop for each kind: their order is the order in which reasons count.
    fields = list(enumerate(schema.fields))
    for at, field in fields:
        if field.required:
            table.checks.append((kernels.PRESENT, at, 0, 0))
    for at, field in fields:
        if field.logical == "uuid":
            table.checks.append((kernels.UUID, at, 0, 0))
    for at, field in fields:
        if field.domain is not None:
            table.checks.append(table.domain(at, field, field.domain))
    for at, field in fields:
        if field.range is not None or field.type in FLOATS:
            table.checks.append(table.range(at, field))
    made = _compiled[schema.digest] = table.rules()
    return made


class _Table:
    """Rules while they are being compiled."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self.bounds: list[tuple[float, float]] = []
        self.slots: list[int] = []
        self.words: list[bytes] = []
        self.tables: list[tuple[int, int, int, int]] = []

    def domain(self, at: int, field: Field, domain: tuple[str, ...]) -> Check:
        first = len(self.slots)
        if field.type == "enum":
            self.slots += [int(symbol in domain) for symbol in field.symbols]
            return kernels.SYMBOL, at, first, 0
        # A power of two above twice the words: some slot stays empty, which ends each search.
        size = 1 << (2 * len(domain)).bit_length()
        mask = size - 1
        self.slots += [0] * size
        self.tables.append((len(self.words), len(self.words) + len(domain), first, mask))
        self.words += [word.encode() for word in domain]
        return kernels.WORD, at, first, mask

    def range(self, at: int, field: Field) -> Check:
        if field.type in FLOATS:
            # Without a range of its own: whatever is finite.
            bounds = field.bounds or (-sys.float_info.max, sys.float_info.max)
            self.bounds.append((float(bounds[0]), float(bounds[1])))
            return kernels.RANGE, at, len(self.bounds) - 1, 0
        assert field.bounds is not None
        lowest, highest = BOUNDS[field.type]
        low, high = map(int, field.bounds)
        if low > highest or high < lowest:
            # The range of no number, 1 to 0: its own bounds would not fit into 64 bits.
            return kernels.WHOLE_RANGE, at, 1, 0
        return kernels.WHOLE_RANGE, at, max(lowest, low), min(highest, high)

    def rules(self) -> Rules:
        words = np.array(bytearray(b"".join(self.words)), np.uint8)
        spans = np.cumsum([0, *map(len, self.words)]).astype(np.int64)
        slots = np.array([*self.slots, 0], np.int64)
        for begin, stop, first, mask in self.tables:
            kernels.fill_slots(words, spans, begin, stop, slots, first, mask)
        return Rules(
            checks=frozen(np.array(self.checks, np.int64).reshape(-1, kernels.WIDTH)),
            bounds=frozen(np.array(self.bounds, np.float64).reshape(-1, 2)),
            slots=frozen(slots),
            words=frozen(words),
            spans=frozen(spans),
        )
