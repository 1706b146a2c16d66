"""What control says of inputs that are missing: as a table, and once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import freshet as fr
from freshet.schemas.durations import DAY_MS, HOUR_MS
from freshet.schemas.wire.messages import Hold, Inputs, Message
from freshet.serving.inputs.decisions import Decisions
from freshet.serving.inputs.figures import missing_inputs
from freshet.serving.status.status import Clock, ModelFigures, Status, TopicFigures
from tests.toy_app import toy_app

NOW = 1_000 * HOUR_MS
APP = toy_app()
SILENT = fr.HoldWhen("source_silent", topic="payments", longer_than="2h")


def model(**changes: Any) -> fr.Model:
    return replace(APP.models[0], **changes)


def status(own: fr.Model, silent_ms: int | None, lacking: str = "") -> Status:
    topic = TopicFigures(
        name="payments", silent_ms=silent_ms, newest_applied_ms=NOW - (silent_ms or 0)
    )
    facts = [{"missing_inputs": [{"name": lacking, "since": NOW, "why": "it is"}]}] * bool(lacking)
    missing = missing_inputs(own, APP.views, {"payments": topic}, facts)
    figures = ModelFigures(name="unpaid", missing=missing)
    clock = Clock(state="running", app_ms=NOW)
    return Status(app="toy", at_ms=5, clock=clock, topics=[topic], models=[figures])


def said(decisions: Decisions, now: Status) -> list[Message]:
    """What is decided, which is heard then."""
    found = decisions.decide(now)
    for message in found:
        decisions.note(message)
    return found


def test_a_silent_source_holds_the_model_once_and_until_its_next_event() -> None:
    own = model(hold=[SILENT])
    decisions = Decisions([own])
    assert said(decisions, status(own, 2 * HOUR_MS)) == []
    (hold,) = said(decisions, status(own, 3 * HOUR_MS))
    assert isinstance(hold, Hold)
    assert (hold.held, hold.tick, hold.condition) == (True, NOW, SILENT.text)
    assert hold.by == f"condition {SILENT.text}"
    assert hold.why == "topic payments has had no event for 3h, 2h is the bound"
    assert said(decisions, status(own, 4 * HOUR_MS)) == []
    assert said(decisions, status(own, None)) == [], "nobody knows"
    (over,) = said(decisions, status(own, 0))
    assert isinstance(over, Hold)
    assert (over.held, over.condition) == (False, SILENT.text)
    assert said(decisions, status(own, 0)) == []


def test_a_condition_that_is_declared_no_more_ends_and_what_people_hold_stays() -> None:
    own = model()
    decisions = Decisions([own])
    decisions.note(Hold("unpaid", True, 1, "a storm", "ann", 1))
    decisions.note(Hold("unpaid", True, 1, "silent", "condition x", 1, "x"))
    (over,) = said(decisions, status(own, 0))
    assert isinstance(over, Hold)
    assert (over.held, over.condition) == (False, "x")
    assert said(decisions, status(own, 0)) == []


@pytest.mark.parametrize(
    ("policy", "silent_ms", "lacking", "kinds", "features"),
    [
        ("go_on", 2 * DAY_MS, "price", [], []),
        ("hold", DAY_MS, "", [], []),
        ("hold", 2 * DAY_MS, "", ["hold"], []),
        # Of a feature trainers decide by themselves.
        ("hold", 0, "price", [], []),
        ("fall_back", 0, "", [], []),
        ("fall_back", 0, "price", ["inputs"], ["price"]),
        ("fall_back", 2 * DAY_MS, "", ["inputs"], ["shops.ago", "shops.late", "shops.n"]),
    ],
)
def test_what_follows_is_as_declared(
    policy: str, silent_ms: int, lacking: str, kinds: list[str], features: list[str]
) -> None:
    own = model(missing_inputs=policy)
    decisions = Decisions([own])
    found = said(decisions, status(own, silent_ms, lacking))
    assert [type(message).__name__.lower() for message in found] == kinds
    told = [message.missing for message in found if isinstance(message, Inputs)]
    assert told == [features] * bool(features)
    assert said(decisions, status(own, silent_ms, lacking)) == []
    # What was said is taken back, once.
    over = said(decisions, status(own, 0))
    assert len(over) == len(found)
    assert all(message.missing == [] for message in over if isinstance(message, Inputs))
    assert said(decisions, status(own, 0)) == []


def test_nothing_is_said_of_a_past_that_is_still_read() -> None:
    own = model(hold=[SILENT])
    now = status(own, 3 * HOUR_MS)
    decisions = Decisions([own])
    catching_up = Status(app="toy", at_ms=5, catching_up=True, clock=now.clock, topics=now.topics)
    assert decisions.decide(catching_up) == []


def test_a_missing_input_names_view_topic_and_feature() -> None:
    own = model()
    (source,) = status(own, 2 * DAY_MS).models[0].missing
    assert (source.told, source.since_ms) == ("topic payments of view shops", NOW - 2 * DAY_MS)
    (feature,) = status(own, 0, "shops.late").models[0].missing
    assert feature.told == "feature shops.late of view shops over payments"
    (field,) = status(own, 0, "price").models[0].missing
    assert field.told == "feature price of orders"
