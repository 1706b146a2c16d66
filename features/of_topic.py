"""Aggregates of one topic, in a view over several."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar, cast

from freshet.features.aggregates import Age, Aggregate, Ratio, TimeSince, Window
from freshet.features.inputs import Condition, of_topic
from freshet.schemas.declared import check_kind
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.topic import Topic

Of = TypeVar("Of", bound=Aggregate)


def of(topic: Topic, aggregate: Of) -> Of:
    """An aggregate of the events of one topic, for a view over several.

    Without it, an aggregate of such a view is of the events of all of its topics.

    Args:
        topic: One of the view's topics.
        aggregate: What is made of its events. Of a ratio both parts are; the parts of one may be
            of a topic each, as in `fr.ratio(fr.of(clicks, …), fr.of(orders, …))`. `fr.age()` is
            that of the newest event of the topic.

    Returns:
        The same aggregate of that topic's events.

    Raises:
        DefinitionError: it is of a topic already, or is no aggregate.

    Examples:
        >>> import freshet as fr
        >>> schema = {
        ...     "type": "record",
        ...     "name": "event",
        ...     "fields": [
        ...         {"name": "id", "type": "string"},
        ...         {"name": "at", "type": "long"},
        ...         {"name": "user", "type": "long"},
        ...     ],
        ... }
        >>> clicks = fr.Topic("clicks", schema, event_id="id", event_time="at")
        >>> orders = fr.Topic("orders", schema, event_id="id", event_time="at")
        >>> by_user = fr.View(
        ...     "by_user",
        ...     [clicks, orders],
        ...     key="user",
        ...     features={
        ...         "events_1h": fr.count(over="1h"),
        ...         "clicks_1h": fr.of(clicks, fr.count(over="1h")),
        ...         "orders_a_click": fr.ratio(
        ...             fr.of(orders, fr.count(over="1h")), fr.of(clicks, fr.count(over="1h"))
        ...         ),
        ...     },
        ... )
        >>> print(by_user.features["clicks_1h"])
        count(over 1h of clicks)
    """
    check_kind("fr.of", "topic", topic, Topic, "Name the topic itself: the variable, not its text.")
    return cast(Of, _of(topic.name, aggregate))


def _of(topic: str, aggregate: Aggregate) -> Aggregate:
    if isinstance(aggregate, Ratio):
        above = cast(Window, _of(topic, aggregate.above))
        return Ratio(above, cast(Window, _of(topic, aggregate.below)))
    if isinstance(aggregate, Age):
        return TimeSince(Condition("", None, topic))
    if not isinstance(aggregate, Aggregate):
        raise DefinitionError(
            f"fr.of({topic}, {aggregate!r})",
            "is of no aggregate",
            'Write fr.of(topic, fr.count(over="1h")), say.',
        )
    where = aggregate.where
    if where is not None and where.topic is not None:
        raise DefinitionError(
            f"fr.of({topic}, {aggregate})",
            f"is of topic {where.topic} already",
            "Name one topic; a ratio may be of two: fr.ratio(fr.of(…), fr.of(…)).",
        )
    return replace(aggregate, where=of_topic(where, topic))
