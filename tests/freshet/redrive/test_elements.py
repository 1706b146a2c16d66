"""Dead letters of records that hold several events each: one is sent again, and its neighbours are
not taken twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import freshet as fr
from freshet.redrive.chosen import Wanted
from freshet.redrive.patching import parsed
from freshet.redrive.redrive import Redrive
from freshet.runs.opened import OpenedRun
from freshet.schemas.events.writer import EventWriter
from freshet.settings import settings
from freshet.streams.sqlite.log import SqliteLog
from freshet.testing import LocalRun, MemoryStore
from tests.freshet.hydration.test_hydrator import rows

HOUR = 3_600_000
LINE = {
    "type": "record",
    "name": "line",
    "fields": [
        {"name": "sku", "type": "string"},
        {"name": "grams", "type": "double", "range": [0, 100]},
    ],
}
ORDER = {
    "type": "record",
    "name": "order",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "lines", "type": {"type": "array", "items": LINE}},
    ],
}
MEND = parsed(['lines.grams = "lines.grams" / 1000'])
Order = dict[str, Any]


def app() -> fr.App:
    orders = fr.Topic("orders", ORDER, event_id="id", event_time="at", explode="lines")
    view = fr.View(
        "skus",
        orders,
        key="lines.sku",
        features={"n": fr.count(over="6h"), "grams": fr.sum("lines.grams", over="6h")},
    )
    return fr.App("shop", topics=[orders], views=[view])


class Published(list[bytes]):
    def split(self, partitions: int) -> list[Published]:
        return [self]

    def runs(self) -> list[tuple[int, list[bytes]]]:
        return [(HOUR + place, [value]) for place, value in enumerate(self)]


def order(name: str, *grams: float) -> Order:
    lines = [{"sku": f"s{place}", "grams": each} for place, each in enumerate(grams)]
    return {"id": name, "at": HOUR, "lines": lines}


def as_bytes(form: str, one: Order) -> bytes:
    if form == "json":
        return json.dumps(one).encode()
    return EventWriter(app().topics[0].records).encode(one)


@contextmanager
def opened(folder: Path, declared: fr.App) -> Iterator[OpenedRun]:
    log = SqliteLog(str(folder / "log"))
    try:
        yield OpenedRun(declared, log, settings(run_dir=str(folder)))
    finally:
        log.close()


def played(folder: Path, store: MemoryStore, published: list[bytes], hours: range) -> None:
    with LocalRun(app(), folder, store) as local:
        for hour in hours:
            events = {"orders": Published(published)} if hour == 1 else {}
            local.step(hour * HOUR, (hour + 1) * HOUR, {}, events)


@pytest.mark.parametrize("form", ["json", "avro"])
def test_one_event_is_mended_and_its_neighbours_are_not_taken_twice(
    tmp_path: Path, form: str
) -> None:
    wrong = [order("a", 5.0, 7_000.0, 9_000.0, 11.0), order("b", 1.0)]
    right = [order("a", 5.0, 7.0, 9.0, 11.0), order("b", 1.0)]
    store = MemoryStore()
    played(tmp_path / "wrong", store, [as_bytes(form, one) for one in wrong], range(1, 3))
    with opened(tmp_path / "wrong", app()) as run:
        trial = Redrive(run, Wanted("orders"), MEND).trial()
        assert trial.became == {("orders", "out_of_range"): {"applied": 2}}
        done = Redrive(run, Wanted("orders"), MEND).send(sleep=lambda seconds: None)
        assert (done.sent, done.became) == (2, trial.became)
        again = Redrive(run, Wanted("orders"), MEND).send(sleep=lambda seconds: None)
        assert (again.sent, again.sent_before) == (0, 2)
    played(tmp_path / "wrong", store, [], range(3, 4))
    other = MemoryStore()
    played(tmp_path / "right", other, [as_bytes(form, one) for one in right], range(1, 4))
    found, expected = rows(app(), store), rows(app(), other)
    assert found == expected
    assert len(expected) == 4


def test_a_record_that_was_dead_as_a_whole_is_sent_with_all_that_it_holds(tmp_path: Path) -> None:
    """It was of a schema that was not known then."""
    value = as_bytes("avro", order("a", 5.0, 7.0))
    strange = value[:1] + (99).to_bytes(4, "big") + value[5:]
    store = MemoryStore()
    played(tmp_path, store, [strange, as_bytes("avro", order("b", 1.0))], range(1, 3))
    with opened(tmp_path, app()) as run:
        redrive = Redrive(run, Wanted("orders"), {})
        (one,) = redrive.letters
        assert one.element == -1
        assert redrive.trial().became == {("orders", "unknown_type"): {"dead:unknown_type": 1}}
    with opened(tmp_path, app()) as run:
        # As of a schema that is known by now.
        redrive = Redrive(run, Wanted("orders"), {})
        (one,) = redrive.letters
        letter = one.letter
        redrive.letters = [type(one)(_with(letter, value), one.topic, one.headers, "", one.element)]
        assert redrive.send(sleep=lambda seconds: None).sent == 1
    played(tmp_path, store, [], range(3, 4))
    other = MemoryStore()
    orders = [order("a", 5.0, 7.0), order("b", 1.0)]
    played(tmp_path / "right", other, [as_bytes("avro", one) for one in orders], range(1, 4))
    found, expected = rows(app(), store), rows(app(), other)
    assert found.keys() == expected.keys()
    assert (
        found["shop:skus:" + app().views[0].digest, _key(found, "s1")]
        == expected["shop:skus:" + app().views[0].digest, _key(found, "s1")]
    )


def _key(found: dict[tuple[str, bytes], bytes], sku: str) -> bytes:
    return next(key for _, key in found if sku.encode() in key)


def _with(letter: Any, value: bytes) -> Any:
    from dataclasses import replace

    return replace(letter, value=value, size=len(value))


def test_what_is_given_up_of_a_record_is_one_event(tmp_path: Path) -> None:
    played(
        tmp_path,
        MemoryStore(),
        [as_bytes("avro", order("a", 5.0, 7_000.0, 9_000.0))],
        range(1, 3),
    )
    with opened(tmp_path, app()) as run:
        done = Redrive(run, Wanted("orders", since_ms=0), {}).send(gives_up=True)
        assert done.became == {("orders", "out_of_range"): {"given up": 2}}
    with opened(tmp_path, app()) as run:
        assert Redrive(run, Wanted("orders"), MEND).outcome.sent_before == 2
