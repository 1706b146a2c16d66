"""What agents of a Faust app would see and send, told without a broker; run by Faust's own
interpreter.

Reads JSON from stdin: the app's topic, records (base64) with their append times, and events to
send. Writes, as JSON, what an agent is given for each record (None: skipped), the counts of what
was skipped, and each output's partition, time, and record; or the error's text.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from typing import Any

from aiokafka.errors import KafkaTimeoutError
from faust.types.tuples import Message

from freshet.agents import faust_app
from freshet.app import App
from freshet.schemas.errors import FreshetError
from freshet.schemas.topics.topic import Topic
from freshet.streams.agents.faust_app import FaustApp


def message(topic: str, record: bytes, time_ms: int) -> Message:
    return Message(topic, 0, 0, time_ms / 1000, 0, {}, b"key", record, None)


async def given(topic: Any, records: list[list[Any]]) -> list[Any]:
    """As a conductor does it: a record that cannot be decoded is handed to the topic's error
    callback."""
    out = []
    for text, time_ms in records:
        event = await topic.decode(message(topic.topics[0], base64.b64decode(text), time_ms))
        assert not topic.queue._errors, "an error would stop the agent"
        out.append(None if event is None else event.value)
    return out


def sent(topic: Any, value: Any) -> Any:
    before = time.time()
    try:
        made = topic.as_future_message(value=value).message
    except FreshetError as error:
        return str(error)
    assert before <= made.timestamp <= time.time()
    forwarded = topic.as_future_message(value=made.value).message
    assert (forwarded.partition, forwarded.value) == (made.partition, made.value)
    return [made.partition, base64.b64encode(made.value).decode()]


def derived(topic: Any) -> Any:
    """Where `group_by` sends: by the key that it gives, not by the event's id."""
    made = topic.derive_topic(suffix="-by-gate", partitions=3, internal=True)
    message = made.as_future_message(key="a", value=b"a record").message
    return [made.topics, message.key.decode(), message.value.decode(), message.partition]


class Broker:
    """Takes records and gives them up."""

    async def send(self, *_: Any, **__: Any) -> asyncio.Future[None]:
        delivery = asyncio.get_running_loop().create_future()
        delivery.set_exception(KafkaTimeoutError())
        return delivery

    async def flush(self) -> None:
        """All of them are settled."""


async def flushes(app: FaustApp) -> list[str]:
    """What a commit would meet: before and after a record was given up, and once more."""
    producer, said = app.producer, []
    producer._producer = Broker()
    for _ in range(3):
        try:
            await producer.flush()
            said.append("flushed")
        except KafkaTimeoutError as error:
            said.append(type(error).__name__)
        await producer.send("topic", None, b"record", 0, None, None)
        await asyncio.sleep(0)
    return said


async def main(asked: Any) -> None:
    declared = Topic(**asked["topic"])
    app = faust_app(App("probe", topics=[declared]))
    topic = app.of(declared)
    answer = {
        "given": await given(topic, asked["records"]),
        "skipped": dict(topic.skipped),
        "sent": [sent(topic, value) for value in asked["events"]],
        "names": [app.conf.id, *topic.topics, app.Table("seen").changelog_topic.get_topic_name()],
        "derived": derived(topic),
        "flushes": await flushes(app),
        "broker": [str(url) for url in app.conf.broker],
        "login": repr(app.conf.broker_credentials),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    asyncio.run(main(json.load(sys.stdin)))
