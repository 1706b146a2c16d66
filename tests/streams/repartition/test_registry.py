"""Records of a schema registry are moved by what they were written by, and an id is the same
whichever schema it came in."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from freshet.schemas.errors import RegistryError
from freshet.schemas.events.codec import EventCodec
from freshet.schemas.registry.address import parsed
from freshet.schemas.registry.client import Registered, RegistryClient
from freshet.streams.intake.task import IntakePlan
from freshet.streams.outages import Outages
from freshet.streams.registry.asking import Asking
from freshet.streams.registry.writers import Writers
from freshet.streams.repartition.intake import MovedIntakeTask
from freshet.streams.repartition.task import RepartitionPlan, RepartitionTask
from tests.serving.registry.served import served
from tests.streams.registry.test_writers import NOBODY, X, avro, topic, written
from tests.streams.toy_events import START, batch_of

PARTITIONS = 4


def test_an_id_is_the_same_whichever_schema_it_was_written_by(tmp_path: Path) -> None:
    url = str(tmp_path / "checkpoints")
    by_id = replace(topic(X), dedup_by="topic", partitions=PARTITIONS)
    plan = IntakePlan("log", by_id, EventCodec(by_id.events), (), (), "dead")
    values = [written(1, avro(), at=START), written(2, avro(X), at=START, x=2.0)]
    batch = batch_of([*values, written(9, avro())], [0, 1, 2], [START] * 3)
    with served(tmp_path / "registry") as address:
        with closing(RegistryClient(parsed(address))) as client:
            client.register("t-value", Registered(json.dumps(avro())))
            client.register("t-value", Registered(json.dumps(avro(X))))
        with closing(Asking(parsed(address))) as asking:
            writers = Writers(by_id, "log", url, asking, Outages())
            own = replace(plan, writers=writers)
            mover = RepartitionTask(RepartitionPlan(own, "to", PARTITIONS), 0)
            mover.prepare(batch)
            moved = mover.apply(batch).appends
    fates = {"applied": 0, "deduplicated": 0, "dead:unknown_type": 0}
    # What was asked for once is known, whether anybody is there to ask or not.
    with closing(Asking(parsed(NOBODY))) as nobody:
        for append in moved:
            writers = Writers(by_id, "log", url, nobody, Outages())
            own = replace(plan, writers=writers)
            task = MovedIntakeTask(own, append.partition, PARTITIONS)
            taken = batch_of(append.values, [0], [START], "to", append.partition)
            task.prepare(taken)
            task.apply(taken)
            for fate in fates:
                fates[fate] += task.facts()["fates"][fate]
    assert fates == {"applied": 1, "deduplicated": 1, "dead:unknown_type": 1}


def test_nothing_is_moved_or_settled_while_a_schema_is_not_known(tmp_path: Path) -> None:
    by_id = replace(topic(X), dedup_by="topic")
    plan = IntakePlan("log", by_id, EventCodec(by_id.events), (), (), "dead")
    batch = batch_of([written(1, avro(), at=START)], [0], [START])
    (append,) = RepartitionTask(RepartitionPlan(plan, "to", 1), 0).apply(batch).appends
    with closing(Asking(parsed(NOBODY))) as nobody:
        writers = Writers(by_id, "log", str(tmp_path), nobody, Outages())
        own = replace(plan, writers=writers)
        with pytest.raises(RegistryError, match="cannot be reached"):
            RepartitionTask(RepartitionPlan(own, "to", 1), 0).prepare(batch)
        task = MovedIntakeTask(own, 0, 1)
        with pytest.raises(RegistryError, match="cannot be reached"):
            task.prepare(batch_of(append.values, [0], [START], "to"))
        task.prepare(batch_of([b"no block"], [1], [START], "to"))
