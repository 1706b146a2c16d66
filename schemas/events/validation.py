"""Validation of decoded events against the rules of their schema: presence, domains, ranges, and
times to come."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freshet.schemas.events import validation_kernels as kernels
from freshet.schemas.events.codec import frozen
from freshet.schemas.events.columns import Columns
from freshet.schemas.events.field import BOUNDS, FLOATS, Field
from freshet.schemas.events.schema import EventSchema

I64 = npt.NDArray[np.int64]
_compiled: dict[str, Rules] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """A schema's rules as the tables of `validation_kernels.judge`."""

    checks: I64
    bounds: npt.NDArray[np.float64]
    slots: I64
    words: npt.NDArray[np.uint8]
    spans: I64


def validate(
    columns: Columns,
    append_time_ms: I64,
    event_time_field: str,
    event_time: I64,
    max_future_ms: int,
) -> None:
    """Set `reason` and `detail_field` of rows that are still ok and break a rule.

    All fields' presence comes first, then whether UUIDs are some, then domains, then ranges (a
    float that is not finite is out of range, whether or not it has a range), each in the order of
    the fields; last, an event later than its append time by more than `max_future_ms`.
    `append_time_ms` and `event_time` are int64 `[n]`. Judges what was decoded, not what was
    replaced.
    """
    schema = columns.schema
    found = _compiled.get(schema.digest) or rules(schema)
    kernels.judge(
        columns.data, frozen(columns.words), frozen(columns.words.view(np.float64)), frozen(columns.valid), found.checks,
        found.bounds, found.slots, found.words, found.spans, schema.position(event_time_field),
        frozen(np.ascontiguousarray(event_time, np.int64)), frozen(np.ascontiguousarray(append_time_ms, np.int64)),
        max_future_ms, columns.reason, columns.detail_field,
    )  # fmt: skip


def rules(schema: EventSchema) -> Rules:
    """Compile a schema's rules; they are kept by its digest."""
    table = _Table()
    fields = list(enumerate(schema.fields))
    for i, f in fields:
        if f.required:
            table.checks.append((kernels.PRESENT, i, 0, 0))
    for i, f in fields:
        if f.logical == "uuid":
            table.checks.append((kernels.UUID, i, 0, 0))
    for i, f in fields:
        if f.domain is not None:
            table.checks.append(table.domain(i, f, f.domain))
    for i, f in fields:
        if f.range is not None or f.type in FLOATS:
            table.checks.append(table.range(i, f))
    made = _compiled[schema.digest] = table.rules()
    return made


class _Table:
    """Rules while they are being compiled."""

    def __init__(self) -> None:
        self.checks: list[tuple[int, int, int, int]] = []
        self.bounds: list[tuple[float, float]] = []
        self.slots: list[int] = []
        self.words: list[bytes] = []
        self.tables: list[tuple[int, int, int, int]] = []

    def domain(self, i: int, f: Field, domain: tuple[str, ...]) -> tuple[int, int, int, int]:
        first = len(self.slots)
        if f.type == "enum":
            self.slots += [int(s in domain) for s in f.symbols]
            return kernels.SYMBOL, i, first, 0
        size = 1 << (2 * len(domain)).bit_length()
        self.slots += [0] * size
        self.tables.append((len(self.words), len(self.words) + len(domain), first, size - 1))
        self.words += [w.encode() for w in domain]
        return kernels.WORD, i, first, size - 1

    def range(self, i: int, f: Field) -> tuple[int, int, int, int]:
        if f.type in FLOATS:
            low, high = f.range or (-sys.float_info.max, sys.float_info.max)
            self.bounds.append((float(low), float(high)))
            return kernels.RANGE, i, len(self.bounds) - 1, 0
        assert f.range is not None
        lowest, highest = BOUNDS[f.type]
        if math.ceil(f.range[0]) > highest or math.floor(f.range[1]) < lowest:
            return kernels.WHOLE_RANGE, i, 1, 0
        return (
            kernels.WHOLE_RANGE,
            i,
            max(lowest, math.ceil(f.range[0])),
            min(highest, math.floor(f.range[1])),
        )

    def rules(self) -> Rules:
        words = np.array(bytearray(b"".join(self.words)), np.uint8)
        spans = np.cumsum([0, *map(len, self.words)]).astype(np.int64)
        slots = np.array([*self.slots, 0], np.int64)
        for begin, stop, first, mask in self.tables:
            kernels.fill_slots(words, spans, begin, stop, slots, first, mask)
        return Rules(
            frozen(np.array(self.checks, np.int64).reshape(-1, kernels.WIDTH)),
            frozen(np.array(self.bounds, np.float64).reshape(-1, 2)),
            frozen(slots),
            frozen(words),
            frozen(spans),
        )
