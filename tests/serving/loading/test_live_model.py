"""The slot of a live model: swapped by one assignment, the last good one kept."""

from __future__ import annotations

import threading

import numpy as np

from freshet.schemas.models.manifest import Manifest
from freshet.schemas.models.vectors import F64, Vectors
from freshet.serving.loading.live_model import LiveModel, ModelSlot


class Fixed:
    def __init__(self, p: float) -> None:
        self.p = p

    def predict(self, vectors: Vectors) -> F64:
        return np.full(len(vectors), self.p)


def live(number: int) -> LiveModel:
    manifest = Manifest(
        "flights", "late", "toy-1", number, "toy", {}, "", 1000 * number, 10, 5, "", 0
    )
    return LiveModel(Fixed(number / 1000), manifest)


def test_a_swap_keeps_the_last_good_one_and_returns_the_one_before() -> None:
    slot, (a, b, c) = ModelSlot(), (live(1), live(2), live(3))
    assert slot.current() is None
    assert slot.swap(a) is None
    assert (slot.current(), slot.last_good()) == (a, None)
    assert slot.swap(b) is None
    assert (slot.current(), slot.last_good()) == (b, a)
    assert slot.swap(c) is a
    assert (slot.current(), slot.last_good()) == (c, b)
    assert (b.lineage, b.number, b.tick, b.position) == ("toy-1", 2, 2000, 5)


def test_readers_never_see_a_snapshot_with_the_facts_of_another() -> None:
    slot = ModelSlot()
    slot.swap(live(1))
    done, torn = threading.Event(), list[LiveModel]()
    vectors = Vectors(np.zeros((1, 1), np.uint64), np.zeros((1, 1), np.float32))

    def read() -> None:
        while not done.is_set():
            standing = slot.standing
            assert standing.current is not None
            if standing.current.predictor.predict(vectors)[0] != standing.current.number / 1000:
                torn.append(standing.current)
            if (
                standing.last_good is not None
                and standing.last_good.number != standing.current.number - 1
            ):
                torn.append(standing.current)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for r in readers:
        r.start()
    for number in range(2, 900):
        slot.swap(live(number))
    done.set()
    for r in readers:
        r.join()
    assert not torn
