"""From an order to a swap, with real snapshots, a real sidecar, and requests that keep coming."""

from __future__ import annotations

import gc
import http.client
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from freshet.learners.contract import Export
from freshet.learners.logistic.learner import HashedLogisticPredictor
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.files import APPROVAL_FILE, ARRAYS, MANIFEST_FILE, PROVENANCE_FILE
from freshet.learners.snapshots.signing import Verifier
from freshet.schemas.models.manifest import Identity
from freshet.schemas.models.vectors import F64, Vectors, VectorSchema
from freshet.serving.edge.sockets import bind
from freshet.serving.loading import loader, sealed
from freshet.serving.loading.live_model import LiveModel, ModelSlot
from freshet.serving.loading.loader import Loader, Order, Place, make_live
from freshet.serving.loading.sidecar_client import Sidecar, Verified
from freshet.serving.scoring.contract import Answer, ModelCard, Question, TensorSpec
from freshet.serving.web.app import ScorerApp
from freshet.serving.web.server import HttpServer
from tests.serving.loading.test_sidecar import flip_a_byte
from tests.serving.loading.toy_snapshots import LINEAGE, SCHEMA, Mint, vectors

# As of a model that reads more.
WIDER = VectorSchema(("gate", "carrier"), ("weight", "distance"))


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.001)


