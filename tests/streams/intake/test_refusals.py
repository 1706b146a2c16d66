"""What no store and no model takes is a dead letter, alone; and however much comes, every record
fits into its log."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from freshet.schemas.events.codec import EventCodec
from freshet.schemas.events.decode import encode
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.topics import impute
from freshet.schemas.topics.topic import Topic
from freshet.streams.intake.task import CleanRoute, IntakePlan, IntakeTask
from freshet.streams.labels.routes import LabelRoute
from tests.streams.intake.test_task import Logs, counts, flat
from tests.streams.toy_events import Sent, batch

SCHEMA = EventSchema.parse(
    {
        "type": "record",
        "name": "visit",
        "fields": [
            {"name": "id", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "user", "type": ["null", "string"], "default": None},
            {"name": "page", "type": "string", "default": ""},
            {"name": "text", "type": "string", "default": ""},
            {"name": "n", "type": ["null", "long"], "default": None},
            {"name": "x", "type": ["null", "double"], "default": None},
        ],
    },
    "visit",
)
LONGEST = "k" * KEY_BYTES
LIMIT = 1_048_588  # of a topic of Kafka that was told nothing


def task_of(label: pl.Expr | None = None, **imputes: impute.Impute) -> IntakeTask:
    topic = Topic("visits", SCHEMA, "id", "at", impute=imputes)
    clean = (
        CleanRoute("by_user", 1, ("user",), ("n", "x")),
        CleanRoute("by_both", 1, ("user", "page"), ("x",)),
    )
    labels = () if label is None else (LabelRoute("outcomes", 1, "id", label),)
    return IntakeTask(IntakePlan("app.visits", topic, EventCodec(SCHEMA), clean, labels, "dead"), 0)


def taken(task: IntakeTask, *events: dict[str, Any]) -> Logs:
    records = encode(SCHEMA, [{"id": f"v{i}", "at": i, **event} for i, event in enumerate(events)])
    return flat(task.apply(batch([Sent(0, raw=r) for r in records], 0)).appends)


def dead(logs: Logs) -> list[tuple[Any, ...]]:
    """Reason, field and offset of each dead letter."""
    return [(row[2], row[3], row[7]) for row in logs.get(("dead", 0), [])]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"user": LONGEST + "k"}, "user"),
        ({"user": "k" * (KEY_BYTES // 2), "page": "k" * (KEY_BYTES // 2 + 1)}, "user"),
        ({"id": LONGEST + "k"}, "id"),
        ({"id": "k" * 3_000_000}, "id"),
    ],
)
def test_a_key_or_an_id_that_no_store_takes_is_a_dead_letter_and_nothing_else(
    event: Any, field: str
) -> None:
    task = task_of()
    logs = taken(task, {"user": "a"}, event, {"user": "b"})
    assert dead(logs) == [("too_large", field, 1)]
    assert counts(task) == {"applied": 2, "dead:too_large": 1}
    assert [row[2] for row in logs["by_user", 0]] == ["a", "b"]


def test_texts_that_are_no_keys_may_be_longer_and_the_longest_key_is_taken() -> None:
    task = task_of()
    logs = taken(
        task,
        {"user": "a", "text": "k" * 300_000},
        {"user": LONGEST},
        {"id": LONGEST, "user": "a\0b"},
    )
    assert [row[2] for row in logs["by_user", 0]] == ["a", LONGEST, "a\0b"]


LABEL = pl.col("x")


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, 0.1 + 0.9 + 1e-16, 1e300])
def test_a_label_that_is_neither_0_nor_1_is_a_dead_letter_and_never_learned(value: float) -> None:
    task = task_of(LABEL)
    logs = taken(task, {"x": 1.0}, {"x": value}, {"x": 0.0}, {"x": None})
    wrong = [] if value == 1.0 else [("bad_label", "x", 1)]
    assert dead(logs) == wrong
    # Null is declared to be no label: it is none, and no dead letter.
    learned = [row[4] for row in logs["outcomes", 0]]
    assert learned == ([1.0, 1.0, 0.0, None] if not wrong else [1.0, 0.0, None])
    # The event is none of the label's: views have it, and its own fate is as of the others.
    assert len(logs["by_user", 0]) == 4
    assert counts(task) == {"applied": 4}
    bad = len(wrong)
    told = {"used": 3 - bad, "null": 1, "bad": bad, "without_id": 0}
    assert task.facts()["label_fates"] == {"outcomes": told}


def test_a_label_of_several_fields_that_is_no_number_names_none_of_them() -> None:
    task = task_of(pl.col("x") / pl.col("n"))
    logs = taken(task, {"x": 0.0, "n": 0}, {"x": 3.0, "n": 3})
    assert dead(logs) == [("bad_label", None, 0)]
    assert [row[4] for row in logs["outcomes", 0]] == [1.0]


def test_labels_see_what_was_filled_in_and_repeats_of_a_bad_one_are_repeats() -> None:
    task = task_of(LABEL, x=impute.constant(7.0))
    logs = taken(task, {"x": None}, {"id": "v0", "x": 1.0}, {"x": 1.0})
    assert dead(logs) == [("bad_label", "x", 0)]
    assert counts(task) == {"applied": 2, "deduplicated": 1}


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63), -(2**53) - 1, 0])
def test_whole_numbers_of_64_bits_are_filled_in_as_they_are(number: int) -> None:
    task = task_of(n=impute.last(start=5.0))
    logs = taken(task, {}, {"n": number}, {}, {"n": 1}, {})
    assert [row[4] for row in logs["by_user", 0]] == [5, number, number, 1, 1]
    task = task_of(n=impute.constant(number))
    logs = taken(task, {}, {"n": number - 1 if number > 0 else number + 1})
    assert logs["by_user", 0][0][4] == number


def test_the_last_whole_number_of_each_group_outlives_a_restart() -> None:
    imputes = {"n": impute.last(by="user")}
    first, second = task_of(**imputes), task_of(**imputes)
    taken(first, {"user": "a", "n": 2**60 + 1}, {"user": "b", "n": 3})
    second.load(first.dump(True), [])
    logs = taken(second, *({"id": f"w{user}", "user": user} for user in "abc"))
    assert [row[4] for row in logs["by_user", 0]] == [2**60 + 1, 3, 0]


def test_every_record_fits_into_its_log_however_much_waits() -> None:
    task = task_of(LABEL)
    events = [
        {"id": str(i), "at": i, "user": "x" * 2_000 + str(i % 50), "x": 1.0} for i in range(20_000)
    ]
    records = [Sent(0, raw=r) for r in encode(SCHEMA, events)]
    bad = [Sent(0, raw=b"\xff" * 100_000)] * 300
    values = [v for a in task.apply(batch([*records, *bad], 0)).appends for v in a.values]
    assert max(map(len, values)) <= LIMIT
    assert counts(task) == {"applied": 20_000, "dead:undecodable": 300}
