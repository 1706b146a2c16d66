"""The numba kernel of validation: one table of checks, in order of precedence; the first that a row
fails is its reason."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from freshet.schemas.text.kernels import SEED_LOW, hash_span

u64 = np.uint64
PRESENT, WORD, SYMBOL, WHOLE_RANGE, RANGE, UUID = range(6)
KIND, FIELD, FIRST, SECOND, WIDTH = range(5)
WRONG_TYPE, MISSING_REQUIRED, OUT_OF_DOMAIN, OUT_OF_RANGE, FAR_FUTURE = 3, 4, 5, 6, 7
UUID_LENGTH, HYPHEN = 36, ord("-")


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def is_word(
    data: Any, start: Any, end: Any, slots: Any, first: Any, mask: Any, words: Any, spans: Any
) -> Any:
    """Whether a text is in the open table `slots[first:first + mask + 1]` of 1 + the index of a
    word, 0 where empty."""
    i = np.int64(hash_span(data, start, end, SEED_LOW) & u64(mask))
    while slots[first + i] != 0:
        k = slots[first + i] - 1
        a = spans[k]
        if spans[k + 1] - a == end - start:
            same = True
            for j in range(end - start):
                if words[a + j] != data[start + j]:
                    same = False
                    break
            if same:
                return True
        i = (i + 1) & mask
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
        i = np.int64(hash_span(words, spans[k], spans[k + 1], SEED_LOW) & u64(mask))
        while slots[first + i] != 0:
            i = (i + 1) & mask
        slots[first + i] = k + 1


@nb.njit(nogil=True, cache=True, _nrt=False)
def judge(
    data: Any, word: Any, floats: Any, valid: Any, checks: Any, bounds: Any, slots: Any, words: Any, spans: Any,
    time_field: Any, times: Any, appended: Any, max_future: Any, reason: Any, detail: Any,
) -> None:  # fmt: skip
    """Set `reason` and `detail` of rows that are still ok.

    `checks` int64 `[checks, WIDTH]`: kind, field, and two numbers: a word table's first slot and
    mask, an enum's first slot (1: allowed), the bounds of a whole number, or the row of `bounds`
    (float64 `[.., 2]`) of another one.
    """
    for r in range(reason.size):
        if reason[r] != 0:
            continue
        for k in range(checks.shape[0]):
            kind, f, first, second = (
                checks[k, KIND],
                checks[k, FIELD],
                checks[k, FIRST],
                checks[k, SECOND],
            )
            why = 0
            if not valid[f, r]:
                if kind == PRESENT:
                    why = MISSING_REQUIRED
            elif kind == WORD:
                if not is_word(
                    data, word[f, 0, r], word[f, 1, r], slots, first, second, words, spans
                ):
                    why = OUT_OF_DOMAIN
            elif kind == UUID:
                if not is_uuid(data, word[f, 0, r], word[f, 1, r]):
                    why = WRONG_TYPE
            elif kind == SYMBOL:
                if slots[first + word[f, 0, r]] == 0:
                    why = OUT_OF_DOMAIN
            elif kind == WHOLE_RANGE:
                if not (first <= word[f, 0, r] <= second):
                    why = OUT_OF_RANGE
            elif kind == RANGE and not (bounds[first, 0] <= floats[f, 0, r] <= bounds[first, 1]):
                why = OUT_OF_RANGE
            if why != 0:
                reason[r], detail[r] = why, f
                break
        # What lies between two times of any size fits into 64 bits without a sign; their sums need
        # not.
        if (
            reason[r] == 0
            and times[r] > appended[r]
            and u64(times[r]) - u64(appended[r]) > u64(max_future)
        ):
            reason[r], detail[r] = FAR_FUTURE, time_field