@dataclass
class Rig:
    """A loader for one model, and what it reported."""

    mint: Mint
    slot: ModelSlot = field(default_factory=ModelSlot)
    swapped: list[tuple[str, int]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loader = Loader(
            {"late": Place(self.slot, SCHEMA)},
            Sidecar(self.mint.directory, self.mint.trainer, self.mint.qualifier),
            self._on_swapped,
            lambda which, reason: self.refused.append(reason),
        )

    def _on_swapped(self, model: str, live: LiveModel) -> None:
        assert self.slot.current() is live
        self.swapped.append((model, live.number))

    def load(self, which: Identity, back: bool = False) -> None:
        before = len(self.swapped) + len(self.refused)
        self.loader.order(Order(which, back))
        wait_for(lambda: len(self.swapped) + len(self.refused) > before)

    @property
    def number(self) -> int | None:
        live = self.slot.current()
        return live.number if live else None


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    one = Rig(Mint(tmp_path))
    yield one
    one.loader.close()


def test_an_order_ends_in_a_swap_and_the_one_before_stays_warm(rig: Rig) -> None:
    for number in (1, 2, 3):
        rig.load(rig.mint.cut(number))
    live, before = rig.slot.current(), rig.slot.last_good()
    assert live is not None
    assert before is not None
    assert (live.number, live.tick, live.position, before.number) == (3, 3000, 21, 2)
    expected = HashedLogisticPredictor(rig.mint.export(3), SCHEMA).predict(vectors(50))
    assert live.predictor.predict(vectors(50)).tolist() == expected.tolist()
    assert rig.swapped == [("late", 1), ("late", 2), ("late", 3)]
    assert rig.refused == []


def test_it_is_idle_once_all_orders_are_carried_out_or_refused(rig: Rig) -> None:
    assert rig.loader.idle
    altered = rig.mint.cut(1)
    flip_a_byte(altered, rig.mint)
    for which, outcomes in ((altered, (0, 1)), (rig.mint.cut(2), (1, 1))):
        rig.loader.order(Order(which))
        wait_for(lambda: rig.loader.idle)
        assert (len(rig.swapped), len(rig.refused)) == outcomes


def test_an_order_for_what_already_answers_is_reported_and_changes_nothing(rig: Rig) -> None:
    path = rig.mint.cut(1)
    rig.load(path)
    live = rig.slot.current()
    rig.load(path)
    assert rig.slot.current() is live
    assert rig.swapped == [("late", 1), ("late", 1)]


def test_what_is_altered_is_refused_and_the_live_one_goes_on(rig: Rig) -> None:
    rig.load(rig.mint.cut(1))
    altered = rig.mint.cut(2)
    flip_a_byte(altered, rig.mint)
    rig.load(altered)
    rig.load(rig.mint.cut(3, approved=False))
    assert rig.number == 1
    assert "altered" in rig.refused[0]
    assert "no approval signature" in rig.refused[1]
    rig.load(rig.mint.cut(4))
    assert rig.number == 4


def test_what_is_signed_but_unfit_is_refused_all_the_same(rig: Rig) -> None:
    rig.load(rig.mint.cut(1))
    good = rig.mint.export(2)
    nan = {**good.arrays, "bias": np.full(2, np.nan)}
    for number, export, vectors_, word in (
        (2, Export(good.kind, good.meta, nan), SCHEMA, "golden predictions"),
        (3, Export("unheard of", good.meta, good.arrays), SCHEMA, "no predictor is known"),
        (4, Export(good.kind, good.meta, {"bias": good.arrays["bias"]}), SCHEMA, "weights"),
        (5, good, WIDER, "reads gate, weight, which the model is not asked with"),
        (6, good, replace(SCHEMA, meaning="0123"), f"the model has {SCHEMA.digest}"),
        (7, good, replace(SCHEMA, meanings=("", "0123")), "reads distance, which the model is"),
    ):
        rig.load(rig.mint.cut(number, export, vectors=vectors_))
        assert word in rig.refused[-1], rig.refused[-1]
    assert len(rig.refused) == 6
    assert rig.number == 1


def test_a_snapshot_answers_by_its_own_columns_of_all_that_is_asked_with(tmp_path: Path) -> None:
    """As of a model that has come to read more, in another order, for another learner."""
    own = Mint(tmp_path)
    which = own.cut(1)
    keys = Verifier.load(own.trainer), Verifier.load(own.qualifier)
    read = snapshots.read_verified(own.directory, which, *keys)
    found = Verified(read.manifest, read.data)
    live = make_live(found, which, WIDER)
    assert isinstance(live, LiveModel)
    alone = make_live(found, which, SCHEMA)
    assert isinstance(alone, LiveModel)
    asked = vectors(50)
    wider = Vectors(
        np.concatenate([asked.categories[::-1], asked.categories], axis=1),
        np.concatenate([asked.numbers + 7, asked.numbers], axis=1),
    )
    expected = alone.predictor.predict(asked)
    assert live.predictor.predict(wider).tolist() == expected.tolist()
    assert live.predictor.predict(wider.take(np.array([3]))).tolist() == expected[[3]].tolist()


def test_going_back_needs_an_order_that_says_so(rig: Rig) -> None:
    first, second = rig.mint.cut(1), rig.mint.cut(2)
    rig.load(second)
    rig.load(first)
    assert rig.number == 2
    assert "does not say that it goes back" in rig.refused[-1]
    rig.load(first, back=True)
    assert rig.number == 1


def test_only_the_snapshot_that_the_order_means_is_loaded(rig: Rig) -> None:
    """One that lies there under another's name, whole and with both signatures, is not it; nor one
    of another digest."""
    rig.load(rig.mint.cut(1))
    old, new = rig.mint.cut(2), rig.mint.cut(3)
    for suffix in (ARRAYS, MANIFEST_FILE, PROVENANCE_FILE, APPROVAL_FILE):
        shutil.copy(rig.mint.path(old).with_suffix(suffix), rig.mint.path(new).with_suffix(suffix))
    rig.load(new)
    rig.load(msgspec.structs.replace(old, digest="0" * 64))
    rig.load(msgspec.structs.replace(old, app="parcels"))
    rig.load(msgspec.structs.replace(old, lineage="other-0b"))
    rig.load(msgspec.structs.replace(old, lineage="../late/" + LINEAGE))
    assert rig.number == 1
    for reason, word in zip(
        rig.refused, ("swapped", "was asked for", "swapped", "cannot be read", "no name")
    ):
        assert word in reason


@pytest.mark.skipif(not sealed.SEALABLE, reason="this system has no memfd_create")
def test_the_memory_of_models_that_went_is_given_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mapped() -> int:
        lines = Path("/proc/self/maps").read_text().splitlines()
        return sum("memfd:snapshot" in line for line in lines)

    monkeypatch.setattr(loader, "RETIRE_SECONDS", 0.01)
    gc.collect()
    before = mapped()
    for number in range(1, 6):
        rig.load(rig.mint.cut(number))
    wait_for(lambda: mapped() <= before + 2)  # the live one and the last good one


class ToyScorer:
    """Answers `distance` `i` with row `i` of `vectors`, from the live snapshot, read once."""

    def __init__(self, slot: ModelSlot) -> None:
        self.slot, self.vectors = slot, vectors(50)

    def models(self) -> tuple[str, ...]:
        return ("late",)

    def card(self, model: str) -> ModelCard:
        return ModelCard("late", (TensorSpec("distance", "INT32", nullable=False),))

    def ready(self, model: str, version: str | None = None) -> bool:
        return self.slot.current() is not None

    def at_once(self, question: Question) -> Answer:
        return self.infer(question)

    async def later(self, question: Question) -> Answer:
        return self.infer(question)

    def infer(self, question: Question) -> Answer:
        live = self.slot.current()
        assert live is not None
        rows = np.asarray(question.columns["distance"], np.intp)
        p = live.predictor.predict(self.vectors.take(rows))
        facts = {"lineage": live.lineage, "snapshot": live.number}
        return Answer(p, [""] * len(p), np.zeros(len(p), np.int64), parameters=facts)


def test_a_swap_under_load_fails_no_request_and_tears_no_answer(rig: Rig) -> None:
    """Every row of every answer is exactly what the snapshot that it names predicts."""
    last = 12
    paths = [rig.mint.cut(number) for number in range(1, last + 1)]
    expected: dict[int, F64] = {
        n: HashedLogisticPredictor(rig.mint.export(n), SCHEMA).predict(vectors(50))
        for n in range(1, last + 1)
    }
    rig.load(paths[0])
    app = ScorerApp(ToyScorer(rig.slot))
    bound = threading.Event()
    server = HttpServer(app, bind(), lambda address: bound.set())
    serving = threading.Thread(target=server.run)
    serving.start()
    assert bound.wait(20)
    done, wrong, seen = threading.Event(), list[str](), set[int]()

    def ask(seed: int) -> None:
        rng = np.random.default_rng(seed)
        connection = http.client.HTTPConnection(server.address.removeprefix("http://"), timeout=20)
        while not done.is_set():
            rows = rng.integers(0, 50, rng.integers(1, 20)).tolist()
            tensor = {"name": "distance", "shape": [len(rows)], "datatype": "INT32", "data": rows}
            connection.request("POST", "/v2/models/late/infer", json.dumps({"inputs": [tensor]}))
            response = connection.getresponse()
            body = json.loads(response.read())
            if response.status != 200:
                wrong.append(str(body))
                break
            number = body["parameters"]["snapshot"]
            seen.add(number)
            if body["outputs"][0]["data"] != expected[number][rows].tolist():
                wrong.append(f"torn: {body}")
        connection.close()

    clients = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for c in clients:
        c.start()
    for path in paths[1:]:
        asked = app.latency.requests
        wait_for(lambda asked=asked: app.latency.requests > asked + 20 or bool(wrong))
        rig.load(path)
        app.latency.mark_swap()
    asked = app.latency.requests
    wait_for(lambda: app.latency.requests > asked + 20 or bool(wrong))
    done.set()
    for c in clients:
        c.join()
    server.stop()
    serving.join()
    gc.unfreeze()
    assert wrong == []
    assert rig.refused == []
    assert seen == set(range(1, last + 1))
    assert app.latency.failed == 0
    assert app.latency.quantiles_ms([0.99], near_swaps=True)[0] is not None
    assert rig.number == last
    assert rig.slot.current() is not None
    assert rig.slot.current().lineage == LINEAGE
