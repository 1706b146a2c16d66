"""The numba kernel of validation: one table of checks, in order of precedence; the first that a row
fails is its reason."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

from freshet.schemas.durations import EARLIEST_MS
from freshet.schemas.text.kernels import SEED_LOW, hash_span

u64 = np.uint64
PRESENT, WORD, SYMBOL, WHOLE_RANGE, RANGE, UUID = range(6)
KIND, FIELD, FIRST, SECOND, WIDTH = range(5)
# Indices in `columns.REASONS`; 0 is ok.
WRONG_TYPE = 3
MISSING_REQUIRED = 4
OUT_OF_DOMAIN = 5
OUT_OF_RANGE = 6
FAR_FUTURE = 7
BAD_TIME = 11
UUID_LENGTH = 36
HYPHEN = ord("-")


class Rules(NamedTuple):
    """A schema's rules.

    `checks` int64 `[checks, WIDTH]`, in order of precedence: kind, field, and two numbers: a word
    table's first slot and mask, an enum's first slot (1: allowed), the bounds of a whole number, or
    the row of `bounds` (float64 `[.., 2]`) of another one. `slots` int64 are those of all word
    tables and enums; word `k` of a domain is `words[spans[k]:spans[k + 1]]`.
    """

    checks: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.float64]
    slots: npt.NDArray[np.int64]
    words: npt.NDArray[np.uint8]
    spans: npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Decoded rows, as `walker_kernels` lays them out, and what is wrong with them."""

    data: npt.NDArray[np.uint8]
    words: npt.NDArray[np.int64]
    floats: npt.NDArray[np.float64]
    valid: npt.NDArray[np.bool_]
    reason: npt.NDArray[np.uint8]
    detail: npt.NDArray[np.int16]


class Times(NamedTuple):
    """When events were, by their own `field`, and when their records were appended; int64 `[n]`,
    ms."""

    field: int
    event: npt.NDArray[np.int64]
    appended: npt.NDArray[np.int64]
    max_future: int


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def is_word(data: Any, start: Any, end: Any, rules: Any, first: Any, mask: Any) -> Any:
    """Whether a text is in the open table `slots[first:first + mask + 1]` of 1 + the index of a
    word, 0 where empty."""
    slot = np.int64(hash_span(data, start, end, SEED_LOW) & u64(mask))
    # At least half of the slots are empty, so the search ends.
    while rules.slots[first + slot] != 0:
        k = rules.slots[first + slot] - 1
        word = rules.spans[k]
        if rules.spans[k + 1] - word == end - start:
            same = True
            for i in range(end - start):
                if rules.words[word + i] != data[start + i]:
                    same = False
                    break
            if same:
                return True
        slot = (slot + 1) & mask
    return False


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def is_uuid(data: Any, start: Any, end: Any) -> Any:
    """Whether a text is a UUID as RFC 9562 writes it, in either case: groups of 8, 4, 4, 4 and 12
    digits."""
    if end - start != UUID_LENGTH:
        return False
    for i in range(UUID_LENGTH):
        byte = data[start + i]
        if i in (8, 13, 18, 23):
            if byte != HYPHEN:
                return False
        elif not ((48 <= byte <= 57) or (65 <= byte <= 70) or (97 <= byte <= 102)):  # 0-9, A-F, a-f
            return False
    return True


@nb.njit(nogil=True, cache=True, _nrt=False)
def fill_slots(
    words: Any, spans: Any, begin: Any, stop: Any, slots: Any, first: Any, mask: Any
) -> None:
    """Put words `begin` to `stop` into their open table."""
    for k in range(begin, stop):
        slot = np.int64(hash_span(words, spans[k], spans[k + 1], SEED_LOW) & u64(mask))
        while slots[first + slot] != 0:
            slot = (slot + 1) & mask
        slots[first + slot] = k + 1


@nb.njit(nogil=True, cache=True, _nrt=False)
def judge(rows: Any, rules: Any, times: Any) -> None:
    """Set `reason` and `detail` of `Rows` that are still ok, by `Rules` and `Times`."""
    checks = rules.checks
    bounds = rules.bounds
    for row in range(rows.reason.size):
        if rows.reason[row] != 0:
            continue
        for k in range(checks.shape[0]):
            kind = checks[k, KIND]
            field = checks[k, FIELD]
            first = checks[k, FIRST]
            second = checks[k, SECOND]
            # A text's start, or the value itself.
            word = rows.words[field, 0, row]
            why = 0
            if not rows.valid[field, row]:
                # What is missing breaks no other rule: it has no value to be wrong.
                if kind == PRESENT:
                    why = MISSING_REQUIRED
            elif kind == WORD:
                end = rows.words[field, 1, row]
                if not is_word(rows.data, word, end, rules, first, second):
                    why = OUT_OF_DOMAIN
            elif kind == UUID:
                if not is_uuid(rows.data, word, rows.words[field, 1, row]):
                    why = WRONG_TYPE
            elif kind == SYMBOL:
                if rules.slots[first + word] == 0:
                    why = OUT_OF_DOMAIN
            elif kind == WHOLE_RANGE:
                if not (first <= word <= second):
                    why = OUT_OF_RANGE
            elif kind == RANGE:
                number = rows.floats[field, 0, row]
                # Said so that it does not hold of NaN, which is in no range.
                if not (bounds[first, 0] <= number <= bounds[first, 1]):
                    why = OUT_OF_RANGE
            if why != 0:
                rows.reason[row] = why
                rows.detail[row] = field
                break
        # Last: of an event that is wrong in itself, its own fault is the reason. What lies between
        # two times of any size fits into 64 bits without a sign; their sums need not.
        time = times.event[row]
        appended = times.appended[row]
        if rows.reason[row] != 0:
            continue
        if time < EARLIEST_MS:
            rows.reason[row] = BAD_TIME
            rows.detail[row] = times.field
        elif time > appended and u64(time) - u64(appended) > u64(times.max_future):
            rows.reason[row] = FAR_FUTURE
            rows.detail[row] = times.field
