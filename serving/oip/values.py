"""The values of one tensor to a column, from JSON or from Triton's binary form, all of them
checked."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from freshet.schemas.errors import RequestError
from freshet.serving.oip.messages import RequestInput
from freshet.serving.scoring.contract import Column, TensorSpec

DTYPES: dict[str, type[np.generic]] = {
    "BOOL": np.bool_, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
_WHOLE = {"INT32": (-(1 << 31), (1 << 31) - 1), "INT64": (-(1 << 63), (1 << 63) - 1)}
# Flat, and one value a row: both are shapes of a column.
_JSON_TYPES: dict[str, tuple[Any, Any]] = {
    "BYTES": (list[str | None], list[tuple[str | None]]),
    "BOOL": (list[bool | None], list[tuple[bool | None]]),
    "INT32": (list[int | None], list[tuple[int | None]]),
    "INT64": (list[int | None], list[tuple[int | None]]),
    "FP32": (list[float | None], list[tuple[float | None]]),
    "FP64": (list[float | None], list[tuple[float | None]]),
}
_FLAT = {datatype: msgspec.json.Decoder(flat) for datatype, (flat, _) in _JSON_TYPES.items()}
_NESTED = {datatype: msgspec.json.Decoder(nested) for datatype, (_, nested) in _JSON_TYPES.items()}
_LENGTH = struct.Struct("<I")


def from_json(tensor: RequestInput, spec: TensorSpec, count: int) -> Column:
    """A list, as JSON has them: an array of one value costs more to make than to read a request.
    Of singles an array, whose values are those that the type has."""
    values = _json_list(tensor, spec, count)
    if len(values) != count:
        raise wrong(tensor, f"has {len(values)} values", f"Its shape {tensor.shape} says {count}.")
    if not spec.nullable and None in values:
        raise wrong(
            tensor, f"is null in row {values.index(None)}", "It must have a value in every row."
        )
    if spec.datatype in _WHOLE:
        lowest, highest = _WHOLE[spec.datatype]
        if _is_outside(values, lowest, highest):
            raise _out_of_range(tensor, spec)
    if spec.datatype == "FP32":
        # To numpy a missing one is NaN.
        return _cast(tensor, np.array(values, np.float64), spec)
    return values


def _is_outside(values: list[Any], lowest: float, highest: float) -> bool:
    """Whether any of the numbers lies beyond either end; what is missing lies in every range."""
    there = values
    if None in values:
        there = [value for value in values if value is not None]
    return bool(there) and not lowest <= min(there) <= max(there) <= highest


def _json_list(tensor: RequestInput, spec: TensorSpec, count: int) -> list[Any]:
    if not len(tensor.data):
        raise wrong(
            tensor, "has no data", "Send `data`, or binary data and its `binary_data_size`."
        )
    try:
        flat: list[Any] = _FLAT[spec.datatype].decode(tensor.data)
        return flat
    except msgspec.DecodeError as error:
        if tensor.shape == [count, 1]:
            try:
                return [value for (value,) in _NESTED[spec.datatype].decode(tensor.data)]
            except msgspec.DecodeError:
                pass  # the error of the flat form says it more simply
        raise wrong(
            tensor, f"has wrong data: {error}", f"Its datatype is {spec.datatype}."
        ) from error


def from_binary(tensor: RequestInput, spec: TensorSpec, count: int, raw: memoryview) -> Column:
    if spec.datatype == "BYTES":
        return list(_texts(tensor, count, raw))
    dtype = np.dtype(DTYPES[tensor.datatype]).newbyteorder("<")
    if len(raw) != count * dtype.itemsize:
        raise wrong(
            tensor,
            f"has {len(raw)} bytes",
            f"{count} values of {tensor.datatype} are {count * dtype.itemsize}.",
        )
    values = np.frombuffer(raw, dtype)
    # Of other bytes numpy makes truths that are equal to neither.
    if tensor.datatype == "BOOL" and (values.view(np.uint8) > 1).any():
        raise wrong(tensor, "has a byte that is neither 0 nor 1", "Send one byte for each truth.")
    return _cast(tensor, values, spec)


def _cast(tensor: RequestInput, values: npt.NDArray[Any], spec: TensorSpec) -> npt.NDArray[Any]:
    """The values in the declared type. NaN stands for a missing one; no other value may change or
    be infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        out = values.astype(DTYPES[spec.datatype])
    changed = out.dtype.kind == "i" and (out != values).any()
    if not changed and (out.dtype.kind != "f" or np.isfinite(out).all()):
        return out
    # Floats may lose digits, but not their size: beyond the type's range they become infinite.
    if changed or np.isinf(out).any():
        raise _out_of_range(tensor, spec)
    if not spec.nullable:
        raise wrong(
            tensor,
            f"is NaN in row {int(np.isnan(out).argmax())}",
            "It must have a value in every row.",
        )
    return out


def checked(tensor: RequestInput, spec: TensorSpec, column: Column) -> Column:
    """The column, if its topic would take every value of it."""
    if spec.domain is not None:
        _check_domain(tensor, spec.domain, column)
    if spec.range is not None:
        _check_range(tensor, spec.range, column)
    return column


def _check_domain(tensor: RequestInput, domain: frozenset[str], column: Column) -> None:
    for row, value in enumerate(column):
        if value is not None and value not in domain:
            words = ", ".join(sorted(domain))
            raise wrong(
                tensor,
                f"is {value!r} in row {row}, which is not in its domain",
                f"Send one of {words}.",
            )


def _check_range(tensor: RequestInput, ends: tuple[float, float], column: Column) -> None:
    lowest, highest = ends
    if isinstance(column, list):
        if not _is_outside(column, lowest, highest):
            return
        values = column
    else:
        # NaN, which is missing, is less and more than nothing.
        if not ((column < lowest) | (column > highest)).any():
            return
        values = column.tolist()
    for row, value in enumerate(values):
        if value is not None and (value < lowest or value > highest):
            raise wrong(
                tensor,
                f"is {value!r} in row {row}, which is out of its range",
                f"Send {lowest:g} to {highest:g}.",
            )


def _texts(tensor: RequestInput, count: int, raw: memoryview) -> list[str | None]:
    out: list[str | None] = []
    at = 0
    # Both bounds: what is left over, or missing, is told below by size and count.
    while at + 4 <= len(raw) and len(out) < count:
        end = at + 4 + _LENGTH.unpack_from(raw, at)[0]
        if end > len(raw):
            break
        try:
            out.append(str(raw[at + 4 : end], "utf-8"))
        except UnicodeDecodeError as error:
            raise wrong(tensor, f"is not UTF-8 in row {len(out)}", "Send text as UTF-8.") from error
        at = end
    if len(out) != count or at != len(raw):
        raise wrong(
            tensor,
            f"has {len(raw)} bytes that do not hold {count} texts",
            "Send each after its length, a 4-byte integer.",
        )
    return out


def _out_of_range(tensor: RequestInput, spec: TensorSpec) -> RequestError:
    return wrong(tensor, "has a value out of range", f"Its datatype is {spec.datatype}.")


def wrong(tensor: RequestInput, cause: str, expected: str) -> RequestError:
    return RequestError(f"input {tensor.name!r}", cause, expected)
