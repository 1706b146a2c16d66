"""Ids of texts that come and go, against a dictionary."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.text import name_kernels
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.interner import FEW_BYTES, Interner
from tests.schemas.text.test_columns import strings

untimed = settings(deadline=None)
WORDS = st.lists(
    st.one_of(st.none(), st.sampled_from(["", "a", "b", "ab", "Zürich", "x" * 40]), st.text()),
    max_size=12,
)


@dataclass
class Dictionary:
    """Ids as they are promised: the one that became free last is given first."""

    known: dict[str, int] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)
    given: int = 0

    def id_of(self, word: str) -> int:
        if word not in self.known:
            if self.free:
                self.known[word] = self.free.pop()
            else:
                self.known[word] = self.given
                self.given += 1
        return self.known[word]

    def forget(self, word: str) -> int:
        self.free.append(self.known.pop(word))
        return self.free[-1]


def filled(words: list[str | None]) -> list[str]:
    return [word or "" for word in words]


def named(interner: Interner) -> dict[str, int]:
    ids = interner.ids()
    return dict(zip([name.decode() for name in interner.names_of(ids)], ids.tolist()))


@untimed
@given(st.lists(WORDS, max_size=8), st.sampled_from([1, 2, 1 << 10]), st.data())
def test_texts_have_ids_as_of_a_dictionary_that_forgets(
    columns: list[list[str | None]], capacity: int, data: st.DataObject
) -> None:
    interner = Interner(capacity)
    model = Dictionary()
    follower = Interner(2)
    for words in columns:
        expected = [model.id_of(word) for word in filled(words)]
        assert interner(Texts.of(words)).tolist() == expected
        if model.known:
            gone = data.draw(st.lists(st.sampled_from(sorted(model.known)), unique=True))
            ids = [model.forget(word) for word in gone]
            interner.forget(np.array(ids, np.int64))
        assert (len(interner), interner.given) == (len(model.known), model.given)
        assert named(interner) == model.known
        if data.draw(st.booleans()):
            assert follower.apply(interner.changes())
            assert named(follower) == named(interner)
    everything = interner.ids()
    assert strings(interner.texts()) == [name.decode() for name in interner.names_of(everything)]


def test_changes_that_do_not_follow_are_told_from_those_that_do() -> None:
    interner = Interner()
    interner(Texts.of(["a", "b"]))
    first = interner.changes()
    interner.forget(np.array([0]))
    interner(Texts.of(["c"]))
    second = interner.changes()
    assert (second.forgotten.tolist(), second.ids.tolist()) == ([0], [0])
    follower = Interner()
    assert not follower.apply(second)
    assert Interner().apply(first)
    twice = Interner()
    assert twice.apply(first)
    assert not twice.apply(first)


def test_it_grows_far_beyond_its_room() -> None:
    interner = Interner(2)
    words = [f"{i}:" + "y" * (i % 300) for i in range(5_000)]
    for a in range(0, 5_000, 700):
        assert interner(Texts.of(words[a : a + 700])).tolist() == list(
            range(a, min(a + 700, 5_000))
        )
    assert interner(Texts.of(words[::-1])).tolist() == list(range(4_999, -1, -1))


def test_memory_stays_as_it_is_while_texts_without_end_pass_through() -> None:
    interner = Interner()
    passing = 0
    most = 0
    for turn in range(300):
        words = [f"key {turn}:{i}" for i in range(1_000)]
        ids = interner(Texts.of(words))
        assert ids.max() < 2_000
        interner.forget(ids)
        passing += len(words)
        if turn == 10:
            most = interner.used_bytes
    assert len(interner) == 0
    assert passing == 300_000
    assert interner.used_bytes <= most + FEW_BYTES


def test_texts_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their bytes: a table in which all hashes collide still finds each, and the others when one
    is gone."""
    texts = Texts.of(["a", "b", "aa", "", "a"])
    slots = np.zeros(16, np.uint64)
    counts = np.zeros(name_kernels.COUNTS, np.int64)
    held = np.zeros(64, np.uint8)
    places = np.zeros(32, np.int64)
    free = np.zeros(16, np.int32)
    unsaved = np.zeros(16, np.bool_)
    out = np.empty(5, np.int64)
    monkeypatch.setattr(name_kernels, "hash_span", lambda data, start, end, seed: np.uint64(0))
    spans = (texts.data, texts.start, texts.end)
    name_kernels.intern.py_func(spans, slots, counts, held, places, free, unsaved, out)
    assert out.tolist() == [0, 1, 2, 3, 0]
    gone = np.array([1])
    name_kernels.forget.py_func(gone, slots, counts, held, places, free)
    name_kernels.intern.py_func(spans, slots, counts, held, places, free, unsaved, out)
    assert out.tolist() == [0, 1, 2, 3, 0]
    assert np.count_nonzero(slots) == 4
