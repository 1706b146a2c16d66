"""The numba kernel of validation: the first rule that each row breaks."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

MISSING_REQUIRED, OUT_OF_DOMAIN, OUT_OF_RANGE, FAR_FUTURE = 4, 5, 6, 7


@nb.njit(inline="always", nogil=True, cache=True)
def _in_domain(data: Any, a: Any, b: Any, words: Any, spans: Any, first: Any, last: Any) -> Any:
    for k in range(first, last):
        n = spans[k, 1] - spans[k, 0]
        if n != b - a:
            continue
        same = True
        for i in range(n):
            if data[a + i] != words[spans[k, 0] + i]:
                same = False
                break
        if same:
            return True
    return False


@nb.njit(nogil=True, cache=True)
def judge(
    data: Any, starts: Any, ends: Any, longs: Any, doubles: Any, valid: Any, fields: Any, bounds: Any, words: Any, spans: Any,
    times: Any, appended: Any, max_future: Any, time_field: Any, reason: Any, detail: Any,
) -> None:  # fmt: skip
    """Set `reason` and `detail` of rows that are still ok: presence, then domains, then ranges, then far-future times.

    `fields` int64 `[fields, 5]`: group (0 text, 1 whole, 2 float), slot, required, first and last domain word;
    `bounds` float64 `[fields, 2]` (infinite: none). A float that is not finite is out of range.
    """
    for r in range(reason.size):
        if reason[r] != 0:
            continue
        why, where = 0, -1
        for f in range(fields.shape[0]):
            if fields[f, 2] != 0 and not valid[f, r]:
                why, where = MISSING_REQUIRED, f
                break
        if why == 0:
            for f in range(fields.shape[0]):
                if fields[f, 4] > fields[f, 3] and valid[f, r]:
                    s = fields[f, 1]
                    if not _in_domain(data, starts[s, r], ends[s, r], words, spans, fields[f, 3], fields[f, 4]):
                        why, where = OUT_OF_DOMAIN, f
                        break
        if why == 0:
            for f in range(fields.shape[0]):
                if fields[f, 0] == 0 or not valid[f, r]:
                    continue
                s = fields[f, 1]
                x = np.float64(longs[s, r]) if fields[f, 0] == 1 else doubles[s, r]
                if not (bounds[f, 0] <= x <= bounds[f, 1]) or (fields[f, 0] == 2 and not np.isfinite(x)):
                    why, where = OUT_OF_RANGE, f
                    break
        if why == 0 and times[r] > appended[r] + max_future:
            why, where = FAR_FUTURE, time_field
        if why != 0:
            reason[r] = why
            detail[r] = where
