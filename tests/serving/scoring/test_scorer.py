"""The scorer: vectors from request and store, the ladder of rungs, and a log of what was
answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import redis

import freshet as fr
from freshet.app import App
from freshet.features.catalog import open_store
from freshet.features.packed import Packed
from freshet.features.partition.rows import ViewRows
from freshet.features.redis.buckets import bucket_of, tags
from freshet.features.stores.contract import RowKeys, Rows, Store
from freshet.features.stores.late_store import LateStore
from freshet.learners.catalog import predictor
from freshet.learners.contract import Export
from freshet.roles import plans
from freshet.schemas.errors import ComponentError, RequestError, StoreError
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.manifest import Manifest
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.schemas.wire.messages import Inputs
from freshet.schemas.wire.outcomes import RUNGS, fixed_of, missing_of
from freshet.servers.redis_server import RedisServer
from freshet.serving.loading.live_model import LiveModel
from freshet.serving.scoring.coalesce import Coalescer
from freshet.serving.scoring.contract import Answer, Question
from freshet.serving.scoring.reach import Reach
from freshet.serving.scoring.scorer import Logging, Policy, Scorer
from freshet.streams.clock import ManualClock
from freshet.streams.outages import Outages
from tests import consumers_app
from tests.features.redis.groups import RedisCluster
from tests.toy_app import ORDERS, field, toy_app

HOUR = 3_600_000


class DictStore:
    """Rows in a dictionary; raises while `away`."""

    resource = "toy"

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self.away = False
        self.reads = 0

    def write(self, view: str, keys: Sequence[bytes], rows: Packed) -> int:
        self.rows.update({(view, k): r for k, r in zip(keys, rows)})
        return len(keys)

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        self.reads += 1
        if self.away:
            raise StoreError("toy", "is away", "Wait.")
        out = []
        for w in wanted:
            out.append(Rows(Packed.of([self.rows.get((w.view, k), b"") for k in w.keys])))
        return out

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        return self.read(wanted)

    def erase(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        return 0

    def forget(self, view: str, keys: Sequence[bytes], version: bytes) -> int:
        return 0

    def generation(self) -> str:
        return "1"

    def close(self) -> None: ...


class ListWriter:
    """Keeps what is appended."""

    def __init__(self, kept: list[bytes]) -> None:
        self.kept = kept

    def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
        self.kept += values

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Rig:
    def __init__(self, app: App) -> None:
        self.app, self.model = app, app.models[0]
        self.store, self.clock, self.logged = DictStore(), ManualClock(10 * HOUR), list[bytes]()
        models = [(m, plans.vector_plan(app, m), app.outcomes_log_of(m)) for m in app.models]
        self.answers, self.freshness, self.outages = [True], dict[str, Freshness](), Outages()
        self.reflects = dict[str, int]()
        self.log_is_there = threading.Event()
        self.log_is_there.set()
        policy = Policy(
            lambda: self.answers[0], self.freshness.get, self.outages, lambda: self.reflects
        )
        self.scorer = Scorer(
            "s",
            models,
            self.store,
            self.clock,
            Logging(self.open_writer),
            policy,
        )

    def open_writer(self) -> ListWriter:
        """The log, once it is there."""
        assert self.log_is_there.wait(10)
        return ListWriter(self.logged)

    def ask(self, as_of_ms: int | None = None, **columns: Any) -> Answer:
        n = len(next(iter(columns.values())))
        return self.scorer.infer(Question("unpaid", columns, n, as_of_ms=as_of_ms))

    def put_row(self, shop: str, at: int, late: float, store: Store | None = None) -> None:
        rows = ViewRows(self.app.views[0].plan)
        rows.fold(Texts.of([shop]), np.array([at]), np.array([[late]]), 7, np.array([3]))
        keys, data = rows.hand_over()
        (store or self.store).write(self.stored_as, keys, data)

    @property
    def stored_as(self) -> str:
        return self.app.stored_as(self.app.views[0])

    def reflect(self, tick: int) -> None:
        """The views' owners have written down how far the rows reflect their topics."""
        self.clock.set(tick)
        self.reflects = {self.app.stored_as(v): tick for v in self.app.views}
        self.scorer.feature_ticks.look()

    def go_live(self, bias: float = 1.0, number: int = 1, tick: int = 0) -> None:
        learner = self.model.learners[1].make(self.model.vectors)
        export = learner.export()
        arrays = {k: np.array(v) for k, v in export.arrays.items()}
        manifest = Manifest(
            "toy",
            "unpaid",
            "hashed",
            number,
            export.kind,
            dict(export.meta),
            self.model.vectors.digest,
            tick,
            0,
            0,
            "",
            0,
        )
        made = predictor(Export(export.kind, export.meta, arrays), self.model.vectors)
        self.scorer.served["unpaid"].slot.swap(LiveModel(made, manifest))

    def predictions(self) -> npt.NDArray[np.void]:
        self.scorer.close()
        layout = Layout.of(self.model.vectors)
        found = [blocks.decode(value).rows for value in self.logged]
        return np.concatenate([fixed_of(rows, layout) for rows in found if rows is not None])


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig(toy_app())
    yield made
    made.scorer.close()


