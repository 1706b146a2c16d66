"""A board that begins again reads a model's examples, and judges none of them twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshet.learners.model import Model
from freshet.schemas.durations import HOUR_MS
from freshet.schemas.models.layout import Layout
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire import blocks, outcomes
from freshet.serving.board.served_quality import ServedQuality
from freshet.serving.values import skew, skew_file
from freshet.streams.log.contract import Batch
from tests.toy_app import toy_app

BLOCKS = 30
ROWS = 100  # of each kind in a block, which is one of an hour
IDENTITY = "this log"


def examples(model: Model) -> Batch:
    """A block an hour: questions, and as many that were labelled, of numbers that move on."""
    values = [blocks.encode(_block(model, hour)) for hour in range(BLOCKS)]
    edges = np.cumsum([0, *map(len, values)])
    data = np.frombuffer(bytearray(b"".join(values)), np.uint8)
    offsets = np.arange(BLOCKS) * 2  # as where other records stand between them
    return Batch("examples", 0, data, edges[:-1], edges[1:], offsets, offsets)


def _block(model: Model, hour: int) -> blocks.Block:
    layout = Layout.of(model.vectors)
    rng = np.random.default_rng(hour)
    count = 2 * ROWS
    fixed = np.zeros(count, layout.dtype)
    fixed["numbers"] = rng.normal(hour, size=fixed["numbers"].shape)
    fixed["asked_at"] = (1_000 + hour) * HOUR_MS
    kind = np.repeat([outcomes.ASKED, outcomes.LABELLED], ROWS).astype(np.int8)
    label = np.where(kind == outcomes.LABELLED, 1.0, np.nan)
    names = "|".join("a" for _ in layout.categories)
    texts = {name: Texts.of([names] * count) for name in outcomes.TEXTS}
    place = np.arange(count) + hour * count
    rows = outcomes.ExampleRows(kind, place, place, label, np.zeros(count, np.bool_), fixed, texts)
    return blocks.Block(blocks.EXAMPLES, "outcomes", 0, rows.to_arrow(layout, hour))


def read(model: Model, batch: Batch, judged: Mapping[str, Any], identity: str) -> ServedQuality:
    quality = ServedQuality(model)
    quality.begin(identity, judged.get(model.name))
    quality.learn(batch)
    return quality


def test_a_board_that_begins_again_judges_what_came_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = toy_app().models[0]
    judgements = []
    judged = skew.judged

    def counted(hour: int, *rest: Any) -> Any:
        judgements.append(hour)
        return judged(hour, *rest)

    monkeypatch.setattr(skew, "judged", counted)
    batch = examples(model)
    whole = read(model, batch, {}, IDENTITY)
    every = list(judgements)
    half = read(model, batch.rows(0, BLOCKS // 2), {}, IDENTITY)
    kept = half.judged()
    assert kept is not None
    skew_file.save(tmp_path, "toy", {model.name: kept})
    later = [hour for hour in every if hour >= 1_000 + BLOCKS // 2]
    for identity, expected in ((IDENTITY, later), ("another", every)):
        judgements.clear()
        again = read(model, batch, skew_file.restored(tmp_path, "toy"), identity)
        assert judgements == expected
        assert again.skewed == whole.skewed
        # All else is of the whole log.
        assert (again.asked, again.labelled) == (BLOCKS * ROWS, BLOCKS * ROWS)
    assert len(every) >= BLOCKS - 1


def test_before_a_log_is_read_nothing_is_kept() -> None:
    assert ServedQuality(toy_app().models[0]).judged() is None
