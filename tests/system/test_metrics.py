"""What operators watch a run by: the metrics of every process of a real run, and the dashboard and
alerts that ask for them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families as parsed

from freshet.app import App, load
from freshet.demo.flights.schedule import Schedule
from freshet.processes.runtime import Runtime
from freshet.replay.client import ScoringClient
from freshet.replay.replayer import Published, Replayer, published
from freshet.roles import plans
from freshet.roles.names import role_names
from freshet.schemas.durations import milliseconds
from freshet.schemas.topics.settings import KEYS
from freshet.schemas.wire.messages import Tick
from freshet.schemas.wire.outcomes import RUNGS
from freshet.servers.redis_server import RedisServer
from freshet.serving.status import status as s
from freshet.settings import settings
from freshet.streams.archive.layout import task_of
from freshet.streams.control.channels import send
from freshet.streams.control.switches import NAMES
from freshet.streams.intake.fates import fates
from freshet.streams.labels.counts import FATES as LABEL_FATES
from freshet.streams.log.contract import Log
from freshet.streams.vitals.metrics import CONTENT_TYPE
from tests.system.promql import asked, matched

APP_FILE = Path(__file__).parent.parent / "faults" / "light_flights.py"
COMPOSE = Path(__file__).parent.parent.parent / "compose"
pytestmark = pytest.mark.timeout(600)
DAYS, EVERY, SECONDS = 1, "3h", 60.0
SWAPS = 2  # until then slices have examples, and requests came near a swap
CONSTANT = {"app", "role", "instance"}
# What a scrape says of itself, with what the targets at the status page bring along.
SCRAPED = {"up": CONSTANT | {"job"}}
Exported = dict[str, list[Metric]]


@dataclass(frozen=True)
class Watched:
    """What each process exported, by its name, while the app ran and while its store was away; and
    the targets."""

    app: App
    running: Exported
    away: Exported
    targets: list[dict[str, Any]]

    def everything(self) -> Iterator[tuple[str, Metric]]:
        for exported in (self.running, self.away):
            for name, metrics in exported.items():
                yield from ((name, m) for m in metrics)

    def labels(self) -> dict[str, set[str]]:
        """The labels of each sample's name."""
        found: dict[str, set[str]] = {}
        for _, m in self.everything():
            for x in m.samples:
                found.setdefault(x.name, set()).update(x.labels)
        return found


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A day of flights until some snapshots were swapped in; then its Redis is killed."""
    app, folder = load(APP_FILE), tmp_path_factory.mktemp("metrics")
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder / "redis"))
        given = settings(
            run_dir=folder,
            store=redis.url,
            port=0,
            status_port=0,
            metrics_port=0,
            replay=True,
            snapshot_every=EVERY,
        )
        run = stack.enter_context(Runtime(app, str(APP_FILE), given))
        replayer = Replayer(app, run.log, milliseconds(EVERY))
        stack.callback(replayer.close)
        client = ScoringClient([run.address("serve")], app.models[0].name, app.models[0].on.events)
        stack.callback(client.close)
        steps = iter(Schedule(DAYS, drain_ms=milliseconds("12h")))
        for step in steps:
            ask = (
                partial(client.ask, step.queries, step.start_ms)
                if any(step.queries.values())
                else dict[str, int]
            )
            replayer.step(step.start_ms, step.end_ms, ask, published(app, step.events))
            if replayer.facts.counts.get("Swapped", 0) >= SWAPS and any(step.queries.values()):
                break
        page = run.address("status")
        addresses = until(
            lambda: places(page, role_names(app)), "each process says where its metrics are"
        )
        since = time.time()
        running = until(lambda: complete(addresses, since), "all tell of everything that was done")
        targets = httpx.get(f"{page}/metrics/targets", timeout=SECONDS, verify=False).json()
        redis.kill()
        step = next(steps)
        publish(app, run.log, published(app, step.events), step.end_ms)
        away = until(
            lambda: without_store(addresses),
            "the view tells of the outage, and the app of an alert",
        )
    return Watched(app, running, away, targets)


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {SECONDS:.0f} s: {what}"
        time.sleep(0.2)
    return found


def places(page: str, names: list[str]) -> dict[str, str] | None:
    """Where each process serves its metrics, once all have said so."""
    told = s.decode(httpx.get(f"{page}/status.json", timeout=SECONDS, verify=False).content)
    found = {r.instance: r.metrics for r in told.roles if r.metrics}
    return found if set(names) <= found.keys() else None


def complete(addresses: Mapping[str, str], since: float) -> Exported | None:
    """Once the loops of all processes have told their figures anew, and those of requests near a
    swap, of skew and of the archive's first file are among them."""
    found = {name: metrics_of(address) for name, address in addresses.items()}
    told = samples(found, "freshet_process_told_timestamp_seconds")
    near = samples(found, "freshet_scorer_request_duration_near_swaps_seconds_count")
    # Beside what processes say of themselves, what `control` finds out of the examples log: each as
    # soon as enough of it has been read.
    late = (
        "freshet_model_auc",
        "freshet_model_skew",
        "freshet_archive_newest_append_timestamp_seconds",
    )
    new = len(told) == len(addresses) and min(told) > since
    all_told = all(samples(found, name) for name in late)
    return found if new and all_told and sum(near) > 0 else None


