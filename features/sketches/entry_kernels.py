"""numba kernels of a tile's entries: one more value, and the entries of one more tile."""

from __future__ import annotations

from typing import Any

from freshet.features.compiled_kernels import inlined, kernel
from freshet.features.sketches.layout import (
    AMOUNT_BITS,
    AMOUNT_MASK,
    DISTINCT,
    FREQUENT,
    HISTOGRAM,
    PAIR,
)


@inlined
def code_at(kind: Any, words: Any, first: Any, entry: Any) -> Any:
    if kind == FREQUENT:
        return words[first + PAIR * entry]
    if kind == HISTOGRAM:
        return words[first + entry] >> AMOUNT_BITS
    return words[first + entry]


@inlined
def amount_at(kind: Any, words: Any, first: Any, entry: Any) -> Any:
    if kind == FREQUENT:
        return words[first + PAIR * entry + 1]
    if kind == HISTOGRAM:
        return words[first + entry] & AMOUNT_MASK
    return 1


@inlined
def place_of(kind: Any, words: Any, first: Any, count: Any, code: Any) -> Any:
    """The first of `count` entries whose code is not below this one."""
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        if code_at(kind, words, first, middle) < code:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def with_distinct(words: Any, first: Any, count: Any, code: Any) -> Any:
    """How many codes there are, which begin at word `first`, with one more value."""
    place = place_of(DISTINCT, words, first, count, code)
    at = first + place
    if place < count and words[at] == code:
        return count
    for word in range(first + count, at, -1):
        words[word] = words[word - 1]
    words[at] = code
    return count + 1


@kernel
def with_bucket(words: Any, first: Any, count: Any, most: Any, code: Any) -> Any:
    """How many buckets there are, which begin at word `first`, with one more value.

    Beyond half of `most` of one sign the two nearest to zero become one, which has the code of the
    farther one: so a tile holds the farthest of each sign, in whatever order values come. Source:
    DDSketch's collapsing stores, one for each sign (Masson, Rim and Lee, 2019).
    """
    place = place_of(HISTOGRAM, words, first, count, code)
    at = first + place
    if place < count and words[at] >> AMOUNT_BITS == code:
        words[at] += 1
        return count
    new = (code << AMOUNT_BITS) + 1
    begin = place_of(HISTOGRAM, words, first, count, 0)
    end = count
    if code < 0:
        end = begin
        begin = 0
    if end - begin < most // 2:
        for word in range(first + count, at, -1):
            words[word] = words[word - 1]
        words[at] = new
        return count + 1
    if code < 0:
        nearest = first + end - 1
        if at > nearest:
            # It is, or was earlier, among those that became one.
            words[nearest] += 1
            return count
        amount = words[nearest] & AMOUNT_MASK
        for word in range(nearest, at, -1):
            words[word] = words[word - 1]
        words[at] = new
        words[nearest] += amount
        return count
    nearest = first + begin
    if at == nearest:
        words[nearest] += 1
        return count
    amount = words[nearest] & AMOUNT_MASK
    for word in range(nearest, at - 1):
        words[word] = words[word + 1]
    words[at - 1] = new
    words[nearest] += amount
    return count


@kernel
def with_frequent(words: Any, first: Any, count: Any, most: Any, code: Any) -> Any:
    """How many pairs of code and amount there are, which begin at word `first`, with one more
    value.

    Beyond `most` of them the value takes the place of the rarest (of equals the least code), and
    its amount. Source: Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and
    top-k elements in data streams" (2005), Space-Saving.
    """
    place = place_of(FREQUENT, words, first, count, code)
    if place < count and words[first + PAIR * place] == code:
        words[first + PAIR * place + 1] += 1
        return count
    amount = 1
    if count == most:
        rarest = 0
        for entry in range(1, count):
            if words[first + PAIR * entry + 1] < words[first + PAIR * rarest + 1]:
                rarest = entry
        amount += words[first + PAIR * rarest + 1]
        count -= 1
        for word in range(first + PAIR * rarest, first + PAIR * count):
            words[word] = words[word + PAIR]
        if rarest < place:
            place -= 1
    at = first + PAIR * place
    for word in range(first + PAIR * count + 1, at + 1, -1):
        words[word] = words[word - PAIR]
    words[at] = code
    words[at + 1] = amount
    return count + 1


@kernel
def merge(
    kind: Any, words: Any, first: Any, count: Any, pairs: Any, old: Any, had: Any, new: Any
) -> Any:
    """Write the `had` pairs from word `old` on, with the `count` entries of a tile that begin at
    word `first`, from word `new` on; how many there are then."""
    pair = 0
    entry = 0
    to = new
    while pair < had or entry < count:
        from_pairs = entry == count
        from_tile = pair == had
        if not from_pairs and not from_tile:
            known = pairs[old + PAIR * pair]
            code = code_at(kind, words, first, entry)
            # Of equal codes both are taken at once.
            from_pairs = known <= code
            from_tile = code <= known
        amount = 0
        if from_pairs:
            pairs[to] = pairs[old + PAIR * pair]
            amount += pairs[old + PAIR * pair + 1]
            pair += 1
        if from_tile:
            pairs[to] = code_at(kind, words, first, entry)
            amount += amount_at(kind, words, first, entry)
            entry += 1
        pairs[to + 1] = amount
        to += PAIR
    return (to - new) // PAIR
