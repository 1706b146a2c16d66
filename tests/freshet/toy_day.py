"""Fourteen hours of the toy app as a run's folder has them: orders asked about, payments in and out
of order, labels that are in time, late, repeated or never come; and what a reader of the folder
should find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from freshet.app import App, load
from freshet.demo.flights.schedule import Records
from freshet.features.stores.contract import Store
from freshet.features.stores.memory_store import MemoryStore
from freshet.runs import record as run_record
from freshet.schemas.events.writer import EventWriter
from freshet.settings import Settings
from freshet.streams.log.contract import Log
from freshet.testing import LocalRun

HOUR, MINUTE = 3_600_000, 60_000
HOURS = 14
SHOPS = ("north", "south", "west")
TOY = "from dataclasses import replace\nfrom tests.toy_app import toy_app\napp = replace(toy_app(), name={name!r})\n"
Event = dict[str, Any]
Sent = list[tuple[int, Event]]  # (append time ms, event)


def payments_of(hour: int) -> Sent:
    """What is paid in an hour, in the order in which it is published: of each shop the order of two
    hours ago and some that nobody asked about; one of them without a value, some a minute out of
    order, the first twice. West pays nothing from hour 5 on; the orders 1.* are paid when they have
    expired."""
    out: Sent = []
    start = (hour + 1) * HOUR
    for s, shop in enumerate(SHOPS if hour < 5 else SHOPS[:2]):
        for i in range(4):
            at = start + (7 + 13 * i + 2 * s) * MINUTE - (MINUTE if i == 2 else 0)
            late = None if i == 1 else 0.5 * ((hour * 7 + i * 5 + s * 3) % 60)
            order = f"{hour - 2}.{shop}" if i == 0 and hour - 2 != 1 else f"{hour}.{shop}.{i}"
            out.append(
                (
                    start + (10 + 13 * i + 2 * s) * MINUTE,
                    {"order_id": order, "at": at, "shop": shop, "late": late},
                )
            )
    if hour == 9:
        out += [
            (
                start + 55 * MINUTE,
                {"order_id": f"1.{s}", "at": start + 55 * MINUTE, "shop": s, "late": 20.0},
            )
            for s in SHOPS
        ]
    out.sort(key=lambda sent: sent[0])
    return [*out, out[0]]


def asked_in(hour: int) -> dict[str, list[Any]]:
    """An order of each shop; in hour 6 also one of hour 5 once more, as it was asked then, and one
    of a shop that nobody knows."""
    orders, shops = [f"{hour}.{s}" for s in SHOPS], list(SHOPS)
    hours = [hour] * len(SHOPS)
    if hour == 6:
        orders, shops = [*orders, "5.north", "stranger"], [*shops, "north", "east"]
        hours = [*hours, 5, hour]
    return {
        "order_id": orders,
        "shop": shops,
        "hour": hours,
        "at": [(h + 1) * HOUR for h in hours],
        "price": [2.0 + h for h in hours],
    }


def app_file(folder: Path, text: str = TOY, name: str = "toy") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "app.py"
    path.write_text(text.format(name=name))
    return path


@contextmanager
def toy_day(
    folder: Path, app_text: str = TOY, name: str = "toy", log: Log | None = None, log_url: str = "",
    store: Store | None = None, before: Callable[[int, LocalRun], None] = lambda hour, local: None, hours: int = HOURS,
) -> Iterator[tuple[App, LocalRun]]:  # fmt: skip
    """The run after its last hour, still open. Every fourth hour brings records that are no good
    payments."""
    path = app_file(folder, app_text, name)
    app = load(path)
    run_record.write(app.name, str(path), Settings(run_dir=folder, log=log_url))
    orders, payments = (EventWriter(t.events) for t in app.topics)
    with LocalRun(app, folder, store or MemoryStore(), "2h", log) as local:
        for hour in range(hours):
            before(hour, local)
            start, asked = (hour + 1) * HOUR, asked_in(hour)
            rows = [{**dict(zip(asked, row)), "at": start} for row in zip(*asked.values())]
            paid = [(t, payments.encode(e)) for t, e in payments_of(hour)]
            if hour % 4 == 0:
                paid += [(start + HOUR - MINUTE, value) for value in bad_payments(payments, start)]
            told = {
                "orders": _records([(start + 1, orders.encode(r)) for r in rows]),
                "payments": _records(paid),
            }
            local.step(start, start + HOUR, asked, told)
        yield app, local


def bad_payments(writer: EventWriter, start: int) -> list[bytes]:
    """One of each kind: cut off, out of range, far in the future, of a schema that never was, JSON
    without an id, torn JSON, no event at all."""
    good: Event = {"order_id": "bad", "at": start, "shop": "north", "late": 1.0}
    return [
        writer.encode(good)[:-3],
        writer.encode({**good, "late": 2_000.0}),
        writer.encode({**good, "at": start + 100 * HOUR}),
        b"\0\0\0\0\x63rest",
        b'{"at": 5, "shop": "north"}',
        b'{"at": 5, ',
        b"\xff\xfe\x00",
    ]


def _records(of: list[tuple[int, bytes]]) -> Records:
    return Records(
        [value for _, value in of], [time for time, _ in of], [str(i) for i in range(len(of))]
    )
