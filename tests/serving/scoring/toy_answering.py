"""An `Answering` for tests: the probability is `distance / 1000`, and it writes down what it was
asked."""

from __future__ import annotations

import numpy as np

from freshet.schemas.errors import RequestError
from freshet.serving.scoring.contract import Answer, ModelCard, Question, TensorSpec

CARD = ModelCard(
    "late",
    (
        TensorSpec("carrier", "BYTES", nullable=False),
        TensorSpec("distance", "FP64"),
        TensorSpec("seats", "INT32", required=False),
        TensorSpec("cancelled", "BOOL", required=False),
    ),
    ("logistic-0a.2", "logistic-0a.1"),
)


class ToyAnswering:
    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.is_ready = True
        self.raises: Exception | None = None

    def models(self) -> tuple[str, ...]:
        return ("late",)

    def card(self, model: str) -> ModelCard:
        return CARD

    def ready(self, model: str, version: str | None = None) -> bool:
        return self.is_ready

    def infer(self, question: Question) -> Answer:
        self.asked.append(question)
        if self.raises is not None:
            raise self.raises
        carriers = question.columns["carrier"]
        if "??" in carriers:
            raise RequestError("input 'carrier'", "is '??'", "Send a carrier.")
        if "bug" in carriers:
            raise ZeroDivisionError("secret detail")
        n = question.n
        parameters = {
            "model": "late",
            "lineage": "logistic-0a",
            "snapshot": 2,
            "segment": "global",
            "rung": "champion",
        }
        return Answer(
            np.asarray(question.columns["distance"], np.float64) / 1000,
            [f"{c}-{i}" for i, c in enumerate(carriers)],
            np.arange(n, dtype=np.int64),
            sequence=100,
            parameters=parameters,
        )

    def at_once(self, question: Question) -> Answer:
        return self.infer(question)

    async def later(self, question: Question) -> Answer:
        return self.infer(question)
