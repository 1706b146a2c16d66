"""Rows that a topic's tombstones erase: which views can have them, and what is left of a block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.features.rows.layout import NEVER
from freshet.features.views.view import View
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks

Rows = npt.NDArray[np.intp]


class Left(NamedTuple):
    """Of the rows of a block: the `events` that still count once all of it is taken, and of each
    key that was erased the last row that did (`erased`), both in order."""

    events: Rows
    erased: Rows


def left_of(rows: pa.RecordBatch) -> Left | None:
    """None of a block in which nothing is erased.

    A row that is made anew begins from nothing, so what came before its key was last erased leaves
    nothing: taking the erasures first, then the events after them, is taking all in order.
    """
    if blocks.ERASED not in rows.schema.names:
        return None
    erases = rows.column(blocks.ERASED).to_numpy(zero_copy_only=False)
    keys = rows.column("key").dictionary_encode().indices.to_numpy()
    places = np.arange(len(erases))
    # Before all rows: of a key that is never erased every event counts.
    last = np.full(len(erases), -1)
    # Of a place that is written to several times the last value stays.
    last[keys[erases]] = places[erases]
    events = np.flatnonzero(~erases & (places > last[keys]))
    return Left(events, np.sort(last[last >= 0]))


def times_of(rows: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Event times (ms) of the rows of a block; of what is no event, a time before all times."""
    times: npt.NDArray[np.int64] = rows.column("t").to_numpy()
    if blocks.ERASED not in rows.schema.names:
        return times
    erases = rows.column(blocks.ERASED).to_numpy(zero_copy_only=False)
    return np.where(erases, NEVER, times)


def check(topic: Topic, views: Sequence[View]) -> None:
    """See that tombstones of the topic, if they erase rows, can do so in all of its views: a record
    has one key, so that is what they must all be keyed by.

    Raises:
        DefinitionError: one has a key of several fields or a derived one, or two have different
            ones; or the topic's records are brought together by an id that is another field.
    """
    own = [view for view in views if view.is_over(topic.name)]
    if topic.tombstone != "delete" or not own:
        return
    first = own[0]
    for view in own:
        is_one = len(view.keys) == 1
        if not is_one or view.keys != first.keys:
            named = " and ".join(view.keys) or "nothing"
            cause = f"is keyed by {named}"
            if is_one:
                cause += f", and view {first.name} by {first.keys[0]}"
            raise DefinitionError(
                f"view {view.name}",
                f"{cause}: tombstones of topic {topic.name} erase the row of their record's key, "
                "which is one field",
                f"Key all views of {topic.name} by the field that its records' keys are, or leave "
                'tombstone="delete" out.',
            )
    if first.keys[0] in topic.derive:
        raise DefinitionError(
            f"view {first.name}",
            f"is keyed by {first.keys[0]!r}, which is derived: tombstones of topic {topic.name} "
            "have the keys of their records, of which nothing is derived",
            'Key it by a field of the schema, or leave tombstone="delete" out.',
        )
    if topic.by_id and first.keys[0] != topic.event_id:
        raise DefinitionError(
            f"topic {topic.name}",
            f"tombstones erase rows by {first.keys[0]} in the order of the log, and "
            f'dedup_by="topic" keeps only events of one {topic.event_id} in order',
            "Leave dedup_by out, and have each key sent to one partition; or leave out "
            'tombstone="delete".',
        )
