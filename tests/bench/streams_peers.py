"""How many events does a CPU second carry beside Bytewax, Quix Streams and Faust, each as its own
documentation has the job written?

The job, the records and our side are those of `streams`. The others run in environments of their
own in the user's cache, over fewer records, since they take longer; their CPU is from their first
event on, without imports. One that cannot be installed is left out, and said so.
`FRESHET_BENCH_PEER_EVENTS` says how many events each of them has.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import uuid
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Producer

from freshet.streams.catalog import open_log
from tests.bench import stream_peers, streams
from tests.bench.harness import Row, at_least
from tests.bench.peers import NoPeer, python_of
from tests.bench.servers import servers
from tests.bench.stream_peers.flight_job import decoded

EVENTS = int(os.environ.get("FRESHET_BENCH_PEER_EVENTS", "100000"))
PATIENCE_SECONDS = 170.0


class Peer(NamedTuple):
    """What it is called, its program, the environment that it runs in, and the bar."""

    name: str
    program: str
    environment: str
    bar: float


PEERS = (
    Peer("Bytewax", "bytewax_job.py", "streams", 10.0),
    Peer("Quix Streams", "quix_job.py", "streams", 60.0),
    Peer("Faust", "faust_job.py", "faust", 60.0),
)


def run() -> list[Row]:
    os.environ["FRESHET_BENCH_APP"] = name = f"bench{uuid.uuid4().hex[:8]}"
    with servers() as (brokers, address):
        tick = streams.fill(brokers)
        ours = streams.EVENTS / streams.ours(brokers, address, tick, 0)["cpu"]
        few = f"{name}.few"
        _fill(brokers, few)
        found = [(peer, _rate(peer, brokers, few, address)) for peer in PEERS]
    return [_row(peer, ours, theirs) for peer, theirs in found if theirs is not None]


def _fill(brokers: str, topic: str) -> None:
    """Publish the first of the records, each with its origin as key: Quix Streams keeps state by
    the record's key."""
    from tests.bench.flight_features import records

    with closing(open_log(f"kafka://{brokers}")) as log:
        log.ensure(topic, 1)
    producer = Producer({"bootstrap.servers": brokers, "queue.buffering.max.messages": 2 * EVENTS})
    for value, time_ms in records(EVENTS):
        origin = decoded(value)["origin"]
        producer.produce(topic, value, origin.encode(), partition=0, timestamp=time_ms)
    producer.flush()


def _row(peer: Peer, ours: float, theirs: float) -> Row:
    return Row(
        name=f"streams beside {peer.name}",
        unit="events per CPU-second",
        ours=round(ours),
        baseline=round(theirs),
        ratio=round(ours / theirs, 1),
        against=peer.name,
        bar=at_least(ours / theirs, peer.bar, f"× {peer.name}"),
        detail={"events": EVENTS, "load": os.getloadavg()[0]},
    )


def _rate(peer: Peer, brokers: str, topic: str, address: str) -> float | None:
    """Its events in a second of CPU."""
    try:
        python = python_of(peer.environment)
    except NoPeer as error:
        print(f"streams_peers: {peer.name} is left out, {error}")
        return None
    program = Path(stream_peers.__file__).with_name(peer.program)
    with tempfile.TemporaryDirectory() as folder:
        given = [brokers, topic, str(EVENTS), address, folder]
        done = subprocess.run(
            [str(python), str(program), *given],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, f"{peer.name} failed: {done.stderr[-2_000:]}"
    told = json.loads(lines[-1])
    assert told["events"] >= EVENTS, f"{peer.name} read {told['events']} of {EVENTS} events"
    return float(told["events"] / told["cpu"])
