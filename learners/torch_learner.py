"""A small click-through net that never stops learning: hashed embeddings and an MLP, in torch.

After Covington et al. (2016) and He et al. (2014): embeddings by sparse Adagrad, dense weights by AdamW, a direct linear path
for the numbers. Each step learns its new examples with `replay` times as many drawn from a uniform sample of the
past (reservoir sampling, Vitter 1985), which is what makes it work online (Rolnick et al., 2019), and an online bias
keeps the level. All randomness comes from one numpy generator whose state is in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as nn

from learners.learner import Arrays, Export, pack_json
from learners.replay import Reservoir
from learners.state import check_finite, check_origin, origin
from learners.torch_ctr_encoding import Encoding
from schemas.errors import LearnerError
from schemas.vectors import F32, F64, Examples, Vectors, VectorSchema

KIND = "torch_ctr"
LOWEST = 1e-6
DEFINITION = ("bits", "knots", "crosses", "combinations")  # what an encoding depends on


@dataclass(frozen=True, slots=True)
class TorchCtr:
    """Declares the learner. `hidden` are the MLP's layers, `dim` the width of an embedding, `2^bits` their number.

    `replay` old examples are learned with each new one, out of `memory`, once it holds `warm_up`. `crosses` are tuples of
    categories; `knots` and `combinations` are those of `HashedLogistic`. `device` is `auto`, `cpu` or `cuda`.
    """

    dim: int = 8
    hidden: Sequence[int] = (128, 64)
    bits: int = 16
    replay: int = 3
    memory: int = 50_000
    warm_up: int = 2_000
    rate: float = 1e-3
    embedding_rate: float = 0.03
    decay: float = 1e-5
    dropout: float = 0.2
    bias_rate: float = 0.002
    prior: float = 0.5
    crosses: Sequence[tuple[str, ...]] = ()
    knots: Mapping[str, Sequence[float]] | None = None
    combinations: Mapping[str, Mapping[str, float]] | None = None
    seed: int = 0
    device: str = "auto"
    name: str = KIND

    def __post_init__(self) -> None:
        if not (8 <= self.bits <= 24 and 0 <= self.dropout < 1 and 0 < self.prior < 1 and len(self.hidden) == 2):
            raise LearnerError(
                f"{self.name} with bits={self.bits}, dropout={self.dropout}, prior={self.prior}, hidden={self.hidden}",
                "out of range",
                "Use 8 to 24 bits, dropout in [0, 1), a prior between 0 and 1 and two hidden layers.",
            )

    def make(self, schema: VectorSchema) -> TorchCtrLearner:
        return TorchCtrLearner(self, schema)


class TorchCtrLearner:
    """On the CPU bit-equal under the same calls (one thread, no global random state); on CUDA within 1e-3."""

    def __init__(self, spec: TorchCtr, schema: VectorSchema) -> None:
        torch.set_num_threads(1)  # small steps: more threads only wait for each other, and sum in another order
        self._spec, self._schema = spec, schema
        self._encoding = Encoding(schema, asdict(spec))
        on_gpu = spec.device == "cuda" or (spec.device == "auto" and torch.cuda.is_available())
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self._rng = np.random.default_rng(spec.seed)
        self._weights = {k: self._tensor(v) for k, v in self._start().items()}
        self._squares = torch.full_like(self._weights["table"], 0.01)
        self._optimizer = self._make_optimizer()
        self._memory = Reservoir(spec.memory, self._encoding.fields, self._encoding.inputs)
        self._bias, self._learned = 0.0, 0

    def learn(self, examples: Examples) -> None:
        ids, x = self._encoding.ids(examples.vectors), self._encoding.dense(examples.vectors)
        y = examples.labels.astype(np.float32)
        self._bias -= self._spec.bias_rate * float((_sigmoid(self._logits(ids, x) + self._bias) - y).sum())
        batch = [(ids, x, y)]
        if self._spec.replay and len(self._memory) >= self._spec.warm_up:
            batch.append(self._memory.draw(self._spec.replay * len(y), self._rng))
        self._step(*(np.concatenate(column) for column in zip(*batch)))
        self._memory.add(ids, x, y, self._rng)
        self._learned += len(y)

    def predict(self, vectors: Vectors) -> F64:
        z = self._logits(self._encoding.ids(vectors), self._encoding.dense(vectors))
        return np.clip(_sigmoid(z + self._bias), LOWEST, 1 - LOWEST)

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        facts = {"bias": self._bias, "learned": self._learned, "rng": self._rng.bit_generator.state}
        state = {"origin": pack_json({**facts, **origin(self._spec, self._schema)})}
        state |= {f"weights.{k}": _numpy(v) for k, v in self._weights.items()}
        for name, moments in self._moments().items():
            state |= {f"{name}.{k}": _numpy(v) for k, v in moments.items()}
        return {**state, "squares": _numpy(self._squares), **self._memory.checkpoint()}

    def restore(self, state: Arrays) -> None:
        facts = check_origin(state, self._spec, self._schema)
        self._bias, self._learned = facts["bias"], facts["learned"]
        self._rng.bit_generator.state = facts["rng"]
        self._weights = {k: self._tensor(state[f"weights.{k}"]) for k in self._weights}
        self._squares = self._tensor(state["squares"], grad=False)
        self._optimizer = self._make_optimizer()
        for k, p in self._weights.items():
            if f"exp_avg.{k}" in state:
                kept = {n: self._tensor(state[f"{n}.{k}"], grad=False) for n in ("exp_avg", "exp_avg_sq")}
                self._optimizer.state[p] = {**kept, "step": torch.tensor(float(state[f"step.{k}"]))}
        self._memory.restore(state)

    def export(self, since: int | None = None) -> Export:
        """Always everything: at 2^16 embeddings of 8 it is 2 MB."""
        spec = asdict(self._spec)
        meta = {**{k: spec[k] for k in DEFINITION}, "vectors": self._schema.digest, "learned": self._learned}
        arrays = {k: _numpy(v) for k, v in self._weights.items()}
        arrays["last_bias"] = (arrays["last_bias"] + np.float32(self._bias)).astype(np.float32)
        return check_finite(Export(KIND, meta, arrays))

    def _start(self) -> dict[str, F32]:
        """Initial weights as torch's layers draw them, but from our generator. A matrix is `[inputs, outputs]`."""
        spec, rng = self._spec, self._rng
        width = self._encoding.fields * spec.dim + self._encoding.inputs
        out = {"table": rng.normal(0, 0.02, (1 << spec.bits, spec.dim))}
        for name, n, m in zip(("first", "second", "last"), (width, *spec.hidden), (*spec.hidden, 1)):
            out[name], out[f"{name}_bias"] = rng.uniform(-1, 1, (n, m)) / np.sqrt(n), np.zeros(m)
        out["last_bias"][:] = np.log(spec.prior / (1 - spec.prior))
        out["direct"] = np.zeros((self._encoding.inputs, 1))
        return {k: v.astype(np.float32) for k, v in out.items()}

    def _make_optimizer(self) -> torch.optim.AdamW:
        dense = [v for k, v in self._weights.items() if k != "table"]
        return torch.optim.AdamW(dense, lr=self._spec.rate, weight_decay=self._spec.decay, foreach=True)

    def _moments(self) -> dict[str, dict[str, torch.Tensor]]:
        """AdamW's own tensors by name and weight; none before the first step."""
        known = {k: self._optimizer.state[v] for k, v in self._weights.items() if v in self._optimizer.state}
        return {n: {k: s[n] for k, s in known.items()} for n in ("exp_avg", "exp_avg_sq", "step")}

    def _tensor(self, array: npt.NDArray[Any], grad: bool = True) -> torch.Tensor:
        return torch.tensor(array, device=self._device).requires_grad_(grad)

    def _logits(self, ids: npt.NDArray[np.int32], x: F32) -> F64:
        with torch.no_grad():
            rows = nn.embedding(torch.from_numpy(ids).to(self._device), self._weights["table"])
            z = self._forward(rows, torch.from_numpy(x).to(self._device), None)
        return z.cpu().numpy().astype(np.float64)

    def _forward(self, embedded: torch.Tensor, x: torch.Tensor, masks: list[torch.Tensor] | None) -> torch.Tensor:
        """Logits `[n]` of embedded ids `[n, F, dim]` and inputs `[n, D]`; `masks` are those of dropout."""
        w = self._weights
        e = embedded.flatten(1)
        if masks is not None:
            e = e * masks[0]
        h = torch.relu(torch.addmm(w["first_bias"], torch.cat([e, x], 1), w["first"]))
        if masks is not None:
            h = h * masks[1]
        h = torch.relu(torch.addmm(w["second_bias"], h, w["second"]))
        if masks is not None:
            h = h * masks[2]
        return (torch.addmm(w["last_bias"], h, w["last"]) + x @ w["direct"]).squeeze(1)

    def _masks(self, n: int) -> list[torch.Tensor] | None:
        drop = self._spec.dropout
        if not drop:
            return None
        widths = (self._encoding.fields * self._spec.dim, *self._spec.hidden)
        out = []
        for width, rate in zip(widths, (drop, drop / 2, drop / 2)):
            keep = (self._rng.random((n, width), np.float32) >= rate).astype(np.float32)
            out.append(torch.from_numpy(keep / np.float32(1 - rate)).to(self._device))
        return out

    def _step(self, ids: npt.NDArray[np.int32], x: F32, y: F32) -> None:
        """One step of AdamW on the dense weights and of Adagrad on the embeddings that occur."""
        rows, inverse = np.unique(ids, return_inverse=True)
        at = torch.from_numpy(rows.astype(np.int64)).to(self._device)
        leaf = self._weights["table"].detach()[at].requires_grad_()
        embedded = nn.embedding(torch.from_numpy(inverse.reshape(ids.shape)).to(self._device), leaf)
        z = self._forward(embedded, torch.from_numpy(x).to(self._device), self._masks(len(y)))
        loss = nn.binary_cross_entropy_with_logits(z, torch.from_numpy(y).to(self._device))
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        with torch.no_grad():
            g = leaf.grad
            assert g is not None
            squares = self._squares[at] + g * g
            self._squares[at] = squares
            self._weights["table"][at] = leaf - self._spec.embedding_rate * g / squares.sqrt()


def _sigmoid(z: F64) -> F64:
    return 1.0 / (1.0 + np.exp(-np.clip(z, -40.0, 40.0)))


def _numpy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """A copy."""
    return tensor.detach().cpu().numpy().copy()
