"""numba kernels of the join: an open table of what was asked, and a heap of when it expires. Rows
are walked in order.

A slot holds one prediction id. `state` is its life. Until it expires it stands in `heap`, where the
next to expire is first, so no deadline holds up another one; then in `queue`, until it is
forgotten. `meta` is int64, see the names. Time moves by `advance` only, never by a row.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

u64 = np.uint64
ASKED, LABELLED, EXPIRED, CORRECTED = 0, 1, 2, 3
PENDING, ANSWERED, OVERDUE, EARLY = 0, 1, 2, 3
NOW, HEAP, FORGET_HEAD, TAIL, FREE, NEXT_ASK, EMITTED, FREED = 0, 1, 2, 3, 4, 5, 6, 7
REPEATED_QUESTIONS, REPEATED_LABELS, UNMATCHED, LATE_LABELS, EXPIRED_COUNT, LABELLED_COUNT = (
    8,
    9,
    10,
    11,
    12,
    13,
)
CORRECTED_COUNT = 14
# Labels that came, those that made an example to learn, and the newest one's time.
LABELS, USED, NEWEST_LABEL = 15, 16, 17
SAW_FUTURE_COUNT, EMPTY_COUNT = 18, 19
# Labels that came to nothing since the last one that was used, by reason: from `UNUSED` up to
# `UNUSED_END`.
UNUSED = 20
NO_QUESTION, SAW_FUTURE, TOO_LATE, REPEATED, EMPTY = 20, 21, 22, 23, 24
UNUSED_END = 25
# Slots made so far.
MADE = 25
META = 26


@nb.njit(inline="always", nogil=True, cache=True)
def find(table: Any, ids: Any, low: Any, high: Any) -> Any:
    """The place in the table of an id, or the empty place (-1 there) where it would go."""
    mask = table.size - 1
    i = np.int64(low & u64(mask))
    while table[i] >= 0:
        s = table[i]
        if ids[s, 0] == low and ids[s, 1] == high:
            break
        i = (i + 1) & mask
    return i


@nb.njit(inline="always", nogil=True, cache=True)
def forget(table: Any, ids: Any, slot: Any) -> None:
    """Take a slot out of the table, closing the gap (Knuth 6.4, algorithm R)."""
    mask = table.size - 1
    i = find(table, ids, ids[slot, 0], ids[slot, 1])
    j = i
    while True:
        j = (j + 1) & mask
        if table[j] < 0:
            break
        home = np.int64(ids[table[j], 0] & u64(mask))
        if ((j - home) & mask) >= ((j - i) & mask):
            table[i] = table[j]
            i = j
    table[i] = -1


@nb.njit(nogil=True, cache=True)
def fill_table(table: Any, ids: Any, slots: Any) -> None:
    """Enter the first slots into an empty table."""
    for s in range(slots):
        table[find(table, ids, ids[s, 0], ids[s, 1])] = s


@nb.njit(inline="always", nogil=True, cache=True)
def _emit(
    out: Any, label_out: Any, meta: Any, slot: Any, kind: Any, t: Any, label: Any, future: Any
) -> None:
    m = meta[EMITTED]
    out[m, 0] = slot
    out[m, 1] = kind
    out[m, 2] = t
    out[m, 3] = future
    label_out[m] = label
    meta[EMITTED] = m + 1


@nb.njit(inline="always", nogil=True, cache=True)
def _is_before(one: Any, other: Any, deadline: Any, made: Any) -> Any:
    """Whether a slot expires before another; of those with one deadline the one that was made
    first."""
    return deadline[one] < deadline[other] or (
        deadline[one] == deadline[other] and made[one] < made[other]
    )


@nb.njit(nogil=True, cache=True)
def _push(heap: Any, size: Any, slot: Any, deadline: Any, made: Any) -> None:
    i = size
    while i > 0:
        above = (i - 1) // 2
        if not _is_before(slot, heap[above], deadline, made):
            break
        heap[i] = heap[above]
        i = above
    heap[i] = slot


@nb.njit(nogil=True, cache=True)
def _pop(heap: Any, size: Any, deadline: Any, made: Any) -> Any:
    """The first of a heap of `size`, which has one less afterwards."""
    first = heap[0]
    last = heap[size - 1]
    i = 0
    while 2 * i + 1 < size - 1:
        below = 2 * i + 1
        if below + 1 < size - 1 and _is_before(heap[below + 1], heap[below], deadline, made):
            below += 1
        if not _is_before(heap[below], last, deadline, made):
            break
        heap[i] = heap[below]
        i = below
    heap[i] = last
    return first


@nb.njit(inline="always", nogil=True, cache=True)
def _judge(meta: Any, future: Any) -> None:
    """A label met its question: it is used, unless its event was not later than the question."""
    if future:
        meta[SAW_FUTURE_COUNT] += 1
        meta[SAW_FUTURE] += 1
        return
    meta[USED] += 1
    for i in range(UNUSED, UNUSED_END):
        meta[i] = 0


@nb.njit(nogil=True, cache=True)
def advance(
    t: Any, wait: Any, table: Any, ids: Any, state: Any, deadline: Any, made: Any, heap: Any, queue: Any, freed: Any,
    meta: Any, out: Any, label_out: Any,
) -> None:  # fmt: skip
    """Time reaches `t` (ms): expire what waited `wait`, forget what waited twice that."""
    if t <= meta[NOW]:
        return
    meta[NOW] = t
    while meta[HEAP] > 0 and deadline[heap[0]] <= t:
        s = _pop(heap, meta[HEAP], deadline, made)
        meta[HEAP] -= 1
        if state[s] == PENDING:
            state[s] = OVERDUE
            meta[EXPIRED_COUNT] += 1
            _emit(out, label_out, meta, s, EXPIRED, deadline[s], np.nan, 0)
        elif state[s] == EARLY:
            meta[UNMATCHED] += 1
        queue[meta[TAIL] % queue.size] = s
        meta[TAIL] += 1
    while meta[FORGET_HEAD] < meta[TAIL]:
        s = queue[meta[FORGET_HEAD] % queue.size]
        # One that expired late holds up those behind it, by one more wait at most.
        if deadline[s] + wait > t:
            break
        forget(table, ids, s)
        freed[meta[FREED]] = s
        meta[FREED] += 1
        meta[FORGET_HEAD] += 1


@nb.njit(inline="always", nogil=True, cache=True)
def _new(at: Any, low: Any, high: Any, due: Any, life: Any, table: Any, ids: Any, state: Any, deadline: Any, made: Any,
         heap: Any, free: Any, meta: Any) -> Any:  # fmt: skip
    meta[FREE] -= 1
    s = free[meta[FREE]]
    table[at] = s
    ids[s, 0] = low
    ids[s, 1] = high
    state[s] = life
    deadline[s] = due
    made[s] = meta[MADE]
    meta[MADE] += 1
    _push(heap, meta[HEAP], s, deadline, made)
    meta[HEAP] += 1
    return s


@nb.njit(nogil=True, cache=True)
def pack_texts(
    data0: Any, data1: Any, data2: Any, starts: Any, sizes: Any, arena: Any, at: Any
) -> Any:
    """Copy every row's three texts (int64 `[n, 3]` starts and sizes) one after the other; where
    each row begins."""
    begin = np.empty(sizes.shape[0], np.int64)
    for r in range(sizes.shape[0]):
        begin[r] = at
        for j in range(3):
            data = data0 if j == 0 else (data1 if j == 1 else data2)
            for i in range(sizes[r, j]):
                arena[at + i] = data[starts[r, j] + i]
            at += sizes[r, j]
    return begin


@nb.njit(nogil=True, cache=True)
def ask(
    new_ids: Any, new_asked_at: Any, rows: Any, begin: Any, sizes: Any, wait: Any, table: Any, ids: Any, state: Any,
    deadline: Any, early_label: Any, early_t: Any, asked_no: Any, asked_at: Any, fixed: Any, text_at: Any, text_sizes: Any,
    made: Any, heap: Any, free: Any, meta: Any, out: Any, label_out: Any,
) -> None:  # fmt: skip
    """Take predictions: the first of an id is held and emitted as asked; later ones are repeats.

    `rows` uint8 `[n, width]` are copied into `fixed`; `begin` and `sizes` say where each row's
    texts lie in the arena.
    """
    for r in range(new_asked_at.size):
        t = new_asked_at[r]
        low, high = new_ids[r, 0], new_ids[r, 1]
        at = find(table, ids, low, high)
        s = table[at]
        if s < 0:
            s = _new(
                at,
                low,
                high,
                t + wait,
                PENDING,
                table,
                ids,
                state,
                deadline,
                made,
                heap,
                free,
                meta,
            )
        elif state[s] != EARLY:
            meta[REPEATED_QUESTIONS] += 1
            continue
        for j in range(rows.shape[1]):
            fixed[s, j] = rows[r, j]
        for j in range(3):
            text_sizes[s, j] = sizes[r, j]
        text_at[s] = begin[r]
        asked_at[s] = t
        asked_no[s] = meta[NEXT_ASK]
        meta[NEXT_ASK] += 1
        _emit(out, label_out, meta, s, ASKED, t, np.nan, 0)
        if state[s] == EARLY:
            state[s] = ANSWERED
            meta[LABELLED_COUNT] += 1
            # It was counted as without a question when it came.
            meta[NO_QUESTION] = max(0, meta[NO_QUESTION] - 1)
            _judge(meta, early_t[s] <= t)
            _emit(
                out,
                label_out,
                meta,
                s,
                LABELLED,
                early_t[s],
                early_label[s],
                1 if early_t[s] <= t else 0,
            )


@nb.njit(nogil=True, cache=True)
def answer(
    new_ids: Any, t: Any, label: Any, asked_at: Any, wait: Any, correct_late: Any, table: Any, ids: Any, state: Any,
    deadline: Any, early_label: Any, early_t: Any, made: Any, heap: Any, free: Any, meta: Any, out: Any, label_out: Any,
) -> None:  # fmt: skip
    """Take labels: the first answers its question, or corrects its expiry; one that comes before
    the question waits."""
    for r in range(t.size):
        meta[NEWEST_LABEL] = max(t[r], meta[NEWEST_LABEL]) if meta[LABELS] else t[r]
        meta[LABELS] += 1
        if np.isnan(label[r]):
            meta[UNMATCHED] += 1
            meta[EMPTY_COUNT] += 1
            meta[EMPTY] += 1
            continue
        low, high = new_ids[r, 0], new_ids[r, 1]
        at = find(table, ids, low, high)
        s = table[at]
        if s < 0:
            # Its own time may be of years ago: it waits from when it came.
            due = max(t[r], meta[NOW]) + wait
            s = _new(at, low, high, due, EARLY, table, ids, state, deadline, made, heap, free, meta)
            early_label[s] = label[r]
            early_t[s] = t[r]
            meta[NO_QUESTION] += 1
        elif state[s] == PENDING:
            state[s] = ANSWERED
            meta[LABELLED_COUNT] += 1
            _judge(meta, t[r] <= asked_at[s])
            _emit(
                out, label_out, meta, s, LABELLED, t[r], label[r], 1 if t[r] <= asked_at[s] else 0
            )
        elif state[s] == OVERDUE:
            state[s] = ANSWERED
            if correct_late:
                meta[CORRECTED_COUNT] += 1
                _judge(meta, t[r] <= asked_at[s])
                _emit(
                    out,
                    label_out,
                    meta,
                    s,
                    CORRECTED,
                    t[r],
                    label[r],
                    1 if t[r] <= asked_at[s] else 0,
                )
            else:
                meta[LATE_LABELS] += 1
                meta[TOO_LATE] += 1
        else:
            meta[REPEATED_LABELS] += 1
            meta[REPEATED] += 1