def without_store(addresses: Mapping[str, str]) -> Exported | None:
    found = {name: metrics_of(address) for name, address in addresses.items()}
    policies = {x.labels.get("policy") for m in found["control"] for x in m.samples}
    return (
        found
        if samples(found, "freshet_outage_since_timestamp_seconds") and "outage" in policies
        else None
    )


def samples(exported: Exported, name: str) -> list[float]:
    return [
        x.value
        for metrics in exported.values()
        for m in metrics
        for x in m.samples
        if x.name == name
    ]


def metrics_of(address: str) -> list[Metric]:
    answer = httpx.get(f"{address}/metrics", timeout=SECONDS, verify=False)
    assert (answer.status_code, answer.headers["content-type"]) == (200, CONTENT_TYPE)
    return list(parsed(answer.text))


def publish(app: App, log: Log, events: list[Published], tick: int) -> None:
    """What a replayer publishes, without waiting for anybody."""
    writer = log.writer()
    for p in events:
        for time_ms, values in p.runs:
            writer.append(p.topic, p.partition, values, time_ms)
    writer.flush()
    send(writer, app.channels, [Tick(tick)], tick)
    writer.close()


def test_prometheus_finds_every_process_at_the_status_page(watched: Watched) -> None:
    found = {t["labels"]["instance"]: t for t in watched.targets}
    assert found.keys() == set(role_names(watched.app))
    for name, target in found.items():
        assert target["labels"] == {"app": "flights", "role": name.split(".")[0], "instance": name}
        assert re.fullmatch(r"127\.0\.0\.1:\d+", target["targets"][0])
    assert len({t["targets"][0] for t in watched.targets}) == len(found)


def test_a_name_means_one_thing_in_all_processes(watched: Watched) -> None:
    for exported in (watched.running, watched.away):
        for name, metrics in exported.items():
            names = [m.name for m in metrics]
            assert len(set(names)) == len(names), name
    kinds: dict[str, set[tuple[str, str]]] = {}
    for _, m in watched.everything():
        kinds.setdefault(m.name, set()).add((m.type, m.documentation))
    for name, found in kinds.items():
        assert len(found) == 1, name
        (kind, text) = next(iter(found))
        assert kind in ("counter", "gauge", "histogram"), name
        assert name.startswith("freshet_")
        assert text.endswith("."), name


def test_each_series_is_told_once_and_all_of_a_name_have_the_same_labels(watched: Watched) -> None:
    shapes: dict[str, set[frozenset[str]]] = {}
    for exported in (watched.running, watched.away):
        seen = set()
        for x in (x for metrics in exported.values() for m in metrics for x in m.samples):
            key = (x.name, frozenset(x.labels.items()))
            assert key not in seen, key
            seen.add(key)
            shapes.setdefault(x.name, set()).add(frozenset(x.labels))
    assert all(len(found) == 1 for found in shapes.values()), shapes


