"""Facts in, samples out; what is missing or of another shape is left out, and no label grows
without end."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parsed

from freshet.schemas.errors import StoreError
from freshet.schemas.wire.blocks import NO_TICK
from freshet.schemas.wire.messages import Status
from freshet.streams.outages import Outages
from freshet.streams.vitals.metric_table import LONGEST_LABEL, Figure, families
from freshet.streams.vitals.metrics import ROLE_METRICS, exposition
from freshet.streams.vitals.vitals import Vitals

FACTS: dict[str, Any] = {
    "memory_mb": 12.5,
    "cpu_seconds": 3.25,
    "started_ms": 1_700_000_000_500,
    "told_ms": 1_700_000_001_000,
    "records": 70,
    "held": True,
    "intake:orders:0": {
        "fates": {"applied": 5, "dropped:late": 2, "dead:not Avro": 1},
        "imputed": {"price": 3},
        "newest_ms": 1_500,
        "newest_event_ms": None,
        "fields": {"price": {"seen": 5, "missing": 3}},
        "sources": {"north": {"events": 4, "newest_ms": 1_400}},
        "finished": 2_000,
    },
    "view:shops:3": {"events": 9, "keys": 4, "finished": NO_TICK},
    "join:unpaid:0": {"labelled": 1, "expired": 2, "asked": 8, "open": 5, "finished": 3_000},
    "train:unpaid.hashed_logistic-1a2b3c4d:0": {
        "lineage": "hashed_logistic-1a2b3c4d",
        "learned": 7,
        "snapshots": 2,
        "all": {"n": 7, "log_loss": 0.5, "auc": None},
        "rolling": {"n": 3, "log_loss": float("nan")},
        "slices": {"shop": {"a": {"n": 4, "log_loss": 0.25}}},
    },
    "models": {
        "unpaid": {
            "lineage": "x-1",
            "snapshot": 2,
            "tick": 1_000,
            "rungs": {"champion": 6},
            "lost": 1,
            "unlogged": 0,
        },
        "other": {
            "lineage": None,
            "snapshot": None,
            "tick": None,
            "rungs": {},
            "lost": 0,
            "unlogged": 0,
        },
    },
    "requests": {
        "answered": 6,
        "failed": 1,
        "in_error": 3,
        "rows": 9,
        "duration": {"le": [0.001, 0.01], "counts": [4, 2, 1], "sum": 0.25},
        "duration_near_swaps": {"le": [0.001], "counts": [4], "sum": 0.25},
    },
}


Sample = tuple[str, frozenset[tuple[str, str]]]


def sample(name: str, **labels: str) -> Sample:
    return name, frozenset(labels.items())


def told(facts: dict[str, Any]) -> dict[Sample, float]:
    """Values by name and labels, in order, without the constant ones."""
    text = exposition("toy", Status("view", "view.2/1f2e3d4c", 7, 1, facts)).decode()
    found: dict[Sample, float] = {}
    for family in parsed(text):
        for x in family.samples:
            labels = dict(x.labels)
            assert [labels.pop(k) for k in ("app", "role", "instance")] == ["toy", "view", "view.2"]
            key = sample(x.name, **labels)
            assert key not in found
            found[key] = x.value
    return found


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (sample("freshet_process_resident_memory_bytes"), 12_500_000),
        (sample("freshet_process_cpu_seconds_total"), 3.25),
        (sample("freshet_process_start_timestamp_seconds"), 1_700_000_000.5),
        (sample("freshet_process_told_timestamp_seconds"), 1_700_000_001),
        (sample("freshet_process_held"), 1),
        (sample("freshet_operator_records_total"), 70),
        (
            sample(
                "freshet_intake_records_total", topic="orders", partition="0", fate="dead:not Avro"
            ),
            1,
        ),
        (sample("freshet_intake_imputed_total", topic="orders", partition="0", field="price"), 3),
        (
            sample("freshet_intake_newest_append_timestamp_seconds", topic="orders", partition="0"),
            1.5,
        ),
        (sample("freshet_source_events_total", topic="orders", partition="0", source="north"), 4),
        (sample("freshet_field_missing_total", topic="orders", partition="0", field="price"), 3),
        (sample("freshet_task_finished_timestamp_seconds", task="intake:orders:0"), 2),
        (sample("freshet_view_keys", view="shops", partition="3"), 4),
        (
            sample("freshet_join_outcomes_total", model="unpaid", partition="0", outcome="expired"),
            2,
        ),
        (
            sample(
                "freshet_trainer_examples_total",
                model="unpaid",
                lineage="hashed_logistic-1a2b3c4d",
                partition="0",
            ),
            7,
        ),
        (
            sample(
                "freshet_trainer_log_loss",
                model="unpaid",
                lineage="hashed_logistic-1a2b3c4d",
                partition="0",
                window="all",
            ),
            0.5,
        ),
        (
            sample(
                "freshet_trainer_slice_log_loss",
                model="unpaid",
                lineage="hashed_logistic-1a2b3c4d",
                partition="0",
                slice="shop",
                value="a",
            ),
            0.25,
        ),
        (sample("freshet_scorer_requests_total", outcome="failed"), 1),
        (sample("freshet_scorer_requests_total", outcome="in_error"), 3),
        (sample("freshet_scorer_predictions_total", model="unpaid", rung="champion"), 6),
        (sample("freshet_scorer_snapshot", model="unpaid", lineage="x-1"), 2),
        (sample("freshet_scorer_request_duration_seconds_bucket", le="0.01"), 6),
        (sample("freshet_scorer_request_duration_seconds_bucket", le="+Inf"), 7),
        (sample("freshet_scorer_request_duration_seconds_count"), 7),
        (sample("freshet_scorer_request_duration_seconds_sum"), 0.25),
        (sample("freshet_prediction_log_lost_total", model="other"), 0),
    ],
)
def test_a_fact_is_told_in_base_units(wanted: Sample, value: float) -> None:
    assert told(FACTS)[wanted] == pytest.approx(value)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (
            sample("freshet_intake_newest_event_timestamp_seconds", topic="orders", partition="0"),
            "not known yet",
        ),
        (sample("freshet_task_finished_timestamp_seconds", task="view:shops:3"), "no tick yet"),
        (
            sample(
                "freshet_trainer_auc",
                model="unpaid",
                lineage="hashed_logistic-1a2b3c4d",
                partition="0",
                window="all",
            ),
            "means nothing yet",
        ),
        (
            sample(
                "freshet_trainer_log_loss",
                model="unpaid",
                lineage="hashed_logistic-1a2b3c4d",
                partition="0",
                window="rolling",
            ),
            "is no number",
        ),
        (sample("freshet_scorer_snapshot", model="other", lineage="None"), "nothing is served"),
        (
            sample("freshet_scorer_request_duration_near_swaps_seconds_count"),
            "counts and bounds do not fit",
        ),
    ],
)
def test_what_is_not_known_is_left_out(wanted: Sample, why: str) -> None:
    assert wanted not in told(FACTS), why


def test_an_outage_is_told_while_it_lasts() -> None:
    outages = Outages()
    vitals = Vitals("view", "view/1", outages)
    outages.begin(StoreError("redis://127.0.0.1:1", "refused", "Start it."), "waits")
    since = vitals.status().facts["outages"][0]["since"]
    text = exposition("toy", vitals.status()).decode()
    (outage,) = [m for m in parsed(text) if m.name == "freshet_outage_since_timestamp_seconds"]
    labels = {
        "component": "store",
        "resource": "redis://127.0.0.1:1",
        "app": "toy",
        "role": "view",
        "instance": "view",
    }
    assert [(s.labels, s.value) for s in outage.samples] == [(labels, pytest.approx(since / 1e3))]
    outages.over("store")
    text = exposition("toy", vitals.status()).decode()
    assert "freshet_outage_since" not in text
    assert re.search(r"^freshet_outages_total\{.*\} 1\.0$", text, re.MULTILINE)


def test_figures_of_a_slice_and_of_a_source_are_bounded_and_long_labels_are_cut() -> None:
    slices = {f"value {i}": {"n": i, "log_loss": 0.1} for i in range(200)}
    sources = {f"source {i}": {"events": i} for i in range(200)}
    found = told({"train:m.x:0": {"slices": {"s": slices}}, "intake:t:0": {"sources": sources}})
    values = [
        dict(labels)["value"] for name, labels in found if name == "freshet_trainer_slice_log_loss"
    ]
    assert values == [f"value {i}" for i in range(50)]
    assert sum(name == "freshet_source_events_total" for name, _ in found) == 64
    cut = told({"intake:t:0": {"sources": {"x" * 1_000 + end: {"events": 1} for end in "ab"}}})
    assert [dict(labels)["source"] for _, labels in cut] == ["x" * LONGEST_LABEL]


def test_numbers_of_numpy_are_numbers_and_numpy_nan_is_none() -> None:
    facts = {"records": np.int64(3), "cpu_seconds": np.float32(0.5), "memory_mb": np.float64("nan")}
    assert told(facts) == {
        sample("freshet_operator_records_total"): 3,
        sample("freshet_process_cpu_seconds_total"): 0.5,
    }


def test_a_label_keeps_what_it_says() -> None:
    found = told({"train:m.x:0": {"slices": {"s": {'a "b"\\\n/c': {"n": 1}}}}})
    assert [dict(labels)["value"] for _, labels in found] == ['a "b"\\\n/c']


def test_a_trainer_of_numbers_tells_errors_in_their_unit() -> None:
    quality = {"n": 9, "mae": 1.5, "rmse": 2.5, "bias": -0.5, "squared_error": 6.25}
    beside = {"prior": quality | {"mae": 3.0}, "no_change": quality | {"mae": 2.0}}
    facts = {
        "rolling": quality,
        "references": {"all": beside},
        "slices": {"diet": {"2": quality}},
    }
    found = told({"train:weight.linear-1:0": facts})
    own = {"model": "weight", "lineage": "linear-1", "partition": "0"}
    rolling = own | {"window": "rolling"}
    whole = own | {"window": "all"}
    mae = "freshet_trainer_mean_absolute_error"
    assert found[sample(mae, **rolling)] == 1.5
    assert found[sample("freshet_trainer_root_mean_squared_error", **rolling)] == 2.5
    assert found[sample("freshet_trainer_bias", **rolling)] == -0.5
    of_reference = "freshet_trainer_reference_mean_absolute_error"
    assert found[sample(of_reference, reference="prior", **whole)] == 3.0
    assert found[sample(of_reference, reference="no_change", **whole)] == 2.0
    of_slice = "freshet_trainer_slice_mean_absolute_error"
    assert found[sample(of_slice, slice="diet", value="2", **own)] == 1.5


def test_a_trainer_of_classes_tells_macro_f1() -> None:
    found = told({"train:kind.softmax-1:0": {"all": {"n": 9, "macro_f1": 0.75}}})
    labels = {"model": "kind", "lineage": "softmax-1", "partition": "0", "window": "all"}
    assert found == {sample("freshet_trainer_macro_f1", **labels): 0.75}


def test_names_follow_the_conventions() -> None:
    names = [f.name for f in ROLE_METRICS]
    assert len(set(names)) == len(names)
    for f in ROLE_METRICS:
        assert re.fullmatch(r"freshet_[a-z0-9_]+", f.name), f.name
        assert f.name.endswith("_total") == (f.kind == "counter"), f.name
        assert not re.search(r"_(ms|mb|age|ago|minutes|hours|milliseconds)\b", f.name), f.name
        assert f.help.endswith("."), f.name


leaf = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
)
tree = st.recursive(
    leaf,
    lambda x: (
        st.lists(x, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.sampled_from(["le", "n"]), x, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def facts_gone_wrong(draw: st.DrawFn) -> dict[str, Any]:
    """The facts above, with anything at all in place of some of them, or nothing."""

    def spoiled(node: Any) -> Any:
        if draw(st.integers(0, 5)) == 0:
            return draw(tree)
        if isinstance(node, dict):
            return {k: spoiled(v) for k, v in node.items() if draw(st.integers(0, 9))}
        return node

    return {k: spoiled(v) for k, v in {**FACTS, "outages": [{"component": "log"}]}.items()} | draw(
        st.dictionaries(st.text(max_size=8), tree, max_size=2)
    )


@given(facts_gone_wrong())
def test_no_facts_are_so_wrong_that_metrics_cannot_be_told(facts: dict[str, Any]) -> None:
    for value in told(facts).values():
        assert np.isfinite(value)


def test_a_family_that_has_no_samples_is_not_told() -> None:
    assert list(families([Figure("gauge", "freshet_x", "X.", "a/b")], {"a": {"c": 1}}, {})) == []
