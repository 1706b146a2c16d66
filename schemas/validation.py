"""Validation of decoded events against the rules of their schema."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from schemas import validation_kernels as kernels
from schemas.decode import _GROUP, Columns
from schemas.event_schema import EventSchema

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """A schema's rules as the kernel's tables."""

    fields: I64
    bounds: npt.NDArray[np.float64]
    words: npt.NDArray[np.uint8]
    spans: I64


@lru_cache(maxsize=256)
def rules(schema: EventSchema) -> Rules:
    slots = [0, 0, 0]
    table, bounds, spans = [], [], []
    words = b""
    for f in schema.fields:
        group = _GROUP[f.type]
        first = len(spans)
        for word in f.domain or ():
            spans.append((len(words), len(words) + len(word.encode())))
            words += word.encode()
        table.append((group, slots[group], int(f.required), first, len(spans)))
        bounds.append(f.range or (-np.inf, np.inf))
        slots[group] += 1
    return Rules(
        np.array(table, np.int64).reshape(-1, 5),
        np.array(bounds, np.float64).reshape(-1, 2),
        np.frombuffer(words or b"\0", np.uint8).copy(),
        np.array(spans, np.int64).reshape(-1, 2),
    )


def validate(columns: Columns, append_time_ms: I64, event_time: str, times: I64, max_future_ms: int) -> None:
    """Set `reason` and `detail_field` of rows that break a rule.

    `append_time_ms` int64 `[n]` is when the log took each record: an event later than that by more than `max_future_ms`
    is not believed.
    """
    schema = columns.schema
    r = rules(schema)
    time_field = next(i for i, f in enumerate(schema.fields) if f.name == event_time)
    kernels.judge(
        columns.data, columns.starts, columns.ends, columns.longs, columns.doubles, columns.valid, r.fields, r.bounds,
        r.words, r.spans, times, np.ascontiguousarray(append_time_ms), max_future_ms, time_field, columns.reason,
        columns.detail_field,
    )  # fmt: skip
