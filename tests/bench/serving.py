"""Does a request notice that a snapshot is swapped in, and what does one cost? One row with
features from Redis, beside FastAPI with the same model.

Open loop at 200 requests a second, each latency from the intended time of sending; a swap every 2
s. *Near* are requests sent up to 0.4 s after a swap or 10 ms before it. The FastAPI server answers
by the same look-ups and the same predictor, loads the same files in a thread, checks no signature
and logs nothing. `FRESHET_BENCH_SECONDS` says how long each side is asked. After that each is
asked by clients that ask again as soon as they are answered, over one connection and over 32.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features.catalog import open_store
from freshet.schemas.models.manifest import Identity
from freshet.servers.redis_server import RedisServer
from freshet.serving.loading.loader import Order
from freshet.streams.control.orders import ordered
from tests.bench.closed_loop import ask_in_loops
from tests.bench.harness import Row
from tests.bench.open_loop import ask, connect, post, status_of

SECONDS = float(os.environ.get("FRESHET_BENCH_SECONDS", "60"))
RATE, SWAP_SECONDS, WARM_SECONDS, TURNS = 200, 2.0, 2.0, 2
BEFORE_SECONDS, AFTER_SECONDS, READY_SECONDS = 0.01, 0.4, 120.0
MANY, LOOP_SECONDS = 32, 5.0
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Given:
    """What both servers work with: where the rows are, the signed snapshots and their keys, and the
    app's time."""

    folder: str
    store: str
    snapshots: tuple[Identity, ...]
    now_ms: int


def run() -> list[Row]:
    """The two servers in turns, over the same Redis."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder) / "redis") as redis:
        given, bodies = _prepare(Path(folder), redis.url)
        turns = [
            (_measure(_scorer, given, bodies), _measure(_fastapi, given, bodies))
            for _ in range(TURNS)
        ]
    ours, theirs = (_best(side) for side in zip(*turns))
    assert ours["failed"] == 0, "a request failed while snapshots were swapped in"
    detail = {"scorer": ours, "fastapi": theirs, "load": os.getloadavg()[0]}
    rows = [
        _row(name, "ms", ours[key], theirs[key], theirs[key] / ours[key])
        for name, key in (
            ("p99 near swaps", "p99_near"),
            ("p99 away from swaps", "p99_away"),
            ("p50", "p50"),
            ("p50 over one connection", "p50_alone"),
        )
    ]
    many = "many_rate"
    name = f"over {MANY} connections"
    rows.append(_row(name, "requests/s", ours[many], theirs[many], ours[many] / theirs[many]))
    return [Row(**row, detail=detail) for row in rows]  # type: ignore[typeddict-item]


def _row(name: str, unit: str, ours: float, theirs: float, ratio: float) -> dict[str, Any]:
    return {
        "name": f"serving {name}",
        "unit": unit,
        "ours": ours,
        "baseline": theirs,
        "ratio": round(ratio, 2),
        "against": "FastAPI + uvicorn",
    }


def _best(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The turn that the machine disturbed least; failures of all turns count."""
    return {**min(turns, key=lambda t: t["p99"]), "failed": sum(t["failed"] for t in turns)}


def _measure(target: Callable[..., None], given: Given, bodies: Sequence[bytes]) -> dict[str, Any]:
    """Start a server, ask it, and judge its answers by where its swaps were."""
    context = mp.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=target, args=(there, given), daemon=True)
    process.start()
    assert here.poll(READY_SECONDS), f"{target.__name__} does not come up"
    host, port = here.recv().removeprefix("http://").split(":")
    ask((host, int(port)), _requests(bodies), WARM_SECONDS, RATE)
    asked = ask((host, int(port)), _requests(bodies), SECONDS / TURNS, RATE)
    reach = partial(connect, (host, int(port)))
    alone = ask_in_loops(reach, status_of, _requests(bodies), 1, LOOP_SECONDS)
    many = ask_in_loops(reach, status_of, _requests(bodies), MANY, LOOP_SECONDS)
    here.send("stop")
    swaps = np.array(here.recv())
    process.join(READY_SECONDS)
    near = np.zeros(len(asked.at), np.bool_)
    for swap in swaps:
        near |= (asked.at > swap - BEFORE_SECONDS) & (asked.at < swap + AFTER_SECONDS)
    failed = int((~asked.ok).sum()) + alone.failed + many.failed
    found = {"failed": failed, "requests": len(asked.at), "swaps": len(swaps)}
    looped = {"p50_alone": _quantile(alone.ms, 0.5), "many_rate": round(many.rate)}
    p50, (p99, p999) = _quantile(asked.ms, 0.5), (_quantile(asked.ms, q) for q in (0.99, 0.999))
    p99_near, p99_away = _quantile(asked.ms[near], 0.99), _quantile(asked.ms[~near], 0.99)
    told = {"p50": p50, "p99": p99, "p999": p999, "p99_near": p99_near, "p99_away": p99_away}
    return {**found, **looped, **told, "near_to_away": round(p99_near / p99_away, 2)}


def _quantile(ms: F64, q: float) -> float:
    return round(float(np.quantile(ms, q)), 3) if len(ms) else float("nan")


def _model() -> Any:
    """The flights app with one learner."""
    from dataclasses import replace

    import freshet as fr
    from freshet.app import App, load
    from freshet.demo.flights import APP

    whole = load(APP)
    model = replace(whole.models[0], learners=[fr.HashedLogistic()])
    return App("bench", topics=whole.topics, views=whole.views, models=[model])


