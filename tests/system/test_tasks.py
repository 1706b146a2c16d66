"""What a label says to a model of each task is joined, learned, qualified, answered and written on
the wire, by the code that runs; only the trainer's loop is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

import freshet as fr
from freshet.features.stores.memory_store import MemoryStore
from freshet.learners.catalog import PREDICTORS
from freshet.learners.contract import Arrays, Export
from freshet.learners.snapshots.golden import attested
from freshet.past.examples import frame_of
from freshet.past.own_logs import Told
from freshet.roles import plans
from freshet.schemas.events.writer import EventWriter
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.manifest import Manifest
from freshet.schemas.models.vectors import F64, Examples, Vectors, VectorSchema
from freshet.schemas.wire import blocks
from freshet.schemas.wire.outcomes import LABELLED, ExampleRows, vectors_of
from freshet.serving.loading.live_model import LiveModel, Standing
from freshet.serving.oip import messages as oip
from freshet.serving.release.qualify import Candidate, Sound, qualify
from freshet.serving.scoring.contract import Answer, Question
from freshet.serving.scoring.scorer import Logging, Scorer
from freshet.streams.clock import ManualClock
from freshet.streams.intake.task import IntakeTask
from freshet.streams.join.task import JoinTask
from tests.streams.toy_events import batch_of

KIND = "toy_frequencies"
START = 3_600_000


@dataclass(frozen=True)
class Frequencies:
    """The share of each class so far, or the mean of the numbers."""

    name: str = "frequencies"
    tasks = ("classes", "regression")

    def make(self, schema: VectorSchema) -> FrequenciesLearner:
        return FrequenciesLearner(schema)


class FrequenciesLearner:
    def __init__(self, schema: VectorSchema) -> None:
        self._schema = schema
        self._labels = np.empty(0)

    def learn(self, examples: Examples) -> None:
        self._labels = np.concatenate([self._labels, examples.labels.astype(np.float64)])

    def predict(self, vectors: Vectors) -> F64:
        return predicted(self._answer(), len(vectors))

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        return {"labels": self._labels.copy()}

    def restore(self, state: Arrays) -> None:
        self._labels = state["labels"].copy()

    def export(self) -> Export:
        return Export(KIND, {}, {"answer": self._answer()})

    def _answer(self) -> F64:
        task = self._schema.task
        if isinstance(task, fr.Classes):
            counts = 1.0 + np.bincount(self._labels.astype(int), minlength=task.width)
            return np.asarray(counts / counts.sum(), np.float64)
        return np.array([self._labels.mean()])


def predicted(answer: F64, rows: int) -> F64:
    if len(answer) > 1:
        return np.tile(answer, (rows, 1))
    return np.full(rows, answer[0])


class FrequenciesPredictor:
    def __init__(self, export: Export, schema: VectorSchema) -> None:
        self._answer = export.arrays["answer"]

    def predict(self, vectors: Vectors) -> F64:
        return predicted(self._answer, len(vectors))


@pytest.fixture(autouse=True)
def known_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PREDICTORS, KIND, FrequenciesPredictor)


def app_of(value: pl.Expr, task: Any, fallback: Any) -> fr.App:
    fields = [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "long"},
        {"name": "colour", "type": ["null", "string"], "default": None},
        {"name": "price", "type": ["null", "double"], "default": None},
        {"name": "size", "type": ["null", "double"], "default": None},
    ]
    record = {"type": "record", "name": "thing", "fields": fields}
    things = fr.Topic("things", record, event_id="id", event_time="at")
    model = fr.Model(
        "guess",
        on=things,
        id="id",
        label=fr.Label(things, id="id", value=value),
        features=[things["size"]],
        learners=[Frequencies()],
        task=task,
        fallback=[fallback],
    )
    return fr.App("guesses", topics=[things], models=[model])


class Way:
    """Of an app of one model, from question and event to example and answer."""

    def __init__(self, app: fr.App) -> None:
        self.model = app.models[0]
        self.clock = ManualClock(START)
        self.logged: list[bytes] = []
        self.join = JoinTask(plans.join_plan(app, self.model), 0)
        self.plan = plans.intake_plan(app, app.topics[0])
        self.intake = IntakeTask(self.plan, 0)
        log = app.outcomes_log_of(self.model)
        models = [(self.model, plans.vector_plan(app, self.model), log)]
        self.scorer = Scorer("s", models, MemoryStore(), self.clock, Logging(lambda: self))
        self.log = log
        self.examples: list[bytes] = []
        self.appended = 0

    # A writer of the log, for the scorer.
    def append(self, topic: str, partition: int, values: Sequence[bytes], time_ms: int) -> None:
        self.logged += values

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def ask(self, *ids: str) -> Answer:
        columns = {"id": list(ids), "size": [1.0] * len(ids)}
        return self.scorer.infer(Question("guess", columns, len(ids)))

    def tell(self, events: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        """What intake makes of events, by log; the join has what was asked, and then the labels."""
        self.scorer.close()
        writer = EventWriter(self.plan.topic.events)
        given = [writer.encode({"at": START + 1, **event}) for event in events]
        out = self.intake.apply(batch_of(given, range(len(given)), [START + 1] * len(given)))
        labels = [v for append in out.appends if append.topic == self.log for v in append.values]
        values = [*self.logged, *labels]
        joined = self.join.apply(batch_of(values, range(len(values)), [START + 2] * len(values)))
        self.examples += [v for append in joined.appends for v in append.values]
        found: dict[str, list[dict[str, Any]]] = {}
        for append in out.appends:
            for value in append.values:
                rows = blocks.decode(value).rows
                assert rows is not None
                found.setdefault(append.topic, []).extend(rows.to_pylist())
        return found

    def rows(self) -> Iterator[ExampleRows]:
        layout = Layout.of(self.model.vectors)
        for value in self.examples:
            rows = blocks.decode(value).rows
            if rows is not None:
                yield ExampleRows.from_arrow(rows, layout)

    def serve_what_is_learned(self) -> None:
        schema = self.model.vectors
        learner = self.model.learners[0].make(schema)
        for rows in self.rows():
            at = np.flatnonzero((rows.kind == LABELLED) & ~rows.saw_future)
            labels = rows.label[at].astype(np.float32)
            learner.learn(Examples(vectors_of(rows.fixed[at]), labels))
        export = attested(learner, schema)
        meta = json.loads(json.dumps(export.meta))
        facts = (schema.digest, 0, len(schema.numbers), 10, "", 100)
        manifest = Manifest("guesses", "guess", "frequencies-1", 1, KIND, meta, *facts)
        candidate = Candidate(manifest, export.arrays, lambda: PREDICTORS[KIND](export, schema))
        found = qualify(candidate, schema)
        assert isinstance(found, Sound), found
        live = LiveModel(PREDICTORS[KIND](export, schema), manifest)
        self.scorer.served["guess"].slot.standing = Standing(live, None)


def letters_in(told: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[tuple[Any, ...]]:
    rows = told.get("guesses.dead", ())
    return [(row["reason"], row["field"], row["detail"]) for row in rows]


def test_classes_from_label_to_answer() -> None:
    colours = fr.Classes(["red", "green", "blue"])
    way = Way(
        app_of(pl.col("colour"), colours, fr.constant({"red": 0.5, "green": 0.3, "blue": 0.2}))
    )
    first = way.ask("a", "b", "c", "d", "e")
    assert first.parameters["rung"] == "constant"
    assert first.probabilities.tolist() == [[0.5, 0.3, 0.2]] * 5
    said = ["blue", "blue", "red", "mauve", None]
    told = way.tell([{"id": i, "colour": colour} for i, colour in zip("abcde", said)])
    why = "model guess: 'mauve' is none of the classes red, green, blue; declare it, or send"
    ((reason, field, detail),) = letters_in(told)
    assert (reason, field) == ("bad_label", "colour")
    assert detail.startswith(why)
    facts = way.intake.facts()
    assert facts["label_fates"] == {"guess": {"used": 3, "null": 1, "bad": 1, "without_id": 0}}
    assert facts["fates"]["applied"] == 5
    assert [rows.label[rows.kind == LABELLED].tolist() for rows in way.rows()][-1] == [2, 2, 0]
    way.serve_what_is_learned()
    answer = way.ask("f")
    assert answer.parameters["rung"] == "champion"
    np.testing.assert_allclose(answer.probabilities, [[2 / 6, 1 / 6, 3 / 6]])
    body, _ = oip.write_answer(oip.InferRequest([]), "guess", answer)
    outputs = {output["name"]: output for output in json.loads(body)["outputs"]}
    assert outputs["probabilities"]["shape"] == [1, 3]
    assert outputs["class"]["data"] == ["blue"]


def test_a_regression_from_label_to_answer() -> None:
    way = Way(app_of(pl.col("price") / pl.col("size"), fr.Regression(), fr.constant(-7)))
    assert way.ask("a", "b", "c").probabilities.tolist() == [-7.0] * 3
    said = [(10.0, 1.0), (-2.5, 0.5), (1.0, 0.0)]
    told = way.tell([{"id": i, "price": p, "size": s} for i, (p, s) in zip("abc", said)])
    # A price by no size is no number, and that of no field alone.
    ((reason, field, detail),) = letters_in(told)
    assert (reason, field) == ("bad_label", None)
    assert detail.startswith("model guess: inf is no number that float32 can hold")
    way.serve_what_is_learned()
    answer = way.ask("d")
    assert answer.probabilities.tolist() == [2.5]
    body, _ = oip.write_answer(oip.InferRequest([]), "guess", answer)
    assert json.loads(body)["outputs"][0]["name"] == "value"
    assert answer.task == fr.Regression()


def test_examples_hold_labels_and_answers_as_they_were_said() -> None:
    colours = fr.Classes(["red", "green"])
    way = Way(app_of(pl.col("colour"), colours, fr.constant({"red": 0.75, "green": 0.25})))
    way.ask("a", "b")
    way.tell([{"id": "a", "colour": "green"}])
    told = []
    for offset, value in enumerate(way.examples):
        block = blocks.decode(value)
        told.append(Told(offset, block))
    frame = frame_of(way.model, told).sort("id")
    assert frame["label"].to_list() == ["green", None]
    assert frame["probabilities"].to_list() == [[0.75, 0.25]] * 2
