"""How soon are features answered over HTTP: 500 requests a second of one key with four views, and
one request of a thousand keys? Beside Feast's own feature server on the same Redis.

The scorer is the role that a run has, over rows of a thousand keys in real Redis. Feast is asked
for the same values, which are put into its online store by its own means; it runs as its
documentation has it (`feast serve`), in an environment of its own in the user's cache. Where that
cannot be made, the bars alone are judged. `FRESHET_BENCH_SECONDS` says how long each is asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from freshet.features.catalog import open_store
from freshet.features.partition.rows import ViewRows
from freshet.features.stores.marks import PartitionMark
from freshet.learners.snapshots.keys import create_key
from freshet.schemas.text.columns import Texts
from freshet.servers.redis_server import RedisServer
from freshet.servers.server import free_ports
from tests.bench import feast_server, features_app
from tests.bench.closed_loop import ask_in_loops
from tests.bench.harness import Row, at_most
from tests.bench.open_loop import TIMEOUT_SECONDS, ask, connect, post, status_of
from tests.bench.peers import NoPeer, python_of

SECONDS = float(os.environ.get("FRESHET_BENCH_SECONDS", "20"))
RATE = 500.0
WARM_SECONDS, LOOP_SECONDS, READY_SECONDS = 2.0, 5.0, 120.0
KEYS, EVENTS = 1_000, 20_000
ONE_BAR_MS, MANY_BAR_MS = 5.0, 20.0
PATH = "/get-online-features"
FEATURES = [f"{view.name}:{name}" for view in features_app.VIEWS for name in view.plan.names]


class Took(NamedTuple):
    """Milliseconds of a server: of one key at a fixed rate, of one key over one connection, which
    asks again once it is answered, and of a thousand keys in the same way."""

    p50: float
    p99: float
    alone_p50: float
    many_p50: float
    failed: int


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as at:
        folder = Path(at)
        (port,) = free_ports(1)
        with RedisServer(folder / "redis", port=port) as redis:
            _write_rows(redis.url)
            with _scorer(folder, redis.url) as address:
                ours = _asked(address)
                rows = _values(address)
            feast = _of_feast(folder, redis.address, rows)
    assert ours.failed == 0, "a request was not answered"
    return [
        _row("p99 of one key", ours.p99, feast and feast.p99, ONE_BAR_MS),
        _row("p50 of one key", ours.p50, feast and feast.p50, None),
        _row("p50 over one connection", ours.alone_p50, feast and feast.alone_p50, None),
        _row(f"{KEYS:,} keys in one request", ours.many_p50, feast and feast.many_p50, MANY_BAR_MS),
    ]


def _row(name: str, ours: float, theirs: float | None, bar: float | None) -> Row:
    ratio = round(theirs / ours, 2) if theirs else None
    row = Row(
        name=f"features {name}",
        unit="ms",
        ours=round(ours, 2),
        baseline=theirs and round(theirs, 2),
        ratio=ratio,
        against="Feast's feature server" if theirs else "",
        detail={"load": os.getloadavg()[0]},
    )
    if bar is not None:
        row["bar"] = at_most(ours, bar, "ms")
    return row


def _write_rows(url: str) -> None:
    """Of the last hours, as the view role would have them."""
    rng = np.random.default_rng(4)
    now_ms = int(time.time() * 1000)
    with closing(open_store(url)) as store:
        for view in features_app.VIEWS:
            rows = ViewRows(view.plan)
            keys = Texts.of([_key(n) for n in rng.integers(0, KEYS, EVENTS).tolist()])
            times = np.sort(now_ms - rng.integers(0, 7_200_000, EVENTS))
            values = rng.normal(size=(EVENTS, 1))
            rows.fold(keys, times, values, 0, np.arange(EVENTS))
            stored_as = features_app.app.stored_as(view)
            store.write(stored_as, *rows.hand_over())
            # That they are all there.
            PartitionMark(store, stored_as, 0).put(store.generation(), 1, now_ms)


def _key(number: int) -> str:
    return f"u{number:04}"


@contextmanager
def _scorer(folder: Path, url: str) -> Iterator[tuple[str, int]]:
    # A whole run makes them; this role alone waits for those of the others.
    for signer in ("trainer", "qualifier"):
        create_key(folder / "run" / "keys" / signer)
    (port,) = free_ports(1)
    where = ["--store", url, "--run-dir", str(folder / "run"), "--port", str(port)]
    app = str(features_app.__file__)
    command = [sys.executable, "-m", "freshet", "run", app, "--role", "serve", *where]
    with _serving(command, folder / "serve.out", port) as address:
        yield address


def _of_feast(folder: Path, redis: str, rows: dict[str, Any]) -> Took | None:
    try:
        python = python_of("feast")
    except NoPeer as error:
        print(f"features: Feast is left out, {error}")
        return None
    home = folder / "feast"
    home.mkdir()
    (home / "rows.json").write_text(json.dumps(rows))
    (port,) = free_ports(1)
    command = [str(python), str(feast_server.__file__), str(home), redis, str(port)]
    with _serving(command, folder / "feast.out", port) as address:
        assert _values(address) == rows, "Feast answers otherwise"
        return _asked(address)


@contextmanager
def _serving(command: list[str], said: Path, port: int) -> Iterator[tuple[str, int]]:
    """Start a server; once it answers, where it is."""
    address = ("127.0.0.1", port)
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(address):
            ended = process.poll() is not None or time.monotonic() > deadline
            assert not ended, f"{command} does not come up: {said.read_text()[-2_000:]}"
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def _answers(address: tuple[str, int]) -> bool:
    try:
        _answer(address, [_key(0)])
    except OSError:
        return False
    return True


def _body(keys: list[str]) -> bytes:
    asked = {"features": FEATURES, "entities": {"user": keys}, "full_feature_names": True}
    return json.dumps(asked).encode()


def _answer(address: tuple[str, int], keys: list[str]) -> dict[str, list[Any]]:
    """Values by full name of the feature."""
    host, port = address
    given = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://{host}:{port}{PATH}", _body(keys), given)
    with urllib.request.urlopen(request, timeout=10) as reply:
        found = json.load(reply)
    names = found["metadata"]["feature_names"]
    return dict(zip(names, (result["values"] for result in found["results"])))


def _values(address: tuple[str, int]) -> dict[str, dict[str, list[Any]]]:
    """By view: the columns of all keys."""
    keys = [_key(number) for number in range(KEYS)]
    found = _answer(address, keys)
    return {
        view.name: {
            "user": keys,
            **{name: found[f"{view.name}__{name}"] for name in view.plan.names},
        }
        for view in features_app.VIEWS
    }


def _asked(address: tuple[str, int]) -> Took:
    one = [post(PATH, _body([_key(number)])) for number in range(64)]
    many = [post(PATH, _body([_key(number) for number in range(KEYS)]))]
    ask(address, one, WARM_SECONDS, RATE)
    asked = ask(address, one, SECONDS, RATE)
    reach = partial(connect, address)
    alone = ask_in_loops(reach, status_of, one, 1, LOOP_SECONDS)
    looped = ask_in_loops(reach, status_of, many, 1, LOOP_SECONDS)
    # What was not answered took as long as it was waited for, at least.
    taken = np.minimum(asked.ms, 1000 * TIMEOUT_SECONDS)
    p50, p99 = np.quantile(taken, [0.5, 0.99])
    failed = int((~asked.ok).sum()) + alone.failed + looped.failed
    medians = (float(np.median(loop.ms)) for loop in (alone, looped))
    return Took(float(p50), float(p99), *medians, failed)
