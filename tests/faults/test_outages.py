"""Servers go away under a running app and come back: that is noticed and named, scoring goes on,
memory stays bounded, and in the end everything is as if nothing had happened."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from freshet.app import App
from freshet.replay.client import ScoringClient
from freshet.schemas.errors import ComponentError
from freshet.servers.cassandra_server import CassandraServer
from freshet.servers.kafka_server import KafkaServer
from freshet.servers.redis_server import RedisServer
from freshet.servers.server import free_ports
from freshet.serving.status import status as s
from tests.faults.disturbance import Disturbed, Left, differing, running
from tests.faults.killer import until

AWAY_SECONDS = 60.0
# that a role may hold at the end of an outage: the fetch queue of a consumer, not a backlog
MORE_MB = 64.0

pytestmark = pytest.mark.timeout(900)


@dataclass
class Scene:
    """A component goes away in the middle of step `at`, once its questions are answered, as `end`
    does it, and comes back by `start`; `where` is its address. What was seen of it meanwhile:
    status, rungs of probes, metrics and memory."""

    at: int
    component: str
    where: str
    away_seconds: float
    end: Callable[[], object]
    start: Callable[[], object]
    status: s.Status | None = None
    rungs: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, tuple[float, float]] = field(default_factory=dict)
    rung_after: str = ""
    error: BaseException | None = None
    _client: ScoringClient | None = None

    def play(self, run: Disturbed, probe: dict[str, list[Any]]) -> threading.Thread:
        """Begin: it goes away now, the rest goes on in a thread."""
        pids = {name: c["pid"] for name, c in run.runtime.supervisor.facts().items()}
        before = {name: resident_mb(pid) for name, pid in pids.items()}
        exporters = [r.metrics for r in status_of(run).roles if r.metrics]
        self.end()
        thread = threading.Thread(target=self._go_on, args=(run, probe, pids, before, exporters))
        thread.start()
        return thread

    def _go_on(
        self, run: Disturbed, probe: dict[str, list[Any]], pids: dict[str, int], before: dict[str, float], exporters: list[str]
    ) -> None:  # fmt: skip
        model = run.app.models[0]
        # Another than the replay's: what it counts is not what the replay's may have met.
        self._client = ScoringClient([run.runtime.address("serve")], model.name, model.on.events)
        try:
            back_at = time.monotonic() + self.away_seconds
            until(lambda: self._told(run), f"the {self.component}'s outage is in the status")
            while time.monotonic() < back_at:
                self._probe(run, probe)
                time.sleep(0.5)
            self.status = status_of(run)
            for address in exporters:
                self.metrics |= outages_in(address)
            self.memory_mb = {name: (before[name], resident_mb(pid)) for name, pid in pids.items()}
            self.start()
            until(lambda: not self._told(run), f"the {self.component} is back in the status")
            self.rung_after = self._probe(run, probe)
        except BaseException as error:
            self.error = error
            self.start()
        finally:
            self._client.close()

    def _told(self, run: Disturbed) -> bool:
        return any(o.component == self.component for o in status_of(run).outages)

    def _probe(self, run: Disturbed, probe: dict[str, list[Any]]) -> str:
        """Ask for a flight that was asked for before: what is learned from is its first answer."""
        client = self._client
        assert client is not None
        body = json.dumps({"inputs": [
            {"name": k, "shape": [1], "datatype": client._types[k], "data": v} for k, v in probe.items() if k in client._types
        ]}).encode()  # fmt: skip
        try:
            rung: str = client._post(body)["parameters"]["rung"]
        except ComponentError as error:
            self.failed.append(str(error))
            return ""
        self.rungs.append(rung)
        return rung


def status_of(run: Disturbed) -> s.Status:
    return s.decode(asked(f"{run.runtime.address('status')}/status.json").content)


def asked(address: str) -> httpx.Response:
    # Nothing here is asked over TLS, and to read the certificates for it is most of what a question
    # costs.
    return httpx.get(address, timeout=30.0, verify=False)


def outages_in(address: str) -> dict[str, float]:
    """By component: since when, as a role's metrics tell."""
    text = asked(f"{address}/metrics").text
    families = {f.name: f for f in text_string_to_metric_families(text)}
    found = families.get("freshet_outage_since_timestamp_seconds")
    return {x.labels["component"]: x.value for x in found.samples} if found is not None else {}