def test_every_process_tells_of_itself(watched: Watched) -> None:
    for name in role_names(watched.app):
        told = {x.name: x for m in watched.running[name] for x in m.samples}
        assert told["freshet_process_resident_memory_bytes"].value > 1e6
        assert told["freshet_process_cpu_seconds_total"].value > 0
        assert abs(time.time() - told["freshet_process_start_timestamp_seconds"].value) < 3_600
        assert told["freshet_outages_total"].value == 0, name
        assert told["freshet_outages_total"].labels == {
            "app": "flights",
            "role": name.split(".")[0],
            "instance": name,
        }


def test_what_labels_say_is_declared_by_the_app(watched: Watched) -> None:
    """So the number of series has a bound that does not depend on the data; ids and keys are no
    labels."""
    app = watched.app
    lineages = {m.lineage(x) for m in app.models for x in m.learners}
    intakes = [plans.intake_plan(app, topic) for topic in app.topics]
    archived = plans.archive_plans(app, intakes, True).values()
    declared = {
        "app": {app.name},
        "role": {n.split(".")[0] for n in role_names(app)},
        "instance": set(role_names(app)),
        "process": set(role_names(app)),
        "topic": {t.name for t in app.topics},
        "partition": {"0"},
        "fate": {f for t in app.topics for f in fates(t)},
        "field": {f.name for t in app.topics for f in t.events.fields},
        "source": {"EWR", "JFK", "LGA"},
        "view": {v.name for v in app.views},
        "model": {m.name for m in app.models},
        "lineage": lineages,
        "slice": {x for m in app.models for x in m.slices},
        "task": {*plans.task_inputs(app), *(task_of(a.kind, a.log, 0) for a in archived)},
        "rung": set(RUNGS),
        "switch": set(NAMES),
        "setting": set(KEYS),
        "window": {"all", "rolling"},
        "component": {"store"},
        "light": {"green", "amber", "red"},
        "outcome": {"answered", "failed", "refused", "in_error"}
        | {"labelled", "expired", "corrected", "conflicted", "settled_conflicts"}
        | {"repeated_questions", "conflicting_questions", "unreadable_questions"}
        | {"repeated_labels", "conflicting_labels", "late_labels", "unmatched_labels"},
        "verdict": {"approved", "refused"},
        "label_fate": set(LABEL_FATES),
        "of_role": {n.split(".")[0] for n in role_names(app)},
        "answered_by": {"served", "baseline", "prior", "no_change"},
        "reference": {"prior", "no_change"},
        "state": {"learning", "watched"},
        "feature": {
            name for m in app.models for name in (*m.vectors.numbers, *m.vectors.categories)
        },
    }
    found: dict[str, set[str]] = {}
    for _, m in watched.everything():
        for x in m.samples:
            for label, value in x.labels.items():
                found.setdefault(label, set()).add(value)
    for label, names in declared.items():
        assert found.get(label, set()) <= names, label
    rest = found.keys() - declared.keys()
    assert rest <= {"le", "value", "promise", "policy", "subject", "resource"}
    assert all(len(found[label]) <= 50 for label in rest), rest


def test_a_role_whose_loop_waits_for_the_store_says_so(watched: Watched) -> None:
    outage = [
        x
        for m in watched.away["view"]
        for x in m.samples
        if x.name == "freshet_outage_since_timestamp_seconds"
    ]
    assert [x.labels["component"] for x in outage] == ["store"]
    assert "redis.sock" in outage[0].labels["resource"]
    assert abs(time.time() - outage[0].value) < 3_600
    assert not samples(watched.running, "freshet_outage_since_timestamp_seconds")
    alerts = [
        x.labels
        for m in watched.away["control"]
        for x in m.samples
        if x.name.startswith("freshet_alert_")
    ]
    assert "outage" in {x["policy"] for x in alerts}


