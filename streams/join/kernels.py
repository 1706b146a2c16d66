"""numba kernels of the join: an open table of what was asked, and a heap of when it expires. Rows
are walked in order.

A slot holds one prediction id. `state` is its life. Until it expires it stands in `heap`, where the
next to expire is first, so no deadline holds up another one; then in `queue`, until it is
forgotten. `meta` is int64, see the names. Time moves by `advance` only, never by a row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba as nb
import numpy as np

u64 = np.uint64
# What a row of the examples log says of a question. The numbers stand in that log.
ASKED = 0
LABELLED = 1
EXPIRED = 2
CORRECTED = 3
CONFLICTED = 4
# The life of a slot. OVERDUE: expired without a label, which may still correct that. EARLY: a label
# came before its question. CONTESTED: asked again with other fields, so nothing is made of it any
# more.
PENDING = 0
ANSWERED = 1
OVERDUE = 2
EARLY = 3
CONTESTED = 4
# Places in `meta`. Checkpoints hold it as it is: places are added, never moved.
NOW = 0
HEAP = 1
# Positions in `queue` rise until slots are rebuilt, and are taken modulo its size.
FORGET_HEAD = 2
TAIL = 3
FREE = 4
NEXT_ASK = 5
# Of one block only: the caller sets both to 0 before it.
EMITTED = 6
FREED = 7
REPEATED_QUESTIONS = 8
REPEATED_LABELS = 9
UNMATCHED = 10
LATE_LABELS = 11
EXPIRED_COUNT = 12
LABELLED_COUNT = 13
CORRECTED_COUNT = 14
# Labels that came, those that made an example to learn, and the newest one's time.
LABELS = 15
USED = 16
NEWEST_LABEL = 17
SAW_FUTURE_COUNT = 18
EMPTY_COUNT = 19
# Labels that came to nothing since the last one that was used, by reason.
UNUSED = 20
NO_QUESTION = 20
SAW_FUTURE = 21
TOO_LATE = 22
REPEATED = 23
EMPTY = 24
CONFLICTING = 25
UNUSED_END = 26
CONFLICTING_QUESTIONS = 26
CONFLICTED_COUNT = 27
SETTLED_CONFLICTS = 28
CONFLICTING_LABELS = 29
# Slots made so far.
MADE = 30
META = 31


class Table(NamedTuple):
    """Slots by what they hold, the places of ids (`table`), and `meta`. Of each slot: its id and
    its request's digest (uint64 `[n, 2]` each), its life and deadline, a label that came before its
    question, the question's number and time, its row as bytes, where its texts lie, and as which
    slot it was made."""

    table: Any
    ids: Any
    request: Any
    state: Any
    deadline: Any
    early_label: Any
    early_t: Any
    asked_no: Any
    asked_at: Any
    fixed: Any
    text_at: Any
    text_sizes: Any
    made: Any
    heap: Any
    queue: Any
    free: Any
    freed: Any
    meta: Any


class Emitted(NamedTuple):
    """Room for what is emitted: `rows` int64 `[n, 4]` are slot, kind, time, and whether the label
    saw the future."""

    rows: Any
    labels: Any


class Questions(NamedTuple):
    """Predictions as they are taken: `rows` uint8 `[n, width]`; `begin` and `sizes` say where their
    texts lie in the arena."""

    ids: Any
    request: Any
    asked_at: Any
    rows: Any
    begin: Any
    sizes: Any


class Labels(NamedTuple):
    ids: Any
    t: Any
    label: Any


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
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


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
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


@nb.njit(nogil=True, cache=True, _nrt=False)
def fill_table(table: Any, ids: Any, slots: Any) -> None:
    """Enter the first slots into an empty table."""
    for s in range(slots):
        table[find(table, ids, ids[s, 0], ids[s, 1])] = s


@nb.njit(nogil=True, cache=True, _nrt=False)
def _emit(held: Any, out: Any, slot: Any, kind: Any, t: Any, label: Any) -> None:
    at = held.meta[EMITTED]
    out.rows[at, 0] = slot
    out.rows[at, 1] = kind
    out.rows[at, 2] = t
    # Only a label can have seen the future: what came of the question was known when it was asked.
    out.rows[at, 3] = 1 if not np.isnan(label) and t <= held.asked_at[slot] else 0
    out.labels[at] = label
    held.meta[EMITTED] = at + 1


@nb.njit(nogil=True, cache=True, _nrt=False)
def _is_before(held: Any, one: Any, other: Any) -> Any:
    """Whether a slot expires before another; of those with one deadline the one that was made
    first."""
    if held.deadline[one] != held.deadline[other]:
        return held.deadline[one] < held.deadline[other]
    return held.made[one] < held.made[other]


@nb.njit(nogil=True, cache=True, _nrt=False)
def _push(held: Any, slot: Any) -> None:
    i = held.meta[HEAP]
    held.meta[HEAP] += 1
    while i > 0:
        above = (i - 1) // 2
        if not _is_before(held, slot, held.heap[above]):
            break
        held.heap[i] = held.heap[above]
        i = above
    held.heap[i] = slot


@nb.njit(nogil=True, cache=True, _nrt=False)
def _pop(held: Any) -> Any:
    """Take the next to expire off the heap."""
    heap = held.heap
    first = heap[0]
    held.meta[HEAP] -= 1
    size = held.meta[HEAP]
    last = heap[size]
    i = 0
    while 2 * i + 1 < size:
        below = 2 * i + 1
        if below + 1 < size and _is_before(held, heap[below + 1], heap[below]):
            below += 1
        if not _is_before(held, heap[below], last):
            break
        heap[i] = heap[below]
        i = below
    heap[i] = last
    return first


@nb.njit(inline="always", nogil=True, cache=True, _nrt=False)
def _judge(meta: Any, future: Any) -> None:
    """A label met its question: it is used, unless its event was not later than the question."""
    if future:
        meta[SAW_FUTURE_COUNT] += 1
        meta[SAW_FUTURE] += 1
        return
    meta[USED] += 1
    # A label that is used ends the run of those that came to nothing.
    for i in range(UNUSED, UNUSED_END):
        meta[i] = 0


@nb.njit(nogil=True, cache=True, _nrt=False)
def advance(t: Any, wait: Any, held: Any, out: Any) -> None:
    """Time reaches `t` (ms): expire what waited `wait`, forget what waited twice that."""
    meta = held.meta
    # Time never goes back: this tick was reached before.
    if t <= meta[NOW]:
        return
    meta[NOW] = t
    while meta[HEAP] > 0 and held.deadline[held.heap[0]] <= t:
        s = _pop(held)
        if held.state[s] == PENDING:
            held.state[s] = OVERDUE
            meta[EXPIRED_COUNT] += 1
            _emit(held, out, s, EXPIRED, held.deadline[s], np.nan)
        elif held.state[s] == EARLY:
            meta[UNMATCHED] += 1
        # Not forgotten yet: a late label may still correct it, and a repeat is still known as one.
        held.queue[meta[TAIL] % held.queue.size] = s
        meta[TAIL] += 1
    while meta[FORGET_HEAD] < meta[TAIL]:
        s = held.queue[meta[FORGET_HEAD] % held.queue.size]
        # One that expired late holds up those behind it, by one more wait at most.
        if held.deadline[s] + wait > t:
            break
        forget(held.table, held.ids, s)
        held.freed[meta[FREED]] = s
        meta[FREED] += 1
        meta[FORGET_HEAD] += 1


@nb.njit(nogil=True, cache=True, _nrt=False)
def _new(held: Any, at: Any, low: Any, high: Any, due: Any, life: Any) -> Any:
    meta = held.meta
    meta[FREE] -= 1
    s = held.free[meta[FREE]]
    held.table[at] = s
    held.ids[s, 0] = low
    held.ids[s, 1] = high
    held.state[s] = life
    held.deadline[s] = due
    held.made[s] = meta[MADE]
    meta[MADE] += 1
    _push(held, s)
    return s


@nb.njit(nogil=True, cache=True, _nrt=False)
def pack_texts(
    data0: Any, data1: Any, data2: Any, starts: Any, sizes: Any, arena: Any, at: Any, begin: Any
) -> None:
    """Copy every row's three texts (int64 `[n, 3]` starts and sizes) one after the other, from `at`
    on; where each row begins, int64 `[n]`."""
    for r in range(sizes.shape[0]):
        begin[r] = at
        for j in range(3):
            data = data0 if j == 0 else (data1 if j == 1 else data2)
            for i in range(sizes[r, j]):
                arena[at + i] = data[starts[r, j] + i]
            at += sizes[r, j]


@nb.njit(nogil=True, cache=True, _nrt=False)
def _ask_again(held: Any, out: Any, slot: Any, request: Any, t: Any) -> None:
    """Another question for an id that was asked before. One that says the same is a repeat. One
    that says something else makes the id contested: nobody can tell which of them the outcome
    belongs to, so from here on nothing is made of it."""
    meta = held.meta
    if held.request[slot, 0] == request[0] and held.request[slot, 1] == request[1]:
        meta[REPEATED_QUESTIONS] += 1
        return
    meta[CONFLICTING_QUESTIONS] += 1
    if held.state[slot] == CONTESTED:
        return
    if held.state[slot] == PENDING:
        meta[CONFLICTED_COUNT] += 1
    else:
        # Labelled or expired: that row stands in the log before this one, and is not taken back.
        meta[SETTLED_CONFLICTS] += 1
    held.state[slot] = CONTESTED
    _emit(held, out, slot, CONFLICTED, t, np.nan)


@nb.njit(nogil=True, cache=True, _nrt=False)
def ask(new: Any, wait: Any, held: Any, out: Any) -> None:
    """Take predictions: the first of an id is held and emitted as asked; later ones are repeats, or
    conflict with it."""
    meta = held.meta
    for r in range(new.asked_at.size):
        t = new.asked_at[r]
        low = new.ids[r, 0]
        high = new.ids[r, 1]
        at = find(held.table, held.ids, low, high)
        s = held.table[at]
        if s < 0:
            s = _new(held, at, low, high, t + wait, PENDING)
        elif held.state[s] != EARLY:
            _ask_again(held, out, s, new.request[r], t)
            continue
        for j in range(new.rows.shape[1]):
            held.fixed[s, j] = new.rows[r, j]
        for j in range(3):
            held.text_sizes[s, j] = new.sizes[r, j]
        held.text_at[s] = new.begin[r]
        held.request[s, 0] = new.request[r, 0]
        held.request[s, 1] = new.request[r, 1]
        held.asked_at[s] = t
        held.asked_no[s] = meta[NEXT_ASK]
        meta[NEXT_ASK] += 1
        _emit(held, out, s, ASKED, t, np.nan)
        if held.state[s] == EARLY:
            held.state[s] = ANSWERED
            meta[LABELLED_COUNT] += 1
            # It was counted as without a question when it came.
            meta[NO_QUESTION] = max(0, meta[NO_QUESTION] - 1)
            _judge(meta, held.early_t[s] <= t)
            _emit(held, out, s, LABELLED, held.early_t[s], held.early_label[s])


@nb.njit(nogil=True, cache=True, _nrt=False)
def answer(new: Any, wait: Any, correct_late: Any, held: Any, out: Any) -> None:
    """Take labels: the first answers its question, or corrects its expiry; one that comes before
    the question waits."""
    meta = held.meta
    for r in range(new.t.size):
        t = new.t[r]
        label = new.label[r]
        meta[NEWEST_LABEL] = max(t, meta[NEWEST_LABEL]) if meta[LABELS] else t
        meta[LABELS] += 1
        if np.isnan(label):
            meta[UNMATCHED] += 1
            meta[EMPTY_COUNT] += 1
            meta[EMPTY] += 1
            continue
        low = new.ids[r, 0]
        high = new.ids[r, 1]
        at = find(held.table, held.ids, low, high)
        s = held.table[at]
        if s < 0:
            # Its own time may be of years ago: it waits from when it came.
            s = _new(held, at, low, high, max(t, meta[NOW]) + wait, EARLY)
            held.early_label[s] = label
            held.early_t[s] = t
            meta[NO_QUESTION] += 1
        elif held.state[s] == PENDING:
            held.state[s] = ANSWERED
            meta[LABELLED_COUNT] += 1
            _judge(meta, t <= held.asked_at[s])
            _emit(held, out, s, LABELLED, t, label)
        elif held.state[s] == OVERDUE:
            held.state[s] = ANSWERED
            if correct_late:
                meta[CORRECTED_COUNT] += 1
                _judge(meta, t <= held.asked_at[s])
                _emit(held, out, s, CORRECTED, t, label)
            else:
                meta[LATE_LABELS] += 1
                meta[TOO_LATE] += 1
        elif held.state[s] == CONTESTED:
            meta[CONFLICTING_LABELS] += 1
            meta[CONFLICTING] += 1
        else:
            meta[REPEATED_LABELS] += 1
            meta[REPEATED] += 1
