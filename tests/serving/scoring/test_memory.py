"""What requests and swaps used is given back at once, without the garbage collector's help."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from freshet.serving.edge import failures
from freshet.serving.loading.live_model import LiveModel, ModelSlot
from freshet.serving.loading.loader import Loader, Order, Place
from freshet.serving.loading.sealed import SEALABLE
from freshet.serving.loading.sidecar_client import Sidecar
from freshet.serving.web.app import ScorerApp
from tests.serving.loading.toy_snapshots import SCHEMA, Mint
from tests.serving.scoring import test_scorer
from tests.toy_app import toy_app

SWAPS, REQUESTS, ROWS = 39, 20, 1000
LARGE_BYTES = 10_000


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_orders_that_never_pause_keep_three_snapshots(tmp_path: Path) -> None:
    """The live one, the last good one and the one replaced last. Each swap brings the next order
    before the loader looks for one, so it is never idle."""
    mint = Mint(tmp_path)
    cuts = [mint.cut(number) for number in (1, 2, 3)]
    orders, done = (
        iter([Order(which, back=True) for which in cuts] * (SWAPS // 3)),
        threading.Event(),
    )
    predictors: weakref.WeakSet[Any] = weakref.WeakSet()
    kept, mapped, mapped_before = list[int](), list[int](), _mapped()

    def swapped(model: str, live: LiveModel) -> None:
        predictors.add(live.predictor)
        kept.append(len(predictors))
        mapped.append(_mapped() - mapped_before)
        if (order := next(orders, None)) is None:
            done.set()
        else:
            loader.order(order)

    sidecar = Sidecar(mint.directory, mint.trainer, mint.qualifier)
    loader = Loader(
        {"late": Place(ModelSlot(), SCHEMA)}, sidecar, swapped, lambda *refused: done.set()
    )
    loader.order(next(orders))
    assert done.wait(60)
    loader.close()
    assert len(kept) == SWAPS
    assert max(kept) == 3
    assert max(mapped) <= 3


def _mapped() -> int:
    """Mapped snapshots, 0 where there are no sealed files."""
    return Path("/proc/self/maps").read_text().count("memfd:snapshot") if SEALABLE else 0


@pytest.mark.parametrize("kind", ["answered", "of a wrong type", "a fault of ours", "no rung"])
def test_requests_leave_no_garbage_that_holds_their_data(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = test_scorer.Rig(toy_app(fallback=[]))
    if kind != "no rung":
        rig.go_live()
    if kind == "a fault of ours":
        monkeypatch.setattr(rig.scorer, "_ids", lambda *_: 1 / 0)
        monkeypatch.setattr(failures, "log", structlog.wrap_logger(None, [_silence]))
    app, price = ScorerApp(rig.scorer), "none" if kind == "of a wrong type" else 2.5
    body = json.dumps({
        "inputs": [
            {"name": "order_id", "datatype": "BYTES", "shape": [ROWS], "data": [str(i) for i in range(ROWS)]},
            {"name": "shop", "datatype": "BYTES", "shape": [ROWS], "data": ["a"] * ROWS},
            {"name": "hour", "datatype": "INT32", "shape": [ROWS], "data": [5] * ROWS},
            {"name": "price", "datatype": "FP64", "shape": [ROWS], "data": [price] * ROWS},
        ]
    }).encode()  # fmt: skip
    assert len(body) > LARGE_BYTES
    statuses, garbage = asyncio.run(_garbage_of(app, body))
    rig.scorer.close()
    assert statuses == {
        {"answered": 200, "of a wrong type": 400, "a fault of ours": 500, "no rung": 503}[kind]
    }
    assert [type(x).__name__ for x in garbage] == []


def _silence(*event: Any) -> Any:
    raise structlog.DropEvent


async def _garbage_of(app: ScorerApp, body: bytes) -> tuple[set[int], list[Any]]:
    """The statuses of many requests, and the large buffers that only the collector would free after
    them."""
    await _post(app, body)  # what is made once, such as lazy imports
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        statuses = {await _post(app, body) for _ in range(REQUESTS)}
        gc.collect()
        return statuses, [
            x for one in gc.garbage for x in gc.get_referents(one) if _bytes_of(x) > LARGE_BYTES
        ]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _bytes_of(held: Any) -> int:
    if isinstance(held, np.ndarray | memoryview):
        return held.nbytes
    return (
        len(held)
        if isinstance(held, bytes | bytearray)
        else 8 * len(held)
        if isinstance(held, list)
        else 0
    )


async def _post(app: ScorerApp, body: bytes) -> int:
    """Status of one request, straight through ASGI."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v2/models/unpaid/infer", "headers": []}
    await app(scope, receive, send)
    status: int = sent[0]["status"]
    return status
