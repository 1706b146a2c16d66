"""What does a question cost in the scorer, from its body to its answer's, but for reading the store?

The flights model reads eight views. CPU of the thread that answers, and of the whole process (which
packs predictions for the log), in µs a row, for questions of 1, 16 and 256 rows. Rows come from a
dictionary. Beside it stands what a question needs at least: JSON, keys, the same kernels and the
same predictor, without checks, ids, ages or a log.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features.rows.finish import finish
from freshet.features.stores.contract import RowKeys, Rows
from freshet.features.stores.memory_store import MemoryStore
from freshet.schemas.models.vectors import Vectors
from freshet.schemas.text.columns import Texts
from freshet.serving.oip import messages as oip
from freshet.serving.oip.tensors import read_question
from freshet.serving.scoring.scorer import Scorer
from tests.bench.harness import Row, microseconds

SIZES = (1, 16, 256)
BODIES, ROUNDS, ROWS_A_ROUND = 16, 5, 2_000


class Remembering(MemoryStore):
    """A store that answers what it was asked before without reading: nothing is written to it any
    more."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[tuple[tuple[bytes, ...], ...], list[Rows]] = {}

    def read_at_once(self, wanted: Sequence[RowKeys], within_seconds: float) -> list[Rows]:
        named = tuple(tuple(one.keys) for one in wanted)
        found = self._found.get(named)
        if found is None:
            found = self.read(wanted)
            self._found[named] = found
        return found


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU for a round of questions: of the thread that answers, and of the process."""

    thread: float
    process: float


def bodies(app: Any, queries: Sequence[dict[str, Any]], rows: int) -> list[bytes]:
    """Requests of some rows each, as JSON."""
    from freshet.replay.client import TYPES

    types = {field.name: TYPES.get(field.type, "FP64") for field in app.models[0].on.events.fields}
    made = []
    for i in range(BODIES):
        chosen = [queries[(i * rows + k) % len(queries)] for k in range(rows)]
        inputs = [
            {
                "name": name,
                "shape": [rows],
                "datatype": types[name],
                "data": [query[name] for query in chosen],
            }
            for name in chosen[0]
            if name in types
        ]
        made.append(json.dumps({"inputs": inputs}).encode())
    return made


def answerer(scorer: Scorer, model: str) -> Callable[[bytes], bytes]:
    """Ours, as the HTTP side calls it."""

    def answer(body: bytes) -> bytes:
        card = scorer.card(model)
        request = oip.read_request(body)
        oip.check_outputs(request)
        question = read_question(request, memoryview(b""), card, None, max(SIZES))
        return oip.write_answer(request, model, scorer.at_once(question))[0]

    return answer


def bare(scorer: Scorer, model: str, now_ms: int) -> Callable[[bytes], bytes]:
    """The least that answers the same."""
    served = scorer.served[model]
    plan = served.plan
    schema = plan.schema
    live = served.slot.current()
    assert live is not None
    predictor = live.predictor
    store: Any = scorer.reach.store
    places: list[tuple[list[int], list[int]]] = []
    for view in plan.views:
        names = [f"{view.name}.{feature}" for feature in view.plan.names]
        read = [i for i, name in enumerate(names) if name in schema.numbers]
        places.append(([schema.numbers.index(names[i]) for i in read], read))

    def answer(body: bytes) -> bytes:
        columns = {one["name"]: one["data"] for one in json.loads(body)["inputs"]}
        n = len(columns["flight_id"])
        tails = ["unknown" if tail is None else tail for tail in columns["tailnum"]]
        columns["tailnum"] = tails
        wanted = []
        for view, stored_as in zip(plan.views, plan.stored_as):
            values = zip(*(columns[name] for name in view.keys))
            keys = ["|".join(row).encode() for row in values]
            wanted.append(RowKeys(stored_as, keys))
        numbers = np.full((n, len(schema.numbers)), np.nan, np.float32)
        as_of = np.full(n, now_ms)
        for view, rows, (to, read) in zip(plan.views, store.read_at_once(wanted, 0.0), places):
            done = finish(view.plan, rows.packed, as_of, view.max_age_ms)
            numbers[:, to] = done.values[:, read]
        categories = np.empty((n, len(schema.categories)), np.uint64)
        for i, name in enumerate(schema.categories):
            categories[:, i] = Texts.of(list(map(str, columns[name]))).hashes()
        p: npt.NDArray[np.float64] = predictor.predict(Vectors(categories, numbers))
        return json.dumps({"p": p.tolist()}).encode()

    return answer


def cost(answer: Callable[[bytes], bytes], asked: Sequence[bytes], times: int) -> Cost:
    thread = time.thread_time()
    process = time.process_time()
    for i in range(times):
        answer(asked[i % len(asked)])
    return Cost(time.thread_time() - thread, time.process_time() - process)


def run() -> list[Row]:
    from freshet.demo.flights.schedule import Schedule
    from freshet.testing import LocalRun
    from tests.bench.serving import _model

    app = _model()
    model = app.models[0].name
    queries: list[dict[str, Any]] = []
    store = Remembering()
    found = []
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalRun(app, Path(folder), store, snapshot_every="3h") as local,
    ):
        for step in Schedule(1):
            local.step(step.start_ms, step.end_ms, step.queries, step.events)
            names = list(step.queries)
            queries += [dict(zip(names, row)) for row in zip(*step.queries.values())]
        sides = answerer(local.scorer, model), bare(local.scorer, model, step.start_ms)
        for rows in SIZES:
            found.append(_measured(app, queries, rows, sides))
    return found


def _measured(
    app: Any, queries: list[dict[str, Any]], rows: int, sides: Sequence[Callable[[bytes], bytes]]
) -> Row:
    """Both sides in turns; of each the round that the machine disturbed least."""
    asked = bodies(app, queries, rows)
    answers = [json.loads(side(body)) for body in asked for side in sides]
    for ours, theirs in zip(answers[::2], answers[1::2]):
        assert ours["outputs"][0]["data"] == theirs["p"], "the two sides answer differently"
    times = max(BODIES, ROWS_A_ROUND // rows)
    rounds = [[cost(side, asked, times) for side in sides] for _ in range(ROUNDS)]
    ours, theirs = (min(one.thread for one in side) for side in zip(*rounds))
    process = min(side[0].process for side in rounds) / times / rows
    return microseconds(
        f"question of {rows}",
        times * rows,
        (ours, theirs),
        "JSON, the same kernels, and no more",
        process_us_a_row=round(1e6 * process, 1),
    )
