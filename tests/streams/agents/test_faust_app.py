"""A Faust app over a topic, without a broker: what agents are given and where what they send goes.
The worker itself: `tests/system/test_faust.py`."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.schemas.events.columns import REASONS
from freshet.schemas.events.decode import encode
from freshet.schemas.events.writer import Misfit
from freshet.schemas.topics.reader import EventReader, partition_of, place_of
from tests.faust_worker import faust_python
from tests.streams import toy_events
from tests.streams.toy_events import EVENTS, RECORDS, START

PROBE = Path(__file__).with_name("faust_probe.py")
PARTITIONS = 5
TOPIC = toy_events.topic(PARTITIONS)
TOLD = {
    "name": "landings", "schema": TOPIC.events.avro, "event_id": "id", "event_time": "at", "partitions": PARTITIONS
}  # fmt: skip
DECLARED = {"log_of_topic": "log"}  # `log` is where the app's topics lie
NEVER_EVENTS = st.binary(max_size=30) | st.just(b"FRTK" + bytes(8))
AS_JSON = EVENTS.map(lambda event: json.dumps({**event, "at": START}).encode())


def probe(
    records: list[tuple[bytes, int]],
    events: list[Any],
    log: str = "kafka://a:1,b:2",
    **declared: Any,
) -> Any:
    """What the probe says of the records and events, or its error's last line."""
    asked = {
        "topic": TOLD | {DECLARED.get(name, name): value for name, value in declared.items()},
        "records": [(base64.b64encode(r).decode(), t) for r, t in records],
        "events": events,
    }
    environment = {
        **os.environ,
        "FRESHET_LOG": log,
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": os.getcwd(),
    }
    done = subprocess.run(
        [faust_python(), str(PROBE)],
        input=json.dumps(asked),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def as_intake(record: bytes, time_ms: int) -> tuple[str, dict[str, Any] | None]:
    try:
        return "ok", EventReader(TOPIC).read(record, time_ms)
    except Misfit as misfit:
        return REASONS[misfit.reason], None


@settings(max_examples=3)
@given(
    st.lists(RECORDS, min_size=30, max_size=60),
    st.lists(AS_JSON, max_size=10),
    st.lists(NEVER_EVENTS, max_size=20),
)
def test_agents_are_given_what_intake_believes_and_nothing_else(
    sent: list[toy_events.Sent], texts: list[bytes], others: list[bytes]
) -> None:
    records = [(s.value, s.time) for s in sent if s.tick is None] + [
        (r, START) for r in (*texts, *others)
    ]
    answer = probe(records, [])
    believed = [as_intake(*r) for r in records]
    assert json.dumps(answer["given"]) == json.dumps([event for _, event in believed])
    dead = [reason for reason, _ in believed if reason != "ok"]
    assert sum(answer["skipped"].values()) == len(dead)
    assert set(answer["skipped"]) <= set(dead)


@settings(max_examples=3)
@given(st.lists(EVENTS, min_size=30, max_size=60))
def test_what_agents_send_is_a_record_of_the_topic_in_the_partition_of_its_id(
    events: list[dict[str, Any]],
) -> None:
    sent = probe([], events)["sent"]
    for (partition, record), event in zip(sent, events):
        assert partition == partition_of(event["id"], PARTITIONS)
        assert base64.b64decode(record) == encode(TOPIC.events, [event])[0]


def test_what_is_no_event_is_refused_where_it_is_sent() -> None:
    event = {
        **dict.fromkeys(TOPIC.events.positions),
        "id": "a",
        "at": START,
        "gate": "a",
        "late": True,
    }
    nameless = {k: v for k, v in event.items() if k != "id"}
    assert probe([], [nameless, {**event, "delay": "x"}, 7])["sent"] == [
        "request landings record 0, field 'id': missing_required. Send a string.",
        "request landings record 0, field 'delay': wrong_type. Send a double.",
        "request topic landings: a int was sent, which is no event. Send a dict of the topic's fields.",
    ]


def test_without_an_id_an_event_goes_where_its_record_says() -> None:
    plain = {**dict.fromkeys(TOPIC.events.positions), "gate": "a", "late": True}
    events = [{**plain, "id": "a", "at": START + i} for i in range(20)]
    sent = probe([], events, event_id=None)["sent"]
    records = [base64.b64decode(record) for _, record in sent]
    assert [partition for partition, _ in sent] == [place_of(r, PARTITIONS) for r in records]
    assert len({partition for partition, _ in sent}) > 1


def test_a_topic_of_others_is_not_sent_to() -> None:
    assert probe([], [{"id": "a"}], log_of_topic="landings.v1")["sent"] == [
        "request topic landings: is read from landings.v1, which others write. "
        "Send to a topic of the app's own."
    ]


def test_all_that_faust_owns_has_the_apps_name_before_it() -> None:
    assert probe([], [])["names"] == [
        "probe.agents",
        "probe.landings",
        "probe.agents-seen-changelog",
    ]


def test_topics_that_faust_derives_are_sent_to_by_their_key() -> None:
    assert probe([], [])["derived"] == [["probe.landings-by-gate"], "a", "a record", None]


def test_brokers_and_logins_are_those_of_the_log() -> None:
    found = probe(
        [], [], "kafka://ann:secret@a:1,b:2?security.protocol=SASL_SSL&sasl.mechanism=SCRAM-SHA-512"
    )
    assert found["broker"] == ["aiokafka://a:1", "aiokafka://b:2"]
    assert found["login"] == "<SASLCredentials: username=ann>"


def test_nothing_is_committed_any_more_once_a_record_was_given_up() -> None:
    """A commit flushes first, and does not happen where that raises."""
    assert probe([], [])["flushes"] == ["flushed", "KafkaTimeoutError", "KafkaTimeoutError"]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("runs/log", "is not on Kafka, which is the only log that Faust reads"),
        ("kafka://a:1?sasl.mechanism=GSSAPI", "Faust cannot log in with sasl.mechanism=GSSAPI"),
        ("kafka://a:1?ssl.keystore.location=x", "Faust cannot log in with ssl.keystore.location"),
    ],
)
def test_a_log_that_faust_cannot_use_is_told_when_the_app_is_made(log: str, said: str) -> None:
    assert said in probe([], [], log)
