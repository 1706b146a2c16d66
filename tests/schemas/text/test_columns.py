"""Text columns against plain Python: strings, dictionaries, and the hash written out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.text import kernels as text_kernels
from freshet.schemas.text.columns import Texts

untimed = settings(deadline=None)
WORD = st.text(max_size=20) | st.sampled_from(
    ["", "a", "JFK", "Zürich", "日本", "🛫", "eight by", "exactly16bytes!!", "x" * 90]
)
WORDS = st.lists(st.none() | WORD, max_size=30)
MASK = (1 << 64) - 1
SEEDS = {"low": 0x9E3779B97F4A7C15, "high": 0xD6E8FEB86659FD93, "route": 0xA0761D6478BD642F}


def hashed(text: str, seed: str) -> int:
    """MurmurHash3's finaliser over the words of eight bytes, the last filled up with zeros."""
    data = text.encode()
    h = SEEDS[seed] ^ len(data)
    for i in range(0, len(data), 8):
        h = ((h ^ int.from_bytes(data[i : i + 8], "little")) * 0xFF51AFD7ED558CCD) & MASK
        h ^= h >> 32
        h = (h * 0xC4CEB9FE1A85EC53) & MASK
        h ^= h >> 29
    return h


def strings(texts: Texts) -> list[str | None]:
    """Read by hand, byte by byte."""
    data = texts.data.tobytes()
    rows = zip(texts.start.tolist(), texts.end.tolist(), texts.valid.tolist())
    return [data[a:b].decode() if valid else None for a, b, valid in rows]


def filled(words: Sequence[str | None]) -> list[str]:
    return [w or "" for w in words]


# ------------------------------------------------------------ columns
@untimed
@given(WORDS, st.integers(0, 30), st.integers(0, 30))
def test_a_slice_of_an_arrow_column_is_read_with_its_nulls(
    words: list[str | None], a: int, n: int
) -> None:
    column = pa.array(words, pa.string()).slice(min(a, len(words)), n)
    texts = Texts.from_arrow(column)
    assert strings(texts) == column.to_pylist()
    assert len(texts) == len(column)
    back = texts.to_arrow()
    back.validate(full=True)
    assert back.to_pylist() == column.to_pylist()
    assert back.null_count == column.null_count


@untimed
@given(WORDS, st.lists(st.integers(0, 29), max_size=12))
def test_rows_are_taken_in_any_order(words: list[str | None], places: list[int]) -> None:
    texts, rows = (
        Texts.of(words),
        np.array([p % len(words) for p in places] if words else [], np.int64),
    )
    expected = [words[i] for i in rows]
    assert strings(texts.take(rows)) == expected
    assert texts.to_arrow(rows).to_pylist() == expected
    assert texts.take(rows).to_arrow().to_pylist() == expected


@untimed
@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(0, 9))
def test_columns_are_put_together(parts: list[list[str | None]], skip: int) -> None:
    columns = [pa.array(p, pa.string()).slice(min(skip, len(p))) for p in parts]
    joined = Texts.concatenate([Texts.from_arrow(c) for c in columns])
    expected = [w for c in columns for w in c.to_pylist()]
    assert strings(joined) == expected
    assert joined.to_arrow().to_pylist() == expected


def test_columns_without_rows_or_bytes_are_columns() -> None:
    for column in (
        pa.array([], pa.string()),
        pa.array(["", ""]),
        pa.array([None, None], pa.string()),
    ):
        texts = Texts.from_arrow(column)
        assert texts.to_arrow().to_pylist() == column.to_pylist()
        assert texts.data.size >= 1
        assert (
            len(texts.hashes())
            == len(texts.identities())
            == len(texts.partitions(3))
            == len(column)
        )


def test_texts_of_no_length_carry_no_stray_bytes() -> None:
    for _ in range(50):
        np.full(1, 0xAB, np.uint8)
        data = np.full(8, 0xAB, np.uint8)
        spans = np.zeros(2, np.int64)
        offsets = np.zeros(3, np.int32)
        text_kernels.gather(np.zeros(1, np.uint8), spans, spans, np.arange(2), offsets, data)
        assert data[0] == 0


# ------------------------------------------------------------ hashes
@untimed
@given(WORDS, st.integers(1, 4096))
def test_hashes_identities_and_partitions_are_those_of_plain_python(
    words: list[str | None], count: int
) -> None:
    texts = Texts.of(words)
    assert texts.hashes().tolist() == [0 if w is None else hashed(w, "low") | 1 for w in words]
    assert texts.identities().tolist() == [
        [hashed(w, "low") | 1, hashed(w, "high")] for w in filled(words)
    ]
    assert texts.partitions(count).tolist() == [hashed(w, "route") % count for w in filled(words)]


def test_hashes_are_what_they_have_always_been() -> None:
    """Models and logs hold them: they may never change."""
    assert Texts.of(["", "JFK", "a key of more than eight bytes"]).hashes().tolist() == [
        0x9E3779B97F4A7C15,
        15405880323112097459,
        9720150198818959669,
    ]