def _prepare(folder: Path, url: str) -> tuple[Given, list[bytes]]:
    """A day of flights: rows into Redis, a signed snapshot every hour; and requests as their
    bytes."""
    from freshet.demo.flights.schedule import Schedule
    from freshet.replay.client import TYPES
    from freshet.testing import LocalRun

    app, queries = _model(), []
    with (
        closing(open_store(url)) as store,
        LocalRun(app, folder, store, snapshot_every="1h") as local,
    ):
        for step in Schedule(1):
            local.step(step.start_ms, step.end_ms, step.queries, step.events)
            names = list(step.queries)
            queries += [dict(zip(names, row)) for row in zip(*step.queries.values())]
        named = [ordered(app.name, order) for order in local.swaps[-10:]]  # older ones are pruned
        cuts = tuple(which for which in named if which is not None)
    types = {f.name: TYPES.get(f.type, "FP64") for f in app.models[0].on.events.fields}
    bodies = []
    for row in queries[-64:]:
        inputs = [
            {"name": k, "shape": [1], "datatype": types[k], "data": [v]}
            for k, v in row.items()
            if k in types
        ]
        bodies.append(json.dumps({"inputs": inputs}).encode())
    return Given(str(folder), url, cuts, step.end_ms), bodies


def _scorer(pipe: Connection, given: Given) -> None:
    """The scorer as the `serve` role builds it."""
    from freshet.roles import plans
    from freshet.serving.edge.sockets import bind
    from freshet.serving.loading.loader import Loader, Place
    from freshet.serving.loading.sidecar_client import Sidecar
    from freshet.serving.scoring.scorer import Logging, Scorer
    from freshet.serving.web.app import ScorerApp
    from freshet.serving.web.server import HttpServer
    from freshet.streams.catalog import open_log
    from freshet.streams.clock import ManualClock

    app = _model()
    model = app.models[0]
    clock, log, swaps = ManualClock(), open_log(str(Path(given.folder) / "log")), list[float]()
    clock.set(given.now_ms)
    served = [(model, plans.vector_plan(app, model), app.outcomes_log_of(model))]
    scorer = Scorer("bench", served, open_store(given.store), clock, Logging(log.writer))
    keys = Path(given.folder) / "keys"
    loader = Loader(
        {model.name: Place(scorer.served[model.name].slot, model.vectors)},
        Sidecar(Path(given.folder) / "snapshots", keys / "trainer", keys / "qualifier"),
        lambda *_: swaps.append(time.monotonic()),
        lambda *refused: print("refused", refused),
    )

    def order(which: Identity) -> None:
        loader.order(Order(which, back=True))  # they go round

    threading.Thread(target=_swap, args=(given.snapshots, order), daemon=True).start()
    while not swaps:
        time.sleep(0.01)
    server = HttpServer(ScorerApp(scorer), bind(), lambda address: pipe.send(f"{address}"))
    threading.Thread(target=lambda: (pipe.recv(), server.stop()), daemon=True).start()
    server.run()
    pipe.send(swaps)
    scorer.close()
    loader.close()


def _fastapi(pipe: Connection, given: Given) -> None:
    """What one would write in an afternoon."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    from freshet.learners.catalog import predictor
    from freshet.learners.contract import Export
    from freshet.learners.snapshots import files as snapshots
    from freshet.learners.snapshots.signing import Verifier
    from freshet.roles import plans

    class Tensor(BaseModel):
        name: str
        shape: list[int]
        datatype: str
        data: list[Any]

    class Request(BaseModel):
        inputs: list[Tensor]

    app = _model()
    model, store = app.models[0], open_store(given.store)
    plan, swaps, api = plans.vector_plan(app, model), list[float](), FastAPI()
    key = Verifier.load(Path(given.folder) / "keys" / "trainer")
    live: list[Any] = []

    def load(which: Identity) -> None:
        found = snapshots.read_verified(Path(given.folder) / "snapshots", which, key)
        export = Export(found.manifest.kind, found.manifest.meta, snapshots.arrays_of(found.data))
        live[:] = [predictor(export, model.vectors)]
        swaps.append(time.monotonic())

    async def infer(request: Request) -> dict[str, Any]:
        columns = {t.name: t.data for t in request.inputs}
        read = plan.read(store, columns, 1, given.now_ms)
        p = float(live[0].predict(read.vectors)[0])
        return {
            "model_name": model.name,
            "outputs": [{"name": "p", "shape": [1], "datatype": "FP64", "data": [p]}],
        }

    infer.__annotations__["request"] = Request  # a local class: its name alone cannot be resolved
    api.post(f"/v2/models/{model.name}/infer")(infer)
    threading.Thread(target=_swap, args=(given.snapshots, load), daemon=True).start()
    while not swaps:
        time.sleep(0.01)
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(api, access_log=False, log_level="warning"))
    threading.Thread(
        target=lambda: (pipe.recv(), setattr(server, "should_exit", True)), daemon=True
    ).start()
    pipe.send("http://{}:{}".format(*sock.getsockname()))
    server.run(sockets=[sock])
    pipe.send(swaps)


def _swap(cuts: Sequence[Identity], load: Callable[[Identity], None]) -> None:
    """Another snapshot every two seconds, for as long as the process lives."""
    number = 0
    while True:
        load(cuts[number % len(cuts)])
        number += 1
        time.sleep(SWAP_SECONDS)


def _requests(bodies: Sequence[bytes]) -> list[bytes]:
    return [post("/v2/models/late_arrival/infer", body) for body in bodies]
