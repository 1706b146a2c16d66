"""A whole app in its own processes, used through the clients that people already have: Feast's and
Triton's.

They live in an environment of their own (`make .venv-clients/.stamp`, which `make test` sees to)
and know nothing of freshet."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from freshet.processes.runtime import Runtime
from freshet.serving.status.status import Status, decode
from freshet.settings import Settings
from freshet.streams.control.switches import turn
from tests import consumers_app
from tests.consumers_app import APP, HOUR

ROOT = Path(__file__).parent.parent.parent
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
DAY = 24 * HOUR
PATIENCE_SECONDS = 120.0
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="the clients are not installed: make .venv-clients/.stamp"
)
PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE = 1, 2, 3, 4


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.05)
    return found


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def client(script: str, *arguments: str) -> Any:
    command = [str(PYTHON), str(ROOT / "tests" / "clients" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Depot:
    """The app at run, and what a producer and a requester do with plain HTTP."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.http = httpx.Client(base_url=address, timeout=30.0)

    def push(self, *events: dict[str, Any]) -> httpx.Response:
        names = dict.fromkeys(name for e in events for name in e)
        body = {
            "push_source_name": "parcels",
            "df": {n: [e.get(n) for e in events] for n in names},
            "to": "online",
        }
        return self.http.post("/push", json=body)

    def features(self, *names: str, **entities: list[str]) -> dict[str, Any]:
        got = self.http.post("/get-online-features", json={"features": names, "entities": entities})
        assert got.status_code == 200, got.text
        return dict(zip(got.json()["metadata"]["feature_names"], got.json()["results"]))

    def holds_rows(self) -> bool:
        """Whether the owners of all rows have said that they are in the store, which is empty when
        an app begins."""
        asked = {"features": ["by_courier:n"], "entities": {"courier": ["nobody"]}}
        return self.http.post("/get-online-features", json=asked).status_code == 200

    def ask(self, ids: list[str]) -> None:
        columns = {"parcel": ids, "courier": ["ann"] * len(ids), "city": ["Lyon"] * len(ids)}
        inputs = [
            {"name": k, "shape": [len(v)], "datatype": "BYTES", "data": v}
            for k, v in columns.items()
        ]
        assert self.http.post("/v2/models/late/infer", json={"inputs": inputs}).status_code == 200

    def close(self) -> None:
        self.http.close()

    def versions(self) -> list[str]:
        return list(self.http.get("/v2/models/late").json()["versions"])


def event(parcel: str, at: int, courier: str = "ann", late: float | None = 5.0) -> dict[str, Any]:
    return {"parcel": parcel, "at": at, "courier": courier, "city": "Lyon", "late": late}


@pytest.fixture(scope="module")
def depot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Depot]:
    """Asked about 16 parcels, then pushed what became of them; answers come from a model by
    then."""
    given = Settings(run_dir=tmp_path_factory.mktemp("run"), port=0, status_port=0)
    with (
        Runtime(APP, consumers_app.__file__, given) as runtime,
        closing(Depot(runtime.address("serve"))) as depot,
    ):
        wait_for(depot.holds_rows)
        assert depot.push(event("old", now_ms() - 25 * HOUR, "old")).status_code == 200
        wait_for(
            lambda: (
                depot.features("by_courier:n", courier=["old"])["n"]["statuses"]
                == ["OUTSIDE_MAX_AGE"]
            )
        )
        ids = [f"p{i}" for i in range(16)]
        depot.ask(ids)
        now = now_ms()  # an outcome is later than the question
        told = depot.push(
            *(event(x, now, late=float(i)) for i, x in enumerate(ids)), event("b", now, "bob", None)
        )
        assert told.json() == {"topic": "parcels", "accepted": 17}
        wait_for(lambda: depot.features("by_courier:n", courier=["ann"])["n"]["values"] == [16.0])
        wait_for(depot.versions)
        # From here on the version that is served stays, also while a client that asks for it
        # starts.
        turn(given.local_path, "release", False, "test")
        wait_for(lambda: stands_still(status_of(runtime.address("status")), depot.versions()))
        yield depot


def status_of(address: str) -> Status:
    return decode(httpx.get(f"{address}/status.json", verify=False).raise_for_status().content)


def stands_still(status: Status, versions: list[str]) -> bool:
    """Release decides nothing more, and what it last decided is loaded."""
    held = [r for r in status.roles if r.role == "release" and r.state == "held"]
    served = status.models[0].served
    return bool(held) and served is not None and f"{served.lineage}.{served.number}" in versions


