"""The net of `TorchCtr`: its weights as named tensors, its forward pass, its step, its state as
arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as nn

from freshet.learners.contract import Arrays
from freshet.schemas.errors import ComponentError
from freshet.schemas.models.vectors import F32, F64

I32 = npt.NDArray[np.int32]
Shape = tuple[int, int, int, int]
LAYERS = ("first", "second", "last")
START = 0.01  # of Adagrad's sums of squares


class DeviceError(ComponentError):
    """The device is full or has failed, which is no fault of what was learned."""

    component = "device"


@contextmanager
def device_errors(device: torch.device) -> Iterator[None]:
    """Shapes and dtypes are ours, so whatever torch raises while it computes on a device is of that
    device."""
    try:
        yield
    except RuntimeError as error:
        if device.type == "cpu" and not isinstance(error, torch.OutOfMemoryError):
            raise
        cause = str(error).split("\n", 1)[0]
        next_step = "See what else runs on it. The trainer starts again from its checkpoint."
        raise DeviceError(str(device), cause, next_step) from error


class Net:
    """`shape` is (embedded width, inputs, first layer, second layer). A weight matrix is `[inputs,
    outputs]`."""

    def __init__(self, rows: int, dim: int, shape: Shape, device: torch.device) -> None:
        self._shape = shape
        self._device = device
        embedded, given, *hidden = shape
        sizes: dict[str, tuple[int, ...]] = {"table": (rows, dim), "direct": (given, 1)}
        for name, (n, m) in zip(LAYERS, pairwise([embedded + given, *hidden, 1])):
            sizes |= {name: (n, m), f"{name}_bias": (m,)}
        self._weights = {
            k: torch.zeros(v, device=device, requires_grad=True) for k, v in sizes.items()
        }
        self._squares = torch.full((rows, dim), START, device=device)

    def start(self, rng: np.random.Generator, prior: float) -> None:
        """Draw initial weights as torch's layers do, but from `rng`."""
        start = {"table": rng.normal(0, 0.02, tuple(self._weights["table"].shape))}
        for name in LAYERS:
            n, m = self._weights[name].shape
            start[name] = rng.uniform(-1, 1, (n, m)) / np.sqrt(n)
        start["last_bias"] = np.array([np.log(prior / (1 - prior))])
        self._fill({k: v.astype(np.float32) for k, v in start.items()})

    def tune(self, rate: float, embedding_rate: float, decay: float) -> None:
        """Make the optimizers: AdamW (Loshchilov and Hutter, 2019) for all but the embeddings."""
        dense = [v for k, v in self._weights.items() if k != "table"]
        self._adam = torch.optim.AdamW(dense, lr=rate, weight_decay=decay, foreach=True)
        self._embedding_rate = embedding_rate

    def logits(self, ids: I32, x: F32) -> F64:
        """Float64 `[n]` for ids int32 `[n, F]` and inputs float32 `[n, D]`; changes nothing."""
        with device_errors(self._device), torch.no_grad():
            rows = nn.embedding(torch.from_numpy(ids).to(self._device), self._weights["table"])
            z: F64 = (
                self._forward(rows, torch.from_numpy(x).to(self._device))
                .cpu()
                .numpy()
                .astype(np.float64)
            )
        return z

    def step(self, ids: I32, x: F32, y: F32, dropout: float, rng: np.random.Generator) -> None:
        """One step on `[n]` examples: AdamW on the dense weights, Adagrad on the embeddings that
        occur."""
        with device_errors(self._device):
            self._learn(ids, x, y, dropout, rng)

    def _learn(self, ids: I32, x: F32, y: F32, dropout: float, rng: np.random.Generator) -> None:
        rows, inverse = np.unique(ids, return_inverse=True)
        at = torch.from_numpy(rows.astype(np.int64)).to(self._device)
        leaf = self._weights["table"].detach()[at].requires_grad_()
        embedded = nn.embedding(torch.from_numpy(inverse.reshape(ids.shape)).to(self._device), leaf)
        masks = self._masks(len(y), dropout, rng)
        z = self._forward(embedded, torch.from_numpy(x).to(self._device), masks)
        loss = nn.binary_cross_entropy_with_logits(z, torch.from_numpy(y).to(self._device))
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        with torch.no_grad():
            g = leaf.grad
            assert g is not None
            squares = self._squares[at] + g * g
            self._squares[at] = squares
            self._weights["table"][at] = leaf - self._embedding_rate * g / squares.sqrt()

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the weights."""
        return {k: _copy(v) for k, v in self._weights.items()}

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        state = {f"weights.{k}": v for k, v in self.arrays().items()}
        for k, weight in self._weights.items():
            state |= {
                f"adam.{k}.{n}": _copy(v) for n, v in self._adam.state.get(weight, {}).items()
            }
        return {**state, "squares": _copy(self._squares)}

    def restore(self, state: Arrays) -> None:
        self._fill({k: state[f"weights.{k}"] for k in self._weights})
        self._squares = torch.tensor(state["squares"], device=self._device)
        self._adam.state.clear()
        for k, weight in self._weights.items():
            kept = {
                n: state[f"adam.{k}.{n}"]
                for n in ("step", "exp_avg", "exp_avg_sq")
                if f"adam.{k}.{n}" in state
            }
            if kept:
                tensors = {
                    n: torch.tensor(v, device="cpu" if n == "step" else self._device)
                    for n, v in kept.items()
                }
                self._adam.state[weight] = tensors

    def _fill(self, arrays: Arrays) -> None:
        with torch.no_grad():
            for name, array in arrays.items():
                self._weights[name].copy_(torch.tensor(array))

    def _forward(
        self, rows: torch.Tensor, x: torch.Tensor, masks: list[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Logits `[n]` of embeddings `[n, F, dim]` and inputs `[n, D]`; `masks` are those of
        dropout."""
        w = self._weights
        e = rows.flatten(1)
        h = torch.cat([e if masks is None else e * masks[0], x], 1)
        for i, name in enumerate(("first", "second"), 1):
            h = torch.relu(torch.addmm(w[f"{name}_bias"], h, w[name]))
            h = h if masks is None else h * masks[i]
        return (torch.addmm(w["last_bias"], h, w["last"]) + x @ w["direct"]).squeeze(1)

    def _masks(self, n: int, dropout: float, rng: np.random.Generator) -> list[torch.Tensor] | None:
        if not dropout:
            return None
        widths = (self._shape[0], *self._shape[2:])
        out = []
        for width, rate in zip(widths, (dropout, dropout / 2, dropout / 2)):
            keep = (rng.random((n, width), np.float32) >= rate) / np.float32(1 - rate)
            out.append(torch.from_numpy(keep.astype(np.float32)).to(self._device))
        return out


def _copy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    out: npt.NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return out
