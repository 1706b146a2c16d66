"""Which words of a row are codes of texts that lie behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.aggregates import GIVES_A_VALUE, Aggregate
from freshet.features.sketches.layout import EVENT_WORD, FREQUENT
from freshet.features.sketches.plan import SketchPlan

I64 = npt.NDArray[np.int64]


class TextPlan(NamedTuple):
    """Of which `fields` a row has texts, by their places in the plan; what lies in it of them:
    `states` int64 `[n, 2]`, at which word the codes of each begin and how many there may be, each
    with its time behind it; the words of an event in the tail (`tail_words`), and which of the
    row's sketches (`sketches`, from 0 on). `names` are the features whose values they are."""

    fields: tuple[int, ...]
    states: I64
    tail_words: I64
    sketches: I64
    names: tuple[str, ...]


class RecentList(NamedTuple):
    """A feature that is several values: at which `word` of a row the first is, at most how many,
    how old they may be (ms, 0: as old as they are), and whether they are whole numbers or codes
    (else the float64 that a code is of)."""

    word: int
    most: int
    over_ms: int
    is_whole: bool


def text_plan(
    features: Mapping[str, Aggregate],
    fields: Sequence[str],
    open_fields: tuple[int, ...],
    states: Sequence[tuple[int, int, int]],
    sketches: SketchPlan,
) -> TextPlan:
    """`open_fields` are those of the `fields` of which a row has texts; `states` say of each state
    that keeps values its field, its word and how many it keeps."""
    own = []
    tail_words = set()
    for at, sketch in enumerate(sketches.tiles):
        if sketch.kind == FREQUENT and sketch.field in open_fields:
            own.append(at)
            tail_words.add(int(sketches.table[at, EVENT_WORD]))
    named = {fields[field] for field in open_fields}
    kept = [(at, most) for field, at, most in states if field in open_fields]
    return TextPlan(
        fields=open_fields,
        states=np.array(kept, np.int64).reshape(-1, 2),
        tail_words=np.array(sorted(tail_words), np.int64),
        sketches=np.array(own, np.int64),
        names=tuple(
            name
            for name, feature in features.items()
            if isinstance(feature, GIVES_A_VALUE) and feature.input.name in named
        ),
    )


def most_texts(texts: TextPlan, sketches: SketchPlan, tail: int) -> int:
    """How many texts a row may have whose tail has so many events."""
    count = int(texts.states[:, 1].sum()) + tail * len(texts.tail_words)
    for at, (sketch, tiles) in enumerate(sketches.tiles.items()):
        if at in texts.sketches:
            count += tiles * sketch.most
    return count
