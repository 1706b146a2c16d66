"""Earlier checkpoints that are kept follow from times and sizes alone, and are never missed."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from freshet.schemas.durations import DAY_MS, HOUR_MS
from freshet.streams.ladder import LEVELS, MINUTE_MS, WEEK_MS, Rung, kept

RUNGS = st.lists(
    st.builds(Rung, st.integers(0, 40 * DAY_MS), st.integers(1, 50)), unique=True, max_size=60
)
ENOUGH = 1 << 40


@given(RUNGS, st.integers(0, 500), st.randoms())
def test_it_follows_from_times_and_sizes_and_holds_its_budget(
    rungs: list[Rung], most: int, random: Random
) -> None:
    found = kept(rungs, most)
    assert kept(random.sample(rungs, len(rungs)), most) == found
    assert sum(rung.size for rung in found) <= most
    assert set(found) <= set(rungs)
    assert kept(found, most) == found, "what stays once stays as long as nothing comes"


@given(RUNGS)
def test_letting_go_one_by_one_misses_nothing_that_would_stay_at_once(rungs: list[Rung]) -> None:
    stays: list[Rung] = []
    for rung in sorted(rungs):
        stays = kept([*stays, rung], ENOUGH)
    assert stays == kept(rungs, ENOUGH)


@given(RUNGS)
def test_there_is_one_for_each_step_of_each_level(rungs: list[Rung]) -> None:
    found = kept(rungs, ENOUGH)
    now = max((rung.at_ms for rung in rungs), default=0)
    for step, span in LEVELS:
        for rung in rungs:
            if span is None or now - rung.at_ms <= span:
                assert any(rung.at_ms // step == own.at_ms // step for own in found)


def test_where_bytes_are_short_each_level_keeps_its_newest() -> None:
    now = 8 * WEEK_MS
    rungs = [Rung(now - minutes * MINUTE_MS, 10) for minutes in range(0, 56 * 24 * 60, 7)]
    found = kept(rungs, 100)
    assert len(found) == 10
    ages = [now - rung.at_ms for rung in found]
    assert sum(age <= HOUR_MS for age in ages) >= 3
    assert sum(age > DAY_MS for age in ages) >= 3
    assert max(ages) > WEEK_MS
