"""A small topic with every kind of rule, filter and impute, records of every kind of fault, and how
logs are cut."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from freshet.schemas.events.decode import EventCodec, encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics import impute
from freshet.schemas.topics.topic import Freshness, Topic
from freshet.schemas.wire import blocks
from freshet.streams.intake.task import CleanRoute, IntakePlan, IntakeTask
from freshet.streams.labels.routes import LabelRoute
from freshet.streams.log.contract import Batch
from freshet.streams.operators.task import Append

PARTITIONS = 2
HORIZON, LATENESS, MAX_FUTURE = 60_000, 2_000, 300_000
START = 1_357_000_000_000
SCHEMA = EventSchema.parse(
    json.dumps(
        {
            "type": "record",
            "name": "landings",
            "schema_id": 7,
            "fields": [
                {"name": "id", "type": "string"},
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
                {"name": "gate", "type": "string", "domain": ["a", "b", "c"]},
                {"name": "carrier", "type": ["null", "string"]},
                {
                    "name": "runway",
                    "type": ["null", {"type": "enum", "name": "Runway", "symbols": ["L", "R"]}],
                },
                {"name": "delay", "type": ["null", "double"], "range": [-100, 1000]},
                {"name": "wind", "type": ["null", "double"]},
                {"name": "temp", "type": ["null", "float"]},
                {"name": "seats", "type": ["null", "int"], "range": [0, 900]},
                {"name": "mileage", "type": ["null", "long"]},
                {"name": "crew", "type": ["null", "int"], "required": True},
                {"name": "gust", "type": ["null", "double"]},
                {"name": "late", "type": "boolean"},
            ],
        }
    ),
    "landings",
)
CLEAN_FIELDS = ("delay", "wind", "temp", "seats", "mileage")
ROUTES = {"clean.gate": ("gate",), "clean.pair": ("carrier", "runway", "crew", "late")}
IMPUTES = {
    "carrier": impute.constant("unknown"),
    "delay": impute.median(by="carrier", start=1.5),
    "wind": impute.mean(by="crew"),
    "temp": impute.last(by="runway", start=-1.0),
    "seats": impute.median(),
    "mileage": impute.constant(3.0),
}
DROP = {"spam": pl.col("carrier") == "??", "heavy": (pl.col("seats") > 500) & pl.col("late")}


def topic(partitions: int = PARTITIONS, **changes: Any) -> Topic:
    given: dict[str, Any] = {
        "name": "landings",
        "schema": SCHEMA,
        "event_id": "id",
        "event_time": "at",
        "drop": DROP,
        "impute": IMPUTES,
        "freshness": Freshness(lateness="2s", max_future="5m", label_wait="20s"),
        "partitions": partitions,
        "dedup": "1m",
        "source": "carrier",
    }
    return Topic(**{**given, **changes})


def plan(clean_partitions: int, **changes: Any) -> IntakePlan:
    t = topic(**changes)
    clean = tuple(
        CleanRoute(to, clean_partitions, keys, CLEAN_FIELDS) for to, keys in ROUTES.items()
    )
    labels = (LabelRoute("outcomes", clean_partitions, "id", pl.col("gust") > 15),)
    return IntakePlan("app.landings", t, EventCodec(t.events), clean, labels, "dead")


@dataclass(frozen=True)
class Sent:
    """One record of a source partition: an event, or other bytes with the reason they are dead for.
    Or the time that intake is told when it has read so far: no record, but it has a place among
    them, which is an offset that holds none."""

    time: int
    event: dict[str, Any] = field(default_factory=dict)
    raw: bytes = b""
    reason: str = ""
    tick: int | None = None

    @property
    def value(self) -> bytes:
        return self.raw or encode(SCHEMA, [self.event])[0]


def batch(
    sent: Sequence[Sent],
    first: int,
    topic_: str = "app.landings",
    partition: int = 0,
    step: int = 1,
) -> Batch:
    """Records as one batch; offsets are `step` apart, as they are in a compacted or transactional
    log."""
    values = [s.value for s in sent]
    return batch_of(
        values,
        [first + step * i for i in range(len(sent))],
        [s.time for s in sent],
        topic_,
        partition,
    )


def take(
    task: IntakeTask, sent: Sequence[Sent], first: int, step: int = 1, partition: int = 0
) -> list[Append]:
    """What intake makes of records, in batches as long as no time is told, and of the times."""
    out = list[Append]()
    begun = 0
    for i, record in enumerate([*sent, Sent(0, tick=blocks.NO_TICK)]):
        if record.tick is None:
            continue
        if begun < i:
            records = batch(sent[begun:i], first + begun * step, partition=partition, step=step)
            out += task.apply(records).appends
        out += task.tick(record.tick, PARTITIONS).appends
        begun = i + 1
    return out


def batch_of(
    values: Sequence[bytes],
    offsets: Sequence[int],
    times: Sequence[int],
    topic_: str = "log",
    partition: int = 0,
) -> Batch:
    ends = np.cumsum([len(v) for v in values], dtype=np.int64)
    starts = ends - np.array([len(v) for v in values], np.int64)
    data = np.frombuffer(bytearray(b"".join(values)), np.uint8)
    return Batch(
        topic_,
        partition,
        data,
        starts,
        ends,
        np.array(offsets, np.int64),
        np.array(times, np.int64),
    )


def within(n: int, places: Iterable[int]) -> list[int]:
    """The places, brought to between 1 and `n`."""
    return [1 + (c - 1) % max(1, n - 1) for c in places]


def cut(n: int, cuts: Iterable[int]) -> list[tuple[int, int]]:
    """`n` things in pieces, at the cuts that lie within."""
    edges = sorted({0, n, *(c for c in cuts if 0 < c < n)})
    return list(itertools.pairwise(edges))


numbers = st.sampled_from([-90.0, 0.1, 3.0, 15.0, 15.5, 16.0, 999.0]) | st.floats(-100, 1000).map(
    lambda x: x + 0.0
)
EVENTS = st.fixed_dictionaries(
    {
        "id": st.integers(0, 11).map(lambda i: f"flight-{i}"),
        "at": st.integers(0, 8_000)
        | st.sampled_from([0, 2_000, 30_000, 60_000, 61_000, 125_000, 200_000]),
        "gate": st.sampled_from("abc"),
        "carrier": st.sampled_from(
            [None, "AA", "Zürich Air, the longest name", "??", "", "A|B", "\\N"]
        ),
        "runway": st.sampled_from([None, "L", "R"]),
        "delay": st.none() | numbers,
        "wind": st.none() | st.floats(-1e9, 1e9),
        "temp": st.none() | st.floats(-90, 60, width=32),
        "seats": st.none() | st.integers(0, 900),
        "mileage": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        "crew": st.integers(0, 9),
        "gust": st.none() | numbers,
        "late": st.booleans(),
    }
)
BREAKS: dict[str, dict[str, Any]] = {
    "missing_required": {"crew": None},
    "out_of_domain": {"gate": "z"},
    "out_of_range": {"delay": 1e9},
    "far_future": {"at": START + 10**9},
    "bad_time": {"at": -2_300_000_000_000},  # in 1897
    "not a number": {"wind": float("nan")},
}


def _record(event: dict[str, Any], what: str, tick: int) -> Sent:
    event = {**event, "at": START + event["at"]}
    # Some are appended long after their time, so that those without a source are late.
    now = event["at"] + 100 + tick % 3 * 1_500
    if what == "tick":
        return Sent(START + tick, tick=START + tick)
    # what intake took for a tick once: whoever may write to a topic moved the time
    if what == "forged":
        return Sent(now, event, b"FRTK" + struct.pack("<q", 1 << 60), "undecodable")
    if what == "unknown_type":
        return Sent(
            now,
            event,
            encode(SCHEMA, [event])[0][:4] + b"\x63" + encode(SCHEMA, [event])[0][5:],
            what,
        )
    if what == "undecodable":
        whole = encode(SCHEMA, [event])[0]
        return Sent(now, event, whole[: 5 + tick % (len(whole) - 5)], what)
    if what in BREAKS:
        return Sent(now, {**event, **BREAKS[what]})
    return Sent(now, event)


KINDS = ["good"] * 12 + ["tick", "forged", "unknown_type", "undecodable", *BREAKS]
RECORDS = st.builds(_record, EVENTS, st.sampled_from(KINDS), st.integers(0, 300_000))
LOGS = st.lists(RECORDS, min_size=12, max_size=36)
CUTS = st.lists(st.integers(1, 35), max_size=8)