def test_a_vector_is_the_request_and_the_finished_rows(rig: Rig) -> None:
    rig.put_row("a", 9 * HOUR + 30 * 60_000, 40.0)
    rig.ask(10 * HOUR, order_id=["x", "y"], shop=["a", "b"], hour=[5, 6], price=[2.5, None])
    fixed = rig.predictions()
    schema = rig.model.vectors
    numbers = dict(zip(schema.numbers, fixed["numbers"].T.tolist()))
    assert numbers["price"] == [2.5, 1.0]
    assert numbers["shops.n"][0] == 1.0
    assert numbers["shops.late"][0] == 40.0
    assert numbers["shops.ago"][0] == 1800.0
    assert np.isnan(numbers["shops.late"][1])
    hashes = Texts.of(["a", "5"]).hashes()
    assert fixed["categories"][0].tolist() == hashes.tolist()


def test_an_answer_decays_with_as_of_and_is_missing_beyond_max_age(rig: Rig) -> None:
    rig.put_row("a", 9 * HOUR, 40.0)
    for hours in (9, 11, 40):
        rig.ask(hours * HOUR + 1, order_id=["x"], shop=["a"])
    at = rig.model.vectors.numbers.index("shops.n")
    counts = rig.predictions()["numbers"][:, at]
    assert counts[:2].tolist() == [1.0, 0.0]
    assert np.isnan(counts[2])


def test_rungs_from_champion_to_constant(rig: Rig) -> None:
    rig.put_row("a", 10 * HOUR - 1, 40.0)
    assert rig.ask(order_id=["1"], shop=["a"]).parameters["rung"] == "heuristic"
    assert rig.ask(order_id=["1"], shop=["a"]).probabilities.tolist() == [0.7]
    rig.go_live()
    assert rig.ask(order_id=["2"], shop=["a"]).parameters["rung"] == "champion"
    rig.answers[0] = False
    assert rig.ask(order_id=["3"], shop=["a"]).parameters["rung"] == "heuristic"
    rig.answers[0] = True
    rig.store.away = True
    away = rig.ask(order_id=["4"], shop=["a"])
    assert (away.parameters["rung"], away.probabilities.tolist()) == ("constant", [0.3])
    assert [RUNGS[r] for r in rig.predictions()["rung"]] == [
        "heuristic",
        "heuristic",
        "champion",
        "heuristic",
        "constant",
    ]


def lacking(*features: str) -> Inputs:
    return Inputs("unpaid", list(features), "topic payments is silent" if features else "", 1, 1)


def test_while_an_input_is_missing_a_model_falls_back_if_it_is_declared_to(rig: Rig) -> None:
    rig.go_live()
    rig.put_row("a", 10 * HOUR - 1, 40.0)
    rig.scorer.note_inputs(lacking("price"))
    unasked = rig.ask(order_id=["1"], shop=["a"])
    assert (unasked.parameters["rung"], "missing_inputs" in unasked.parameters) == (
        "champion",
        False,
    )


