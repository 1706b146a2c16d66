"""What was declared from the start and what `freshet apply` added later are equal, bit for bit:
rows, examples, weights, ledgers. Over single partitions, in a paced replay."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from freshet.lineages.rewind import Wanted, go_back, outlined
from freshet.runs.opened import opened
from tests.freshet.toy_day import HOUR
from tests.system import applied_apps as apps
from tests.system.applied_apps import declared
from tests.system.applied_local import (
    AppliedRun,
    Hours,
    Outcome,
    changed_on_the_way,
    never_changed,
)

# It is built for an hour in which events come, and questions.
HOURS = Hours(asked_at=5, cut_over_at=6, end=10)
FACTS = ["id", "asked_at", "fate", "label", "labelled_at", "expired_at", "saw_future"]
SINCE = pl.col("asked_at") >= pl.lit((HOURS.cut_over_at + 1) * HOUR).cast(pl.Datetime("ms", "UTC"))
Pair = tuple[Outcome, Outcome]


def pair(factory: pytest.TempPathFactory, name: str, ask_from: int = 0) -> Pair:
    """What it is changed to later, and from the start."""
    folder = factory.mktemp(name.lower())
    later = changed_on_the_way(folder / "later", declared("BEFORE"), declared(name), HOURS)
    return later, never_changed(folder / "start", declared(name), HOURS, ask_from)


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory, "ADDED")


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Its model is another one, which is asked from the cut-over on."""
    return pair(tmp_path_factory, "FILTERED", HOURS.cut_over_at)


@pytest.fixture(scope="module")
def label(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair(tmp_path_factory, "LABEL", HOURS.cut_over_at)


def learned_by(outcome: Outcome, app: str, learner: str) -> object:
    model = getattr(apps, app).models[0]
    (spec,) = (spec for spec in model.learners if spec.name == learner)
    return outcome.weights[f"train:unpaid.{model.lineage(spec)}:0"]


def as_facts(outcome: Outcome) -> pl.DataFrame:
    """But for the numbers of snapshots: who is there from the start has cut empty ones, too."""
    return outcome.examples.drop("snapshot")


def test_a_view_that_is_added(added: Pair) -> None:
    later, start = added
    assert later.rows["tills"] == start.rows["tills"]
    assert later.ledgers == start.ledgers


def test_a_feature_that_is_added(added: Pair) -> None:
    later, start = added
    assert later.rows["shops"] == start.rows["shops"]


@pytest.mark.parametrize("learner", ["hashed_logistic", "baseline"])
def test_a_feature_of_a_model_that_is_added(learner: str, added: Pair) -> None:
    """Questions of before are facts, and their new columns are filled of the past."""
    later, start = added
    assert later.examples.select(FACTS).equals(start.examples.select(FACTS))
    features = pl.col("^feature\\..*$")
    of_now = later.examples.filter(SINCE).select(features)
    assert of_now.equals(start.examples.filter(SINCE).select(features))
    assert learned_by(later, "ADDED", learner) == learned_by(start, "ADDED", learner)


def test_a_learner_that_is_added(added: Pair) -> None:
    later, start = added
    assert learned_by(later, "ADDED", "slow") == learned_by(start, "ADDED", "slow")
    assert learned_by(start, "ADDED", "slow") != learned_by(start, "ADDED", "hashed_logistic")


def test_filter_impute_derived_field_and_window(filtered: Pair) -> None:
    later, start = filtered
    assert later.rows == start.rows
    assert later.ledgers == start.ledgers
    assert as_facts(later).equals(as_facts(start))
    assert later.weights == start.weights
    assert len(later.examples.filter(pl.col("label").is_not_null())) > 2


def test_a_rule_of_labels(label: Pair) -> None:
    """Of what is asked from then on: nobody has asked this of what was before."""
    later, start = label
    assert later.rows == start.rows
    assert later.ledgers == start.ledgers
    assert as_facts(later).equals(as_facts(start))
    assert later.weights == start.weights
    assert set(later.examples["label"].drop_nulls()) == {0.0, 1.0}


def test_a_lineage_that_was_started_goes_on_over_a_cut_over(tmp_path: Path) -> None:
    def rewound(run: AppliedRun) -> None:
        model = run.active.models[0]
        with opened(run.folder) as there:
            lineage = model.lineage(model.learners[1])
            go_back(there, outlined(there, lineage, Wanted(3 * HOUR, False, "ann")))

    run = AppliedRun(tmp_path / "alone", declared("BEFORE"))
    run.hours(range(HOURS.asked_at))
    rewound(run)
    run.hours(range(HOURS.asked_at, HOURS.end))
    alone = run.outcome()
    changed = changed_on_the_way(
        tmp_path / "changed", declared("BEFORE"), declared("LEARNER"), HOURS, rewound
    )
    assert len(alone.weights) == 3
    for name, learned in alone.weights.items():
        assert changed.weights[name] == learned


def test_a_field_less_and_another_one_more_in_one_step(tmp_path: Path) -> None:
    """While both versions are there each has its own field of all records."""
    hours = range(HOURS.asked_at, HOURS.cut_over_at)
    run = AppliedRun(tmp_path / "later", declared("TIPS"))
    run.hours(range(HOURS.asked_at))
    run.apply(declared("FEES"))
    run.hours(hours)
    still = run.rows(run.active.views[0])
    run.cut_over()
    run.hours(range(HOURS.cut_over_at, HOURS.end))
    later = run.outcome()
    undisturbed = AppliedRun(tmp_path / "undisturbed", declared("TIPS"))
    undisturbed.hours(range(HOURS.cut_over_at))
    assert still == undisturbed.outcome().rows["shops"]
    start = never_changed(tmp_path / "start", declared("FEES"), HOURS)
    assert later.ledgers == start.ledgers
    # All of the west's was written by the schema of before, which knows of no fees.
    for shop in ("north", "south"):
        assert later.rows["shops"][shop] == start.rows["shops"][shop]
    assert later.weights == start.weights
