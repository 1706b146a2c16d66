"""Compile every kernel once, so that the first run does not wait for it: `python -m freshet.warm`.

numba compiles a kernel for each kind of arguments (dtype, layout, whether an array may be written)
and keeps the result beside the source until that changes. So kernels are not called by hand here: a
day of flights goes through the whole of the demo, in this process, which stops once on the way and
resumes from its checkpoints.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from freshet.app import App, load
from freshet.datafiles.csv_blocks import warm as warm_csv
from freshet.demo.flights import APP
from freshet.demo.flights.schedule import Schedule, Step
from freshet.features.partition.warm import warm as warm_rows
from freshet.features.reading.value_columns import warm as warm_columns
from freshet.features.stores.memory_store import MemoryStore
from freshet.learners.catalog import LEARNERS, learner_spec, predictor
from freshet.learners.contract import Export, LearnerSpec, tasks_of
from freshet.learners.snapshots.golden import golden_vectors
from freshet.runs import logs
from freshet.schemas.durations import HOUR_MS
from freshet.schemas.events.decode import warm as warm_decoding
from freshet.schemas.models.tasks import Classes, Regression, Task
from freshet.schemas.models.vectors import Examples, VectorSchema
from freshet.testing import LocalRun

EVERY = "3h"
# The demo's model is binary; these are the other tasks.
OTHER_TASKS = (Classes(["one", "other", "third"]), Regression())


def main() -> None:
    """Compile, or find compiled, everything that a run of the demo calls."""
    started = time.monotonic()
    warm_decoding()
    warm_rows()
    warm_columns()
    warm_csv()
    warm_learners()
    app = load(APP)
    store = MemoryStore()
    drain_ms = max(model.label.topic.freshness.ms("label_wait") for model in app.models) + HOUR_MS
    # Until the last label has come or expired: late ones have kernels of their own.
    steps = list(Schedule(days=1, step_ms=HOUR_MS, drain_ms=drain_ms))
    with tempfile.TemporaryDirectory(prefix="freshet-warm-") as folder:
        logs.configure("warm", Path(folder) / "logs")
        for part in (steps[:18], steps[18:]):
            run(app, Path(folder), store, part)
    print(f"freshet: kernels are compiled ({time.monotonic() - started:.0f} s)")


def warm_learners() -> None:
    """What learners of classes and of numbers call, in the trainer and in the scorer."""
    for name in LEARNERS:
        try:
            spec: LearnerSpec = learner_spec(name)()
            for task in OTHER_TASKS:
                if task.kind in tasks_of(spec):
                    learn_and_answer(spec, task)
        except ImportError:
            # Of an extra that is not installed: nothing of it will be called.
            continue


def learn_and_answer(spec: LearnerSpec, task: Task) -> None:
    """One step, and an answer of what is exported then."""
    schema = VectorSchema(("word",), ("number",), task=task)
    vectors = golden_vectors(schema)
    learner = spec.make(schema)
    learner.predict(vectors)
    labels = np.arange(len(vectors), dtype=np.float32) % 3
    learner.learn(Examples(vectors, labels))
    export = learner.export()
    arrays = {name: array.copy() for name, array in export.arrays.items()}
    for array in arrays.values():
        # As those of a snapshot, for which kernels are compiled once more.
        array.setflags(write=False)
    predictor(Export(export.kind, export.meta, arrays), schema).predict(vectors)


def run(app: App, folder: Path, store: MemoryStore, steps: Iterable[Step]) -> None:
    """A part of the day, from where the folder's checkpoints end."""
    with LocalRun(app, folder, store, EVERY) as local:
        for step in steps:
            local.step(
                step.start_ms,
                step.end_ms,
                step.queries,
                step.events,
            )


if __name__ == "__main__":
    main()