def test_what_falls_back_says_so_in_the_answer_and_in_the_log_and_ends() -> None:
    app = toy_app()
    rig = Rig(replace(app, models=[replace(app.models[0], missing_inputs="fall_back")]))
    rig.go_live()
    rig.put_row("a", 10 * HOUR - 1, 40.0)
    answers = []
    for told in (lacking(), lacking("price"), lacking("shops.late"), lacking()):
        rig.scorer.note_inputs(told)
        answers.append(rig.ask(order_id=["1"], shop=["a"]).parameters)
    rungs = [answer["rung"] for answer in answers]
    # The heuristic reads `shops.late`.
    assert rungs == ["champion", "heuristic", "constant", "champion"]
    why = [answer.get("missing_inputs") for answer in answers]
    assert why == [None, "topic payments is silent", "topic payments is silent", None]
    rig.scorer.close()
    found = [blocks.decode(value).rows for value in rig.logged]
    missing = [missing_of(rows) for rows in found if rows is not None for _ in range(len(rows))]
    assert missing == [(), ("price",), ("shops.late",), ()]


def test_a_model_answers_without_an_input_rather_than_nobody() -> None:
    app = toy_app(fallback=[fr.heuristic(pl.col("shops.late") > 20)])
    rig = Rig(replace(app, models=[replace(app.models[0], missing_inputs="fall_back")]))
    rig.go_live()
    rig.scorer.note_inputs(lacking("shops.late"))
    answer = rig.ask(order_id=["1"], shop=["a"]).parameters
    assert (answer["rung"], answer["missing_inputs"]) == ("champion", "topic payments is silent")
    rig.scorer.close()


def test_a_store_that_failed_is_left_alone_for_a_while_and_named(rig: Rig) -> None:
    rig.store.away = True
    for i in range(5):
        rig.ask(order_id=[str(i)], shop=["a"])
    assert rig.store.reads == 1
    (outage,) = rig.outages.current()
    assert (outage.component, outage.resource, outage.next_step) == ("store", "toy", "Wait.")
    assert "highest declared rung" in outage.meanwhile
    rig.store.away, rig.scorer.reach.rests_until = False, 0.0
    assert rig.ask(order_id=["6"], shop=["a"]).parameters["rung"] == "heuristic"
    assert not rig.outages.current()


@pytest.mark.parametrize("kind", ["one server", "a cluster"])
def test_a_row_that_its_store_refuses_fails_who_asks_for_it_and_nobody_beside(
    kind: str, tmp_path: Path
) -> None:
    rig = Rig(toy_app())
    with ExitStack() as opened:
        if kind == "one server":
            server = opened.enter_context(RedisServer(tmp_path / "redis"))
            store = open_store(server.url)
            client: Any = redis.Redis.from_url(server.url)
            name = f"{rig.stored_as}:spoiled"
        else:
            cluster = opened.enter_context(RedisCluster(tmp_path / "cluster"))
            store = open_store(cluster.url)
            host, _, port = cluster.servers[0].address.rpartition(":")
            client = redis.RedisCluster(host, int(port))
            name = f"{{{tags()[bucket_of(b'spoiled')].decode()}}}{rig.stored_as}:spoiled"
        opened.callback(store.close)
        opened.enter_context(client)
        client.rpush(name, "of somebody else")
        rig.put_row("a", 10 * HOUR - 1, 40.0, store)
        opened.callback(rig.scorer.close)
        rig.scorer.reach = Reach(store, rig.outages)
        rig.go_live()

        async def together() -> list[Any]:
            coalescer = Coalescer(rig.scorer)
            shops = [["a"], ["a", "spoiled"], ["new"], ["a"]]
            questions = [
                Question("unpaid", {"order_id": list(map(str, shop)), "shop": shop}, len(shop))
                for shop in shops
            ]
            asked = [coalescer.ask(question) for question in questions]
            return await asyncio.gather(*asked, return_exceptions=True)

        # The first reads find no connection, or a store that is asked on a thread.
        for _ in range(3):
            first, refused, new, last = asyncio.run(together())
            assert isinstance(refused, RequestError), refused
            assert refused.status == 400
            assert "key 'spoiled' of view shops" in str(refused)
            assert "WRONGTYPE Operation against a key" in str(refused)
            for answer in (first, new, last):
                assert answer.parameters["rung"] == "champion"
            assert first.value_ages_ms.tolist() == [1]
            assert new.value_ages_ms.tolist() == [-1]
            assert not rig.outages.current()
            assert not rig.scorer.reach.is_away


