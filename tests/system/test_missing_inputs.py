"""A source that stops, and a field that becomes null: lights and alerts name them, the model is held
and falls back as declared, goes on by itself, and no request fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from freshet.app import load
from freshet.serving.status.status import ModelFigures
from tests.system.operated_run import OperatedRun, now_ms, until

pytestmark = pytest.mark.timeout(600)
HOLD = 'hold=[fr.HoldWhen("source_silent", topic="deliveries", longer_than="5s")],'
CHANGES = (
    ('label_wait="1h")', 'label_wait="1h", model_slo="8s")'),
    ('    impute={"weight_kg": fr.impute.constant(1.0)},\n', ""),
    ('"late_ewm": fr.decayed_mean("minutes_late", "30m"),\n    },', None),
    ('slices=["city"],', f'slices=["city"],\n    {HOLD}\n    missing_inputs="fall_back",'),
)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatedRun]:
    run = OperatedRun(tmp_path_factory.mktemp("missing"))
    text = run.file.read_text()
    for old, new in CHANGES:
        assert old in text
        # Values of which none is newer are none to the model.
        text = text.replace(old, f'{old}\n    max_age="4s",' if new is None else new)
    run.file.write_text(text)
    run.app = load(run.file)
    try:
        run.start()
        until(lambda: asked(run)["rung"] == "champion" and not model(run).missing, "it answers")
        yield run
    finally:
        run.stop()


def asked(run: OperatedRun, weight: float | None = 1.0, delivered: bool = True) -> dict[str, str]:
    """Eight parcels are asked about and handed over; how they were answered."""
    parcels = run.parcels(8)
    names = ("parcel", "courier", "city")
    inputs = [
        {"name": name, "shape": [8], "datatype": "BYTES", "data": [p[name] for p in parcels]}
        for name in names
    ]
    inputs.append({"name": "weight_kg", "shape": [8], "datatype": "FP64", "data": [weight] * 8})
    answer = run.scorer.post("/v2/models/late/infer", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    run.push("handovers", [{**p, "weight_kg": weight} for p in parcels])
    if delivered:
        at = now_ms() + 1
        late = [{**p, "at": at, "minutes_late": 30.0 * (i % 2)} for i, p in enumerate(parcels)]
        run.push("deliveries", late)
    found: dict[str, str] = {**answer.json()["parameters"], "id": parcels[0]["parcel"]}
    return found


def model(run: OperatedRun) -> ModelFigures:
    return run.status().models[0]


def lights(run: OperatedRun) -> str:
    return next(p.state for p in run.status().promises if p.name == "inputs there")


def alerts(run: OperatedRun) -> set[str]:
    found = run.status().alerts
    return {a.subject for a in found if a.policy == "missing_input" and a.state == "firing"}


def is_held(figures: ModelFigures) -> bool:
    return all(
        lineage.held is not None and lineage.held.by.startswith("condition source_silent")
        for lineage in figures.lineages
    )


def answers(run: OperatedRun, wanted: Callable[[dict[str, str]], bool], **of: object) -> bool:
    return wanted(asked(run, **of))  # type: ignore[arg-type]


def test_a_source_that_stops_is_named_holds_the_model_and_has_it_fall_back(
    live: OperatedRun,
) -> None:
    until(
        lambda: answers(live, lambda told: "missing_inputs" in told, delivered=False),
        "the scorer falls back",
    )
    until(lambda: answers(live, lambda _: is_held(model(live)), delivered=False), "it is held")
    told = asked(live, delivered=False)
    # The heuristic reads what is missing, too.
    assert told["rung"] == "constant"
    assert "topic deliveries of view punctuality" in told["missing_inputs"]
    (source,) = [each for each in model(live).missing if each.kind == "source"]
    assert (source.name, source.view) == ("deliveries", "punctuality")
    assert lights(live) == "amber"
    until(lambda: "late/deliveries" in alerts(live), "the alert fires")
    told_by_command = " ".join(live.changed("models").split())
    assert "no event for longer than 4s" in told_by_command
    until(
        lambda: answers(live, lambda told: told["rung"] == "champion") and not model(live).missing,
        "it goes on by itself",
    )
    until(lambda: all(lineage.held is None for lineage in model(live).lineages), "it learns again")
    (skip, *_) = model(live).lineages[0].skips
    assert "5s is the bound" in skip.why
    assert skip.until_ms is not None


def test_a_field_that_becomes_null_is_named_and_has_the_model_fall_back(
    live: OperatedRun,
) -> None:
    until(lambda: answers(live, lambda told: told["rung"] == "champion"), "a model answers")
    until(
        lambda: answers(live, lambda told: "missing_inputs" in told, weight=None),
        "the scorer falls back",
    )
    told = asked(live, None)
    # What the heuristic reads is there.
    assert told["rung"] == "heuristic"
    assert "weight_kg is missing from" in told["missing_inputs"]
    (feature,) = model(live).missing
    assert (feature.kind, feature.name, feature.topic) == ("feature", "weight_kg", "handovers")
    until(
        lambda: live.cli("explain", told["id"]).out.count("weight_kg: the model falls back"),
        "the log of questions says so, too",
    )
    until(lambda: "late/weight_kg" in alerts(live), "the alert fires")
    until(lambda: answers(live, lambda told: told["rung"] == "champion"), "it goes on by itself")
    until(lambda: lights(live) == "green", "the light is green")


def test_no_request_failed_meanwhile(live: OperatedRun) -> None:
    requests = live.status().requests
    assert requests.failed == 0
    assert requests.answered > 0
