"""Writers with a schema registry, as they are: confluent-kafka's own serialiser registers and
writes, on a real Kafka, and freshet reads. Against freshet's own registry, and against Apicurio's."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import freshet as fr
from freshet.audit import kept as kept_by_run
from freshet.audit.ledger import recompute
from freshet.features.reading.api import read_request
from freshet.features.views.task import ViewTask
from freshet.roles import plans
from freshet.roles.interface import feature_reader
from freshet.schemas.errors import ComponentError
from freshet.schemas.registry.address import parsed
from freshet.schemas.wire.blocks import decode as decode_block
from freshet.servers.apicurio_server import ApicurioServer
from freshet.servers.registry_server import RegistryServer
from freshet.streams.clock import WallClock
from freshet.streams.intake.task import IntakeTask
from freshet.streams.kafka.log import KafkaLog
from freshet.streams.operators.loop import Job, Operator, Place, Rhythm
from freshet.streams.operators.ticks import WallPace
from freshet.streams.outages import Outages
from freshet.streams.registry.asking import Asking
from freshet.streams.registry.writers import Writers, kept_writers
from freshet.streams.vitals.vitals import Vitals
from freshet.testing import MemoryStore

# Records are stamped with times of long ago, which a broker would take for too old to keep.
KEPT = {"retention.ms": "-1"}
ROOT = Path(__file__).parent.parent.parent
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
PATIENCE_SECONDS = 60.0
AMOUNT = {"name": "amount", "type": "double"}
ORDER = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "customer", "type": "string"},
]
RegistryOf = RegistryServer | ApicurioServer
needs_clients = pytest.mark.skipif(
    not PYTHON.exists(), reason="the clients are not installed: make .venv-clients/.stamp"
)


def order(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    # Writers' own names and words: a namespace, a version of theirs.
    own = {"type": "record", "name": "Order", "namespace": "com.example.shop"}
    return {**own, "fields": [*ORDER, *fields], **more}


@pytest.fixture(scope="module", params=["embedded", "apicurio"])
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryOf]:
    folder = tmp_path_factory.mktemp("registry")
    server: RegistryOf = RegistryServer(folder)
    if request.param == "apicurio":
        server = ApicurioServer(folder)
    try:
        server.start()
    except ComponentError as error:
        if request.param in os.environ.get("FRESHET_REQUIRE", "").split(","):
            pytest.fail(f"{request.param} is required: {error}")
        pytest.skip(str(error))
    yield server
    server.stop()


class Shop:
    """A topic of others on Kafka, and intake and a view over it in this process."""

    def __init__(self, kafka: str, registry: str, folder: Path) -> None:
        self.kafka = kafka
        self.registry = registry
        self.folder = folder
        self.log_name = f"orders.v1-{uuid.uuid4().hex[:8]}"
        # Kept while it is waited for: its end would end the call.
        admin = AdminClient({"bootstrap.servers": kafka})
        made = admin.create_topics([NewTopic(self.log_name, 1, 1, config=KEPT)])
        made[self.log_name].result()
        # Read as this app wants it: a name of its own, a field that comes later.
        euros = {"name": "euros", "type": "double", "aliases": ["amount"], "default": 0.0}
        coupon = {"name": "coupon", "type": ["null", "string"], "default": None}
        self.orders = fr.Topic(
            "orders",
            {"type": "record", "name": "Order", "fields": [*ORDER, euros, coupon]},
            event_id="id",
            event_time="at",
            log=self.log_name,
            registry=f"{self.log_name}-value",
        )
        features = {"n": fr.count(over="6h"), "euros": fr.sum("euros", over="6h")}
        self.view = fr.View("by_customer", self.orders, key="customer", features=features)
        self.app = fr.App(f"shop{uuid.uuid4().hex[:6]}", topics=[self.orders], views=[self.view])
        self.outages = Outages()
        self.store = MemoryStore()
        self._begin()

    def _begin(self) -> None:
        self.log = KafkaLog(self.kafka)
        plans.ensure_topics(self.app, self.log)
        self.asking = Asking(parsed(self.registry))
        url = str(self.folder / "checkpoints")
        writers = Writers(self.orders, self.log_name, url, self.asking, self.outages)
        plan = plans.intake_plan(self.app, self.orders, writers=writers)
        clean = self.app.clean_log_of(self.view)

        def operator(role: str, topic: str, make: Callable[[str, int], Any]) -> Operator:
            clock = WallClock()
            job = Job(
                role,
                [topic],
                make,
                group=f"{self.app.name}.{role}",
                dead=self.app.dead_log,
                pace=WallPace(clock),
                kept_as=partial(plans.kept_as, self.app),
            )
            vitals = Vitals(role, role, self.outages)
            place = Place(self.log, self.app.channels, url, clock.now_ms, vitals)
            return Operator(job, place, rhythm=Rhythm(checkpoint_seconds=0.2, retry_seconds=0.05))

        def view_task(topic: str, partition: int) -> ViewTask:
            _, end = self.log.bounds(topic).spans[partition]
            return ViewTask(self.view, self.app.stored_as(self.view), partition, self.store, end)

        self.intake = operator("intake", self.log_name, lambda _, p: IntakeTask(plan, p))
        self.views = operator("view", clean, view_task)

    def restart(self) -> None:
        """As a process that died and was started again."""
        self.close()
        self._begin()

    def close(self) -> None:
        self.intake.close()
        self.views.close()
        self.asking.close()
        self.log.close()

    def write(self, schema: dict[str, Any], *events: dict[str, Any]) -> int:
        """By confluent-kafka's serialiser; the schema's id."""
        command = [str(PYTHON), str(ROOT / "tests" / "clients" / "produce_avro.py")]
        done = subprocess.run(
            [*command, self.kafka, self.registry, self.log_name],
            input=json.dumps({"schema": schema, "events": events}),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def write_raw(self, *values: bytes) -> None:
        producer = Producer({"bootstrap.servers": self.kafka})
        for value in values:
            producer.produce(self.log_name, value, partition=0)
        producer.flush()

    def step(self) -> None:
        self.intake.step(0.02)
        self.views.step(0.02)

    def until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not what():
            assert time.monotonic() < deadline, f"{self.fates()}, {self.outages.current()}"
            self.step()

    def fates(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for task in self.intake.tasks():
            found |= {name: n for name, n in task.facts()["fates"].items() if n}
        return found

    def euros(self, customer: str) -> float | None:
        """The sum over a customer's orders, as feature consumers read it now."""
        asked = {"features": ["by_customer:euros"], "entities": {"customer": [customer]}}
        request = read_request(json.dumps(asked).encode())
        found = feature_reader(self.app).answer(request, self.store, time.time_ns() // 1_000_000)
        value = found.results[-1].values[0]
        return None if value is None else float(value)

    def letters(self) -> list[tuple[str, str]]:
        """Reason and detail of every dead letter."""
        found = []
        with closing(KafkaLog(self.kafka)) as log:
            for record in kept_by_run.records(log, self.app.dead_log, 0):
                rows = decode_block(record.value).rows
                assert rows is not None
                table = rows.to_pydict()
                found += list(zip(table["reason"], table["detail"]))
        return found


@pytest.fixture
def shop(kafka: str, registry: RegistryOf, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(kafka, registry.url, tmp_path)
    yield made
    made.close()


def event(which: str, customer: str = "ann", **more: Any) -> dict[str, Any]:
    return {"id": which, "at": time.time_ns() // 1_000_000, "customer": customer, **more}


@needs_clients
def test_what_confluents_serialiser_writes_becomes_rows_while_its_schema_evolves(
    shop: Shop,
) -> None:
    first = shop.write(order(AMOUNT), event("1", amount=2.5), event("2", amount=1.0))
    shop.until(lambda: shop.euros("ann") == 3.5)
    # While it runs: what readers have not yet heard of, then a field that they wait for.
    address = {"type": "record", "name": "Address", "fields": [{"name": "city", "type": "string"}]}
    newer = order({"name": "to", "type": address, "default": {"city": ""}}, AMOUNT)
    second = shop.write(newer, event("3", amount=4.0, to={"city": "Bonn"}))
    coupon = {"name": "coupon", "type": ["null", "string"], "default": None}
    newest = {**newer, "fields": [*newer["fields"], coupon]}
    third = shop.write(newest, event("4", amount=8.0, to={"city": "Ulm"}, coupon="x"))
    shop.until(lambda: shop.euros("ann") == 15.5)
    assert len({first, second, third}) == 3
    assert shop.fates() == {"applied": 4}
    assert not shop.outages.current()


@needs_clients
def test_a_renamed_field_is_found_by_its_old_name(shop: Shop) -> None:
    shop.write(order(AMOUNT), event("1", amount=2.0))
    # The writers rename, with an alias; this app calls it so by now, too.
    renamed = order({"name": "euros", "type": "double", "aliases": ["amount"], "default": 0.0})
    shop.write(renamed, event("2", euros=3.0))
    shop.until(lambda: shop.euros("ann") == 5.0)


@needs_clients
def test_kept_schemas_are_read_after_a_restart_without_the_registry(
    kafka: str, tmp_path: Path
) -> None:
    with RegistryServer(tmp_path / "registry") as server:
        shop = Shop(kafka, server.url, tmp_path)
        shop.write(order(AMOUNT), event("1", amount=2.0))
        shop.until(lambda: shop.euros("ann") == 2.0)
        known = shop.write(order(AMOUNT), event("2", amount=3.0))
    shop.restart()
    with closing(shop):
        shop.until(lambda: shop.euros("ann") == 5.0)
        assert not shop.outages.current()
        kept = kept_writers(str(shop.folder / "checkpoints"), shop.log_name, shop.orders)
        assert list(kept.readable) == [known]


def stopped(server: RegistryServer) -> None:
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)


def gone_on(server: RegistryServer) -> None:
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGCONT)


@needs_clients
@pytest.mark.parametrize(
    ("end", "start", "cause"),
    [
        (stopped, gone_on, "has not answered within 3 s"),
        (RegistryServer.kill, RegistryServer.start, "cannot be reached"),
    ],
    ids=["hung", "killed"],
)
def test_intake_waits_while_the_registry_is_away_and_loses_nothing(
    kafka: str,
    tmp_path: Path,
    end: Callable[[RegistryServer], None],
    start: Callable[[RegistryServer], None],
    cause: str,
) -> None:
    with (
        RegistryServer(tmp_path / "registry") as server,
        closing(Shop(kafka, server.url, tmp_path)) as shop,
    ):
        shop.write(order(AMOUNT), event("1", amount=1.0))
        shop.until(lambda: shop.euros("ann") == 1.0)
        # A schema that nobody has asked of yet, then the old one behind it.
        newer = order(AMOUNT, {"name": "city", "type": ["null", "string"], "default": None})
        shop.write(newer, event("2", amount=2.0, city=None))
        shop.write(order(AMOUNT), event("3", amount=4.0))
        end(server)
        shop.until(lambda: any(cause in told.cause for told in shop.outages.current()))
        (told,) = shop.outages.current()
        assert (told.component, told.resource) == ("registry", server.url)
        shop.step()
        assert shop.fates() == {"applied": 1}, "nothing behind it is settled"
        start(server)
        shop.until(lambda: shop.euros("ann") == 7.0)
        assert shop.fates() == {"applied": 3}
        assert not shop.outages.current()


def test_an_id_that_no_schema_has_is_a_dead_letter_and_stays_one(shop: Shop) -> None:
    value = b"\0" + struct.pack(">I", 987_654) + b"\x02x"
    shop.write_raw(value, value, b"\0")
    shop.until(lambda: sum(shop.fates().values()) == 3)
    assert shop.fates() == {"dead:unknown_type": 2, "dead:undecodable": 1}
    detail = (
        f"the registry knows no schema 987654 (asked for subject {shop.log_name}-value of topic "
        "orders)"
    )
    assert shop.letters() == [("unknown_type", detail)] * 2 + [("undecodable", None)]
    shop.intake.checkpoint()
    shop.restart()
    # Settled by what is kept: nobody is asked once more, whatever is registered meanwhile.
    shop.registry = "http://127.0.0.1:9"
    shop.restart()
    shop.write_raw(value)
    shop.until(lambda: shop.fates() == {"dead:unknown_type": 3, "dead:undecodable": 1})


@needs_clients
def test_a_schema_that_cannot_be_read_makes_dead_letters_that_name_field_and_versions(
    shop: Shop,
) -> None:
    # Apicurio's own default, which it does not let anybody set.
    if httpx.get(f"{shop.registry}/config").json() != {"compatibilityLevel": "NONE"}:
        httpx.put(f"{shop.registry}/config", json={"compatibility": "NONE"}).raise_for_status()
    shop.write(order(AMOUNT), event("1", amount=1.0))
    text = {"name": "amount", "type": "string"}
    bad = shop.write(order(text), event("2", amount="a lot"))
    shop.write(order(AMOUNT), event("3", amount=2.0))
    shop.until(lambda: shop.euros("ann") == 3.0)
    assert shop.fates() == {"applied": 2, "dead:unreadable_schema": 1}
    (letter,) = shop.letters()
    assert letter == (
        "unreadable_schema",
        f"schema {bad} (subject {shop.log_name}-value, version 2): topic orders (version 1 of its "
        "schema) cannot read what is written by it: field 'euros' is string for writers and double "
        "for readers. Keep its type, or add a field of another name.",
    )


@needs_clients
def test_the_audit_reads_by_the_kept_schemas(shop: Shop) -> None:
    shop.write(order(AMOUNT), event("1", amount=1.0), event("2", amount=2.0))
    shop.write_raw(b"\0" + struct.pack(">I", 987_655))
    newer = order(AMOUNT, {"name": "city", "type": ["null", "string"], "default": None})
    shop.write(newer, event("3", amount=4.0, city="Bonn"), event("3", amount=4.0, city="Bonn"))
    shop.until(lambda: sum(shop.fates().values()) == 5)
    shop.intake.checkpoint()
    url = str(shop.folder / "checkpoints")
    _, own = kept_by_run.ledger(shop.log, url, shop.orders, shop.log_name, 0)
    found = kept_by_run.records(shop.log, shop.log_name, 0)
    told = kept_by_run.told(shop.log, shop.app.dead_log, shop.orders, 0)
    earlier = kept_writers(url, shop.log_name, shop.orders).readable
    taken_on = kept_by_run.taken_on(shop.log, url, shop.orders, shop.log_name, 0)
    assert recompute(shop.orders, found, told, taken_on, earlier) == own
