"""Dumps by names are what was dumped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from freshet.features.cold.named import (
    Dumped,
    NamedRows,
    as_arrays,
    ended,
    from_arrays,
    is_named,
    joined,
    names_of,
    rows_of,
    texts_of,
)
from freshet.features.rows.layout import NEVER, NEWEST, OVER
from freshet.schemas.errors import CheckpointError

names = st.lists(st.binary(max_size=12), max_size=8)


@given(names, names, names, st.booleans())
def test_a_dump_comes_back(
    keys: list[bytes], gone: list[bytes], pending: list[bytes], is_base: bool
) -> None:
    words, ends = rows_of([bytes(8 * (1 + len(key))) for key in keys])
    what = Dumped(is_base, 7, gone, NamedRows(keys, words, ends), pending)
    arrays = load(save(as_arrays(what, "digest")))
    assert is_named(arrays)
    found = from_arrays(arrays, "digest")
    assert (found.is_base, found.total, found.gone, found.pending) == (is_base, 7, gone, pending)
    assert found.rows.keys == keys
    assert found.rows.ends.tolist() == ends.tolist()
    with pytest.raises(CheckpointError, match="dumped by another definition"):
        from_arrays(arrays, "another")


@given(names)
def test_names_are_texts_and_back(found: list[bytes]) -> None:
    assert names_of(texts_of(found)) == found


@given(st.lists(names, max_size=4))
def test_parts_that_are_joined_are_parts_again(parts: list[list[bytes]]) -> None:
    made = [NamedRows(keys, *rows_of([bytes(8 * (1 + len(k))) for k in keys])) for keys in parts]
    whole = joined(made)
    first = 0
    for part in made:
        after = first + len(part.keys)
        if part.keys:
            again = whole.part(first, after)
            assert again.keys == part.keys
            assert again.ends.tolist() == part.ends.tolist()
        first = after


def test_a_row_is_over_once_the_clock_is_further_ahead_than_it_is_held() -> None:
    newest = [0, 90, 100, NEVER, OVER]
    rows = [np.eye(1, 5, NEWEST, dtype=np.int64)[0] * at for at in newest]
    words, ends = rows_of([row.tobytes() for row in rows])
    assert ended(words, ends, 101, 10).tolist() == [True, True, False, True, True]
    # While it is not known how far the log is, none is but those that were ended.
    assert ended(words, ends, NEVER, 10).tolist() == [False, False, False, True, True]
