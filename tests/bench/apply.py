"""Does a request notice that the app it asks is changed to another version? The app of `freshet
init`, with a view more.

Open loop at 100 requests a second, each latency from the intended time of sending. *Near* are
requests sent up to a second around the cut-over: both scorers are there, one in each other's place.
*While it is built* are those from the asking up to then: processes are started, and views read the
past. *Away* are those before. `FRESHET_BENCH_SECONDS` says how long it is asked before. Changes go
there and back in turns; no request may fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.versions import progress
from freshet.versions.record import Versions
from tests.bench.harness import Row
from tests.bench.open_loop import Asked, ask, post
from tests.system.operated_run import OperatedRun, until

RATE = 100
TURNS = 2
BEFORE_SECONDS = float(os.environ.get("FRESHET_BENCH_SECONDS", "60")) / TURNS
BUILT_SECONDS = 120.0
AFTER_SECONDS = 5.0
NEAR_SECONDS = 1.0
BAR = 1.2
PARCELS = 300
MORE = ("late = fr.Model(", 'more = fr.View("more", handovers, key="city", features={"n": fr.count(over="10m")})\nlate = fr.Model(')  # fmt: skip
LISTED = ("views=[load, punctuality]", "views=[load, punctuality, more]")
F64 = npt.NDArray[np.float64]


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        operated = OperatedRun(Path(folder))
        try:
            operated.start()
            operated.learn(PARCELS)
            until(lambda: operated.rung() == "champion", "a model answers")
            turns = [_turn(operated, turn) for turn in range(TURNS)]
        finally:
            operated.stop()
    failed = sum(turn["failed"] for turn in turns)
    assert failed == 0, f"{failed} requests failed while versions changed"
    detail = {"turns": turns, "load": os.getloadavg()[0]}
    away = float(np.median([turn["p99_away"] for turn in turns]))
    rows = []
    for name, key in (("p99 near a cut-over", "p99_near"), ("p99 while built", "p99_built")):
        ours = float(np.median([turn[key] for turn in turns]))
        rows.append(_row(name, ours, away, detail))
    return rows


def _row(name: str, ours: float, away: float, detail: dict[str, Any]) -> Row:
    row: Row = {
        "name": f"apply: {name}",
        "unit": "ms",
        "ours": round(ours, 2),
        "baseline": round(away, 2),
        "ratio": round(away / ours, 2),
        "against": "p99 before it",
        "bar": {
            "figure": round(ours / away, 2),
            "asked": f"at most {BAR} × p99 before",
            "holds": ours <= BAR * away,
        },
        "detail": detail,
    }
    return row


def _turn(operated: OperatedRun, turn: int) -> dict[str, Any]:
    """A view more, or a view less."""
    text = operated.file.read_text()
    for old, new in (MORE, LISTED):
        text = text.replace(old, new) if turn % 2 == 0 else text.replace(new, old)
    operated.file.write_text(text)
    address = (operated.folder / "serve.address").read_text()
    host, port = address.removeprefix("http://").split(":")
    found: list[Asked] = []
    done = threading.Event()

    def asking() -> None:
        while not done.is_set():
            found.append(ask((host, int(port)), _requests(turn), 1.0, RATE))

    thread = threading.Thread(target=asking)
    thread.start()
    time.sleep(BEFORE_SECONDS)
    asked_at = time.monotonic()
    moment = _applied(operated)
    time.sleep(AFTER_SECONDS)
    done.set()
    thread.join()
    at = np.concatenate([each.at for each in found])
    ms = np.concatenate([each.ms for each in found])
    ok = np.concatenate([each.ok for each in found])
    near = np.abs(at - moment) < NEAR_SECONDS
    built = (at > asked_at) & (at < moment - NEAR_SECONDS)
    return {
        "failed": int((~ok).sum()),
        "requests": len(at),
        "p99_away": _p99(ms[at < asked_at]),
        "p99_built": _p99(ms[built]),
        "p99_near": _p99(ms[near]),
        "seconds": round(moment - asked_at, 1),
    }


def _applied(operated: OperatedRun) -> float:
    """When the cut-over was (monotonic seconds)."""
    command = [sys.executable, "-m", "freshet", "apply", str(operated.file), "--yes", "--no-wait"]
    before = _active(operated.folder)
    subprocess.run([*command, "--run-dir", str(operated.folder)], check=True, capture_output=True)
    deadline = time.monotonic() + BUILT_SECONDS
    while _active(operated.folder) == before:
        assert time.monotonic() < deadline, progress.read(operated.folder)
        time.sleep(0.01)
    moment = time.monotonic()
    while progress.read(operated.folder) is not None:
        time.sleep(0.1)
    return moment


def _active(folder: Path) -> int:
    current = Versions(folder).current()
    assert current is not None
    return current.version


def _requests(turn: int) -> list[bytes]:
    bodies = []
    for i in range(RATE):
        values = {
            "parcel": f"bench-{turn}-{time.monotonic_ns()}-{i}",
            "courier": "ann",
            "city": "Lyon",
        }
        inputs = [
            {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}
            for name, value in values.items()
        ]
        bodies.append(json.dumps({"inputs": inputs}).encode())
    return [post("/v2/models/late/infer", body) for body in bodies]


def _p99(ms: F64) -> float:
    return round(float(np.quantile(ms, 0.99)), 2) if len(ms) else float("nan")
