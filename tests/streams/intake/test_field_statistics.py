"""Statistics of fields and sources: those of a plain loop, the same for any cuts and restarts, in
bounded memory."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from freshet.schemas.events.decode import EventCodec
from freshet.schemas.events.schema import EventSchema
from freshet.streams.intake.field_statistics import SOURCES, VALUES
from freshet.streams.intake.field_statistics_kernels import HALF_LIFE_SECONDS, LONGEST, POWERS
from freshet.streams.intake.task import IntakeTask
from tests.streams.intake.reference_intake import ReferenceIntake
from tests.streams.toy_events import (
    CUTS,
    IMPUTES,
    LOGS,
    SCHEMA,
    START,
    Sent,
    cut,
    plan,
    take,
    topic,
)

untimed = settings(deadline=None, max_examples=60)
# what deviates by less has a square that no double holds: its deviation is told as 0
NO_SQUARE = 1e-150
NUMBERS = ("at", "delay", "wind", "temp", "seats", "mileage", "crew", "gust")
WIDE = EventSchema.parse(
    {
        "type": "record",
        "name": "wide",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "text", "type": ["null", "string"]},
            {"name": "x", "type": ["null", "double"], "range": [-1e300, 1e300]},
        ],
    },
    "wide",
)


def task_of(source: str | None = "gate", schema: EventSchema = SCHEMA) -> IntakeTask:
    if schema is SCHEMA:
        return IntakeTask(plan(1, source=source), 0)
    declared = topic(name="wide", schema=schema, source=source, drop={}, impute={}, dedup="1s")
    return IntakeTask(
        replace(plan(1), topic=declared, codec=EventCodec(schema), clean=(), labels=()), 0
    )


def wide(i: int, text: str | None = None, x: float | None = None, time: int | None = None) -> Sent:
    at = START + i * 10_000 if time is None else time
    return Sent(at, raw=encoded(id=f"e{i}", at=at, text=text, x=x))


def test_a_source_is_one_source_however_its_uuid_is_spelt() -> None:
    schema = EventSchema.parse(
        {
            "type": "record",
            "name": "devices",
            "fields": [
                {"name": "id", "type": "string"},
                {"name": "at", "type": "long"},
                {"name": "device", "type": {"type": "string", "logicalType": "uuid"}},
            ],
        },
        "devices",
    )
    name = "0f8fad5b-d9cb-469f-a165-70867728950e"
    spelt = [name, name.upper(), name.title(), name]
    sent = [
        Sent(START + i, raw=encoded(id=f"e{i}", at=START + i, device=device))
        for i, device in enumerate(spelt)
    ]
    facts = taken(sent, task_of("device", schema), rows=3).facts()
    assert {source: told["events"] for source, told in facts["sources"].items()} == {name: 4}


def encoded(**event: Any) -> bytes:
    return json.dumps(event).encode()


def taken(log: Sequence[Sent], task: IntakeTask, rows: int = 1_000) -> IntakeTask:
    for a in range(0, len(log), rows):
        take(task, log[a : a + rows], a)
    return task


def resumed(task: IntakeTask, fresh: IntakeTask) -> IntakeTask:
    fresh.load(load(save({k: np.ascontiguousarray(v) for k, v in task.dump(True).items()})), [])
    return fresh


# ------------------------------------------------------------ against a plain loop
class Reference:
    """One event at a time, in lists and dictionaries."""

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = {f.name: [] for f in SCHEMA.fields}
        self.sources: dict[str, dict[str, Any]] = {}
        self.newest_ms: int | None = None

    def take(self, sent: Sent, fate: str) -> None:
        time = sent.time if sent.tick is None else sent.tick
        self.newest_ms = max(time, time if self.newest_ms is None else self.newest_ms)
        readable = sent.tick is None and fate not in ("dead:undecodable", "dead:unknown_type")
        kind = (
            fate if fate == "applied" else "late" if fate == "dropped:late" else fate.split(":")[0]
        )
        if not readable or kind not in ("applied", "late", "dead"):
            return
        s = self.sources.setdefault(sent.event["gate"], {"times": [], "late": 0, "dead": 0})
        if kind != "applied":
            s[kind] += 1
            return
        s["times"].append(sent.time)
        for name, values in self.values.items():
            value = sent.event[name]
            values.append(
                float(np.float32(value)) if name == "temp" and value is not None else value
            )


def check_fields(found: dict[str, Any], reference: Reference) -> None:
    for name, values in reference.values.items():
        facts, there = found[name], [v for v in values if v is not None]
        missing = len(values) - len(there)
        assert facts["seen"] == len(values)
        assert facts["missing"] == missing
        assert facts["imputed"] == (missing if name in IMPUTES else 0)
        if name in ("id", "gate"):
            assert len(facts) == 3
        elif name not in NUMBERS:
            words = [str(v).lower() if name == "late" else v for v in there]
            assert facts["values"] == {w: words.count(w) for w in words}
            assert facts["other"] == 0
        elif there:
            assert (facts["min"], facts["max"]) == (min(there), max(there))
            scale = max(map(abs, there))
            assert facts["mean"] == pytest.approx(
                math.fsum(there) / len(there), rel=1e-12, abs=1e-12 * scale
            )
            deviation = statistics.pstdev(map(float, there))
            assert facts["std"] == pytest.approx(
                deviation, rel=1e-9, abs=max(1e-9 * scale, NO_SQUARE)
            )
        else:
            assert [facts[k] for k in ("min", "max", "mean", "std")] == [None] * 4


@untimed
@given(LOGS)
def test_facts_are_those_of_a_plain_loop(log: list[Sent]) -> None:
    task = task_of()
    fates = ReferenceIntake(0, 1, source="gate")
    reference = Reference()
    take(task, log, 5)
    for i, sent in enumerate(log):
        fates.take(sent, i)
        reference.take(sent, fates.fates.get(i, "told the time"))
    found = task.facts()
    check_fields(found["fields"], reference)
    assert found["newest_ms"] == reference.newest_ms
    assert found["newest_event_ms"] == fates.newest
    for name, s in reference.sources.items():
        facts, times = found["sources"][name], s["times"]
        assert (facts["events"], facts["late"], facts["dead"]) == (len(times), s["late"], s["dead"])
        ends = (times[0], max(times)) if times else (None, None)
        assert (facts["first_ms"], facts["newest_ms"]) == ends
    assert found["sources"].keys() == reference.sources.keys()
    json.dumps(found, allow_nan=False)


def test_mean_and_deviation_hold_far_from_zero_and_over_many_blocks() -> None:
    values = [1e9 + math.sin(i) for i in range(5_000)]
    facts = taken(
        [wide(i, x=x) for i, x in enumerate([-1e12, *values])], task_of(None, WIDE)
    ).facts()["fields"]["x"]
    assert facts["mean"] == pytest.approx(statistics.fmean([-1e12, *values]), rel=1e-12)
    assert facts["std"] == pytest.approx(statistics.pstdev([-1e12, *values]), rel=1e-9)
    facts = taken([wide(i, x=x) for i, x in enumerate(values)], task_of(None, WIDE)).facts()[
        "fields"
    ]["x"]
    assert facts["std"] == pytest.approx(statistics.pstdev(values), rel=1e-6)


def test_what_is_beyond_a_float_is_none() -> None:
    facts = taken(
        [wide(i, x=x) for i, x in enumerate([1e300, -1e300])], task_of(None, WIDE)
    ).facts()["fields"]["x"]
    assert (facts["min"], facts["max"], facts["std"]) == (-1e300, 1e300, None)


def test_whole_numbers_keep_their_last_digit() -> None:
    ends = [(1 << 63) - 1, -(1 << 63) + 1]
    plain = {f.name: None for f in SCHEMA.fields} | {"gate": "a", "crew": 1, "late": False}
    log = [
        Sent(START, {**plain, "id": f"m{i}", "at": START, "mileage": m}) for i, m in enumerate(ends)
    ]
    facts = taken(log, task_of()).facts()["fields"]["mileage"]
    assert (facts["min"], facts["max"]) == (ends[1], ends[0])


# ------------------------------------------------------------ texts
TEXTS = [
    "", "a", "ab", "a\0", "abcdefg", "abcdefgh", "abcdefgh\0", "abcdefghi", "abcdefghijklmnop", "abcdefghXjklmnop",
    "abcdefgh-one-ijklmnop", "abcdefgh-two-ijklmnop", "Zürich", "x" * LONGEST, "x" * (LONGEST - 1) + "y", "日本",
]  # fmt: skip


def test_texts_are_told_apart_by_every_byte() -> None:
    log = [wide(i, TEXTS[i % len(TEXTS)]) for i in range(5 * len(TEXTS))]
    facts = taken(log, task_of(None, WIDE)).facts()["fields"]["text"]
    assert facts["values"] == dict.fromkeys(TEXTS, 5)
    assert facts["other"] == 0


def test_values_beyond_the_first_ones_and_long_texts_are_other() -> None:
    words = [f"word {i % 100}" for i in range(1_000)]
    log = [wide(i, w) for i, w in enumerate(["z" * (LONGEST + 1), *words])]
    facts = taken(log, task_of(None, WIDE)).facts()["fields"]["text"]
    assert facts["values"] == {f"word {i}": 10 for i in range(VALUES)}
    assert facts["other"] == 10 * (100 - VALUES) + 1


# ------------------------------------------------------------ any cuts
@untimed
@given(LOGS, CUTS, CUTS)
def test_any_cut_and_any_restart_give_the_same_bits(
    log: list[Sent], cuts: list[int], restarts: list[int]
) -> None:
    check_cuts(log, cuts, restarts)


def check_cuts(log: Sequence[Sent], cuts: Sequence[int], restarts: Sequence[int]) -> None:
    one, task = task_of("carrier"), task_of("carrier")
    take(one, log, 0)
    for a, b in cut(len(log), [*cuts, *restarts]):
        if a in restarts:
            task = resumed(task, task_of("carrier"))
        take(task, log[a:b], a)
    assert repr(task.facts()) == repr(one.facts())
    for name, values in one._statistics.dump().items():
        assert task._statistics.dump()[name].tobytes() == values.tobytes(), name


def test_a_long_log_gives_the_same_bits_across_blocks_and_chunks() -> None:
    log = [
        wide(i, f"t{i * i % 29}", math.sin(i) * 10 ** (i % 5), START + i * 700)
        for i in range(3_000)
    ]
    one, task = task_of("text", WIDE), task_of("text", WIDE)
    take(one, log, 0)
    for a, b in cut(len(log), [1, 63, 64, 65, 700, 1_111, 2_999]):
        task = resumed(task, task_of("text", WIDE))
        take(task, log[a:b], a)
    assert repr(task.facts()) == repr(one.facts())


# ------------------------------------------------------------ sources
def rate(times: Sequence[int]) -> float:
    """The formula as it is written, over every event."""
    w, last, first = 0.5 ** (1 / 3600), max(times) // 1000, times[0] // 1000
    seconds = [max(times[: i + 1]) // 1000 for i in range(len(times))]
    n = sum(w ** (last - s) for s in seconds if s > first)
    return 3600 * n * (1 - w) / (1 - w ** (last - first))


@untimed
@given(st.lists(st.integers(-500, 40_000) | st.integers(0, 20_000_000), min_size=2, max_size=40))
def test_the_rate_is_that_of_its_formula(gaps: list[int]) -> None:
    times = np.cumsum([START, *gaps]).tolist()
    log = [wide(i, "s", time=max(times[: i + 1])) for i in range(len(times))]
    log = [replace(sent, time=t) for sent, t in zip(log, times)]
    facts = taken(log, task_of("text", WIDE)).facts()["sources"]["s"]
    assert facts["newest_ms"] == max(times)
    if max(times) - times[0] < 60_000:
        assert facts["rate_per_hour"] is None
    else:
        assert facts["rate_per_hour"] == pytest.approx(rate(times), rel=1e-9)


def test_a_steady_source_has_its_rate_and_a_faster_one_soon_has_its_own() -> None:
    steady = [wide(i, "s", time=START + i * 10_000) for i in range(2_000)]
    task = taken(steady, task_of("text", WIDE))
    assert task.facts()["sources"]["s"]["rate_per_hour"] == pytest.approx(360, rel=1e-3)
    end = START + 20_000_000
    taken([wide(10_000 + i, "s", time=end + i * 1_000) for i in range(3_600)], task)
    assert task.facts()["sources"]["s"]["rate_per_hour"] == pytest.approx(
        (360 + 3_600) / 2, rel=0.03
    )


def test_powers_halve_in_an_hour() -> None:
    assert POWERS[0] == 1.0
    assert POWERS[-1] * POWERS[1] == pytest.approx(0.5, rel=1e-12)
    assert len(POWERS) == HALF_LIFE_SECONDS


def test_ten_thousand_sources_stay_bounded() -> None:
    task = task_of("text", WIDE)
    before = sum(a.nbytes for name, a in task.dump(True).items() if "statistics" in name)
    taken([wide(i, f"source {i}", time=START + i) for i in range(10_000)], task)
    facts = task.facts()
    assert list(facts["sources"]) == [f"source {i}" for i in range(SOURCES)]
    assert facts["other_sources"]["events"] == 10_000 - SOURCES
    assert sum(a.nbytes for name, a in task.dump(True).items() if "statistics" in name) == before
    assert len(json.dumps(facts)) < 20_000


def test_dead_events_leave_half_of_the_places_to_others() -> None:
    task = task_of("text", WIDE)
    taken([wide(i, f"bad {i}", x=1e301, time=START + i) for i in range(1_000)], task)
    taken([wide(2_000 + i, f"good {i}", time=START + i) for i in range(10)], task)
    facts = task.facts()
    assert [s["dead"] for s in facts["sources"].values()] == [1] * (SOURCES // 2) + [0] * 10
    assert facts["other_sources"]["dead"] == 1_000 - SOURCES // 2
    assert facts["sources"]["good 9"]["events"] == 1


def test_events_without_a_source_are_of_the_others() -> None:
    facts = taken([wide(0, None), wide(1, "other")], task_of("text", WIDE)).facts()
    assert facts["other_sources"]["events"] == facts["sources"]["other"]["events"] == 1


def test_a_source_may_be_an_enum() -> None:
    plain = {f.name: None for f in SCHEMA.fields} | {
        "gate": "a",
        "crew": 1,
        "late": False,
        "at": START,
    }
    log = [Sent(START, {**plain, "id": f"r{i}", "runway": "RRL"[i]}) for i in range(3)]
    facts = taken(log, task_of("runway")).facts()
    assert {name: s["events"] for name, s in facts["sources"].items()} == {"R": 2, "L": 1}


def test_a_topic_without_a_source_has_none() -> None:
    facts = taken([wide(0, "a")], task_of(None, WIDE)).facts()
    assert facts["sources"] == {}
    assert facts["other_sources"]["events"] == 0
    assert facts["newest_ms"] == START


# ------------------------------------------------------------ checkpoints
def test_a_checkpoint_from_before_there_were_statistics_starts_empty() -> None:
    task = taken([wide(i, "a", 1.0) for i in range(10)], task_of("text", WIDE))
    old = {k: v for k, v in task.dump(True).items() if not k.startswith("statistics")}
    again = task_of("text", WIDE)
    again.load(old, [])
    assert again.facts()["fates"]["applied"] == 10
    assert again.facts()["fields"]["x"]["seen"] == 0
    taken([wide(10, "a", 2.0)], again)
    assert again.facts()["fields"]["x"]["mean"] == 2.0


def test_a_checkpoint_whose_moments_are_not_those_of_its_counts_stops_nothing() -> None:
    task = taken([wide(i, x=float(i)) for i in range(70)], task_of(None, WIDE))
    state = {
        **task.dump(True),
        "statistics.fields.moments": np.zeros_like(task.dump(True)["statistics.fields.moments"]),
    }
    task.load(state, [])
    assert task.facts()["fields"]["x"]["mean"] is None
    assert taken([wide(100, x=4.0)], task).facts()["fields"]["x"]["mean"] == 4.0


def test_fields_of_another_schema_start_empty_and_the_others_go_on() -> None:
    task = taken([wide(i, "a", 1.0) for i in range(10)], task_of("text", WIDE))
    fields = [WIDE.avro["fields"][k] for k in (0, 1)]
    fields += [
        {"name": "y", "type": "int", "default": 0},
        {"name": "x", "type": ["null", "double"]},
    ]
    fields += [
        {"name": "text", "type": ["null", {"type": "enum", "name": "T", "symbols": ["a", "b"]}]}
    ]
    other = EventSchema.parse({"type": "record", "name": "wide", "fields": fields}, "wide")
    again = task_of("text", other)
    again.load(task.dump(True), [])
    facts = again.facts()
    assert {name: f["seen"] for name, f in facts["fields"].items()} == {
        "id": 10,
        "at": 10,
        "y": 0,
        "x": 10,
        "text": 0,
    }
    assert facts["fields"]["x"]["mean"] == 1.0
    assert facts["sources"] == {}
