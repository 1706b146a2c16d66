"""A model's questions and examples are facts of one log, whatever its learners come to read: what
is added for one disturbs no other, and a lineage that is declared later learns what one that was
declared from the start has learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

import freshet as fr
from freshet.audit import kept as kept_by_run
from freshet.demo.flights.schedule import Records
from freshet.features.stores.memory_store import MemoryStore
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.signing import Verifier
from freshet.past.examples import IN_PART, SERVED, frame_of
from freshet.past.own_logs import blocks_of
from freshet.schemas.events.writer import EventWriter
from freshet.schemas.models.manifest import Identity
from freshet.schemas.wire.messages import Cut
from freshet.testing import LocalRun
from tests.freshet.toy_day import HOUR, asked_in, payments_of
from tests.toy_app import toy_app

HOURS = 9
CHANGED_AT = 5
LESS = ("shop", "hour", "shops.n")
SLOW = fr.HashedLogistic(bits=10, rate=0.01, name="slow")


def app_of(*learners: Any, reads: tuple[str, ...] = LESS) -> fr.App:
    """The toy app, whose model reads these features, and whose learners may name more or others."""
    app = toy_app(fallback=[fr.constant(0.3)])
    (model,) = app.models
    named = {name_of(feature): feature for feature in model.features}
    made = [
        replace(learner, features=[named[name] for name in learner.features])
        if learner.features is not None
        else learner
        for learner in learners
    ]
    features = [named[name] for name in reads]
    return replace(app, models=[replace(model, features=features, learners=made)])


def name_of(feature: Any) -> str:
    return getattr(feature, "field", None) or feature.name


def reading(name: str, *features: str) -> fr.HashedLogistic:
    """A learner with features of its own, by their names."""
    return fr.HashedLogistic(bits=10, name=name, features=list(features))  # type: ignore[arg-type]


class Ran(NamedTuple):
    """What a run came to: of each lineage its snapshots' arrays by number, and what was told of
    each cut; the examples; the ledgers; who answered each question."""

    arrays: Mapping[str, Mapping[int, Mapping[str, bytes]]]
    cuts: Mapping[str, list[tuple[int, int, Any]]]
    examples: pl.DataFrame
    ledgers: list[Any]
    rungs: list[str]


def ran(folder: Path, *parts: tuple[fr.App, range]) -> Ran:
    """Apps one after the other in one folder, each for some hours."""
    store = MemoryStore()
    cuts: dict[str, list[Cut]] = {}
    rungs = []
    for app, hours in parts:
        orders, payments = (EventWriter(t.events) for t in app.topics)
        with LocalRun(app, folder, store, "2h") as local:
            for hour in hours:
                start, asked = (hour + 1) * HOUR, asked_in(hour)
                rows = [{**dict(zip(asked, row)), "at": start} for row in zip(*asked.values())]
                paid = [(t, payments.encode(e)) for t, e in payments_of(hour)]
                told = {
                    "orders": records([(start + 1, orders.encode(row)) for row in rows]),
                    "payments": records(paid),
                }
                answer = local.step(start, start + HOUR, asked, told)
                assert answer is not None
                rungs.append(str(answer.parameters["rung"]))
            for message in local.messages:
                if isinstance(message, Cut):
                    cuts.setdefault(message.lineage, []).append(message)
            log = local.app.examples_log_of(app.models[0])
            examples = frame_of(app.models[0], blocks_of(local.log, log))
            for operator in local.operators:
                operator.checkpoint()
            ledgers = [
                kept_by_run.ledger(
                    local.log, str(folder / "checkpoints"), topic, app.log_of(topic.name), 0
                )
                for topic in app.topics
            ]
    every = {name: {cut.number: cut for cut in told} for name, told in cuts.items()}
    keys = [Verifier.load(folder / "keys" / name) for name in ("trainer",)]
    arrays = {}
    for name, told in every.items():
        arrays[name] = {}
        for number, cut in told.items():
            assert cut.digest is not None
            which = Identity("toy", "unpaid", name, number, cut.digest)
            manifest = snapshots.read_manifest(folder / "snapshots", which, *keys)
            data = snapshots.read_arrays(folder / "snapshots", manifest)
            found = snapshots.arrays_of(memoryview(data))
            arrays[name][number] = {key: value.tobytes() for key, value in found.items()}
    facts = {
        name: [(number, cut.tick, cut.stats) for number, cut in sorted(told.items())]
        for name, told in every.items()
    }
    return Ran(arrays, facts, examples, ledgers, rungs)


def records(of: list[tuple[int, bytes]]) -> Records:
    return Records([v for _, v in of], [t for t, _ in of], [str(i) for i in range(len(of))])


BASELINE = fr.Baseline()
FAST = fr.HashedLogistic(bits=10)
MORE = ("shop", "hour", "price", "shops.n", "shops.late")
# All that can be known of the past; `price` was said by requests, and not logged.
OF_VIEWS = ("shop", "shops.late", "hour", "shops.n", "shops.ago")
BEFORE = app_of(BASELINE, FAST)
# A learner with other options, one that reads less in another order (not what quality is told
# apart by), and one that reads more.
AFTER = app_of(
    BASELINE,
    FAST,
    SLOW,
    reading("other", "shops.n", "hour"),
    reading("more", *MORE),
    reading("views", *OF_VIEWS),
)
EVERY = range(HOURS)
FIRST, LAST = range(CHANGED_AT), range(CHANGED_AT, HOURS)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Nothing is ever added."""
    return ran(tmp_path_factory.mktemp("alone"), (BEFORE, EVERY))


