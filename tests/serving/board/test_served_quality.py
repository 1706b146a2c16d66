"""What is known of answers is that of the whole log, whoever read how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
from freshet.serving.values import served_file, skew
from freshet.serving.values.served_file import KeptServed
from freshet.streams.log.contract import Batch
from tests.toy_app import toy_app

BLOCKS = 30
ROWS = 100  # of each kind in a block, which is one of an hour
FIRST_HOUR = 1_000
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
    fixed["asked_at"] = (FIRST_HOUR + hour) * HOUR_MS
    kind = np.repeat([outcomes.ASKED, outcomes.LABELLED], ROWS).astype(np.int8)
    label = np.where(kind == outcomes.LABELLED, 1.0, np.nan)
    names = "|".join("a" for _ in layout.categories)
    texts = {name: Texts.of([names] * count) for name in outcomes.TEXTS}
    place = np.arange(count) + hour * count
    rows = outcomes.ExampleRows(kind, place, place, label, np.zeros(count, np.bool_), fixed, texts)
    return blocks.Block(blocks.EXAMPLES, "outcomes", 0, rows.to_arrow(layout, hour))


def read(
    model: Model, batch: Batch, kept: Mapping[str, KeptServed], identity: str = IDENTITY
) -> ServedQuality:
    """One that reads a log from where it is to."""
    quality = ServedQuality(model)
    start = quality.begin(identity, kept.get(model.name))
    quality.learn(batch.where(batch.offsets >= start))
    quality.reckon()
    return quality


def told(quality: ServedQuality) -> tuple[Any, ...]:
    counts = (quality.asked, quality.labelled, quality.expired, quality.rungs)
    return (*counts, quality.figures, quality.skew, quality.skewed)


@pytest.mark.parametrize("cut", [0, 1, BLOCKS // 2, BLOCKS])
def test_one_that_goes_on_from_what_was_kept_tells_what_one_that_read_all_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    model = replace(toy_app().models[0], skew_bounds={"price": 0.2})
    judgements: list[int] = []
    judge = skew.Skew._judge

    def counted(judging: skew.Skew) -> None:
        judgements.append(judging._hour)
        judge(judging)

    monkeypatch.setattr(skew.Skew, "_judge", counted)
    batch = examples(model)
    whole = read(model, batch, {})
    assert whole.skewed
    every = list(judgements)
    kept = read(model, batch.rows(0, cut), {}).kept()
    assert kept is not None
    served_file.save(tmp_path, "toy", {model.name: kept})
    # What is read: the rest; of another log, or for another declaration, all of it.
    for identity, slices, first in (
        (IDENTITY, model.slices, cut),
        ("another", model.slices, 0),
        (IDENTITY, (), 0),
    ):
        judgements.clear()
        found = served_file.restored(tmp_path, "toy")
        again = read(replace(model, slices=slices), batch, found, identity)
        # The newest hour was not over yet.
        assert judgements == [hour for hour in every if hour >= FIRST_HOUR + first - 1]
        if slices == model.slices:
            assert told(again) == told(whole)
    # The first questions come before anything was learned, and the last hour is not over: one of many.
    assert len(every) == BLOCKS - 1


def test_before_a_log_is_read_nothing_is_kept() -> None:
    assert ServedQuality(toy_app().models[0]).kept() is None
