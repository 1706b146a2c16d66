"""The join: predictions and labels of one outcomes partition in, asked and answered examples out.

One log holds both, keyed by prediction id, so the result depends on that log alone. A prediction
without a label within `label_wait` expires; its vector is kept as long again, and a late label then
makes a correction.

Two questions for one id whose requests differ contest it: one `conflicted` row says so, and no
label that comes after that row makes an example. What was labelled before it has been learned, and
stands: the rows' order in the log says which it was.

A row is handed on as it was logged, by its own layout: what a model reads may change while its
questions wait, and what was asked before that stays what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.durations import EARLIEST_MS, LATEST_MS
from freshet.schemas.events.codec import frozen
from freshet.schemas.models.layout import Layout, stamps_of
from freshet.schemas.models.tasks import DEFAULT_TASK, Task
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.schemas.wire.facts import one_line
from freshet.schemas.wire.outcomes import TEXTS, ExampleRows, Fixed, fixed_of, layout_of, texts_of
from freshet.streams.join import kernels as k
from freshet.streams.log.contract import Batch
from freshet.streams.operators.origins import Cursors, Ticks
from freshet.streams.operators.task import Append, Outputs, as_json, from_json, without_rows

I64 = npt.NDArray[np.int64]
Conflict = tuple[str, int]
SHOWN_ID = 100  # characters of an id that is told as an example
SLOTS = 1 << 10  # ids that there is room for from the start
# Before a row that is held: which of the layouts is its own.
_WHICH = np.dtype("<u4")
COUNTS = {
    "labelled": k.LABELLED_COUNT,
    "expired": k.EXPIRED_COUNT,
    "corrected": k.CORRECTED_COUNT,
    "conflicted": k.CONFLICTED_COUNT,
    "settled_conflicts": k.SETTLED_CONFLICTS,
    "conflicting_questions": k.CONFLICTING_QUESTIONS,
    "conflicting_labels": k.CONFLICTING_LABELS,
    "repeated_questions": k.REPEATED_QUESTIONS,
    "repeated_labels": k.REPEATED_LABELS,
    "late_labels": k.LATE_LABELS,
    "unmatched_labels": k.UNMATCHED,
}
# Of labels that came to nothing, since the last one that did not.
SINCE_USED = {
    "without_question": k.NO_QUESTION,
    "saw_future": k.SAW_FUTURE,
    "late": k.TOO_LATE,
    "repeated": k.REPEATED,
    "conflicting": k.CONFLICTING,
    "empty": k.EMPTY,
}


@dataclass(frozen=True)
class JoinPlan:
    """What the join of a model needs: full names of its logs, and how long it waits (ms)."""

    model: str
    examples: str
    label_wait_ms: int
    correct_late: bool
    label_topic: str = ""
    task: Task = DEFAULT_TASK


def _table(capacity: int, width: int, meta: I64) -> k.Table:
    """Empty slots, of which all are free; `width` is that of a row."""
    n = capacity
    return k.Table(
        # Four places a slot, so that a search soon meets an empty one.
        table=np.full(4 * n, -1, np.int64),
        ids=np.zeros((n, 2), np.uint64),
        request=np.zeros((n, 2), np.uint64),
        state=np.zeros(n, np.int8),
        deadline=np.zeros(n, np.int64),
        early_label=np.zeros(n),
        early_t=np.zeros(n, np.int64),
        asked_no=np.zeros(n, np.int64),
        asked_at=np.zeros(n, np.int64),
        fixed=np.zeros((n, width), np.uint8),
        text_at=np.zeros(n, np.int64),
        text_sizes=np.zeros((n, len(TEXTS)), np.int64),
        made=np.zeros(n, np.int64),
        heap=np.zeros(n, np.int64),
        queue=np.zeros(n, np.int64),
        # Taken from its end: the lowest slots are used first.
        free=np.arange(n)[::-1].copy(),
        freed=np.zeros(n, np.int64),
        meta=meta,
    )


_PER_SLOT = (
    "ids",
    "request",
    "fixed",
    "state",
    "deadline",
    "early_label",
    "early_t",
    "asked_no",
    "asked_at",
    "text_sizes",
    "made",
)


class Joined(NamedTuple):
    """Rows of one layout, of which the first is the `first` of its record."""

    layout: Layout
    rows: ExampleRows
    first: int


class JoinTask:
    """The join of one partition; see `freshet.streams.operators.task.Task`."""

    def __init__(self, plan: JoinPlan, partition: int) -> None:
        self.name = f"join:{plan.model}:{partition}"
        self._plan = plan
        self._partition = partition
        # Of what was asked, in the order in which they came.
        self._layouts: list[Layout] = []
        self._width = _WHICH.itemsize
        # What every answer of the model's task has.
        self._stamps = Layout((), (), stamps_of(plan.task))
        # questions by scorers that log no answer of this build
        self._unreadable = 0
        meta = np.zeros(k.META, np.int64)
        meta[k.FREE] = SLOTS
        meta[k.NOW] = blocks.NO_TICK
        self._held = _table(SLOTS, self._width, meta)
        # Bytes of texts; where they turn out longer, `_rebuild` makes more room.
        self._arena = np.zeros(64 * SLOTS, np.uint8)
        self._text_used = 0
        # the newest question that was contested: its id, and when (app clock, ms)
        self._conflict: Conflict | None = None
        self._cursors = Cursors()
        self._ticks = Ticks()
        self._done = blocks.NO_TICK
        self._wait_ms = plan.label_wait_ms
        # changes of it: from which offset on, what, to which value
        self._settings: list[list[Any]] = []

    @property
    def finished(self) -> int:
        return self._done

    def apply(self, batch: Batch) -> Outputs:
        out = Outputs()
        for i in range(len(batch)):
            block = blocks.decode(batch.value(i))
            offset = int(batch.offsets[i])
            done = self._done
            self._ticks.note(block)
            self._done = self._ticks.finished
            # Time has moved only as far as every partition of the labels is complete: until then an
            # answer may still stand in another one.
            tick = self._done if self._done > done else blocks.NO_TICK
            parts = self._take(block, tick)
            if parts or tick != blocks.NO_TICK:
                values = self._encoded(parts, offset, tick)
                # Stamped as its cause: what is appended is a function of the log alone.
                time_ms = int(batch.times[i])
                out.appends.append(Append(self._plan.examples, self._partition, values, time_ms))
        return out

    def _encoded(self, parts: list[Joined], offset: int, tick: int) -> list[bytes]:
        origin = f"outcomes.{self._plan.model}"
        values = []
        for part in parts[:-1]:
            rows = part.rows.to_arrow(
                part.layout,
                offset,
                part.first,
            )
            values += blocks.encode_parts(
                Block(blocks.EXAMPLES, origin, self._partition, rows),
            )
        last = None
        if parts:
            last = parts[-1].rows.to_arrow(
                parts[-1].layout,
                offset,
                parts[-1].first,
            )
        # The tick follows all rows: it says that nothing before it is missing.
        values += blocks.encode_parts(
            Block(blocks.EXAMPLES, origin, self._partition, last, tick),
        )
        return values

    def write(self) -> None:
        """The join writes to no store."""

    def _take(self, block: Block, tick: int) -> list[Joined]:
        """Feed a block to the kernels, then the tick up to which all is there (`NO_TICK`: it has
        not moved); what they emitted."""
        rows = block.rows
        if rows is not None:
            origin = rows.column("_offset").to_numpy()
            index = rows.column("_index").to_numpy()
            fresh = self._cursors.fresh(
                block.origin,
                block.partition,
                origin,
                index,
            )
            rows = (
                rows.slice(fresh.start, fresh.stop - fresh.start)
                if fresh.stop > fresh.start
                else None
            )
        n = rows.num_rows if rows is not None else 0
        texts = None
        if rows is not None and block.kind == blocks.PREDICTIONS:
            written = layout_of(rows)
            if self._stamps.stamps_lacking(written):
                # What every answer has is in none of them.
                self._unreadable += n
                rows = None
                n = 0
            else:
                self._know(written)
                texts = texts_of(rows, written)
        self._make_room(
            n, sum(int((x.end - x.start).sum()) for x in texts.values()) if texts else 0
        )
        held = self._held
        meta = held.meta
        # A row is asked and labelled, or one of these, and then everything may expire.
        room = n * 3 + int(meta[k.HEAP])
        out = k.Emitted(np.empty((room, 4), np.int64), np.empty(room))
        meta[k.EMITTED] = 0
        meta[k.FREED] = 0
        if rows is not None and texts is not None:
            self._ask(rows, texts, out)
        elif rows is not None:
            self._answer(rows, out)
        if tick != blocks.NO_TICK:
            k.advance(tick, self._wait_ms, held, out)
        emitted = self._gather(out) if meta[k.EMITTED] else []
        freed = int(meta[k.FREED])
        held.free[meta[k.FREE] : meta[k.FREE] + freed] = held.freed[:freed]
        meta[k.FREE] += freed
        return emitted

    def _answer(self, rows: pa.RecordBatch, out: k.Emitted) -> None:
        ids = Texts.from_arrow(rows.column("id")).identities()
        # Frozen like the other columns, null or not: kernels are compiled for one kind of arrays.
        label = frozen(rows.column("label").to_numpy(zero_copy_only=False))
        labels = k.Labels(ids, rows.column("t").to_numpy(), label)
        k.answer(
            labels,
            self._wait_ms,
            self._plan.correct_late,
            self._held,
            out,
        )

    def _know(self, written: Layout) -> None:
        """Make room for rows of a layout, if it is a new one."""
        if written in self._layouts:
            return
        self._layouts.append(written)
        width = _WHICH.itemsize + written.dtype.itemsize
        if width > self._width:
            self._width = width
            self._rebuild(len(self._held.state), 0)

    def _row_bytes(self, fixed: Fixed, written: Layout) -> npt.NDArray[np.uint8]:
        """Rows as they are held: which layout they have, then they themselves."""
        out = np.zeros((len(fixed), self._width), np.uint8)
        which = np.full(
            len(fixed),
            self._layouts.index(written),
            _WHICH,
        )
        first = _WHICH.itemsize
        out[:, :first] = which.view(np.uint8).reshape(-1, first)
        size = written.dtype.itemsize
        out[:, first : first + size] = np.frombuffer(fixed.tobytes(), np.uint8).reshape(-1, size)
        # Kernels are compiled for one kind of arrays.
        out.setflags(write=False)
        return out

    def _ask(self, rows: pa.RecordBatch, texts: dict[str, Texts], out: k.Emitted) -> None:
        written = layout_of(rows)
        fixed = fixed_of(rows, written)
        sizes = np.stack([x.end - x.start for x in texts.values()], axis=1)
        starts = np.stack([x.start for x in texts.values()], axis=1)
        data = [x.data for x in texts.values()]
        begin = np.empty(len(sizes), np.int64)
        k.pack_texts(*data, starts, sizes, self._arena, self._text_used, begin)
        self._text_used += int(sizes.sum())
        questions = k.Questions(
            ids=texts["id"].identities(),
            request=np.array(fixed["request"]),
            asked_at=np.array(fixed["asked_at"]),
            rows=self._row_bytes(fixed, written),
            begin=begin,
            sizes=sizes,
        )
        k.ask(questions, self._wait_ms, self._held, out)

    def _gather(self, out: k.Emitted) -> list[Joined]:
        """What was emitted, cut where the layout changes."""
        held = self._held
        count = int(held.meta[k.EMITTED])
        slots = out.rows[:count, 0]
        start = held.text_at[slots]
        texts = {}
        for j, name in enumerate(TEXTS):
            end = start + held.text_sizes[slots, j]
            texts[name] = Texts(
                self._arena,
                start,
                end,
                np.ones(count, np.bool_),
            )
            start = end
        contested = np.flatnonzero(out.rows[:count, 1] == k.CONFLICTED)
        if len(contested):
            newest = contested[-1:]
            (id_,) = texts["id"].take(newest).to_arrow().to_pylist()
            self._conflict = one_line(id_, SHOWN_ID), int(out.rows[newest[0], 2])
        stored = held.fixed[slots]
        first = _WHICH.itemsize
        which = np.ascontiguousarray(stored[:, :first]).view(_WHICH)[:, 0]
        edges = np.flatnonzero(np.diff(which.astype(np.int64), prepend=-1, append=-1))
        made = []
        for begin, after in pairwise(edges.tolist()):
            layout = self._layouts[which[begin]]
            own = stored[begin:after, first : first + layout.dtype.itemsize]
            part = slice(begin, after)
            rows = ExampleRows(
                out.rows[part, 1].astype(np.int8),
                held.asked_no[slots[part]],
                out.rows[part, 2].copy(),
                out.labels[part],
                out.rows[part, 3] > 0,
                np.ascontiguousarray(own).reshape(-1).view(layout.dtype),
                {name: column.where(part) for name, column in texts.items()},
            )
            made.append(Joined(layout, rows, begin))
        return made

    def _make_room(self, rows: int, text_bytes: int) -> None:
        meta = self._held.meta
        if meta[k.FREE] < rows:
            live = int(meta[k.TAIL] - meta[k.FORGET_HEAD] + meta[k.HEAP])
            # Twice what is needed: rows are then copied once per doubling, not once per block.
            self._rebuild(2 * (live + rows), text_bytes)
        elif self._text_used + text_bytes > len(self._arena):
            self._rebuild(len(self._held.state), text_bytes)

    def _rebuild(self, capacity: int, text_bytes: int) -> None:
        """The live slots, in the order of `_live`, in new arrays: more room, no gaps between
        texts."""
        self._restore(self._live(), max(capacity, SLOTS), text_bytes)

    def _live(self) -> dict[str, npt.NDArray[Any]]:
        """Everything about the live slots: those to be forgotten in their order, then those to
        expire in theirs."""
        held = self._held
        meta = held.meta
        expired = held.queue[np.arange(meta[k.FORGET_HEAD], meta[k.TAIL]) % len(held.queue)]
        waiting = held.heap[: meta[k.HEAP]]
        by_deadline = np.lexsort((held.made[waiting], held.deadline[waiting]))
        order = np.concatenate([expired, waiting[by_deadline]])
        size = held.text_sizes[order].sum(axis=1)
        start = held.text_at[order]
        there = np.ones(len(order), np.bool_)
        packed = Texts(self._arena, start, start + size, there).to_arrow().buffers()[2]
        state: dict[str, npt.NDArray[Any]] = {
            name: getattr(held, name)[order] for name in _PER_SLOT
        }
        state["texts"] = (
            np.frombuffer(packed, np.uint8)[: int(size.sum())].copy()
            if len(order)
            else np.zeros(0, np.uint8)
        )
        state["meta"] = meta.copy()
        return state

    def _restore(
        self, state: Mapping[str, npt.NDArray[Any]], capacity: int, text_bytes: int
    ) -> None:
        n = len(state["state"])
        capacity = 1 << int(np.ceil(np.log2(max(capacity, n, SLOTS))))
        meta = state["meta"].copy()
        held = _table(capacity, self._width, meta)
        for name in _PER_SLOT:
            if name == "fixed":  # of rows of a wider layout there was none yet
                held.fixed[:n, : state[name].shape[1]] = state[name]
            else:
                getattr(held, name)[:n] = state[name]
        ends = np.cumsum(state["text_sizes"].sum(axis=1)) if n else np.zeros(0, np.int64)
        held.text_at[:n] = ends - state["text_sizes"].sum(axis=1)
        self._text_used = int(ends[-1]) if n else 0
        self._arena = np.zeros(max(64 * capacity, 2 * (self._text_used + text_bytes)), np.uint8)
        self._arena[: self._text_used] = state["texts"]
        expired = int(meta[k.TAIL] - meta[k.FORGET_HEAD])
        meta[k.FORGET_HEAD] = 0
        meta[k.TAIL] = expired
        meta[k.FREE] = capacity - n
        held.queue[:expired] = np.arange(expired)
        # What is sorted is a heap.
        held.heap[: n - expired] = np.arange(expired, n)
        held.free[: capacity - n] = np.arange(n, capacity)[::-1]
        k.fill_table(held.table, held.ids, n)
        self._held = held

    def configure(self, settings: Mapping[str, Freshness], at: int) -> bool:
        """`label_wait` of the label's topic: it holds for what is asked from now on."""
        freshness = settings.get(self._plan.label_topic)
        if freshness is None or freshness.ms("label_wait") == self._wait_ms:
            return False
        self._wait_ms = freshness.ms("label_wait")
        self._settings.append([at, "label_wait", self._wait_ms])
        return True

    def skip(self, batch: Batch) -> Outputs:
        alone = without_rows(batch)
        return self.apply(alone) if alone is not None else Outputs()

    def dump(self, full: bool) -> dict[str, npt.NDArray[Any]]:
        """Always everything: what is pending is bounded by `label_wait`."""
        own = {
            "cursors": self._cursors.dump(),
            "ticks": self._ticks.dump(),
            "done": np.array([self._done]),
        }
        own["layouts"] = as_json([layout.text.decode() for layout in self._layouts])
        own["conflict"] = as_json(self._conflict)
        own["unreadable"] = np.array([self._unreadable])
        own["settings"] = as_json(self._settings)
        return {**self._live(), **own}

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        # Every dump holds everything, so the newest alone is read.
        state = deltas[-1] if deltas else base
        self._layouts = [Layout.parse(text.encode()) for text in from_json(state["layouts"])]
        sizes = [layout.dtype.itemsize for layout in self._layouts]
        self._width = _WHICH.itemsize + max(sizes, default=0)
        self._restore(state, SLOTS, 0)
        self._cursors.load(state["cursors"])
        self._ticks.load(state["ticks"])
        self._done = int(state["done"][0])
        self._unreadable = int(state["unreadable"][0])
        conflict = from_json(state["conflict"])
        self._conflict = None if conflict is None else (conflict[0], conflict[1])
        if "settings" in state and (settings := from_json(state["settings"])):
            self._settings = settings
            self._wait_ms = settings[-1][2]

    def facts(self) -> dict[str, Any]:
        meta = self._held.meta
        facts: dict[str, Any] = {name: int(meta[at]) for name, at in COUNTS.items()}
        facts["unreadable_questions"] = self._unreadable
        facts["asked"] = int(meta[k.NEXT_ASK])
        facts["open"] = int(meta[k.HEAP])
        facts["finished"] = self._done
        facts["labels"] = self._label_facts()
        if self._conflict is not None:
            prediction_id, at_ms = self._conflict
            # What has no date cannot be told: the board would take it for a foreign message.
            if EARLIEST_MS <= at_ms <= LATEST_MS:
                facts["conflict"] = {"id": prediction_id, "at_ms": at_ms}
        return facts

    def _label_facts(self) -> dict[str, Any]:
        """What became of the labels, and of those `since_used`: since the last one that made an
        example to learn."""
        meta = self._held.meta
        of = {
            "used": int(meta[k.USED]),
            "saw_future": int(meta[k.SAW_FUTURE_COUNT]),
            "late": int(meta[k.LATE_LABELS]),
            "repeated": int(meta[k.REPEATED_LABELS]),
            "conflicting": int(meta[k.CONFLICTING_LABELS]),
            "empty": int(meta[k.EMPTY_COUNT]),
        }
        came = int(meta[k.LABELS])
        since = {name: int(meta[at]) for name, at in SINCE_USED.items()}
        newest = int(meta[k.NEWEST_LABEL])
        has_a_date = came > 0 and EARLIEST_MS <= newest <= LATEST_MS
        return {
            "came": came,
            **of,
            # Some of them may be early, and meet their question yet.
            "without_question": came - sum(of.values()),
            "since_used": since,
            "newest_ms": newest if has_a_date else None,
        }