def resident_mb(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 1e6


def logged(folder: Path, role: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in (folder / "logs" / f"{role}.jsonl").read_text().splitlines()
    ]


def played(run: Disturbed, scenes: list[Scene]) -> tuple[Left, dict[str, list[dict[str, Any]]]]:
    """The run with these scenes, to its end; what it left, and the logs of its roles."""
    probe: dict[str, list[Any]] = {}
    threads: list[threading.Thread] = []

    def after_asking(n: int, queries: dict[str, list[Any]]) -> None:
        for scene in scenes:
            if scene.at == n:
                threads.append(scene.play(run, dict(probe)))
        probe.update({k: v[:1] for k, v in queries.items()})

    run.play(lambda n: None, after_asking)
    for thread in threads:
        thread.join()
    for scene in scenes:
        if scene.error is not None:
            raise scene.error
    assert run.client.failed == run.client.broken == 0
    # Who is fenced by the coordinator again and again after its restart gives up, and is started
    # again.
    assert all(c["restarts"] <= 1 for c in run.runtime.supervisor.facts().values()), (
        "nobody kept dying of it"
    )
    return run.left(), {
        role: logged(run.folder, role) for role in ("view", "serve", "intake", "control")
    }


@dataclass
class Played:
    app: App
    scenes: dict[str, Scene]
    left: Left
    logs: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def kafka_and_redis(tmp_path_factory: pytest.TempPathFactory, kafka: str) -> Iterator[Played]:
    """Redis is killed and started empty; later Kafka is stopped for a minute. `kafka` only says
    that there can be one."""
    folder = tmp_path_factory.mktemp("outages")
    with ExitStack() as stack:
        broker = stack.enter_context(KafkaServer(folder / "kafka"))
        redis = stack.enter_context(RedisServer(folder / "redis", port=free_ports(1)[0]))
        store = Scene(15, "store", redis.address, 5.0, redis.kill, redis.start)
        log = Scene(37, "log", broker.address, AWAY_SECONDS, broker.stop, broker.start)
        run = stack.enter_context(
            running(folder / "run", f"kafka://{broker.address}", f"redis://{redis.address}/0")
        )
        found, logs = played(run, [store, log])
        yield Played(run.app, {"store": store, "log": log}, found, logs)


@pytest.fixture(scope="module")
def on_cassandra(tmp_path_factory: pytest.TempPathFactory, cassandra: str) -> Iterator[Played]:
    """Cassandra is stopped for a minute. `cassandra` only says that there can be one."""
    folder = tmp_path_factory.mktemp("outages")
    with ExitStack() as stack:
        server = stack.enter_context(CassandraServer(folder / "cassandra"))
        scene = Scene(15, "store", server.address, AWAY_SECONDS, server.stop, server.start)
        run = stack.enter_context(
            running(folder / "run", "", f"cassandra://{server.address}/outages")
        )
        found, logs = played(run, [scene])
        yield Played(run.app, {"store": scene}, found, logs)


@pytest.fixture(scope="module", params=["kafka_and_redis", "on_cassandra"])
def run(request: pytest.FixtureRequest) -> Played:
    found: Played = request.getfixturevalue(request.param)
    return found


def test_an_outage_is_named_in_the_status_with_its_address_and_what_to_do(run: Played) -> None:
    for component, scene in run.scenes.items():
        assert scene.status is not None
        (outage,) = [o for o in scene.status.outages if o.component == component]
        assert scene.where in outage.resource
        assert outage.cause
        assert outage.meanwhile
        assert outage.next_step
        assert outage.roles
        assert [p.state for p in scene.status.promises if p.name == "servers answer"] == ["red"]


def test_an_outage_is_in_the_metrics_of_the_roles_that_wait(run: Played) -> None:
    for component, scene in run.scenes.items():
        assert abs(scene.metrics[component] - time.time()) < 3600


def test_an_outage_and_its_end_are_logged(run: Played) -> None:
    for component, scene in run.scenes.items():
        roles = ("view", "serve") if component == "store" else ("intake", "view")
        for role in roles:
            begun = [m for m in run.logs[role] if m["event"] == f"{component} is away"]
            over = [m for m in run.logs[role] if m["event"] == f"{component} is back"]
            # A server that is stopped in good order may answer once more after it was first found
            # away.
            assert 1 <= len(begun) == len(over) <= 3, role
            assert scene.where in begun[0]["resource"]
            assert begun[0]["cause"]
            assert begun[0]["meanwhile"]
            assert begun[0]["next_step"]


def test_scoring_goes_on_by_the_declared_rung(run: Played) -> None:
    for component, scene in run.scenes.items():
        assert not scene.failed
        assert scene.rungs
        away, after = set(scene.rungs[:-1]), scene.rung_after
        assert away <= ({"heuristic", "constant"} if component == "store" else {"champion"})
        assert after == "champion"


def test_memory_stays_bounded(run: Played) -> None:
    for scene in run.scenes.values():
        for role, (before, after) in scene.memory_mb.items():
            assert after - before < MORE_MB, role


def test_ledger_rows_and_examples_are_those_of_an_undisturbed_run(
    run: Played, undisturbed: Left
) -> None:
    assert run.left.ledgers == undisturbed.ledgers
    assert run.left.rows == undisturbed.rows
    assert differing(run.app, run.left, undisturbed) == {}
    assert run.left.examples == undisturbed.examples
