"""A user's own agents on real Kafka: their outputs are a topic like any other, also when their
worker is killed.

The app and the agents are `faust_weather_app.py` and `faust_weather_agents.py`; intake, view and
control run as a user runs them, the agents as a Faust worker of their own, which asks a service
about every event. The reference is a plain loop.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from freshet.app import App, load
from freshet.audit import kept as kept_by_run
from freshet.demo.flights.data import weather_of
from freshet.features.catalog import open_store
from freshet.features.rows.finish import PRESENT, finish
from freshet.features.stores.contract import RowKeys
from freshet.processes.runtime import Runtime
from freshet.schemas.events.decode import encode
from freshet.schemas.topics.reader import EventReader, partition_of
from freshet.schemas.topics.topic import Topic
from freshet.servers.server import free_ports
from freshet.settings import Settings
from freshet.streams.kafka.log import KafkaLog
from freshet.streams.log.contract import Log
from tests.faust_worker import faust_python

HERE, HOUR_MS, DEADLINE_SECONDS = Path(__file__).parent, 3_600_000, 120.0
FEET = {"EWR": 18, "JFK": 13, "LGA": 22}
FIRST, HELD_AT = 120, 60
Event = dict[str, Any]


class Airports(ThreadingHTTPServer):
    """Tells an airport's elevation; keeps who asks about the observation `held` waiting until it is
    another."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.held, self.waiting, self.go = "", threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked was killed meanwhile."""


