"""A small click-through net that never stops learning: hashed embeddings and an MLP, in torch.

After Covington, Adams and Sargin (2016): embeddings by sparse Adagrad, the rest by AdamW, and a
direct linear path for the numbers. Each batch of new examples is learned with `replay` times as
many from a uniform sample of the past (Vitter, 1985), which is what makes a net work online
(Rolnick et al., 2019); an online bias keeps the level. All randomness comes from one numpy
generator, whose state is in the checkpoint.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from freshet.learners.contract import Arrays, Export, pack_json
from freshet.learners.ctr.encoding import DEFINITION, Encoding, inputs
from freshet.learners.ctr.heads import head_of
from freshet.learners.ctr.net import Net
from freshet.learners.ctr.options import Options
from freshet.learners.inputs.reservoir import COLUMNS, Reservoir
from freshet.learners.state import Origin, check_finite, check_origin
from freshet.schemas.models.vectors import F64, Examples, Vectors, VectorSchema

KIND = "torch_ctr"


class TorchCtrLearner:
    """Bit-equal under the same calls on the CPU; on CUDA within 1e-3.

    Examples that do not fill a batch wait for the next step; they are in the checkpoint, not yet in
    an export.
    """

    def __init__(self, options: Options, schema: VectorSchema, origin: Origin) -> None:
        # steps are small: more threads wait for each other, and sum in another order
        torch.set_num_threads(1)
        self._options = options
        self._schema = schema
        self._origin = origin
        self._encoding = Encoding(schema, options.as_facts())
        self._rng = np.random.default_rng(options.seed)
        shape = (self._encoding.fields * options.dim, 2 * self._encoding.width, *options.hidden)
        self._head = head_of(schema.task)
        level = self._head.level(options.prior)
        self._net = Net(
            1 << options.bits,
            options.dim,
            shape,
            _device(options.device),
            len(level),
        )
        self._net.start(self._rng, level)
        self._net.tune(
            options.rate,
            options.embedding_rate,
            options.decay,
        )
        self._memory = Reservoir(
            options.memory,
            self._encoding.fields,
            self._encoding.width,
        )
        self._waiting = self._nothing()
        self._bias = np.zeros(len(level))
        self._learned = 0

    def learn(self, examples: Examples) -> None:
        """What is asked of the net before it learns moves the bias; then every full batch is a
        step."""
        vectors = examples.vectors
        labels = examples.labels.astype(np.float32)
        new: list[npt.NDArray[Any]] = [
            self._encoding.ids(vectors),
            self._encoding.numbers(vectors, learn=True),
            labels,
        ]
        self._head.take_in(labels)
        scores = self._net.logits(new[0], inputs(new[1])) + self._bias
        self._bias = self._bias - self._options.bias_rate * self._head.surplus(scores, labels)
        # Batches are cut by number alone, so that calls may come in any sizes.
        self._waiting = [np.concatenate(pair) for pair in zip(self._waiting, new)]
        size = self._options.batch
        while len(self._waiting[-1]) >= size:
            self._step([column[:size] for column in self._waiting])
            self._waiting = [column[size:] for column in self._waiting]
        self._learned += len(labels)

    def predict(self, vectors: Vectors) -> F64:
        logits = self._net.logits(
            self._encoding.ids(vectors), inputs(self._encoding.numbers(vectors))
        )
        return self._head.answers(logits + self._bias)

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        # Of one score it is a number, as it was before there were others.
        bias: Any = self._bias.tolist()
        if len(bias) == 1:
            (bias,) = bias
        facts = {"bias": bias, "learned": self._learned, "rng": self._rng.bit_generator.state}
        state = {"origin": pack_json({**facts, **self._origin.facts()})}
        state |= {f"waiting.{name}": column.copy() for name, column in zip(COLUMNS, self._waiting)}
        state |= self._encoding.scaling.checkpoint() | self._head.checkpoint()
        return {**state, **self._net.checkpoint(), **self._memory.checkpoint()}

    def restore(self, state: Arrays) -> None:
        facts = check_origin(state, self._origin)
        self._bias = np.atleast_1d(np.array(facts["bias"], np.float64))
        self._learned = facts["learned"]
        self._rng.bit_generator.state = facts["rng"]
        self._waiting = [state[f"waiting.{name}"].copy() for name in COLUMNS]
        self._encoding.scaling.restore(state)
        self._head.restore(state)
        self._net.restore(state)
        self._memory.restore(state)

    def export(self) -> Export:
        """Always everything: at 2^16 embeddings of 8 it is 2 MB."""
        options = self._options.as_facts()
        meta = {
            **{name: options[name] for name in DEFINITION},
            "vectors": self._schema.digest,
            "learned": self._learned,
        }
        arrays = self._net.arrays() | self._head.export()
        # A predictor knows one bias: that of the net and the online one together.
        arrays["last_bias"] = (arrays["last_bias"] + self._bias).astype(np.float32)
        arrays["shift"], arrays["scale"] = self._encoding.scaling.shift_and_scale()
        return check_finite(Export(KIND, meta, arrays))

    def _step(self, new: list[npt.NDArray[Any]]) -> None:
        """The new examples and some old ones; then the new ones are old, too."""
        parts = [tuple(new)]
        if self._options.replay and len(self._memory) >= self._options.warm_up:
            # Before the new ones are in it: none is learned twice in one step.
            parts.append(self._memory.draw(self._options.replay * len(new[-1]), self._rng))
        ids, numbers, labels = (np.concatenate(column) for column in zip(*parts))
        given = (ids, inputs(numbers), self._head.targets(labels))
        self._net.step(
            given,
            self._head.loss,
            self._options.dropout,
            self._rng,
        )
        self._memory.add(new[0], new[1], new[2], self._rng)

    def _nothing(self) -> list[npt.NDArray[Any]]:
        fields = self._encoding.fields
        width = self._encoding.width
        return [
            np.zeros((0, fields), np.int32),
            np.zeros((0, width), np.float32),
            np.zeros(0, np.float32),
        ]


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