def test_a_question_of_a_replay_waits_for_the_store_and_a_live_one_does_not(rig: Rig) -> None:
    rig.go_live()
    rig.put_row("a", 10 * HOUR - 1, 40.0)
    rig.store.away = True
    for _ in range(2):  # asked in vain, and while the store is left alone
        with pytest.raises(ComponentError, match="replay's questions wait") as caught:
            rig.ask(10 * HOUR, order_id=["1"], shop=["a"])
        assert caught.value.facts == {"refused": True, "retry_seconds": 1}
        assert rig.ask(order_id=["2"], shop=["a"]).parameters["rung"] == "constant"
    assert rig.outages.current()
    rig.store.away, rig.scorer.reach.rests_until = False, 0.0
    assert rig.ask(10 * HOUR, order_id=["1"], shop=["a"]).parameters["rung"] == "champion"
    assert [RUNGS[r] for r in rig.predictions()["rung"]] == ["constant", "constant", "champion"], (
        "what waits is not logged"
    )


def test_a_question_of_a_replay_that_reads_no_view_waits_for_nothing(rig: Rig) -> None:
    rig.go_live()
    rig.store.away = True
    sent = {"shops.n": [1.0], "shops.late": [2.0], "shops.ago": [3.0]}
    answer = rig.ask(10 * HOUR, order_id=["a"], price=[1.0], hour=[3], **sent)
    assert answer.parameters["rung"] == "champion"


def test_a_request_that_reads_no_view_says_nothing_of_the_store_and_is_answered_by_the_model(
    rig: Rig,
) -> None:
    rig.go_live()
    rig.store.away = True
    rig.ask(order_id=["a"], shop=["x"])
    assert rig.outages.current()
    sent = {"shops.n": [1.0], "shops.late": [2.0], "shops.ago": [3.0]}
    for _ in range(2):  # while the store is left alone, and once it would be asked again
        answer = rig.ask(order_id=["a"], price=[1.0], hour=[3], **sent)
        assert answer.parameters["rung"] == "champion"
        assert rig.outages.current(), "it was not asked"
        rig.scorer.reach.rests_until = 0.0


def test_a_scorer_that_starts_while_its_store_is_away_answers_by_the_declared_rung(
    rig: Rig,
) -> None:
    rig.go_live()
    found, tried = rig.store, list[int]()

    def opened() -> Any:
        tried.append(1)
        if len(tried) == 1:
            raise StoreError("toy", "is away", "Wait.")
        return found

    rig.scorer.reach.store = LateStore(opened)
    assert rig.ask(order_id=["a"], shop=["x"]).parameters["rung"] == "constant"
    assert [o.cause for o in rig.outages.current()] == ["is away"]
    rig.scorer.reach.rests_until = 0.0
    assert rig.ask(order_id=["a"], shop=["x"]).parameters["rung"] == "champion"
    assert not rig.outages.current()


def test_a_missing_entity_is_answered_by_the_model_with_missing_values(rig: Rig) -> None:
    rig.go_live()
    rig.put_row("a", 10 * HOUR - 1, 40.0)
    answer = rig.ask(order_id=["1", "2"], shop=["a", "nobody"])
    assert answer.parameters["rung"] == "champion"
    assert answer.value_ages_ms.tolist() == [1, -1]


def test_a_value_beyond_its_max_age_is_missing_and_its_age_is_told(rig: Rig) -> None:
    rig.go_live()
    rig.put_row("a", 10 * HOUR, 40.0)
    answer = rig.ask(50 * HOUR, order_id=["1"], shop=["a"])
    assert answer.parameters["rung"] == "champion"
    assert answer.value_ages_ms.tolist() == [40 * HOUR]
    at = rig.model.vectors.numbers.index("shops.late")
    assert np.isnan(rig.predictions()["numbers"][0, at])


def test_past_its_deadline_a_request_is_answered_without_a_model(rig: Rig) -> None:
    rig.go_live()
    rig.put_row("a", 10 * HOUR - 1, 40.0)
    question = Question(
        "unpaid", {"order_id": ["1"], "shop": ["a"]}, 1, deadline=time.monotonic() - 1
    )
    assert rig.scorer.infer(question).parameters["rung"] == "heuristic"


