"""By conditions over shares a trainer is held at the same examples, however its log is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import freshet as fr
from freshet.learners.holding.shares import Usual
from freshet.learners.holding.watch import SUDDENLY, Watching
from freshet.learners.started import Start
from freshet.schemas.durations import DAY_MS, HOUR_MS
from tests.learners.training.test_task import examples, plan, train
from tests.streams.join.toy_outcomes import DTYPE, WAIT, Answered, Asked, Item, Tick, rows_of
from tests.streams.toy_events import CUTS

EXPIRED = fr.HoldWhen("expired_share", above=0.3, over="2s")
WIND = fr.HoldWhen("missing_input", feature="wind", above=0.4, over="3s")
CONDITIONS = (EXPIRED, WIND)
NAMES = ("carrier", "gate", "delay", "wind", "temp")
LEAST, PARTS, BACK = 20, 60, 0.8
WITHIN = 3_000
QUESTIONS = 12  # a quarter of a second
# What a quarter of a second is like: everything is there; a number is missing; no label ever comes.
KINDS = ("whole", "whole", "whole", "lacking", "unanswered")
LOGS = st.lists(st.sampled_from(KINDS), min_size=4, max_size=24)
untimed = settings(deadline=None, max_examples=25)


@dataclass(frozen=True)
class Lacking(Asked):
    """A question that says no wind."""

    def fixed(self, sequence: int) -> Any:
        row = super().fixed(sequence)
        row["numbers"][1] = np.nan
        return row


def log_of(kinds: Sequence[str]) -> list[bytes]:
    items: list[Item] = [Tick(0)]
    for at, kind in enumerate(kinds):
        t = 250 * at
        make = Lacking if kind == "lacking" else Asked
        items += [make(f"{at}.{i}", t + i) for i in range(QUESTIONS)]
        if kind != "unanswered":
            items += [Answered(f"{at}.{i}", t + 100 + i, float(i % 2)) for i in range(QUESTIONS)]
        items.append(Tick(t + 250))
    items.append(Tick(250 * len(kinds) + 3 * WAIT))
    return examples(items)


@dataclass
class Slow:
    """The conditions and what they hold, row by row."""

    tick: int | None = None
    window: list[tuple[int, str, bool]] = field(default_factory=list)
    # When, and whether each lacked its wind.
    learned: list[tuple[int, bool]] = field(default_factory=list)
    since_tick: list[tuple[str, bool]] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    spans: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def take(self, value: bytes) -> None:
        for row in rows_of([value]):
            if row[0] == "tick":
                self.reach(row[1])
                continue
            lacks = bool(np.isnan(np.frombuffer(row[5], DTYPE)["numbers"][0, 1]))
            self.since_tick.append((row[0], lacks))

    def reach(self, tick: int) -> None:
        if self.tick is not None and tick <= self.tick:
            return
        for kind, lacks in self.since_tick:
            self.window.append((tick, kind, lacks))
            if kind in ("labelled", "corrected"):
                if self.held:
                    # The one that began first has it counted.
                    name = next(iter(self.held))
                    self.spans[name, self.held[name]][1] += 1
                else:
                    self.learned.append((tick, lacks))
        self.since_tick, self.tick = [], tick
        self.turn(EXPIRED, self.expired(tick), 0.0)
        width = WITHIN // PARTS
        before = [m for t, m in self.learned if t // width <= tick // width - PARTS]
        if len(before) >= 5:
            self.turn(WIND, self.missing(tick), sum(before) / len(before))

    def recent(self, condition: fr.HoldWhen, tick: int) -> list[tuple[str, bool]]:
        width = condition.over_ms // PARTS
        return [(k, m) for t, k, m in self.window if t // width > tick // width - PARTS]

    def expired(self, tick: int) -> list[bool]:
        kinds = [k for k, _ in self.recent(EXPIRED, tick) if k in ("labelled", "expired")]
        return [k == "expired" for k in kinds]

    def missing(self, tick: int) -> list[bool]:
        return [m for k, m in self.recent(WIND, tick) if k == "asked"]

    def turn(self, condition: fr.HoldWhen, having: list[bool], usual: float) -> None:
        name, n = condition.text, len(having)
        more = sum(having) / n - usual if n else 0.0
        if name in self.held:
            if n and more <= BACK * condition.bound:
                self.spans[name, self.held.pop(name)][0] = self.tick or 0
        elif n >= LEAST and more > condition.bound:
            self.held[name] = self.tick or 0
            self.spans[name, self.held[name]] = [-1, 0]


def watching(
    values: Sequence[bytes], cuts: Sequence[int] = (), restarts: Sequence[int] = (), **more: Any
) -> Any:
    p = replace(plan(5), watching=Watching(CONDITIONS, WITHIN), **more)
    return train(values, cuts, restarts, p)


@untimed
@given(LOGS, CUTS, CUTS)
def test_it_is_held_where_a_plain_walk_says_so_however_its_log_is_read(
    kinds: list[str], cuts: list[int], restarts: list[int]
) -> None:
    values, slow = log_of(kinds), Slow()
    for value in values:
        slow.take(value)
    found = watching(values, cuts, restarts).task
    facts = found.facts()
    assert facts["learned"] == len(slow.learned)
    spans = {
        (skip["by"].removeprefix("condition "), skip["start"]): skip for skip in facts["skips"]
    }
    assert spans.keys() == slow.spans.keys()
    for place, (until, count) in slow.spans.items():
        assert spans[place]["until"] == (None if until == -1 else until)
        assert spans[place]["examples"] == count
    assert facts == watching(values).task.facts()


STORM = ["whole"] * 8 + ["unanswered"] * 8 + ["whole"] * 24


def test_what_holds_it_is_told_with_figure_and_bound_and_ends_by_itself() -> None:
    (skip,) = watching(log_of(STORM)).task.facts()["skips"]
    assert skip["by"] == "condition expired_share above 30% over 2s"
    assert "expired, 0.3 is the bound" in skip["why"]
    assert "questions that ended within 2s" in skip["why"]
    assert skip["until"] is not None
    assert skip["examples"] > 0


def test_an_input_that_is_missing_is_told_whether_it_holds_or_not() -> None:
    values = log_of(["whole"] * 40 + ["lacking"] * 12)
    for policy in ("go_on", "hold", "fall_back"):
        told = train(values, p=replace(plan(5), watching=Watching((), 2_000, policy))).task.facts()
        (lacking,) = told["missing_inputs"]
        assert lacking["name"] == "wind"
        # Half of two seconds, and what it is told at the next tick.
        assert 10_000 < lacking["since"] <= 10_000 + 2_000 * SUDDENLY + 500
        assert "of what was learned; 0.5 more is the bound" in lacking["why"]
        held = ["condition missing_inputs"] * (policy == "hold")
        assert [skip["by"] for skip in told["skips"]] == held


def test_a_model_that_falls_back_does_so_for_as_long_as_the_input_is_missing() -> None:
    """Its trainer learns on, and what it learns without the input is no reason to call that usual;
    of one that goes on it is."""
    values = log_of(["whole"] * 20 + ["lacking"] * 100)

    def missing(policy: str) -> list[str]:
        p = replace(plan(5), watching=Watching((), 2_000, policy))
        facts = train(values[:-1], p=p).task.facts()
        return [lacking["name"] for lacking in facts["missing_inputs"]]

    assert missing("fall_back") == ["wind"]
    assert missing("go_on") == []


def test_what_was_always_missing_is_not_missing_suddenly() -> None:
    told = watching(log_of(["lacking"] * 20)).task.facts()
    assert (told["missing_inputs"], told["skips"]) == ([], [])


def test_a_lineage_that_is_started_later_learns_what_was_skipped_before() -> None:
    values = log_of(STORM)
    start = Start("recorder", "recorder-1", 1, "recorder-1", "ann", 0, cuts_from=250 * len(STORM))
    free = train(values, p=plan(5))
    later = watching(values, start=start)
    assert later.task.facts()["skips"] == []
    assert later.task.facts()["learned"] == free.task.facts()["learned"]


def test_a_condition_that_is_declared_no_more_holds_nothing_more() -> None:
    values = log_of(["whole"] * 8 + ["unanswered"] * 8)
    task = watching(values).task
    state = task.dump(True)
    assert task.facts()["skips"][-1]["until"] is None
    again = train([], p=plan(5)).task
    again.load(state, [])
    assert again.facts()["skips"][-1]["until"] is not None


def test_what_is_usual_is_known_by_the_hour_later_and_forgotten_by_the_day() -> None:
    usual = Usual(1, 60_000)
    morning, noon = 5 * HOUR_MS, 12 * HOUR_MS
    usual.learn(np.full(20, morning), np.ones((20, 1), np.bool_))
    usual.learn(np.full(20, noon), np.zeros((20, 1), np.bool_))
    usual.reach(noon)
    assert np.isnan(usual.at(noon)[0])
    usual.reach(noon + 60_000)
    found = [float(usual.at(t)[0]) for t in (morning, morning + HOUR_MS, noon)]
    assert found == [1.0, 1.0, 0.0]
    # Of an hour that nothing is known of, that of all.
    assert float(usual.at(20 * HOUR_MS)[0]) == 0.5
    usual.reach(10 * DAY_MS)
    assert np.isnan(usual.at(noon)[0])


def test_of_what_is_missing_nothing_more_is_taken_for_usual() -> None:
    usual = Usual(2, 60_000)
    usual.learn(np.full(20, 0), np.zeros((20, 2), np.bool_))
    usual.reach(0)
    usual.reach(60_000)
    usual.learn(np.full(80, 0), np.ones((80, 2), np.bool_))
    usual.reach(90_000)
    usual.reach(150_000, but_for=[1])
    assert usual.at(0).tolist() == [0.8, 0.0]
