"""What does the join cost for 20 predictions and 20 labels, where fixed costs rule?

Ours decodes both blocks, joins, and encodes the examples. Beside it stands a plain loop over the
same blocks with a dictionary, which encodes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from freshet.roles import plans
from freshet.schemas.models.layout import Layout
from freshet.schemas.text.columns import Texts
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.schemas.wire.outcomes import prediction_rows
from freshet.streams.join.task import JoinTask
from freshet.streams.log.contract import Batch
from tests.bench import inputs
from tests.bench.harness import Row, in_turns, microseconds

ROWS, STEPS, BEHIND = 20, 300, 10
STEP_MS = 60_000


def predictions(step: int) -> bytes:
    """A block as the scorer logs it."""
    model = inputs.app().models[0]
    layout = Layout.of(model.vectors)
    fixed = np.zeros(ROWS, layout.dtype)
    fixed["numbers"] = np.random.default_rng(step).normal(size=fixed["numbers"].shape)
    fixed["asked_at"], fixed["p"] = step * STEP_MS, 0.2
    texts = {
        "id": Texts.of([f"flight:{step}:{i}" for i in range(ROWS)]),
        "categories": Texts.of(["UA|EWR|ORD|N12345"] * ROWS),
        "lineage": Texts.of(["hashed_logistic-01234567"] * ROWS),
    }
    versions = pa.array([bytes(16)] * ROWS, pa.binary(16))
    fixed["sequence"] = np.arange(step * ROWS, (step + 1) * ROWS)
    rows = prediction_rows(layout, fixed, texts, versions)
    return blocks.encode(Block(blocks.PREDICTIONS, "scorer:bench", 0, rows))


def labels(step: int) -> bytes:
    """A block as intake routes it, with its tick: outcomes of the predictions `BEHIND` steps
    ago."""
    rows = pa.RecordBatch.from_pydict(
        {
            "id": pa.array([f"flight:{step - BEHIND}:{i}" for i in range(ROWS)]),
            "t": pa.array(np.full(ROWS, step * STEP_MS)),
            "label": pa.array(np.arange(ROWS) % 4 == 0).cast(pa.float64()),
            "_offset": pa.array(np.arange(step * ROWS, (step + 1) * ROWS)),
            "_index": pa.array(np.zeros(ROWS, np.int32)),
        }
    )
    return blocks.encode(Block(blocks.LABELS, "arrivals", 0, rows, step * STEP_MS))


def steps() -> Iterator[Batch]:
    for step in range(STEPS):
        pair = ((predictions(step), step * STEP_MS), (labels(step), step * STEP_MS))
        yield inputs.batch("outcomes", pair, 2 * step)


def run() -> list[Row]:
    app = inputs.app()
    plan, batches = plans.join_plan(app, app.models[0]), list(steps())

    def ours() -> int:
        task = JoinTask(plan, 0)
        for batch in batches:
            task.apply(batch)
        labelled: int = task.facts()["labelled"]
        return labelled

    def plain() -> int:
        waiting: dict[str, bytes] = {}
        examples: list[tuple[bytes, float]] = []
        for batch in batches:
            for i in range(len(batch)):
                block = blocks.decode(batch.value(i))
                assert block.rows is not None
                for row in block.rows.to_pylist():
                    if block.kind == blocks.PREDICTIONS:
                        waiting[row["id"]] = row["fixed"]
                    elif (vector := waiting.pop(row["id"], None)) is not None:
                        examples.append((vector, row["label"]))
        return len(examples)

    assert ours() == plain() == ROWS * (STEPS - BEHIND)
    taken = in_turns(ours, plain, rounds=3)
    return [microseconds("join_step", STEPS, taken, "a dictionary doing less", rows=2 * ROWS)]
