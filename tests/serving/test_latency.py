"""Latencies in rings of fixed size, and those near swaps told apart."""

from __future__ import annotations

import numpy as np
import pytest

from serving import latency
from serving.latency import Latency


def test_quantiles_are_of_the_newest_requests() -> None:
    x = Latency(capacity=4)
    assert x.quantiles_ms([0.5]) == [None]
    for i in range(10):
        x.add(i, i / 1000, rows=2, failed=i == 3)
    assert (x.requests, x.rows, x.failed) == (10, 20, 1)
    assert x.quantiles_ms([0.0, 1.0]) == pytest.approx([6.0, 9.0])


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
    slow = [took for started, took in requests if any(t - 0.01 <= started + took and started <= t + 0.4 for t in swaps)]
    assert x.swaps == 12
    assert sorted(x.near_swaps().tolist()) == pytest.approx(sorted(slow))
    assert x.quantiles_ms([0.5], near_swaps=True)[0] == pytest.approx(np.median(slow) * 1e3)


def test_without_a_swap_none_is_near() -> None:
    x = Latency()
    x.add(0.0, 0.001, 1)
    assert x.quantiles_ms([0.99], near_swaps=True) == [None]
