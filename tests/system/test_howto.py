"""The producer of `docs/howto/kafka.md`, as it stands there, over a real Kafka."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer
from rich.console import Console

from freshet.app import App, load
from freshet.cli.init import init
from freshet.features.reading.api import read_request
from freshet.roles.interface import feature_reader
from freshet.streams.catalog import open_log
from freshet.streams.log.contract import Log
from freshet.testing import LocalRun, MemoryStore
from tests import howto

SENT = 100


@dataclass
class Parcels:
    """The app of `freshet init` over Kafka, under a name of its own, with the page's files beside
    it."""

    folder: Path
    app: App
    log: Log
    brokers: str

    def produce(self) -> None:
        program = [sys.executable, str(self.folder / "deliveries.py"), self.brokers]
        done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def value_and_fates(self) -> tuple[object, dict[str, int]]:
        """Bob's feature, and what became of the topic's records, once all of them are taken in."""
        store = MemoryStore()
        with LocalRun(self.app, self.folder / "run", store, log=self.log) as run:
            now = time.time_ns() // 1_000_000
            run.step(now, now + 1_000, {}, {})
            fates = next(
                t.facts()["fates"]
                for o in run.operators
                for t in o.tasks()
                if t.name.endswith("deliveries:0")
            )
        body = {"features": ["punctuality:late_10m"], "entities": {"courier": ["bob"]}}
        answer = feature_reader(self.app).answer(
            read_request(json.dumps(body).encode()), store, now + 1_000
        )
        return answer.results[-1].values[0], {fate: n for fate, n in fates.items() if n}


@pytest.fixture
def parcels(tmp_path: Path, kafka: str) -> Parcels:
    name = f"parcels{uuid.uuid4().hex[:8]}"
    init(tmp_path / "app", Console(quiet=True))
    howto.write("kafka", tmp_path / "app")
    for file in ("app.py", "deliveries.py"):
        path = tmp_path / "app" / file
        path.write_text(path.read_text().replace('"parcels', f'"{name}'))
    app = load(tmp_path / "app" / "app.py")
    log = open_log(f"kafka://{kafka}")
    with LocalRun(app, tmp_path / "app" / "run", MemoryStore(), log=log):
        pass  # makes the topics
    return Parcels(tmp_path / "app", app, open_log(f"kafka://{kafka}"), kafka)


def test_what_the_producer_sends_becomes_a_feature(parcels: Parcels) -> None:
    parcels.produce()
    value, fates = parcels.value_and_fates()
    assert value == pytest.approx(sum(12.0 + i % 7 for i in range(SENT)) / SENT)
    assert fates == {"applied": SENT}


def test_sent_again_it_counts_once(parcels: Parcels) -> None:
    parcels.produce()
    parcels.produce()
    value, fates = parcels.value_and_fates()
    assert value == pytest.approx(sum(12.0 + i % 7 for i in range(SENT)) / SENT)
    assert fates == {"applied": SENT, "deduplicated": SENT}


def test_avro_in_freshet_s_own_partition_is_the_same_event(parcels: Parcels) -> None:
    parcels.produce()
    with (
        howto.imported(parcels.folder, "deliveries") as deliveries,
        howto.imported(parcels.folder, "in_avro") as avro,
    ):
        producer = Producer({"bootstrap.servers": parcels.brokers})
        for name in ("k0", "new"):
            avro.send(
                producer,
                deliveries.delivery(name, "bob", "Lyon", 12.0),
                str(parcels.folder / "app.py"),
            )
        assert producer.flush(30) == 0
    _, fates = parcels.value_and_fates()
    assert fates == {"applied": SENT + 1, "deduplicated": 1}
