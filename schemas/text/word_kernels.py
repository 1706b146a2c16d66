"""numba kernels that read and write bytes as words."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

u64 = np.uint64
i64 = np.int64


@intrinsic
def eight_bytes(typing_context: Any, data: Any, at: Any) -> Any:
    """The 8 bytes of an array of bytes from `at` on, in one load: the compiler makes several of
    eight bytes and shifts."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.bitcast(builder.gep(array.data, [args[1]]), ir.IntType(64).as_pointer())
        return builder.load(place, align=1)

    return types.uint64(data, at), generate


@intrinsic
def put_eight_bytes(typing_context: Any, data: Any, at: Any, word: Any) -> Any:
    """Write a word to the 8 bytes of an array from `at` on, in one store."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.bitcast(builder.gep(array.data, [args[1]]), ir.IntType(64).as_pointer())
        builder.store(args[2], place, align=1)
        return context.get_dummy_value()

    return types.void(data, at, types.uint64), generate


@intrinsic
def prefetch(typing_context: Any, array: Any, at: Any) -> Any:
    """Ask for the cache line of `array[at]`, which is not waited for: what many keys have lies in
    no cache.

    Source: https://llvm.org/docs/LangRef.html#llvm-prefetch-intrinsic
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        held = context.make_array(signature.args[0])(context, builder, args[0])
        place = builder.bitcast(builder.gep(held.data, [args[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # To be written, kept in all caches, and data.
        builder.call(call, [place, number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@nb.njit(nogil=True, cache=True, _nrt=False)
def _few_bytes(data: Any, at: Any, n: Any) -> Any:
    word = u64(0)
    for j in range(n):
        word |= u64(data[at + j]) << u64(8 * j)
    return word


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def word_at(data: Any, at: Any, n: Any) -> Any:
    """The first `n` bytes (8 if there are more) from `at` on, little endian."""
    if at + 8 > data.size:
        return _few_bytes(data, at, min(n, i64(8)))
    word = eight_bytes(data, at)
    return word if n >= 8 else word & ((u64(1) << u64(8 * n)) - u64(1))
