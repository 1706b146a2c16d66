"""numba kernels of registers: how many different values there were, estimated.

Source: Flajolet, Fusy, Gandouet and Meunier, "HyperLogLog: the analysis of a near-optimal
cardinality estimation algorithm" (2007); the estimate is that of Ertl, "New cardinality estimation
algorithms for HyperLogLog sketches" (2017), algorithm 6, which needs no correction of small or
large counts, and nothing but additions, multiplications and roots: it is the same on every
processor.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from freshet.features.compiled_kernels import inlined, kernel
from freshet.features.sketches.layout import RANKS, RANKS_COUNTED, REGISTERS_A_WORD

u64 = np.uint64
BYTE = 0xFF
TOP_BIT = u64(1 << 63)
# 1 / (2 ln 2): alpha of infinitely many registers.
ALPHA = float(1 / (2 * Decimal(2).ln()))


@inlined
def mixed(code: Any) -> Any:
    """64 bits that are as random as codes are different. Source: the finaliser of MurmurHash3
    (Appleby, 2011), which gives different codes different bits."""
    bits = u64(code)
    bits = (bits ^ (bits >> u64(33))) * u64(0xFF51AFD7ED558CCD)
    bits = (bits ^ (bits >> u64(33))) * u64(0xC4CEB9FE1A85EC53)
    return bits ^ (bits >> u64(33))


@inlined
def with_value(words: Any, first: Any, bits: Any, code: Any) -> None:
    """Registers that begin at word `first`, after one more value."""
    hashed = mixed(code)
    register = np.int64(hashed >> u64(64 - bits))
    rest = hashed << u64(bits)
    rank = 1
    # The position of the first bit that is set; one behind the last where none is.
    while rank <= 64 - bits and rest & TOP_BIT == 0:
        rest <<= u64(1)
        rank += 1
    at = first + register // REGISTERS_A_WORD
    shift = 8 * (register % REGISTERS_A_WORD)
    had = (words[at] >> shift) & BYTE
    if rank > had:
        words[at] += (rank - had) << shift


@kernel
def merge_registers(words: Any, first: Any, out: Any, to: Any, count: Any) -> None:
    """Each of the registers in `count` words of `out` becomes the larger of it and another."""
    for word in range(count):
        for shift in range(0, 8 * REGISTERS_A_WORD, 8):
            other = (words[first + word] >> shift) & BYTE
            had = (out[to + word] >> shift) & BYTE
            if other > had:
                out[to + word] += (other - had) << shift


@kernel
def estimate(words: Any, first: Any, bits: Any) -> Any:
    """How many different values these registers have seen, to the nearest whole number. Names as in
    Ertl (2017)."""
    registers = 1 << bits
    last = 64 - bits
    for rank in range(RANKS_COUNTED):
        words[RANKS + rank] = 0
    for word in range(first, first + registers // REGISTERS_A_WORD):
        for shift in range(0, 8 * REGISTERS_A_WORD, 8):
            # Bytes that are no registers of ours have no rank.
            rank = min(last + 1, (words[word] >> shift) & BYTE)
            words[RANKS + rank] += 1
    total = registers * _tau(1.0 - words[RANKS + last + 1] / registers)
    for rank in range(last, 0, -1):
        total = 0.5 * (total + words[RANKS + rank])
    total += registers * _sigma(words[RANKS] / registers)
    return np.floor(ALPHA * registers * registers / total + 0.5)


@inlined
def _sigma(share: Any) -> Any:
    if share == 1.0:
        return np.inf
    weight = 1.0
    total = share
    before = -1.0
    while total != before:
        share *= share
        before = total
        total += share * weight
        weight += weight
    return total


@inlined
def _tau(share: Any) -> Any:
    if share in (0.0, 1.0):
        return 0.0
    weight = 1.0
    total = 1.0 - share
    before = -1.0
    while total != before:
        share = np.sqrt(share)
        before = total
        weight *= 0.5
        total -= (1.0 - share) * (1.0 - share) * weight
    return total / 3.0
