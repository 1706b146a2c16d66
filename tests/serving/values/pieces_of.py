"""A topic of sales and what intake tells of its values, hour by hour."""

from __future__ import annotations

from collections.abc import Sequence

from freshet.schemas.durations import HOUR_MS
from freshet.schemas.events.decode import EventCodec, encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.topics.topic import Freshness, Topic
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.streams.intake.task import IntakePlan, IntakeTask
from tests.streams.toy_events import batch_of

TO = "shop.statistics.hours"
FIRST_HOUR = 10_000 * 24  # a midnight


def schema_of(price: str) -> EventSchema:
    """Sales whose prices are of this type."""
    return EventSchema.parse(
        {
            "type": "record",
            "name": "sales",
            "fields": [
                {"name": "id", "type": "string"},
                {"name": "at", "type": "long"},
                {"name": "shop", "type": "string"},
                {"name": "item", "type": ["null", "string"]},
                {"name": "price", "type": ["null", price]},
            ],
        },
        "sales",
    )


def topic_of(schema: EventSchema) -> Topic:
    return Topic(
        "sales",
        schema=schema,
        event_id="id",
        event_time="at",
        source="shop",
        dedup="1h",
        freshness=Freshness(lateness="2h"),
    )


SCHEMA = schema_of("double")
SALES = topic_of(SCHEMA)


class Told:
    """Intake of one partition: what it tells of sales, in the order of the log."""

    def __init__(self, partition: int = 0, topic: Topic = SALES) -> None:
        plan = IntakePlan("shop.sales", topic, EventCodec(topic.events), (), (), "dead", None, TO)
        self.task = IntakeTask(plan, partition)
        self._schema = topic.events
        self._offset = 0
        self._partition = partition

    def sell(
        self, hour: int, shop: str, prices: Sequence[float | None], item: str = "tea"
    ) -> list[Block]:
        """So many sales within an hour; what is told of them by then."""
        first = hour * HOUR_MS
        step = HOUR_MS // (len(prices) + 1)
        times = [first + i * step for i in range(len(prices))]
        values = [
            encode(
                self._schema,
                [
                    {
                        "id": f"{self._offset + i}",
                        "at": time,
                        "shop": shop,
                        "item": item,
                        "price": price,
                    }
                ],
            )[0]
            for i, (time, price) in enumerate(zip(times, prices))
        ]
        offsets = [self._offset + i for i in range(len(values))]
        self._offset += len(values)
        # A source's events rise in time; another one's may lie before them.
        given = batch_of(values, offsets, times, "shop.sales", self._partition)
        return _blocks(self.task.apply(given).appends)

    def tick(self, hour: float) -> list[Block]:
        """The time is told, so many hours since 1970."""
        return _blocks(self.task.tick(int(hour * HOUR_MS), 1).appends)


def _blocks(appends: Sequence[object]) -> list[Block]:
    return [
        blocks.decode(value)
        for append in appends
        if append.topic == TO  # type: ignore[attr-defined]
        for value in append.values  # type: ignore[attr-defined]
    ]