@pytest.mark.parametrize("policy", ["serve", "fallback", "refuse"])
def test_what_a_model_older_than_its_limit_does_is_the_operators_choice(
    rig: Rig, policy: str
) -> None:
    rig.go_live(number=1, tick=10 * HOUR)
    rig.put_row("a", 10 * HOUR - 1, 40.0)
    rig.reflect(11 * HOUR)
    rig.freshness["payments"] = Freshness(on_violation=policy, model_slo="1m", model_limit="1h")
    within = rig.ask(11 * HOUR, order_id=["1"], shop=["a"])
    assert (within.parameters["rung"], within.parameters["model_lag_ms"]) == ("champion", HOUR)
    if policy == "refuse":
        with pytest.raises(
            ComponentError, match=r"lag of 1h1ms is beyond its limit of 1h.*on_violation"
        ):
            rig.ask(11 * HOUR + 1, order_id=["2"], shop=["a"])
    else:
        rung = {"serve": "champion", "fallback": "heuristic"}[policy]
        assert rig.ask(11 * HOUR + 1, order_id=["2"], shop=["a"]).parameters["rung"] == rung
    rig.freshness["payments"] = Freshness(on_violation=policy, model_slo="1m", model_limit="3h")
    assert rig.ask(11 * HOUR + 1, order_id=["3"], shop=["a"]).parameters["rung"] == "champion"


@pytest.mark.parametrize("policy", ["serve", "fallback", "refuse"])
def test_what_rows_older_than_their_limit_do_is_the_operators_choice(rig: Rig, policy: str) -> None:
    rig.go_live(tick=10 * HOUR)
    rig.put_row("a", 10 * HOUR - 1, 40.0)
    rig.reflect(10 * HOUR)
    rig.freshness["payments"] = Freshness(
        on_violation=policy, model_slo="9h", feature_slo="1m", feature_limit="1h"
    )
    within = rig.ask(11 * HOUR, order_id=["1"], shop=["a"])
    assert (within.parameters["rung"], within.parameters["feature_lag_ms"]) == ("champion", HOUR)
    if policy == "refuse":
        with pytest.raises(
            ComponentError,
            match=r"view shops: its lag of 1h1ms is beyond its limit of 1h.*on_violation",
        ):
            rig.ask(11 * HOUR + 1, order_id=["2"], shop=["a"])
    else:
        rung = {"serve": "champion", "fallback": "constant"}[policy]
        assert rig.ask(11 * HOUR + 1, order_id=["2"], shop=["a"]).parameters["rung"] == rung
    rig.reflect(11 * HOUR)
    assert rig.ask(11 * HOUR + 1, order_id=["4"], shop=["a"]).parameters["rung"] == "champion"


class Broken:
    def predict(self, vectors: Any) -> Any:
        raise ValueError("broken")


class Blank:
    def predict(self, vectors: Any) -> Any:
        return np.full(len(vectors), np.nan)


@pytest.mark.parametrize("bad", [Broken(), Blank()])
def test_a_model_that_fails_on_a_request_is_passed_over(rig: Rig, bad: Any) -> None:
    rig.go_live(number=1)
    good = rig.scorer.served["unpaid"].slot.current()
    assert good is not None
    rig.scorer.served["unpaid"].slot.swap(LiveModel(bad, good.manifest))
    assert rig.ask(order_id=["1"], shop=["a"]).parameters["rung"] == "last_good"


def test_without_any_rung_the_error_says_what_to_declare() -> None:
    rig = Rig(toy_app(fallback=[]))
    with pytest.raises(ComponentError, match=r"no rung can answer.*fallback") as told:
        rig.ask(order_id=["1"], shop=["a"])
    assert "refused" not in told.value.facts, "nobody decided this"
    rig.scorer.close()


def test_without_any_rung_what_an_operator_decided_is_refused_and_says_so() -> None:
    rig = Rig(toy_app(fallback=[]))
    rig.go_live()
    rig.answers[0] = False
    with pytest.raises(
        ComponentError, match=r"the switch answer is off.*freshet switch answer on"
    ) as told:
        rig.ask(order_id=["1"], shop=["a"])
    assert told.value.facts["refused"]
    rig.answers[0] = True
    rig.freshness["payments"] = Freshness(on_violation="fallback", model_slo="1m", model_limit="1h")
    rig.reflect(10 * HOUR)
    with pytest.raises(
        ComponentError, match="its lag is beyond its limit, and on_violation is fallback"
    ) as told:
        rig.ask(order_id=["1"], shop=["a"])
    assert told.value.facts["refused"]
    rig.scorer.close()


def test_features_that_are_sent_win_over_the_store(rig: Rig) -> None:
    rig.put_row("a", 10 * HOUR - 1, 40.0)
    rig.ask(order_id=["1"], shop=["a"], **{"shops.late": [3.5]})
    at = rig.model.vectors.numbers.index("shops.late")
    assert rig.predictions()["numbers"][0, at] == 3.5


