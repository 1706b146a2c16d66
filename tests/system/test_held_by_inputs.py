"""The producer of a view's topic stops, and the model is declared to hold then: what is asked and
delivered meanwhile is answered as ever, not learned, recorded with who, why and bound, shown, and
learned later on command, bit for bit as if nothing had stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from freshet.app import load
from freshet.learners.training.task import TrainTask
from freshet.past.own_logs import blocks_of
from freshet.roles import plans
from freshet.schemas.wire import blocks
from freshet.serving.status.status import LineageFigures
from freshet.streams.catalog import open_log
from freshet.streams.operators.checkpoints import Checkpoints
from tests.streams.toy_events import batch_of
from tests.system.operated_run import OperatedRun, now_ms, until
from tests.system.test_missing_inputs import alerts, lights, model

pytestmark = pytest.mark.timeout(600)
CHANGES = (
    ('label_wait="1h")', 'label_wait="1h", model_slo="8s")'),
    ('features={"n_10m": fr.count(over="10m")}', 'features={"n_10m": fr.count(over="10m")}, '
     'max_age="4s"'),
    ('slices=["city"],', 'slices=["city"],\n    missing_inputs="hold",'),
)  # fmt: skip
WHY = "topic handovers of view load has had no event for longer than 4s"
LEARNER = "hashed_logistic"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatedRun]:
    run = OperatedRun(tmp_path_factory.mktemp("held"))
    text = run.file.read_text()
    for old, new in CHANGES:
        assert old in text
        text = text.replace(old, new)
    run.file.write_text(text)
    run.app = load(run.file)
    try:
        run.start()
        until(lambda: worked(run) == "champion" and not model(run).missing, "it answers")
        yield run
    finally:
        run.stop()


def worked(run: OperatedRun, handed_over: bool = True) -> str:
    """Eight parcels are asked about and delivered, and their handovers told of or not; by which
    rung they were answered."""
    parcels = run.parcels(8)
    rung = str(run.ask(parcels)["rung"])
    if handed_over:
        run.push("handovers", [{**parcel, "weight_kg": 1.0} for parcel in parcels])
    at = now_ms() + 1
    late = [{**p, "at": at, "minutes_late": 30.0 * (i % 2)} for i, p in enumerate(parcels)]
    run.push("deliveries", late)
    run.labelled += len(parcels)
    return rung


def by_inputs(lineage: LineageFigures) -> list[Any]:
    return [skip for skip in lineage.skips if "condition missing_inputs" in skip.by]


def skipped(run: OperatedRun) -> int:
    """Examples that every declared lineage has skipped, at least."""
    return min(sum(skip.examples for skip in by_inputs(x)) for x in model(run).lineages)


def settled(run: OperatedRun) -> bool:
    """Whatever was delivered was learned or skipped, by each lineage."""
    return all(
        x.examples + sum(skip.examples for skip in x.skips) == run.labelled
        for x in model(run).lineages
    )


def test_nothing_is_learned_and_that_is_recorded_and_shown(live: OperatedRun) -> None:
    until(
        lambda: worked(live, handed_over=False) and all(map(by_inputs, model(live).lineages)),
        "it is held",
    )
    until(lambda: settled(live), "all that came before that is learned")
    learned = live.learned()
    before = skipped(live)
    for _ in range(3):
        assert worked(live, handed_over=False) == "champion", "it answers as before"
    until(lambda: skipped(live) >= before + 24, "what comes is skipped")
    assert live.learned() == learned
    for lineage in model(live).lineages:
        assert lineage.held is not None
        assert any(WHY in skip.why and skip.until_ms is None for skip in by_inputs(lineage))
        assert any("handovers of load" in skip.by for skip in by_inputs(lineage))
    assert lights(live) == "amber"
    until(lambda: "late/handovers" in alerts(live), "the alert fires")
    told = " ".join(live.changed("models").split())
    assert WHY in told
    assert "condition missing_inputs: handovers of load" in told


def test_it_goes_on_by_itself_and_learns_later_what_it_skipped(live: OperatedRun) -> None:
    until(
        lambda: worked(live) and all(x.held is None for x in model(live).lineages),
        "it is let go",
    )
    until(lambda: settled(live), "all is learned or skipped")
    assert skipped(live) >= 24
    told = live.changed("models", "resume", "late", "--learn-skipped")
    names = [line.split()[0] for line in told.splitlines() if "learns what was skipped" in line]
    (name,) = [name for name in names if name.startswith(LEARNER)]
    worked(live)
    until(
        lambda: (
            set(names) <= set(live.learned())
            and all(live.learned()[one] == live.labelled for one in names)
        ),
        "they have learned all that was ever delivered",
    )
    requests = live.status().requests
    assert (requests.failed, requests.answered > 0) == (0, True)
    live.stop()
    found, expected = kept_by(live, name), learned_of_all(live)
    assert found.keys() == expected.keys()
    assert {key: found[key] for key in found} == expected


def kept_by(run: OperatedRun, name: str) -> Mapping[str, bytes]:
    """What a trainer saved last of its learner."""
    url = str(run.folder / "checkpoints")
    log = open_log(str(run.folder / "log"))
    identity = log.bounds(run.app.examples_log_of(run.app.models[0])).identity
    log.close()
    loaded = Checkpoints(url, f"train:late.{name}:0", identity).load()
    assert loaded is not None
    state = loaded[2][-1] if loaded[2] else loaded[1]
    under = "learner."
    return {k.removeprefix(under): a.tobytes() for k, a in state.items() if k.startswith(under)}


def learned_of_all(run: OperatedRun) -> Mapping[str, bytes]:
    """The slow and obvious way: the examples log from its start, by one whom nothing holds."""
    late = replace(run.app.models[0], missing_inputs="go_on")
    spec = next(spec for spec in late.learners if spec.name == LEARNER)
    learner = spec.make(late.vectors_of(spec))
    task = TrainTask(plans.train_plan(late, spec), learner, lambda *_: None, 0)
    log = open_log(str(run.folder / "log"))
    for offset, block in blocks_of(log, run.app.examples_log_of(late)):
        task.apply(batch_of([blocks.encode(block)], [offset], [0]))
    log.close()
    return {key: array.tobytes() for key, array in learner.checkpoint().items()}
