"""Compile every kernel once, so that the first run does not wait for it: `python -m freshet.warm`.

numba compiles a kernel for each kind of arguments (dtype, layout, whether an array may be written) and keeps the result
beside the source until that changes. So kernels are not called by hand here: a day of flights goes through the operators,
the scorer, every learner and its snapshots, in this process, as the roles would do it.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from features import rows as feature_rows
from features.testing import MemoryStore
from features.view_task import ViewTask
from freshet import plans
from freshet.app import App, load
from freshet.flights import APP
from freshet.flights.schedule import Schedule
from learners import snapshots
from learners.catalog import LEARNERS, learner_spec
from learners.learner import LearnerSpec
from learners.model import Model
from learners.signing import Signer, Verifier, create_key
from learners.train_task import TrainTask
from schemas import decode
from schemas.blocks import tick_record
from schemas.errors import SnapshotError
from schemas.messages import Logged
from serving.answering import Question
from serving.live_model import LiveModel
from serving.loader import make_live
from serving.scorer import Scorer
from serving.sidecar_client import Refused, Verified
from streams.catalog import open_log
from streams.clock import ManualClock
from streams.intake import IntakeTask
from streams.join import JoinTask
from streams.log import Log
from streams.task import Task

HOUR_MS = 3_600_000
LOGGED_SECONDS = 300.0  # the first prediction of all may wait for a compilation


def main() -> None:
    """Compile, or find compiled, everything that a run of the demo calls."""
    started = time.monotonic()
    decode.warm()
    feature_rows.warm()
    with tempfile.TemporaryDirectory(prefix="freshet-warm-") as folder:
        app, log = load(APP), open_log(f"{folder}/log")
        plans.ensure_topics(app, log)
        run(app, log, app.models[0], Path(folder))
        log.close()
    print(f"freshet: kernels are compiled ({time.monotonic() - started:.0f} s)")


def run(app: App, log: Log, model: Model, folder: Path) -> None:
    """The way of the data, one operator after the other; then once more from the scorer on, which now has a model."""
    store = MemoryStore()
    ask(app, log, store, model, None)
    intakes = {app.log_of(t.name): plans.intake_plan(app, t) for t in app.topics}
    feed(log, intakes, lambda topic: IntakeTask(intakes[topic], 0))
    views = plans.views_by_log(app)
    feed(log, views, lambda topic: ViewTask(views[topic], app.stored_as(views[topic]), 0, store))
    outcomes = [app.outcomes_log_of(model)]
    feed(log, outcomes, lambda _: JoinTask(plans.join_plan(app, model), 0))
    for name in LEARNERS:
        for spec in specs(model, name):
            live = learn(app, log, model, spec, folder)
            ask(app, log, store, model, live)
    feed(log, outcomes, lambda _: JoinTask(plans.join_plan(app, model), 0))


def ask(app: App, log: Log, store: MemoryStore, model: Model, live: LiveModel | None) -> None:
    """Ask for a day's flights by steps as the demo does, and, before there is a model, publish its events."""
    logged = threading.Event()
    asked = [(model, plans.vector_plan(app, model), app.outcomes_log_of(model))]
    scorer = Scorer("warm", asked, store, ManualClock(), log.writer, lambda m: note(m, scorer, logged))
    if live is not None:
        scorer.served[model.name].slot.swap(live)
    drain = model.label.topic.freshness.ms("label_wait") + HOUR_MS
    schedule, writer = Schedule(days=1, drain_ms=drain), log.writer()
    for step in schedule:
        if n := len(step.queries[model.id]):
            scorer.infer(Question(model.name, step.queries, n, step.start_ms))
        if live is None:
            for topic, records in step.events.items():
                for at, values in records.runs():
                    writer.append(app.log_of(topic), 0, values, at)
                writer.append(app.log_of(topic), 0, [tick_record(step.end_ms)], step.end_ms)
    writer.flush()
    writer.close()
    logged.wait(LOGGED_SECONDS)
    scorer.close()


def note(told: Logged, scorer: Scorer, done: threading.Event) -> None:
    """Set `done` at the last of a day's answers."""
    if told.sequence + 1 >= scorer.answered:
        done.set()


def feed(log: Log, topics: Iterable[str], make: Callable[[str], Task]) -> None:
    """Let a task take each topic to its end and append what it says; then dump it and load it once."""
    tasks = {topic: make(topic) for topic in topics}
    reader, writer = log.reader(list(tasks), None), log.writer()
    while batches := reader.poll(2_000, 0.0):
        for batch in batches:
            task = tasks[batch.topic]
            for a in task.apply(batch).appends:
                writer.append(a.topic, a.partition, a.values, a.time_ms)
            task.write()
        writer.flush()
    for topic, task in tasks.items():
        make(topic).load(task.dump(True), [task.dump(False)])
    reader.close()
    writer.close()


def specs(model: Model, name: str) -> list[LearnerSpec]:
    """The model's learners of a kind, or one as it comes; none where its library is not installed."""
    try:
        kind = learner_spec(name)
    except ImportError as error:
        print(f"freshet: {name} is left out ({error})")
        return []
    return [x for x in model.learners if type(x) is kind] or [kind()]


def learn(app: App, log: Log, model: Model, spec: LearnerSpec, folder: Path) -> LiveModel:
    """Train on the day, write a snapshot, and make what a scorer answers from of its bytes."""
    learner, plan, key = spec.make(model.vectors), plans.train_plan(model, spec), folder / "key"
    feed(log, [app.examples_log_of(model)], lambda _: TrainTask(plan, learner, lambda *_: "", 0))
    create_key(key)
    facts = snapshots.Facts(app.name, model.name, plan.lineage, 1, model.vectors.digest, 0, 0, 0)
    path = snapshots.write(folder / plan.lineage, facts, learner.export(), Signer.load(key))
    found = snapshots.read_verified(path, Verifier.load(key))
    live = make_live(Verified(found.manifest, found.data), model.name, model.vectors)
    if isinstance(live, Refused):
        raise SnapshotError(f"of {spec.name}", live.reason, "Mend the learner: its snapshots could not be served.")
    return live


if __name__ == "__main__":
    main()