def test_counts_are_those_of_the_run(watched: Watched) -> None:
    def total(name: str, **labels: str) -> float:
        found = (
            x
            for metrics in watched.running.values()
            for m in metrics
            for x in m.samples
            if x.name == name
        )
        return sum(x.value for x in found if labels.items() <= x.labels.items())

    asked_rows = total("freshet_scorer_rows_total")
    assert asked_rows > 100
    assert total("freshet_scorer_predictions_total") == asked_rows
    assert total("freshet_scorer_requests_total", outcome="failed") == 0
    assert total("freshet_scorer_requests_total", outcome="refused") == 0
    assert total("freshet_scorer_requests_total", outcome="in_error") == 0, "as those are not timed"
    requests = total("freshet_scorer_requests_total")
    assert total("freshet_scorer_request_duration_seconds_count") == requests
    assert 0 < total("freshet_scorer_request_duration_near_swaps_seconds_count") <= requests
    applied = total("freshet_intake_records_total", topic="arrivals", fate="applied")
    assert total("freshet_view_events_total", view="arrivals_by_carrier") == applied > 0
    assert total("freshet_scorer_swaps_total") >= SWAPS
    labelled = total("freshet_join_outcomes_total", outcome="labelled")
    assert total("freshet_trainer_examples_total") == 2 * labelled  # two lineages


def queries() -> Iterator[tuple[str, str, str]]:
    """Every query with its place, and the texts that name labels of its result."""
    board = json.loads((COMPOSE / "grafana" / "freshet.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            legend = " ".join(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            yield f"panel {panel['title']!r} {target['refId']}", target["expr"], legend
    for note in board["annotations"]["list"]:
        yield (
            f"annotation {note['name']!r}",
            note["expr"],
            " ".join(re.findall(r"\{\{(\w+)\}\}", note["textFormat"])),
        )
    for variable in board["templating"]["list"]:
        name, label = re.fullmatch(
            r"label_values\((\w+), (\w+)\)", variable["query"]["query"]
        ).groups()  # type: ignore[union-attr]
        yield f"variable {variable['name']!r}", name, label
    for rule in re.split(r"^ +- alert: ", (COMPOSE / "alerts.yml").read_text(), flags=re.MULTILINE)[
        1:
    ]:
        expr = re.search(r"^ +expr: (.+)$", rule, re.MULTILINE)
        assert expr is not None, rule
        yield f"alert {rule.split()[0]}", expr[1], " ".join(re.findall(r"\$labels\.(\w+)", rule))


QUERIES = list(queries())
# What classes and numbers have, and flights that are late or not have not.
LIKE = {
    "freshet_model_macro_f1": "freshet_model_accuracy",
    "freshet_model_mean_absolute_error": "freshet_model_accuracy",
    "freshet_model_root_mean_squared_error": "freshet_model_accuracy",
    "freshet_model_bias": "freshet_model_calibration",
    "freshet_trainer_macro_f1": "freshet_trainer_accuracy",
    "freshet_trainer_mean_absolute_error": "freshet_trainer_accuracy",
    "freshet_trainer_root_mean_squared_error": "freshet_trainer_accuracy",
    "freshet_trainer_bias": "freshet_trainer_calibration",
    "freshet_trainer_reference_mean_absolute_error": "freshet_trainer_reference_accuracy",
    "freshet_trainer_reference_root_mean_squared_error": "freshet_trainer_reference_accuracy",
    "freshet_trainer_slice_mean_absolute_error": "freshet_trainer_slice_log_loss",
}


@pytest.mark.parametrize(
    ("place", "query", "named"), QUERIES, ids=[place for place, _, _ in QUERIES]
)
def test_the_dashboard_and_alerts_ask_for_what_the_run_exports(
    watched: Watched, place: str, query: str, named: str
) -> None:
    exported = watched.labels() | SCRAPED
    exported |= {name: exported[other] for name, other in LIKE.items()}
    found = asked(query)
    assert found, f"{place}: no metric in {query}"
    for x in found:
        assert x.metric in exported, f"{place}: nobody exports {x.metric}"
        unknown = x.labels - exported[x.metric]
        assert not unknown, f"{place}: {x.metric} has no label {unknown}"
    labels = set().union(*(exported[x.metric] for x in found))
    assert matched(query) | set(named.split()) <= labels, place


def test_everything_exported_is_on_the_dashboard_or_in_an_alert(watched: Watched) -> None:
    asked_for = {re.sub(r"_bucket$", "", x.metric) for _, query, _ in QUERIES for x in asked(query)}
    exported = {m.name + ("_total" if m.type == "counter" else "") for _, m in watched.everything()}
    assert exported <= asked_for
    assert LIKE.keys() <= asked_for
    assert LIKE.keys().isdisjoint(exported), "a binary model has none of them"
