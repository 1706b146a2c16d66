"""The net of `TorchCtr`: its weights as named tensors, its forward pass, its step, its state as
arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
# Ids int32 `[n, F]`, inputs float32 `[n, D]`, and what their answers should be, `[n]`.
Given = tuple[I32, F32, npt.NDArray[Any]]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
LAYERS = ("first", "second", "last")
START = 0.01  # of Adagrad's sums of squares
ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


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
        # torch's errors go on with the addresses of its C++ frames.
        cause = str(error).split("\n", 1)[0]
        next_step = "See what else runs on it. The trainer starts again from its checkpoint."
        raise DeviceError(str(device), cause, next_step) from error


class Net:
    """`shape` is (embedded width, inputs, first layer, second layer). A weight matrix is `[inputs,
    outputs]`; of outputs there are as many as an answer has numbers."""

    def __init__(
        self, rows: int, dim: int, shape: Shape, device: torch.device, outputs: int = 1
    ) -> None:
        self._shape = shape
        self._device = device
        embedded, given, *hidden = shape
        sizes: dict[str, tuple[int, ...]] = {"table": (rows, dim), "direct": (given, outputs)}
        widths = [embedded + given, *hidden, outputs]
        for name, (before, after) in zip(LAYERS, pairwise(widths)):
            sizes |= {name: (before, after), f"{name}_bias": (after,)}
        self._weights = {
            name: torch.zeros(size, device=device, requires_grad=True)
            for name, size in sizes.items()
        }
        self._squares = torch.full((rows, dim), START, device=device)

    def start(self, rng: np.random.Generator, level: F64) -> None:
        """Draw initial weights as torch's layers do, but from `rng`; `level`, `[k]`, is where
        answers begin."""
        start = {"table": rng.normal(0, 0.02, tuple(self._weights["table"].shape))}
        for name in LAYERS:
            inputs, outputs = self._weights[name].shape
            start[name] = rng.uniform(-1, 1, (inputs, outputs)) / np.sqrt(inputs)
        start["last_bias"] = level
        self._fill({name: weights.astype(np.float32) for name, weights in start.items()})

    def tune(self, rate: float, embedding_rate: float, decay: float) -> None:
        """Make the optimizers: AdamW (Loshchilov and Hutter, 2019) for all but the embeddings."""
        dense = [weight for name, weight in self._weights.items() if name != "table"]
        self._adam = torch.optim.AdamW(
            dense,
            lr=rate,
            weight_decay=decay,
            foreach=True,
        )
        self._embedding_rate = embedding_rate

    def logits(self, ids: I32, inputs: F32) -> F64:
        """Float64 `[n, k]` for ids int32 `[n, F]` and inputs float32 `[n, D]`; changes nothing."""
        with device_errors(self._device), torch.no_grad():
            rows = nn.embedding(torch.from_numpy(ids).to(self._device), self._weights["table"])
            answers = self._forward(rows, torch.from_numpy(inputs).to(self._device))
            logits: F64 = answers.cpu().numpy().astype(np.float64)
        return logits

    def step(self, given: Given, loss: Loss, dropout: float, rng: np.random.Generator) -> None:
        """One step on `[n]` examples: AdamW on the dense weights, Adagrad on the embeddings that
        occur."""
        with device_errors(self._device):
            self._learn(given, loss, dropout, rng)

    def _learn(self, given: Given, loss: Loss, dropout: float, rng: np.random.Generator) -> None:
        ids, inputs, targets = given
        # Each embedding once, however often it occurs: its gradient is the sum, and it moves once.
        rows, inverse = np.unique(ids, return_inverse=True)
        at = torch.from_numpy(rows.astype(np.int64)).to(self._device)
        # Only of rows that occur: a gradient of the whole table would be mostly zeros.
        leaf = self._weights["table"].detach()[at].requires_grad_()
        embedded = nn.embedding(torch.from_numpy(inverse.reshape(ids.shape)).to(self._device), leaf)
        masks = self._masks(len(targets), dropout, rng)
        logits = self._forward(
            embedded,
            torch.from_numpy(inputs).to(self._device),
            masks,
        )
        lost = loss(logits, torch.from_numpy(targets).to(self._device))
        self._adam.zero_grad()
        lost.backward()
        self._adam.step()
        with torch.no_grad():
            gradient = leaf.grad
            assert gradient is not None
            squares = self._squares[at] + gradient * gradient
            self._squares[at] = squares
            self._weights["table"][at] = leaf - self._embedding_rate * gradient / squares.sqrt()

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the weights."""
        return {name: _copy(weight) for name, weight in self._weights.items()}

    def checkpoint(self) -> dict[str, npt.NDArray[Any]]:
        state = {f"weights.{name}": array for name, array in self.arrays().items()}
        for name, weight in self._weights.items():
            for part, tensor in self._adam.state.get(weight, {}).items():
                state[f"adam.{name}.{part}"] = _copy(tensor)
        return {**state, "squares": _copy(self._squares)}

    def restore(self, state: Arrays) -> None:
        self._fill({name: state[f"weights.{name}"] for name in self._weights})
        self._squares = torch.tensor(state["squares"], device=self._device)
        # What the optimizer has of a weight it makes at its first step: before, there is nothing.
        self._adam.state.clear()
        for name, weight in self._weights.items():
            tensors = {}
            for part in ADAM_STATE:
                kept = state.get(f"adam.{name}.{part}")
                if kept is not None:
                    # AdamW counts its steps on the CPU, wherever the weights are.
                    device = "cpu" if part == "step" else self._device
                    tensors[part] = torch.tensor(kept, device=device)
            if tensors:
                self._adam.state[weight] = tensors

    def _fill(self, arrays: Arrays) -> None:
        with torch.no_grad():
            for name, array in arrays.items():
                self._weights[name].copy_(torch.tensor(array))

    def _forward(
        self, rows: torch.Tensor, inputs: torch.Tensor, masks: list[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Logits `[n, k]` of embeddings `[n, F, dim]` and inputs `[n, D]`; `masks` are those of
        dropout."""
        weights = self._weights
        embedded = rows.flatten(1)
        if masks is not None:
            embedded = embedded * masks[0]
        hidden = torch.cat([embedded, inputs], 1)
        for i, name in enumerate(("first", "second"), 1):
            hidden = torch.relu(torch.addmm(weights[f"{name}_bias"], hidden, weights[name]))
            if masks is not None:
                hidden = hidden * masks[i]
        direct = inputs @ weights["direct"]
        return torch.addmm(weights["last_bias"], hidden, weights["last"]) + direct

    def _masks(
        self, count: int, dropout: float, rng: np.random.Generator
    ) -> list[torch.Tensor] | None:
        if not dropout:
            return None
        widths = (self._shape[0], *self._shape[2:])
        out = []
        for width, rate in zip(widths, (dropout, dropout / 2, dropout / 2)):
            # Scaled up by what is left out, so that nothing needs to be scaled when it answers.
            keep = (rng.random((count, width), np.float32) >= rate) / np.float32(1 - rate)
            out.append(torch.from_numpy(keep.astype(np.float32)).to(self._device))
        return out


def _copy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    out: npt.NDArray[Any] = tensor.detach().cpu().numpy().copy()
    return out
