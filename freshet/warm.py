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

from freshet.app import App, load
from freshet.datafiles.csv_blocks import warm as warm_csv
from freshet.demo.flights import APP
from freshet.demo.flights.schedule import Schedule, Step
from freshet.features.partition.warm import warm as warm_rows
from freshet.features.reading.value_columns import warm as warm_columns
from freshet.features.stores.memory_store import MemoryStore
from freshet.runs import logs
from freshet.schemas.durations import HOUR_MS
from freshet.schemas.events.decode import warm as warm_decoding
from freshet.testing import LocalRun

EVERY = "3h"


def main() -> None:
    """Compile, or find compiled, everything that a run of the demo calls."""
    started = time.monotonic()
    warm_decoding()
    warm_rows()
    warm_columns()
    warm_csv()
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


def run(app: App, folder: Path, store: MemoryStore, steps: Iterable[Step]) -> None:
    """A part of the day, from where the folder's checkpoints end."""
    with LocalRun(app, folder, store, EVERY) as local:
        for step in steps:
            local.step(step.start_ms, step.end_ms, step.queries, step.events)


if __name__ == "__main__":
    main()
