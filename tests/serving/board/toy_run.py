"""Half a day of the toy app in this process: what its roles really said, and the examples that came
of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freshet.app import App
from freshet.demo.flights.schedule import Records
from freshet.features.stores.memory_store import MemoryStore
from freshet.schemas.events.writer import EventWriter
from freshet.schemas.wire.messages import Message, Status
from freshet.serving.board.board import Board
from freshet.serving.status.history import History
from freshet.streams.control.channels import Follower
from freshet.streams.log.contract import Batch
from freshet.testing import LocalRun
from tests.toy_app import toy_app

HOUR = 3_600_000
HOURS = 12
SHOPS = ("north", "south", "west")
JUNK = b"no event"


@dataclass(frozen=True)
class Said:
    """`messages` of both logs, in their order; `statuses` of every operator in the end, as it tells
    them; the `examples` of the only model."""

    app: App
    messages: list[Message]
    statuses: list[Status]
    examples: list[Batch]

    def board(self, statuses: Sequence[Status] | None = None, paced: bool = True) -> Board:
        """A board that heard all of it, and the statuses last."""
        app = self.app
        board = Board(app.name, app.topics, app.views, app.models, History(), paced)
        for m in [*self.messages, *(self.statuses if statuses is None else statuses)]:
            board.note(m)
        return board


def half_a_day(folder: Path, **changes: Any) -> Said:
    """Every hour each shop has an order; it is paid (or not: `late` beyond 10) two hours later,
    once twice; every third hour brings a record that is no event."""
    app = toy_app(**changes)
    orders, payments = (EventWriter(t.events) for t in app.topics)
    with LocalRun(app, folder, MemoryStore(), snapshot_every="2h") as local:
        for hour in range(HOURS):
            start = (hour + 1) * HOUR
            asked = {
                "order_id": [f"{hour}.{s}" for s in SHOPS],
                "shop": list(SHOPS),
                "hour": [hour] * 3,
            }
            asked |= {"at": [start] * 3, "price": [2.0 + hour] * 3}
            rows = [dict(zip(asked, row)) for row in zip(*asked.values())]
            said = [(start + 1, orders.encode(r)) for r in rows]
            paid = [
                (start + 2 + i, payments.encode(_payment(hour - 2, s, start)))
                for i, s in enumerate(SHOPS)
            ]
            told = [*paid, *paid[:1]] if hour >= 2 else []
            told += [(start + 9, JUNK)] if hour % 3 == 0 else []
            events = {"orders": _records(said), "payments": _records(told)}
            local.step(start, start + HOUR, asked, events)
        statuses = [
            o.vitals.status({t.name: t.facts() for t in o.tasks()}) for o in local.operators
        ]
        heard = _read(local, app.channels)
        model = app.models[0]
        reader = local.log.reader([app.examples_log_of(model)], None)
        examples = reader.poll(10_000, 1.0)
        reader.close()
    return Said(app, heard, statuses, examples)


def _records(of: list[tuple[int, bytes]]) -> Records:
    return Records(
        [value for _, value in of], [time for time, _ in of], [str(i) for i in range(len(of))]
    )


def _payment(hour: int, shop: str, at: int) -> dict[str, Any]:
    late = 30.0 if (hour + SHOPS.index(shop)) % 4 == 0 else 1.0
    return {"order_id": f"{hour}.{shop}", "at": at, "shop": shop, "late": late}


def _read(local: LocalRun, topics: Sequence[str]) -> list[Message]:
    follower, found = Follower(local.log, *topics), []
    while more := follower.poll(0.2):
        found += more
    follower.close()
    return found
