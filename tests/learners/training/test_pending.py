"""What is pending is found until it is old, however many there are, as in a dictionary that forgets
nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.learners.training.pending import Pending

KEEP = 1_000


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10_000),
    st.lists(
        st.tuples(st.integers(1, 900), st.integers(0, 400), st.booleans()), min_size=1, max_size=12
    ),
)
def test_what_is_young_is_always_found(first: int, puts: list[tuple[int, int, bool]]) -> None:
    pending, number, now = Pending(KEEP), first, 0
    known: dict[int, tuple[int, float]] = {}
    for n, later, restart in puts:
        now += later
        ask, at = np.arange(number, number + n), np.full(n, now)
        p = (ask % 97) / 97.0
        pending.put(ask, at, p)
        known |= {int(a): (now, float(x)) for a, x in zip(ask, p)}
        number += n
        if restart:
            state, pending = {k: v.copy() for k, v in pending.dump().items()}, Pending(KEEP)
            pending.load(state)
        asks = np.array(list(known))
        for a, found in zip(asks.tolist(), pending.get(asks).tolist()):
            at_, p_ = known[a]
            assert found == p_ or (np.isnan(found) and at_ + KEEP <= now)


def test_the_ring_grows_only_for_what_is_young() -> None:
    pending = Pending(KEEP)
    for i in range(50):
        pending.put(np.arange(i * 500, i * 500 + 500), np.full(500, i * KEEP), np.ones(500))
    assert len(pending.dump()["pending_ask"]) == 1 << 10
    pending.put(np.arange(25_000, 30_000), np.full(5_000, 50 * KEEP), np.ones(5_000))
    assert len(pending.dump()["pending_ask"]) == 1 << 13
    assert np.isfinite(pending.get(np.arange(25_000, 30_000))).all()


def test_who_was_not_asked_has_no_answer() -> None:
    pending = Pending(KEEP)
    pending.put(np.array([5]), np.array([0]), np.array([0.25]))
    pending.put(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    found = pending.get(np.array([5, 6, 5 + (1 << 10)]))
    assert found[0] == 0.25
    assert np.isnan(found[1:]).all()


def test_an_answer_of_several_numbers_comes_back_whole_also_after_growing() -> None:
    pending = Pending(KEEP, 3)
    asks = np.arange(3_000)
    rows = np.random.default_rng(1).random((3_000, 3))
    pending.put(asks, np.zeros(3_000, np.int64), rows)
    again = Pending(KEEP, 3)
    again.load(pending.dump())
    assert again.get(asks).tobytes() == rows.tobytes()
    assert np.isnan(again.get(np.array([9_999]))).all()
