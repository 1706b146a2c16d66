"""Data that others have published, as vectors and labels for learners and as River's own events:
each stands in the order in which it was published."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from freshet.learners.contract import LearnerSpec
from freshet.schemas.models.tasks import BINARY, CLASSES, Binary, Classes, Regression
from freshet.schemas.models.vectors import F64, Examples, Vectors, VectorSchema

BUCKETS = 4096  # as `fr.River` has them where nothing else is said
LOWEST = 1e-6


@dataclass(frozen=True)
class Published:
    """`events` are what River is given for each example: numbers by name, categories as
    `name=bucket: 1.0`, and the label as it is."""

    name: str
    schema: VectorSchema
    examples: Examples
    events: list[tuple[dict[str, float], Any]]

    def loss(self, answers: F64) -> float:
        """Mean log loss in nats, clipped by 1e-6 from 0; of numbers the mean absolute error."""
        labels = self.examples.labels
        if self.schema.task.kind == BINARY:
            told = np.where(labels > 0.5, answers, 1.0 - answers)
        elif self.schema.task.kind == CLASSES:
            told = answers[np.arange(len(labels)), labels.astype(np.intp)]
        else:
            return float(np.abs(answers - labels).mean())
        return float(-np.log(np.clip(told, LOWEST, 1.0)).mean())


def electricity(path: Path) -> Published:
    """Whether the price of the next half-hour goes up (Harries, 1999), normalised, 45,312 rows."""
    rows = list(csv.DictReader(path.read_text().splitlines()))
    *names, target = rows[0]
    events = [(_floats({n: row[n] for n in names}), row[target] == "1") for row in rows]
    return _of_numbers("electricity", Binary(), events)


def image_segments() -> Published:
    """Which of seven things a patch of a picture shows (UCI, Statlog), 2,310 rows."""
    from river.datasets import ImageSegments

    events = [(_floats(event), label) for event, label in ImageSegments()]
    classes = sorted({label for _, label in events})
    return _of_numbers("image_segments", Classes(classes), events)


def trump_approval() -> Published:
    """An approval rating of five polls (FiveThirtyEight), 1,001 rows."""
    from river.datasets import TrumpApproval

    events = [(_floats(event), label) for event, label in TrumpApproval()]
    return _of_numbers("trump_approval", Regression(), events)


def chick_weights() -> Published:
    """Weights of chicks by age, chick and diet (Crowder and Hand, 1990), 578 rows."""
    from river.datasets import ChickWeights

    named = ("chick", "diet")
    rows = list(ChickWeights())
    hashes = np.array([[_hash(f"{n}:{event[n]}") for n in named] for event, _ in rows], np.uint64)
    ages = np.array([[event["time"]] for event, _ in rows], np.float32)
    buckets = (hashes % np.uint64(BUCKETS)).tolist()
    events = [
        ({"time": float(age), **{f"{n}={b}": 1.0 for n, b in zip(named, own)}}, label)
        for (age,), own, (_, label) in zip(ages, buckets, rows)
    ]
    labels = np.array([label for _, label in rows], np.float32)
    schema = VectorSchema(named, ("time",), task=Regression())
    return Published("chick_weights", schema, Examples(Vectors(hashes, ages), labels), events)


def prequential(spec: LearnerSpec, data: Published, batch: int = 1) -> F64:
    """What a learner says of each example before it learns it, in steps of `batch`."""
    learner = spec.make(data.schema)
    vectors = data.examples.vectors
    labels = data.examples.labels
    out = []
    for first in range(0, len(labels), batch):
        step = slice(first, first + batch)
        asked = Vectors(vectors.categories[step], vectors.numbers[step])
        out.append(learner.predict(asked))
        learner.learn(Examples(asked, labels[step]))
    return np.concatenate(out)


def by_river(model: Any, data: Published) -> F64:
    """What River's own progressive validation has a model say of each example."""
    from river import evaluate, metrics

    metric = metrics.MAE()
    classes: list[Any] = [True]
    if data.schema.task.kind != Regression.kind:
        metric = metrics.CrossEntropy() if data.schema.task.kind == CLASSES else metrics.LogLoss()
        classes = list(getattr(data.schema.task, "classes", classes))
    steps = evaluate.iter_progressive_val_score(
        data.events, model, metric, step=1, yield_predictions=True
    )
    told = [step["Prediction"] for step in steps]
    if data.schema.task.kind == Regression.kind:
        return np.array(told, np.float64)
    # Before its first label a model names nothing: all are equal. Later, what it does not name has
    # no share.
    equal = dict.fromkeys(classes, 1.0 / data.schema.task.width)
    if data.schema.task.kind == BINARY:
        equal = {True: 0.5}
    shares = np.array([[(named or equal).get(one, 0.0) for one in classes] for named in told])
    return shares if data.schema.task.kind == CLASSES else shares[:, 0]


def no_change(data: Published) -> float:
    """The loss of who says the last label again; of the first one nothing is known. Of classes it
    is the share of errors, since its log loss is that of certainty."""
    labels = data.examples.labels
    away = np.diff(labels)
    if data.schema.task.kind == Regression.kind:
        return float(np.abs(away).mean())
    return float((away != 0).mean())


def _of_numbers(name: str, task: Any, events: list[tuple[dict[str, float], Any]]) -> Published:
    names = tuple(events[0][0])
    numbers = np.array([[event[n] for n in names] for event, _ in events], np.float32)
    labels = [label for _, label in events]
    if task.kind == CLASSES:
        labels = [task.classes.index(label) for label in labels]
    vectors = Vectors(np.zeros((len(numbers), 0), np.uint64), numbers)
    schema = VectorSchema((), names, task=task)
    return Published(name, schema, Examples(vectors, np.array(labels, np.float32)), events)


def _floats(event: dict[str, Any]) -> dict[str, float]:
    """Numbers as a vector has them, in float32; a date counts its days already. River's scaler
    divides by deviations of constants that are rounding alone, so what is rounded shows."""
    return {name: float(np.float32(value)) for name, value in event.items()}


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
