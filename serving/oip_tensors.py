"""Tensors of a request to columns: one a field, of shape `[n]` or `[n, 1]`, as JSON or as Triton's binary."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import RequestError
from serving.answering import Column, ModelCard, Question, TensorSpec
from serving.oip import InferRequest, RequestInput

DTYPES: dict[str, Any] = {
    "BOOL": np.bool_, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
_WIDEST: dict[str, Any] = {"BOOL": np.bool_, "INT32": np.int64, "INT64": np.int64}
_JSON_TYPES: dict[str, tuple[Any, Any]] = {
    "BYTES": (list[str | None], list[tuple[str | None]]),
    "BOOL": (list[bool | None], list[tuple[bool | None]]),
    "INT32": (list[int | None], list[tuple[int | None]]),
    "INT64": (list[int | None], list[tuple[int | None]]),
    "FP32": (list[float | None], list[tuple[float | None]]),
    "FP64": (list[float | None], list[tuple[float | None]]),
}
_FLAT = {k: msgspec.json.Decoder(flat) for k, (flat, _) in _JSON_TYPES.items()}
_NESTED = {k: msgspec.json.Decoder(nested) for k, (_, nested) in _JSON_TYPES.items()}
_LENGTH = struct.Struct("<I")


def read_question(
    request: InferRequest, tail: memoryview, card: ModelCard, version: str | None, max_rows: int
) -> Question:
    """The request's rows as columns of the model's inputs. `tail` holds the binary tensors, in order.

    Raises:
        RequestError: a name, datatype, shape, size or value is wrong; the text says what was expected.
    """
    specs = {x.name: x for x in card.inputs}
    columns: dict[str, Column] = {}
    n = _rows(request, max_rows)
    at = 0
    for tensor in request.inputs:
        spec = specs.get(tensor.name)
        if spec is None:
            raise _wrong(tensor, "is unknown", f"The inputs of {card.name} are {', '.join(specs)}.")
        if tensor.name in columns:
            raise _wrong(tensor, "comes twice", "Send every input once.")
        _check_form(tensor, spec, n)
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            columns[tensor.name] = _from_json(tensor, spec, n)
            continue
        if not isinstance(size, int) or size < 0 or at + size > len(tail):
            raise _wrong(
                tensor,
                f"has binary_data_size {size!r}, {len(tail) - at} bytes are left",
                "Send what it says.",
            )
        columns[tensor.name] = _from_binary(tensor, spec, n, tail[at : at + size])
        at += size
    if at != len(tail):
        raise RequestError(
            "body", f"{len(tail) - at} bytes follow the last tensor", "Send what the JSON describes."
        )
    _check_all_there(columns, card)
    as_of, deadline = _times(request.parameters)
    return Question(card.name, columns, n, as_of, deadline, version)


def _rows(request: InferRequest, max_rows: int) -> int:
    if not request.inputs:
        raise RequestError("inputs", "are empty", "Send one tensor for every field.")
    shape = request.inputs[0].shape
    if not shape or not 1 <= shape[0] <= max_rows:
        raise _wrong(
            request.inputs[0], f"has shape {shape}", f"Use [n] or [n, 1], with 1 to {max_rows} rows."
        )
    return shape[0]


def _check_form(tensor: RequestInput, spec: TensorSpec, n: int) -> None:
    if tensor.shape not in ([n], [n, 1]):
        raise _wrong(
            tensor, f"has shape {tensor.shape}", f"Use [{n}] or [{n}, 1], as many rows as the first input."
        )
    sent, wanted = tensor.datatype, spec.datatype
    if sent == wanted:
        return
    if "BYTES" in (sent, wanted) or sent not in DTYPES or not _castable(DTYPES[sent], DTYPES[wanted]):
        raise _wrong(tensor, f"has datatype {sent}", f"Its datatype is {wanted}.")


def _castable(sent: Any, wanted: Any) -> bool:
    """Any width of the same kind will do (values are checked), and whole numbers where fractions are
    wanted."""
    return np.can_cast(sent, wanted, "same_kind") and (sent is np.bool_) == (wanted is np.bool_)


def _check_all_there(columns: Mapping[str, Column], card: ModelCard) -> None:
    missing = [x.name for x in card.inputs if x.required and x.name not in columns]
    if missing:
        raise RequestError(
            "inputs",
            f"lack {', '.join(missing)}",
            f"Required are {', '.join(x.name for x in card.inputs if x.required)}.",
        )


def _times(parameters: Mapping[str, Any]) -> tuple[int | None, float | None]:
    """`as_of` (app clock, ms), and the deadline on the monotonic clock from `deadline_ms` or Triton's
    `timeout` (µs)."""
    as_of, wait = parameters.get("as_of"), parameters.get("deadline_ms")
    if as_of is not None and (isinstance(as_of, bool) or not isinstance(as_of, int)):
        raise RequestError("parameter as_of", f"is {as_of!r}", "Send whole milliseconds since the epoch.")
    if wait is None and isinstance(timeout := parameters.get("timeout"), int):
        wait = timeout / 1000
    if wait is None:
        return as_of, None
    if isinstance(wait, bool) or not isinstance(wait, int | float) or wait <= 0:
        raise RequestError("parameter deadline_ms", f"is {wait!r}", "Send a number of milliseconds above 0.")
    return as_of, time.monotonic() + wait / 1000


def _from_json(tensor: RequestInput, spec: TensorSpec, n: int) -> Column:
    values = _json_list(tensor, spec, n)
    if len(values) != n:
        raise _wrong(tensor, f"has {len(values)} values", f"Its shape {tensor.shape} says {n}.")
    missing = None in values
    if missing and not spec.nullable:
        raise _wrong(tensor, f"is null in row {values.index(None)}", "It must have a value in every row.")
    if spec.datatype == "BYTES":
        return values
    if missing:
        return np.array([np.nan if v is None else v for v in values], np.float64)
    try:
        return _cast(tensor, np.array(values, _WIDEST.get(spec.datatype, np.float64)), spec)
    except OverflowError as error:
        raise _wrong(tensor, "has a value out of range", f"Its datatype is {spec.datatype}.") from error


def _json_list(tensor: RequestInput, spec: TensorSpec, n: int) -> list[Any]:
    if not len(tensor.data):
        raise _wrong(tensor, "has no data", "Send `data`, or binary data and its `binary_data_size`.")
    try:
        flat: list[Any] = _FLAT[spec.datatype].decode(tensor.data)
        return flat
    except msgspec.DecodeError as error:
        if tensor.shape == [n, 1]:
            try:
                return [v for (v,) in _NESTED[spec.datatype].decode(tensor.data)]
            except msgspec.DecodeError:
                pass  # the error of the flat form says it more simply
        raise _wrong(tensor, f"has wrong data: {error}", f"Its datatype is {spec.datatype}.") from error


def _from_binary(tensor: RequestInput, spec: TensorSpec, n: int, raw: memoryview) -> Column:
    if spec.datatype == "BYTES":
        return list(_read_texts(tensor, n, raw))
    dtype = np.dtype(DTYPES[tensor.datatype]).newbyteorder("<")
    if len(raw) != n * dtype.itemsize:
        raise _wrong(
            tensor, f"has {len(raw)} bytes", f"{n} values of {tensor.datatype} are {n * dtype.itemsize}."
        )
    values = np.frombuffer(raw, dtype)
    if tensor.datatype == "BOOL" and (values.view(np.uint8) > 1).any():
        raise _wrong(tensor, "has a byte that is neither 0 nor 1", "Send one byte for each truth.")
    return _cast(tensor, values, spec)


def _cast(tensor: RequestInput, values: npt.NDArray[Any], spec: TensorSpec) -> npt.NDArray[Any]:
    """The values in the declared type. NaN stands for a missing one; no other value may change or be
    infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        out = values.astype(DTYPES[spec.datatype])
    if (out.dtype.kind == "i" and (out != values).any()) or np.isinf(out).any():
        raise _wrong(tensor, "has a value out of range", f"Its datatype is {spec.datatype}.")
    if out.dtype.kind == "f" and not spec.nullable and np.isnan(out).any():
        raise _wrong(
            tensor, f"is NaN in row {int(np.isnan(out).argmax())}", "It must have a value in every row."
        )
    return out


def _read_texts(tensor: RequestInput, n: int, raw: memoryview) -> list[str | None]:
    out: list[str | None] = []
    at = 0
    while at + 4 <= len(raw) and len(out) < n:
        end = at + 4 + _LENGTH.unpack_from(raw, at)[0]
        if end > len(raw):
            break
        try:
            out.append(str(raw[at + 4 : end], "utf-8"))
        except UnicodeDecodeError as error:
            raise _wrong(tensor, f"is not UTF-8 in row {len(out)}", "Send text as UTF-8.") from error
        at = end
    if len(out) != n or at != len(raw):
        raise _wrong(
            tensor,
            f"has {len(raw)} bytes that do not hold {n} texts",
            "Send each after its length, a 4-byte integer.",
        )
    return out


def _wrong(tensor: RequestInput, cause: str, expected: str) -> RequestError:
    return RequestError(f"input {tensor.name!r}", cause, expected)