def test_feasts_own_client_reads_features(depot: Depot, tmp_path: Path) -> None:
    got = client("ask_feast.py", depot.address, str(tmp_path))
    assert got["columns"]["values"] == {
        "courier": ["ann", "nobody", "old", "bob"],
        "n": [16.0, None, None, 1.0],
        "late": [7.5, None, None, None],
    }
    assert got["columns"]["statuses"] == {
        "courier": [PRESENT] * 4,
        "n": [PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE, PRESENT],
        "late": [PRESENT, NOT_FOUND, OUTSIDE_MAX_AGE, NULL_VALUE],
    }
    legs = {"courier": ["ann", "bob"], "city": ["Lyon", "Porto"]}
    assert got["two_keys"]["values"] == {**legs, "n": [16.0, None]}
    assert got["full"]["values"] == {
        **legs,
        "by_courier__n": [16.0, 1.0],
        "by_leg__n": [16.0, None],
    }
    assert got["service"]["values"] == {
        **legs,
        "late": [7.5, None],
        "ewm": [pytest.approx(7.5, abs=0.1), None],
    }
    newest = depot.features("by_courier:n", courier=["ann"])["n"]["event_timestamps"][0]
    time_, values = got["online_read"]
    assert (time_.split("+")[0].rstrip("0"), values) == (
        newest.rstrip("Z").rstrip("0"),
        {"n": 16.0, "late": 7.5},
    )
    text = "view by_courier has no feature 'lat'. It has n, late, last."
    assert got["wrong"].startswith("RuntimeError: Failed to get online features: 400 ")
    assert text in got["wrong"]


def test_tritons_own_client_asks_in_every_way_and_is_told_what_was_wrong(depot: Depot) -> None:
    version = depot.versions()[0]
    got = client("ask_triton.py", depot.address.removeprefix("http://"), "late", version)
    assert [got[k] for k in ("live", "ready", "model_ready", "version_ready", "other_ready")] == [
        True
    ] * 4 + [False]
    assert got["server"]["name"] == "depot"
    assert got["server"]["extensions"] == ["binary_tensor_data"]
    assert (got["model"]["name"], version in got["model"]["versions"]) == ("late", True)
    assert {"name": "courier", "datatype": "BYTES", "shape": [-1]}.items() <= got["model"][
        "inputs"
    ][2].items()
    for way in ("binary", "json", "version", "packed"):
        told = got[way]["parameters"]
        assert got[way]["ids"] == ["t1", "t2"], way
        assert (told["model"], told["rung"], told["prediction_id"]) == ("late", "champion", "t1")
        assert got[way]["version"] == f"{told['lineage']}.{told['snapshot']}"
        assert told["model_lag_ms"] >= 0
        assert 0 <= told["oldest_value_age_ms"] < DAY
        assert all(0 < p < 1 for p in got[way]["probability"])
    assert (
        got["binary"]["probability"] == got["json"]["probability"] == got["packed"]["probability"]
    )
    assert got["version"]["version"] == version
    assert len({*got["keys_only"]["ids"], "t1"}) == 3, "whoever sends no ids is given some"
    assert got["keys_only"]["probability"] == got["binary"]["probability"]
    assert got["features"]["parameters"]["rung"] == "champion"
    told = got["features_only"]["parameters"]
    assert (told["rung"], told["oldest_value_age_ms"]) == ("champion", -1), "nothing was read"
    assert got["patience"]["parameters"]["rung"] == "constant", (
        "a microsecond is over before a model is asked"
    )
    errors = {k: v["error"] for k, v in got.items() if isinstance(v, dict) and "error" in v}
    assert errors == {
        "unknown_model": "request model 'laet': is unknown. The models are late, plain.",
        "unknown_input": "request input 'kilo': is unknown. The inputs of late are parcel, city, courier, at, late, kilos, "
        "fragile, size, by_courier.late, by_leg.ewm.",
        "wrong_type": "request input 'city': has datatype INT64. Its datatype is BYTES.",
        "lengths": "request input 'city': has shape [1]. Use [2] or [2, 1], as many rows as the first input.",
        "missing": "request inputs: lack city, courier. "
        "Required are city, courier (or by_courier.late and by_leg.ewm).",
        "unknown_output": "request output 'p': is unknown. The outputs are probability and prediction_id.",
    }
