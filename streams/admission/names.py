"""Who sent each row: a topic's sources as kernels tell them apart, for admission and for statistics
alike."""

from __future__ import annotations

import numpy as np

from freshet.schemas.events.codec import frozen
from freshet.schemas.events.columns import Columns
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Topic
from freshet.streams.admission import kernels


def are_texts(topic: Topic) -> bool:
    """Whether the topic's sources are told apart by a text, and not by a number."""
    if topic.source is None:
        return False
    return topic.events.fields[topic.events.position(topic.source)].type == "string"


def names_of(topic: Topic, columns: Columns) -> kernels.Names:
    """Nobody where the topic tells no source apart. A source's texts are canonical: a UUID in upper
    case is the same one. All arrays are frozen, for kernels are compiled for one kind of arrays."""
    if topic.source is None:
        nothing = frozen(np.zeros(0, np.int64))
        nobody = frozen(np.zeros(columns.n, np.bool_))
        return kernels.Names(frozen(columns.data), nothing, nothing, nobody, False)
    if are_texts(topic):
        return kernels.Names(*columns.frozen_text(topic.source), True)
    at = topic.events.position(topic.source)
    first, second = columns.words[at]
    valid = frozen(columns.valid[at])
    return kernels.Names(frozen(columns.data), frozen(first), frozen(second), valid, False)


def names_in(texts: Texts) -> kernels.Names:
    """Each row by its text."""
    data = frozen(texts.data)
    return kernels.Names(data, frozen(texts.start), frozen(texts.end), frozen(texts.valid), True)