def test_the_card_says_what_may_be_sent_instead_of_a_key() -> None:
    depot = Rig(consumers_app.APP)
    specs = {x.name: x for x in depot.scorer.card("late").inputs}
    depot.scorer.close()
    courier, city = specs["courier"], specs["city"]
    assert (courier.required, courier.nullable, courier.instead) == (
        True,
        False,
        ("by_courier.late", "by_leg.ewm"),
    )
    assert (city.required, city.nullable, city.instead) == (True, False, ()), (
        "a category has no stand-in"
    )
    assert not specs["parcel"].required, "an id that is not sent is made"
    assert not specs["by_leg.ewm"].required


def test_features_alone_give_the_answer_that_their_key_gives(rig: Rig) -> None:
    """Shop is a category of this model, so it is sent either way; what is read by it may be sent,
    too."""
    rig.put_row("a", 10 * HOUR - 1, 40.0)
    read = rig.ask(order_id=["1"], shop=["a"])
    sent = rig.ask(
        order_id=["2"], shop=["a"], **{"shops.n": [1.0], "shops.late": [40.0], "shops.ago": [0.001]}
    )
    assert read.probabilities.tolist() == sent.probabilities.tolist() == [0.7]
    assert rig.predictions()["numbers"].tolist()[0] == rig.predictions()["numbers"].tolist()[1]


def test_a_version_that_is_not_live_is_a_404(rig: Rig) -> None:
    rig.go_live()
    question = Question("unpaid", {"order_id": ["1"], "shop": ["a"]}, 1, version="hashed.1")
    assert rig.scorer.infer(question).parameters["snapshot"] == 1
    with pytest.raises(RequestError, match="not live"):
        rig.scorer.infer(
            Question("unpaid", {"order_id": ["1"], "shop": ["a"]}, 1, version="hashed.9")
        )


def test_sequences_count_up_and_name_the_rows(rig: Rig) -> None:
    first = rig.ask(order_id=["1", "2"], shop=["a", "b"])
    second = rig.ask(order_id=["3"], shop=["a"])
    assert (first.sequence, second.sequence) == (0, 2)
    assert rig.predictions()["sequence"].tolist() == [0, 1, 2]


def test_predictions_that_gather_are_logged_in_few_blocks_that_hold_what_one_each_would(
    rig: Rig,
) -> None:
    alone = Rig(rig.app)
    rig.log_is_there.clear()
    for number in range(12):
        for one in (rig, alone):
            if number == 6:
                one.go_live()  # from here on, of another lineage
            if number == 2:
                one.put_row("a|", 10 * HOUR - 1, 40.0)
            shops = ["a|", None, "é"][: 1 + number % 3]
            one.ask(order_id=[f"{number}.{row}" for row in range(len(shops))], shop=shops)
        log = alone.scorer.served["unpaid"].predictions
        deadline = time.monotonic() + 10
        while log is not None and log.held and time.monotonic() < deadline:
            time.sleep(0.001)
    rig.log_is_there.set()
    for one in (rig, alone):
        one.scorer.close()
    assert len(alone.logged) == 12
    # Those that were taken before the log was found away, and two lineages of the others.
    assert len(rig.logged) <= 3
    gathered, single = (
        [row for value in one.logged for row in blocks.decode(value).rows.to_pylist()]  # type: ignore[union-attr]
        for one in (rig, alone)
    )
    assert len(gathered) == 24
    assert gathered == single


def test_a_request_is_held_to_what_its_topic_says_of_each_field(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = [
        field("order_id", "string", required=True),
        field("at", "long", required=True),
        field("shop", "string", required=True, domain=["a", "b"]),
        field("price", "double", range=[0, 10]),
        field("hour", "int", range=[0.5, 23.5]),
    ]
    monkeypatch.setitem(ORDERS, "fields", fields)
    rig = Rig(toy_app())
    card = {spec.name: spec for spec in rig.scorer.card("unpaid").inputs}
    assert card["shop"].domain == {"a", "b"}
    assert (card["price"].range, card["hour"].range) == ((0, 10), (1, 23))
    assert (card["at"].required, card["at"].nullable) == (False, False)
    rig.scorer.close()
