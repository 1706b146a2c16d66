"""Asking the processor for memory before it is needed: rows of many keys lie in no cache."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

# Of LLVM's intrinsic: to be written, kept in all caches, and data.
WRITTEN = 1
KEPT = 3
DATA = 1


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of `array[index]`, which is not waited for.

    Source: https://llvm.org/docs/LangRef.html#llvm-prefetch-intrinsic
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        call = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(call, [pointer, number(WRITTEN), number(KEPT), number(DATA)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
