"""A scorer over a store that lost its rows, with no connection that broke: until their owners have
written all of them again, no answer takes a row that was lost for a key without events. With every
store, in every way to lose rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import redis

from freshet.features.catalog import open_store
from freshet.features.stores.complete_store import CompleteStore
from freshet.features.stores.contract import Store
from freshet.features.stores.marks import PartitionMark
from freshet.schemas.wire.outcomes import RUNGS
from freshet.servers.redis_server import RedisServer
from tests.contracts.store_battery import Rig as StoreRig
from tests.contracts.test_store import (
    cassandra_rig,
    cluster_rig,
    memory_rig,
    redis_rig,
    rig,
    sentinel_rig,
    tiered_rig,
)
from tests.serving.scoring.test_scorer import HOUR, Rig
from tests.toy_app import toy_app

__all__ = [
    "cassandra_rig",
    "cluster_rig",
    "memory_rig",
    "redis_rig",
    "rig",
    "sentinel_rig",
    "tiered_rig",
]

PARTITIONS = 2


class Scene:
    """A live scorer that reads `store`, and the owner of its view's rows, who writes to one of its
    own."""

    def __init__(self, store: Store, own: Store) -> None:
        self.rig = Rig(toy_app())
        self.view = self.rig.app.stored_as(self.rig.app.views[0])
        self.scorer = self.rig.scorer
        self.scorer.reach.store = CompleteStore(store, {self.view: PARTITIONS})
        self.own = own
        self.rig.go_live()

    def write_row(self) -> None:
        self.rig.put_row("a", 10 * HOUR - 1, 40.0, self.own)

    def mark(self, partition: int) -> None:
        PartitionMark(self.own, self.view, partition).put(self.own.generation(), 8)

    def fill(self) -> None:
        self.write_row()
        for partition in range(PARTITIONS):
            self.mark(partition)

    def rung(self, *shops: str) -> str:
        """The rung that answers, once the store is not left alone any more."""
        self.scorer.reach.rests_until = 0.0
        answer = self.rig.ask(order_id=[f"order of {s}" for s in shops], shop=list(shops))
        return str(answer.parameters["rung"])

    def close(self) -> None:
        self.scorer.close()


@pytest.fixture
def scene(rig: StoreRig) -> Iterator[Scene]:
    reading = rig.open()
    writing = rig.open()
    made = Scene(reading, writing)
    yield made
    made.close()
    reading.close()
    writing.close()


def test_a_store_that_no_owner_has_filled_yet_is_answered_without(
    scene: Scene, rig: StoreRig
) -> None:
    rig.empty()
    assert scene.rung("a") == "constant"
    (outage,) = scene.rig.outages.current()
    assert outage.component == "store"
    assert outage.resource == scene.own.resource
    assert "does not hold all rows of view toy:shops" in outage.cause
    scene.fill()
    assert scene.rung("a") == "champion"
    assert not scene.rig.outages.current()


def test_no_answer_between_a_loss_and_the_end_of_the_rewrite_lacks_a_row_that_a_key_has(
    scene: Scene, rig: StoreRig
) -> None:
    rig.empty()
    scene.fill()
    assert scene.rung("a", "nobody") == "champion"
    rig.empty()
    steps: list[Callable[[], None]] = [
        lambda: None,
        scene.write_row,
        lambda: scene.mark(1),
        lambda: scene.mark(0),
    ]
    rungs = []
    for step in steps:
        step()
        rungs.append(scene.rung("a", "nobody"))
    assert rungs == ["constant", "constant", "constant", "champion"]
    logged = scene.rig.predictions()
    late = logged["numbers"][:, scene.rig.model.vectors.numbers.index("shops.late")]
    by_champion = logged["rung"] == RUNGS.index("champion")
    # Rows of "a" and of "nobody", in turn: whoever has a row is answered from it.
    assert late[by_champion].tolist()[::2] == [40.0, 40.0]
    assert np.isnan(late[by_champion][1::2]).all()


@pytest.mark.parametrize("kept", ["nothing", "marks and rows", "marks alone"])
def test_a_server_that_is_started_again_before_anyone_asks_is_not_believed(
    tmp_path: Path, kept: str
) -> None:
    """The scorer's connection is made anew within its next read, which says nothing of it; and a
    server that comes back with a file, or is a replica that took over, has marks that are true of
    another."""
    with (
        RedisServer(tmp_path / "redis", "--dbfilename", "kept.rdb") as server,
        closing(open_store(server.url)) as own,
        closing(open_store(server.url)) as read,
    ):
        scene = Scene(read, own)
        if kept == "marks alone":
            for partition in range(PARTITIONS):
                scene.mark(partition)
        else:
            scene.fill()
        if kept != "nothing":
            save(server)
        scene.write_row()
        assert scene.rung("a") == "champion"
        server.kill()
        server.start()
        assert scene.rung("a") == "constant"
        scene.write_row()
        assert scene.rung("a") == "constant", "an owner may lack other rows"
        scene.fill()
        assert scene.rung("a") == "champion"
        scene.close()


def save(server: RedisServer) -> None:
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        client.save()
