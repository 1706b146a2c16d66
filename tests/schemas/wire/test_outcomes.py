"""Blocks of predictions and examples say what stands in their rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from freshet.schemas.errors import SchemaError
from freshet.schemas.models.layout import Layout
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire import blocks
from freshet.schemas.wire.outcomes import fixed_of, layout_of, prediction_rows, texts_of

LAYOUT = Layout(("shop", "hour"), ("price", "late"))


def sent(layout: Layout = LAYOUT, rows: int = 3) -> pa.RecordBatch:
    """Some predictions, encoded and decoded."""
    fixed = np.zeros(rows, layout.dtype)
    fixed["numbers"] = np.arange(rows * len(layout.numbers)).reshape(rows, -1)
    texts = {
        "id": Texts.of([f"{i}" for i in range(rows)]),
        "categories": Texts.of([f"a\\|{i}|\\N" for i in range(rows)]),
        "lineage": Texts.of([""] * rows),
    }
    versions = pa.array([b"v" * 16] * rows, pa.binary(16))
    made = prediction_rows(layout, fixed, texts, versions)
    found = blocks.decode(blocks.encode(blocks.Block(blocks.PREDICTIONS, "scorer:a", 0, made)))
    return found.rows


def test_a_block_says_its_layout_and_so_does_each_part_of_it() -> None:
    rows = sent()
    assert layout_of(rows) == LAYOUT
    assert layout_of(rows.slice(1, 1)) == LAYOUT
    assert fixed_of(rows.slice(1, 2), LAYOUT)["numbers"].tolist() == [[2.0, 3.0], [4.0, 5.0]]


def test_numbers_and_categories_are_read_by_their_names() -> None:
    mine = Layout(("hour", "shop"), ("late",))
    assert fixed_of(sent(), mine)["numbers"].tolist() == [[1.0], [3.0], [5.0]]
    found = texts_of(sent(), mine)["categories"].to_arrow().to_pylist()
    assert found == [f"\\N|a\\|{i}" for i in range(3)]
    assert texts_of(sent(), LAYOUT)["categories"].to_arrow().to_pylist() == [
        f"a\\|{i}|\\N" for i in range(3)
    ]


def test_rows_that_do_not_say_their_layout_or_are_of_another_width_are_refused() -> None:
    rows = sent()
    with pytest.raises(SchemaError, match="does not say the layout"):
        fixed_of(rows.replace_schema_metadata(None), LAYOUT)
    other = Layout((), ("price",)).text
    with pytest.raises(SchemaError, match="and not of"):
        fixed_of(rows.replace_schema_metadata({b"layout": other}), LAYOUT)