class Answer(BaseHTTPRequestHandler):
    server: Airports

    def do_GET(self) -> None:
        _, origin, observation = self.path.split("/")
        if observation == self.server.held:
            self.server.waiting.set()
            self.server.go.wait(DEADLINE_SECONDS)
        body = json.dumps({"feet": FEET[origin]}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silent."""


class Worker:
    """`faust -A agents:agents worker` in the folder of the user's files; a context manager that
    ends it as a user would."""

    def __init__(self, directory: Path, kafka: str, airports: str) -> None:
        (self.port,) = free_ports(1)
        command = [faust_python(), "-m", "faust", "-A", "agents:agents", "worker", "-l", "info"]
        where = ["--web-host", "127.0.0.1", "--web-port", str(self.port)]
        environment = {
            **os.environ,
            "FRESHET_LOG": f"kafka://{kafka}",
            "AIRPORTS": airports,
            "PYTHONWARNINGS": "ignore",
        }
        self.log = directory / f"worker-{self.port}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, *where],
                cwd=directory,
                env=environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def seen(self) -> dict[str, int] | None:
        """The agents' table, once it is restored; None before that."""
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        try:
            found: dict[str, int] = httpx.get(
                f"http://127.0.0.1:{self.port}/seen/", timeout=5.0
            ).json()
        except (httpx.TransportError, ValueError):
            return None
        return found


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of a condition."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


@contextmanager
def airports() -> Iterator[Airports]:
    server = Airports()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.go.set()
        server.shutdown()
        server.server_close()
        thread.join()


def users_files(directory: Path) -> Path:
    """The app and its agents as a user has them, under a name of their own."""
    text = (HERE / "faust_weather_app.py").read_text()
    (directory / "app.py").write_text(
        text.replace('fr.App("sky"', f'fr.App("sky_{uuid.uuid4().hex[:8]}"')
    )
    shutil.copy(HERE / "faust_weather_agents.py", directory / "agents.py")
    return directory / "app.py"


def observations() -> list[Event]:
    events = weather_of(4).drop("row").sort("observed_at", "observation_id").to_dicts()
    return [e for e in events if (e["wind_speed"] or 0.0) <= 250.0]


def published(topic: Topic, events: Sequence[Event]) -> list[bytes]:
    """Records of the events, Avro and JSON in turns, and among them what is no event and what
    breaks a rule."""
    draw = random.Random(7)
    out = []
    for i, event in enumerate(events):
        out.append(encode(topic.events, [event])[0] if i % 2 else json.dumps(event).encode())
        if i % 10 == 0:
            wrong = {**event, "observation_id": f"wrong {i}", "wind_speed": 1048.0}
            out += [draw.randbytes(30), b'{"observation_id": ', *encode(topic.events, [wrong])]
    return out


def append(log: Log, app: App, records: Sequence[bytes]) -> None:
    with closing(log.writer()) as writer:
        writer.append(app.log_of("weather"), 0, records, time.time_ns() // 1_000_000)
        writer.flush()


def outputs(log: Log, app: App) -> list[tuple[int, str]]:
    """Partition and id of every event in the agents' topic."""
    topic, found = app.topic("weather_enriched"), []
    reader = EventReader(topic)
    for p in range(topic.partitions):
        for record in kept_by_run.records(log, app.log_of(topic.name), p):
            found.append((p, reader.event_id(bytes(record.value))))
    return found


def expected(events: Sequence[Event], as_of: int) -> dict[str, list[float]]:
    """The view's values by origin, the plain way: the 24 newest hours as of `as_of`, the running
    one included."""
    out = {}
    for origin in FEET:
        recent = [
            e
            for e in events
            if e["origin"] == origin and e["observed_at"] // HOUR_MS > as_of // HOUR_MS - 24
        ]
        celsius = [(e["temp"] - 32.0) / 1.8 for e in recent if e["temp"] is not None]
        out[origin] = [
            float(len(recent)),
            sum(celsius) / len(celsius),
            min(celsius),
            float(FEET[origin]),
        ]
    return out


def rows(app: App, store_url: str, as_of: int) -> dict[str, list[float]] | None:
    """The same from the store; None while a row is missing."""
    view = app.view("sky")
    with closing(open_store(store_url)) as store:
        (found,) = store.read([RowKeys(app.stored_as(view), [o.encode() for o in FEET])])
    done = finish(view.plan, found.packed, np.full(len(FEET), as_of))
    if not (done.status == PRESENT).all():
        return None
    order = [
        view.plan.names.index(n) for n in ("n_1d", "celsius_1d", "coldest_1d", "elevation_feet")
    ]
    return dict(zip(FEET, done.values[:, order].tolist()))


def wait_for_role(log: KafkaLog, group: str, topic: str) -> None:
    """Until a role has taken in what is in a topic now."""
    ends = {p: after for p, (first, after) in log.bounds(topic).spans.items() if after > first}
    until(
        lambda: all(log.committed(group, topic).get(p, 0) >= ends[p] for p in ends),
        f"{group} takes in {topic}",
    )


@pytest.mark.timeout(600)
def test_a_view_over_what_agents_send_equals_a_plain_loop_though_their_worker_is_killed(
    kafka: str, redis_address: str, tmp_path: Path
) -> None:
    file, events = users_files(tmp_path), observations()
    app, store = load(file), f"redis://{redis_address}/0"
    first, rest = events[:FIRST], events[FIRST:]
    given = Settings(
        run_dir=tmp_path / "run", log=f"kafka://{kafka}", store=store, port=0, status_port=0
    )
    with (
        airports() as service,
        Runtime(app, str(file), given) as runtime,
        closing(KafkaLog(kafka)) as log,
    ):
        append(runtime.log, app, published(app.topic("weather"), first))
        with Worker(tmp_path, kafka, service.url) as worker:
            until(
                lambda: worker.seen() and sum(worker.seen().values()) == FIRST,
                "the first observations are counted",
            )
        assert worker.process.returncode == 0, worker.log.read_text()[-4000:]
        assert log.committed(f"{app.name}.agents", app.log_of("weather")), (
            "a worker that is stopped commits"
        )

        service.held = rest[HELD_AT]["observation_id"]
        append(runtime.log, app, published(app.topic("weather"), rest))
        with Worker(tmp_path, kafka, service.url) as worker:
            until(service.waiting.is_set, "the agent asks about the observation that is held")
            until(
                lambda: len(outputs(log, app)) == FIRST + HELD_AT,
                "what it sent before that is in the log",
            )
            before = until(worker.seen, "the table is shown")
            worker.kill()
        service.waiting.clear()
        with Worker(tmp_path, kafka, service.url) as worker:
            until(service.waiting.is_set, "its successor comes to the same observation")
            assert until(worker.seen, "the table is shown") == before, (
                "the table is restored, and nothing is counted twice"
            )
            assert sum(before.values()) == FIRST + HELD_AT
            service.go.set()
            until(lambda: len(set(outputs(log, app))) == len(events), "all else is sent")
            counts = {o: sum(e["origin"] == o for e in events) for o in FEET}
            until(lambda: worker.seen() == counts, "all are counted once")
        wait_for_role(log, f"{app.name}.intake", app.log_of("weather_enriched"))
        wait_for_role(log, f"{app.name}.view", app.clean_log_of(app.view("sky")))
        sent_to = outputs(log, app)
        found = rows(app, store, events[-1]["observed_at"])
    assert found is not None
    for origin, values in expected(events, events[-1]["observed_at"]).items():
        assert found[origin] == pytest.approx(values, rel=1e-12)
    # A worker that was stopped has committed: nothing of before is sent again. What came later may
    # be, at least once is what is promised: after a kill, and where a client does not hear of a
    # record in time that has arrived.
    again = {name for (_, name), times in Counter(sent_to).items() if times > 1}
    assert not again & {event["observation_id"] for event in first}
    assert {p for p, _ in sent_to} == {0, 1, 2}
    assert all(p == partition_of(name, 3) for p, name in sent_to)
    told = worker.log.read_text()
    assert "skipped, out_of_range, field 'wind_speed' (1 so far)" in told
    assert "skipped, undecodable (1 so far)" in told
