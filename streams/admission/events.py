"""The events of records: each record is one, or as many as an array in it has elements."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.events.columns import Columns
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import joined
from freshet.schemas.topics.exploding import explode
from freshet.schemas.topics.topic import Topic
from freshet.streams.log.contract import Batch

# Of records that are exploded so many bytes are settled at once: an element may be of two bytes,
# and each of its columns takes sixteen.
PART_BYTES = 1 << 20


def parts(batch: Batch, topic: Topic) -> Iterator[Batch]:
    """A batch in pieces that do not become too many events at once; where it is cut changes
    nothing."""
    if topic.exploding is None:
        yield batch
        return
    sizes = np.cumsum(batch.end - batch.start)
    first = 0
    while first < len(batch):
        before = int(sizes[first - 1]) if first else 0
        after = int(np.searchsorted(sizes, before + PART_BYTES, "right"))
        # One record at least, however large it is.
        after = max(after, first + 1)
        yield batch.rows(first, after)
        first = after


def events_of(records: Columns, batch: Batch, topic: Topic) -> tuple[Columns, Batch]:
    """Decoded records as events, and the record of each."""
    if topic.exploding is None:
        return records, batch
    events = explode(records, topic.exploding)
    return events, batch.as_events(events.parents, events.places)


def ids_of(columns: Columns, batch: Batch, topic: Topic) -> npt.NDArray[np.uint64]:
    """What events are told apart by, as 128 bits each, uint64 `[n, 2]`: their ids, or the places of
    their records; of several in a record with their places in that."""
    if topic.event_id is None:
        found = _digits(batch.offsets)
    else:
        found = columns.key(topic.event_id)
    if batch.places is not None and topic.record_id == topic.event_id:
        found = joined([found, _digits(batch.places)])
    return found.identities()


def _digits(numbers: npt.NDArray[np.int64] | npt.NDArray[np.int32]) -> Texts:
    return Texts.from_arrow(pa.array(numbers).cast(pa.string()))
