"""A request's tensors to a question: one a field, of shape `[n]` or `[n, 1]`, named and typed as in
the model's card."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from freshet.schemas.durations import EARLIEST_MS
from freshet.schemas.errors import RequestError
from freshet.schemas.sizes import KEY_BYTES, ROW_BYTES
from freshet.serving.oip.messages import InferRequest, RequestInput
from freshet.serving.oip.values import DTYPES, checked, from_binary, from_json, wrong
from freshet.serving.scoring.contract import Column, ModelCard, Question, TensorSpec

MAX_AS_OF = 1 << 53  # what every JSON reader holds exactly


def read_question(
    request: InferRequest, tail: memoryview, card: ModelCard, version: str | None, max_rows: int
) -> Question:
    """The request's rows as columns of the model's inputs. `tail` holds the binary tensors, in
    order.

    Raises: RequestError: a name, datatype, shape, size or value is wrong; the text says what was
        expected.
    """
    specs = card.by_name
    columns: dict[str, Column] = {}
    # By the first tensor; the others are held to it.
    count = _rows(request, max_rows)
    shapes = ([count], [count, 1])
    left = tail
    for tensor in request.inputs:
        spec = specs.get(tensor.name)
        if spec is None:
            raise wrong(tensor, "is unknown", f"The inputs of {card.name} are {', '.join(specs)}.")
        if tensor.name in columns:
            raise wrong(tensor, "comes twice", "Send every input once.")
        _check_form(tensor, spec, shapes)
        size = _binary_size(tensor, len(left))
        if size is None:
            column = from_json(tensor, spec, count)
        else:
            column = from_binary(tensor, spec, count, left[:size])
            left = left[size:]
        columns[tensor.name] = checked(tensor, spec, column)
    if len(left):
        raise RequestError(
            "body", f"{len(left)} bytes follow the last tensor", "Send what the JSON describes."
        )
    # What came was longer than what it says, so most requests need no closer look.
    if len(tail) + sum(len(tensor.data) for tensor in request.inputs) > KEY_BYTES:
        _check_sizes(columns, count)
    _check_all_there(columns, card)
    as_of, deadline = _times(request.parameters)
    return Question(card.name, columns, count, as_of, deadline, version)


def _binary_size(tensor: RequestInput, left: int) -> int | None:
    """How many of the `left` bytes are the tensor's; None: its values stand in the JSON."""
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        return None
    if not _is_whole(size) or not 0 <= size <= left:
        raise wrong(
            tensor, f"has binary_data_size {size!r}, {left} bytes are left", "Send what it says."
        )
    return int(size)


def _is_whole(value: object) -> bool:
    """In Python true is a 1; in JSON it is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _rows(request: InferRequest, max_rows: int) -> int:
    if not request.inputs:
        raise RequestError("inputs", "are empty", "Send one tensor for every field.")
    shape = request.inputs[0].shape
    if not shape or not 1 <= shape[0] <= max_rows:
        raise wrong(
            request.inputs[0],
            f"has shape {shape}",
            f"Use [n] or [n, 1], with 1 to {max_rows} rows.",
        )
    return shape[0]


def _check_form(
    tensor: RequestInput, spec: TensorSpec, shapes: tuple[list[int], list[int]]
) -> None:
    if tensor.shape not in shapes:
        flat, nested = shapes
        raise wrong(
            tensor,
            f"has shape {tensor.shape}",
            f"Use {flat} or {nested}, as many rows as the first input.",
        )
    sent = tensor.datatype
    wanted = spec.datatype
    if sent == wanted:
        return
    texts = "BYTES" in (sent, wanted)
    if texts or sent not in DTYPES or not _castable(DTYPES[sent], DTYPES[wanted]):
        raise wrong(tensor, f"has datatype {sent}", f"Its datatype is {wanted}.")


def _castable(sent: type[np.generic], wanted: type[np.generic]) -> bool:
    """Any width of the same kind will do (values are checked), and whole numbers where fractions
    are wanted."""
    # numpy takes a truth for a small number, either way.
    return np.can_cast(sent, wanted, "same_kind") and (sent is np.bool_) == (wanted is np.bool_)


def _check_sizes(columns: Mapping[str, Column], count: int) -> None:
    """Texts become keys of the store, ids and rows of the log, each of which has an end."""
    rows = [0] * count
    for name, values in columns.items():
        for i, value in enumerate(values):
            if not isinstance(value, str):
                continue
            size = len(value.encode())
            rows[i] += size
            if size > KEY_BYTES:
                cause = f"has a text of {size} bytes in row {i}"
                raise RequestError(f"input {name!r}", cause, f"A text may have {KEY_BYTES} bytes.")
    largest = max(rows)
    if largest > ROW_BYTES:
        cause = f"have {largest} bytes of text in row {rows.index(largest)}"
        expected = f"The texts of a row may have {ROW_BYTES} bytes together."
        raise RequestError("inputs", cause, expected)


def _check_all_there(columns: Mapping[str, Column], card: ModelCard) -> None:
    missing = [
        spec.name
        for spec in card.required
        if spec.name not in columns and not _given(spec, columns)
    ]
    if missing:
        required = ", ".join(_way_in(spec) for spec in card.required)
        raise RequestError("inputs", f"lack {', '.join(missing)}", f"Required are {required}.")


def _way_in(spec: TensorSpec) -> str:
    if not spec.instead:
        return spec.name
    return f"{spec.name} (or {' and '.join(spec.instead)})"


def _given(spec: TensorSpec, columns: Mapping[str, Column]) -> bool:
    """Whether what would be read by this key was sent itself."""
    return bool(spec.instead) and all(name in columns for name in spec.instead)


def _times(parameters: Mapping[str, Any]) -> tuple[int | None, float | None]:
    """`as_of` (app clock, ms), and the deadline on the monotonic clock from `deadline_ms` or
    Triton's `timeout` (µs)."""
    as_of = parameters.get("as_of")
    if as_of is not None and not (_is_whole(as_of) and EARLIEST_MS <= as_of <= MAX_AS_OF):
        raise RequestError(
            "parameter as_of", f"is {as_of!r}", "Send whole milliseconds since 1970; from 1900 on."
        )
    for name, unit, a_second in (
        ("deadline_ms", "milliseconds", 1e3),
        ("timeout", "microseconds", 1e6),
    ):
        wait = parameters.get(name)
        if wait is None:
            continue
        is_number = _is_whole(wait) or isinstance(wait, float)
        # NaN is above nothing.
        if not (is_number and 0 < wait <= MAX_AS_OF):
            raise RequestError(
                f"parameter {name}", f"is {wait!r}", f"Send a number of {unit} above 0."
            )
        return as_of, time.monotonic() + wait / a_second
    return as_of, None
