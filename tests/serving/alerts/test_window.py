"""What happened of late, folded from statuses: the newest records, missed events and restarts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freshet.serving.alerts.bounds import AlertBounds, Missed, Recent
from freshet.serving.alerts.window import POINTS, Window
from freshet.serving.status.status import RoleFigures, SourceFigures, Status, TopicFigures

BOUNDS = AlertBounds(dead_window=100)


def topic(records: int, **dead: int) -> Status:
    return Status(app="x", at_ms=0, topics=[TopicFigures(name="t", records=records, dead=dead)])


def sources(**events: int) -> Status:
    figures = [SourceFigures(name=k, events=n) for k, n in events.items()]
    return Status(app="x", at_ms=0, topics=[TopicFigures(name="t", sources=figures)])


def role(at_ms: int, restarts: int) -> Status:
    return Status(
        app="x", at_ms=at_ms, roles=[RoleFigures(role="view", instance="view", restarts=restarts)]
    )


def last(*said: Status) -> Recent:
    window = Window(BOUNDS)
    return [window.observe(s) for s in said][-1]


@pytest.mark.parametrize(
    ("said", "records", "dead"),
    [
        ([topic(0)], 0, {}),
        ([topic(40, a=4)], 40, {"a": 4}),  # all of them are the newest
        ([topic(1_000, a=900)], 0, {"a": 0}),  # what was before this process watched is not of late
        ([topic(0), topic(1_000, a=900)], 0, {"a": 0}),
        ([topic(1_000, a=900), topic(1_050, a=901, b=3)], 50, {"a": 1, "b": 3}),
        # good again
        ([topic(1_000, a=900), topic(1_100, a=950), topic(1_200, a=950)], 100, {"a": 0}),
        # resumed from a checkpoint
        ([topic(80, a=40), topic(30, a=1), topic(50, a=2)], 50, {"a": 2}),
    ],
)
def test_dead_letters_are_counted_among_the_newest_records(
    said: list[Status], records: int, dead: dict[str, int]
) -> None:
    found = last(*said)
    assert (found.records["t"], found.dead["t"]) == (records, dead)


@given(st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70)), min_size=1, max_size=60))
def test_the_window_is_little_more_than_asked_for_and_counts_what_is_in_it(
    steps: list[tuple[int, int]],
) -> None:
    window, records, dead, seen = Window(BOUNDS), 0, 0, {0: 0}
    largest = 0
    for good, bad in steps:
        records, dead = records + good + bad, dead + bad
        seen[records] = dead
        largest = max(largest, good + bad)
        found = window.observe(topic(records, a=dead))
        covered = found.records["t"]
        assert covered <= BOUNDS.dead_window + largest + BOUNDS.dead_window / POINTS
        if (
            len(seen) > 1
            and max(b - a for a, b in zip(list(seen), list(seen)[1:], strict=False)) <= 100
        ):
            assert covered >= min(records, BOUNDS.dead_window)
            assert found.dead["t"]["a"] == dead - seen[records - covered]


def test_a_source_is_missed_by_its_share_of_what_the_others_bring() -> None:
    base = sources(jfk=100, lga=100, ewr=100)
    assert last(base).missed["t", "jfk"] == Missed(0.0)
    assert last(base, base).missed["t", "jfk"] == Missed(0.0)  # a night: nobody says anything
    assert last(base, sources(jfk=100, lga=110, ewr=110)).missed[
        "t", "jfk"
    ].events == pytest.approx(20 * 100 / 220)


def test_a_source_that_is_back_is_not_missed_and_its_longest_absence_is_kept() -> None:
    away, back = sources(jfk=100, lga=200), sources(jfk=101, lga=210)
    found = last(sources(jfk=100, lga=100), away, back).missed["t", "jfk"]
    assert found.events == 0
    assert found.usually == last(sources(jfk=100, lga=100), away).missed["t", "jfk"].events == 50
    later = last(sources(jfk=100, lga=100), away, back, sources(jfk=7_101, lga=7_000)).missed[
        "t", "jfk"
    ]
    assert later.usually == pytest.approx(25, rel=0.02)  # slowly forgotten


def test_sources_whose_counts_go_back_begin_anew() -> None:
    assert last(sources(jfk=50, lga=50), sources(jfk=50, lga=90), sources(jfk=50, lga=20)).missed[
        "t", "jfk"
    ] == Missed(0)


def test_the_only_source_of_a_topic_is_never_missed() -> None:
    assert last(sources(jfk=100), sources(jfk=100)).missed["t", "jfk"] == Missed(0.0)


def test_restarts_are_those_of_the_newest_ten_minutes() -> None:
    window = Window(BOUNDS)
    told = [
        (0, 9),
        (1_000, 10),
        (2_000, 12),
        (600_999, 12),
        (601_001, 12),
        (602_001, 12),
        (700_000, 13),
        (700_001, 0),
    ]
    found = [window.observe(role(at, n)).restarts["view", "view"] for at, n in told]
    assert found == [0, 1, 3, 3, 2, 0, 1, 1]


def test_what_is_kept_does_not_grow() -> None:
    """Ten thousand observations keep as much as the first hundred."""
    import pickle

    window, sizes = Window(BOUNDS), []
    for i in np.arange(1, 10_001).tolist():
        window.observe(
            Status(
                app="x",
                at_ms=i * 1_000,
                topics=[TopicFigures(name="t", records=i * 7, dead={"a": i})],
                roles=[RoleFigures(role="view", instance="view", restarts=i // 2)],
            )
        )
        sizes.append(len(pickle.dumps(window)))
    assert max(sizes[5_000:]) < 1.3 * max(sizes[:1_000])