@pytest.fixture(scope="module")
def from_the_start(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """All is declared from the start."""
    return ran(tmp_path_factory.mktemp("start"), (AFTER, EVERY))


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The rest is added in the middle."""
    return ran(tmp_path_factory.mktemp("later"), (BEFORE, FIRST), (AFTER, LAST))


def lineage(app: fr.App, name: str) -> str:
    (model,) = app.models
    (spec,) = (spec for spec in model.learners if spec.name == name)
    return model.lineage(spec)


@pytest.mark.parametrize("name", ["baseline", "hashed_logistic"])
def test_what_is_added_changes_nothing_for_a_lineage_that_was_there(
    name: str, alone: Ran, later: Ran, from_the_start: Ran
) -> None:
    own = lineage(AFTER, name)
    assert own == lineage(BEFORE, name)
    assert len(alone.arrays[own]) >= 3
    for other in (later, from_the_start):
        assert other.arrays[own] == alone.arrays[own]
        assert other.cuts[own] == alone.cuts[own]


@pytest.mark.parametrize("name", ["slow", "other"])
def test_a_learner_that_is_added_later_learns_what_it_would_have_from_the_start(
    name: str, later: Ran, from_the_start: Ran
) -> None:
    """Also one that takes other columns, in another order: every snapshot, and every figure."""
    own = lineage(AFTER, name)
    assert own not in (lineage(BEFORE, known) for known in ("baseline", "hashed_logistic"))
    assert later.arrays[own] == from_the_start.arrays[own]
    assert later.cuts[own] == from_the_start.cuts[own]
    assert later.cuts[own][-1][2]["learned"] > 5


def test_a_learner_that_reads_features_of_views_more_learns_them_of_the_past(
    later: Ran, from_the_start: Ran
) -> None:
    """Bit for bit what it would have learned: every snapshot. No figure is of what was not
    served."""
    own = lineage(AFTER, "views")
    assert later.arrays[own] == from_the_start.arrays[own]
    assert [cut[:2] for cut in later.cuts[own]] == [cut[:2] for cut in from_the_start.cuts[own]]
    last, served = (run.cuts[own][-1][2] for run in (later, from_the_start))
    assert last["learned"] == served["learned"]
    assert last["reconstructed"] > 0
    assert served["reconstructed"] == 0
    assert served["all"]["n"] == served["learned"]
    assert 0 < last["all"]["n"] == last["learned"] - last["reconstructed"]


def test_what_a_request_said_and_was_not_logged_stays_missing(
    later: Ran, from_the_start: Ran
) -> None:
    own = lineage(AFTER, "more")
    last, served = (run.cuts[own][-1][2] for run in (later, from_the_start))
    assert last["learned"] == served["learned"]
    assert last["reconstructed"] > 0
    assert later.arrays[own] != from_the_start.arrays[own]
    is_before = pl.col("asked_at") < pl.lit((CHANGED_AT + 1) * HOUR).cast(pl.Datetime("ms", "UTC"))
    assert later.examples.filter(is_before)["feature.price"].drop_nulls().is_empty()


def test_questions_and_labels_of_before_stay_facts_of_the_same_log(
    alone: Ran, later: Ran, from_the_start: Ran
) -> None:
    facts = ["id", "asked_at", "fate", "label", "labelled_at", "expired_at", "saw_future"]
    columns = [f"feature.{name}" for name in LESS]
    for other in (later, from_the_start):
        assert other.examples.select(facts + columns).equals(alone.examples.select(facts + columns))
    assert later.ledgers == from_the_start.ledgers == alone.ledgers


def test_a_column_is_logged_once_a_lineage_reads_it(later: Ran, from_the_start: Ran) -> None:
    more = [f"feature.{name}" for name in MORE]
    is_since = pl.col("asked_at") >= pl.lit((CHANGED_AT + 1) * HOUR).cast(pl.Datetime("ms", "UTC"))
    since = later.examples.filter(is_since)
    assert since.select(more).equals(from_the_start.examples.filter(is_since).select(more))
    assert set(since["vector"]) == {SERVED}
    before = later.examples.filter(~is_since)
    assert set(before["vector"]) == {IN_PART}
    assert before["feature.price"].null_count() == len(before)
    # Also of what was asked before and is answered later: nobody asked for it then.
    assert set(from_the_start.examples["vector"]) == {SERVED}


def test_the_champion_answers_while_others_are_added(later: Ran) -> None:
    assert later.rungs[CHANGED_AT - 1 :] == ["champion"] * (HOURS - CHANGED_AT + 1)


def test_a_champion_whose_learner_has_come_to_read_more_answers_by_its_own_columns(
    tmp_path: Path,
) -> None:
    """The model's features are more by now, and the lineage that answers is declared no more."""
    changed = app_of(BASELINE, FAST, reads=MORE)
    assert lineage(changed, "hashed_logistic") != lineage(BEFORE, "hashed_logistic")
    found = ran(tmp_path, (BEFORE, FIRST), (changed, range(CHANGED_AT, CHANGED_AT + 2)))
    assert found.rungs[CHANGED_AT - 1 :] == ["champion"] * 3


def test_columns_that_are_read_no_more_are_logged_no_more(tmp_path: Path) -> None:
    less = app_of(BASELINE, FAST, reads=("shops.n", "shop"))
    found = ran(tmp_path, (BEFORE, range(3)), (less, range(3, 6)))
    assert "feature.hour" not in found.examples.columns
    assert set(found.examples["vector"]) == {SERVED}
    assert found.examples["feature.shops.n"].null_count() < len(found.examples)
    assert np.isfinite(found.examples["label"].drop_nulls().to_numpy()).all()
