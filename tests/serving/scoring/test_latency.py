"""Latencies in rings of fixed size, and those near swaps told apart."""

from __future__ import annotations

import numpy as np
import pytest

from freshet.serving.scoring import latency
from freshet.serving.scoring.latency import Latency, Outcome


def test_quantiles_are_of_the_newest_requests() -> None:
    x = Latency(capacity=4)
    assert x.quantiles_ms([0.5]) == [None]
    told: dict[int, Outcome] = {3: "failed", 4: "refused", 5: "refused"}
    for i in range(10):
        x.add(i, i / 1000, 2, told.get(i, "answered"))
    assert (x.requests, x.rows, x.failed, x.refused, x.answered) == (10, 20, 1, 2, 7)
    assert x.quantiles_ms([0.0, 1.0]) == pytest.approx([6.0, 9.0])


def test_requests_in_error_are_counted_apart_and_are_no_measure_of_latency() -> None:
    x = Latency()
    x.add(0.0, 0.001, 1)
    x.add(0.0, 30.0, 0, "in_error")
    x.add_in_error()
    assert (x.requests, x.answered, x.failed, x.refused, x.in_error) == (3, 1, 0, 0, 2)
    assert x.quantiles_ms([1.0]) == pytest.approx([1.0])
    assert sum(x.durations.facts()["counts"]) == 1


def test_requests_near_a_swap_are_those_the_slow_way_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x = Latency(capacity=512, swaps=16)
    swaps = sorted(rng.uniform(0, 20, 12).tolist())
    for t in swaps:
        monkeypatch.setattr(latency.time, "monotonic", lambda t=t: t)
        x.mark_swap()
    requests = [(rng.uniform(-1, 22), rng.exponential(0.05)) for _ in range(400)]
    for started, took in requests:
        x.add(started, took, 1)
    slow = [
        took
        for started, took in requests
        if any(t - 0.01 <= started + took and started <= t + 0.4 for t in swaps)
    ]
    assert x.swaps == 12
    assert sorted(x.near_swaps().tolist()) == pytest.approx(sorted(slow))
    assert x.quantiles_ms([0.5], near_swaps=True)[0] == pytest.approx(np.median(slow) * 1e3)


def test_without_a_swap_none_is_near() -> None:
    x = Latency()
    x.add(0.0, 0.001, 1)
    assert x.quantiles_ms([0.99], near_swaps=True) == [None]


def test_the_histogram_counts_every_request_once_by_its_upper_bound() -> None:
    x = Latency(capacity=4)
    for seconds in (0.0001, 0.0005, 0.0006, 3.0, 60.0):
        x.add(0.0, seconds, 1)
    facts = x.durations.facts()
    assert len(facts["counts"]) == len(facts["le"]) + 1
    assert facts["counts"][:2] == [2, 1]
    assert facts["counts"][-2:] == [1, 1]
    assert facts["sum"] == pytest.approx(63.0012)


def test_the_histogram_near_swaps_counts_each_request_once_when_asked_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(latency.time, "monotonic", lambda: now[0])
    rng, x, total = np.random.default_rng(2), Latency(capacity=32, swaps=16), 0
    slow = Latency()
    for _ in range(200):
        now[0] += rng.exponential(0.1)
        if rng.random() < 0.1:
            x.mark_swap()
            slow.mark_swap()
        took = rng.uniform(0, 0.05)
        x.add(now[0] - took, took, 1)
        slow.add(now[0] - took, took, 1)
        if rng.random() < 0.5:
            total = sum(x.durations_near_swaps().facts()["counts"])
            assert total <= len(slow.near_swaps())
    now[0] += 1.0
    facts = x.durations_near_swaps().facts()
    assert sum(facts["counts"]) == len(slow.near_swaps()) >= total > 0
    assert facts["sum"] == pytest.approx(float(slow.near_swaps().sum()))
