"""Arrays as bytes, in the format of safetensors (github.com/huggingface/safetensors, "Format").

Its own library copies everything twice, to write it and to read it: of a state that fills most of
the memory there is room for one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.parted_arrays import Array, PartedArray, PartedArrays, parts_of
from freshet.schemas.whole_files import Part

# numpy's names of what safetensors holds, both little endian
_DTYPES = {
    "f8": "F64",
    "f4": "F32",
    "f2": "F16",
    "i8": "I64",
    "i4": "I32",
    "i2": "I16",
    "i1": "I8",
    "u8": "U64",
    "u4": "U32",
    "u2": "U16",
    "u1": "U8",
    "b1": "BOOL",
}
_NUMPY = {theirs: np.dtype(ours) for ours, theirs in _DTYPES.items()}
_METADATA = "__metadata__"
# Whoever keeps an array keeps the bytes that it is a view of: of a smaller one it is a copy.
VIEW_BYTES = 1 << 20


def written(state: PartedArrays, metadata: Mapping[str, str]) -> Iterator[Part]:
    """`state` in parts, as they lie in memory.

    Raises:
        KeyError: an array is of a kind that the format lacks.
    """
    arrays = {name: _contiguous(values) for name, values in state.items()}
    header: dict[str, Any] = {_METADATA: metadata}
    end = 0
    # Wider numbers first, so that each array is aligned.
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    for name in names:
        values = arrays[name]
        begin = end
        end += values.nbytes
        header[name] = {
            "dtype": _DTYPES[values.dtype.str.lstrip("<|")],
            "shape": values.shape,
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little")
    yield text
    for name in names:
        for part in parts_of(arrays[name]):
            # Of an empty array there is no view as bytes.
            if part.nbytes:
                yield part.data.cast("B")


def read(data: memoryview) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a state; large ones are views of `data`.

    Raises:
        ValueError: it is not in the format.
    """
    body = data[_body_at(data) :]
    found = {}
    for name, facts in _header(data).items():
        if name == _METADATA:
            continue
        begin, end = facts["data_offsets"]
        values = np.frombuffer(body[begin:end], _NUMPY[facts["dtype"]]).reshape(facts["shape"])
        if values.nbytes < VIEW_BYTES:
            values = values.copy()
        found[name] = values
    return found


def metadata_of(data: bytes | memoryview) -> dict[str, str]:
    """What a state says beside its arrays; of its first bytes, as far as its header goes."""
    metadata: dict[str, str] = _header(data)[_METADATA]
    return metadata


def _header(data: bytes | memoryview) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(bytes(data[8 : _body_at(data)]))
    return header


def _body_at(data: bytes | memoryview) -> int:
    """Where the arrays begin, behind the header and its size."""
    return 8 + int.from_bytes(data[:8], "little")


def _contiguous(values: Array | PartedArray) -> Array | PartedArray:
    if isinstance(values, PartedArray):
        return values
    return np.ascontiguousarray(values)
