"""The join: predictions and labels of one outcomes partition in, asked and answered examples out.

One log holds both, keyed by prediction id, so the result depends on that log alone. A prediction
without a label within `label_wait` expires; its vector is kept as long again, and a late label then
makes a correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.durations import EARLIEST_MS, LATEST_MS
from freshet.schemas.errors import CheckpointError
from freshet.schemas.events.codec import frozen
from freshet.schemas.models.vectors import VectorSchema
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.schemas.wire.outcomes import TEXTS, ExampleRows, fixed_dtype, from_binary
from freshet.streams.join import kernels as k
from freshet.streams.log.contract import Batch
from freshet.streams.operators.origins import Cursors, Ticks
from freshet.streams.operators.task import Append, Outputs, as_json, from_json, without_rows

I64 = npt.NDArray[np.int64]
SLOTS = 1 << 10  # ids that there is room for from the start
COUNTS = {
    "labelled": k.LABELLED_COUNT,
    "expired": k.EXPIRED_COUNT,
    "corrected": k.CORRECTED_COUNT,
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
    "empty": k.EMPTY,
}


@dataclass(frozen=True)
class JoinPlan:
    """What the join of a model needs: full names of its logs, and how long it waits (ms)."""

    model: str
    vectors: VectorSchema
    examples: str
    label_wait_ms: int
    correct_late: bool
    label_topic: str = ""


class _Slots:
    """The arrays of the open table, all grown together."""

    def __init__(self, capacity: int, width: int) -> None:
        n = capacity
        self.table = np.full(4 * n, -1, np.int64)
        self.ids, self.fixed = np.zeros((n, 2), np.uint64), np.zeros((n, width), np.uint8)
        self.state, self.deadline = np.zeros(n, np.int8), np.zeros(n, np.int64)
        self.early_label, self.early_t = np.zeros(n), np.zeros(n, np.int64)
        self.asked_no = np.zeros(n, np.int64)
        self.asked_at = np.zeros(n, np.int64)
        self.text_at = np.zeros(n, np.int64)
        self.text_sizes = np.zeros((n, len(TEXTS)), np.int64)
        self.made = np.zeros(n, np.int64)
        self.heap = np.zeros(n, np.int64)
        self.queue = np.zeros(n, np.int64)
        self.freed = np.zeros(n, np.int64)
        self.free = np.arange(n)[::-1].copy()
        self.arena = np.zeros(64 * n, np.uint8)


_PER_SLOT = (
    "ids",
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


class JoinTask:
    """The join of one partition; see `freshet.streams.operators.task.Task`."""

    def __init__(self, plan: JoinPlan, partition: int) -> None:
        self.name = f"join:{plan.model}:{partition}"
        self._plan, self._partition = plan, partition
        self._dtype = fixed_dtype(plan.vectors)
        self._slots = _Slots(SLOTS, self._dtype.itemsize)
        self._meta = np.zeros(k.META, np.int64)
        self._meta[k.FREE] = SLOTS
        self._meta[k.NOW] = blocks.NO_TICK
        self._text_used = 0
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
            block, offset = blocks.decode(batch.value(i)), int(batch.offsets[i])
            done = self._done
            self._ticks.note(block)
            self._done = self._ticks.finished
            # Time has moved only as far as every partition of the labels is complete: until then an
            # answer may still stand in another one.
            tick = self._done if self._done > done else blocks.NO_TICK
            emitted = self._take(block, tick)
            if emitted is not None or tick != blocks.NO_TICK:
                rows = emitted.to_arrow(offset) if emitted is not None else None
                origin = f"outcomes.{self._plan.model}"
                made = Block(blocks.EXAMPLES, origin, self._partition, rows, tick)
                values = blocks.encode_parts(made)
                time_ms = int(batch.times[i])
                out.appends.append(Append(self._plan.examples, self._partition, values, time_ms))
        return out

    def write(self) -> None:
        """The join writes to no store."""

    def _take(self, block: Block, tick: int) -> ExampleRows | None:
        """Feed a block to the kernels, then the tick up to which all is there (`NO_TICK`: it has
        not moved); what they emitted, or None."""
        rows = block.rows
        if rows is not None:
            origin, index = rows.column("_offset").to_numpy(), rows.column("_index").to_numpy()
            fresh = self._cursors.fresh(block.origin, block.partition, origin, index)
            rows = (
                rows.slice(fresh.start, fresh.stop - fresh.start)
                if fresh.stop > fresh.start
                else None
            )
        n = rows.num_rows if rows is not None else 0
        texts = None
        if rows is not None and block.kind == blocks.PREDICTIONS:
            texts = {t: Texts.from_arrow(rows.column(t)) for t in TEXTS}
        self._make_room(
            n, sum(int((x.end - x.start).sum()) for x in texts.values()) if texts else 0
        )
        s, meta, wait = self._slots, self._meta, self._wait_ms
        room = n * 3 + int(meta[k.HEAP])
        out, label_out = np.empty((room, 4), np.int64), np.empty(room)
        meta[k.EMITTED] = meta[k.FREED] = 0
        if rows is not None and texts is not None:
            self._ask(rows, texts, out, label_out)
        elif rows is not None:
            ids = Texts.from_arrow(rows.column("id")).identities()
            # Frozen like the other columns, null or not: kernels are compiled for one kind of
            # arrays.
            label = frozen(rows.column("label").to_numpy(zero_copy_only=False))
            k.answer(
                ids,
                rows.column("t").to_numpy(),
                label,
                s.asked_at,
                wait,
                self._plan.correct_late,
                s.table,
                s.ids,
                s.state,
                s.deadline,
                s.early_label,
                s.early_t,
                s.made,
                s.heap,
                s.free,
                meta,
                out,
                label_out,
            )
        if tick != blocks.NO_TICK:
            k.advance(
                tick,
                wait,
                s.table,
                s.ids,
                s.state,
                s.deadline,
                s.made,
                s.heap,
                s.queue,
                s.freed,
                meta,
                out,
                label_out,
            )
        emitted = self._gather(out, label_out) if meta[k.EMITTED] else None
        freed = int(meta[k.FREED])
        s.free[meta[k.FREE] : meta[k.FREE] + freed] = s.freed[:freed]
        meta[k.FREE] += freed
        return emitted

    def _ask(
        self,
        rows: pa.RecordBatch,
        texts: dict[str, Texts],
        out: I64,
        label_out: npt.NDArray[np.float64],
    ) -> None:
        s = self._slots
        fixed = from_binary(rows.column("fixed"), self._dtype)
        sizes = np.stack([x.end - x.start for x in texts.values()], axis=1)
        starts = np.stack([x.start for x in texts.values()], axis=1)
        data = [x.data for x in texts.values()]
        begin = k.pack_texts(data[0], data[1], data[2], starts, sizes, s.arena, self._text_used)
        self._text_used += int(sizes.sum())
        raw = np.frombuffer(fixed.tobytes(), np.uint8).reshape(len(fixed), -1)
        k.ask(
            texts["id"].identities(),
            np.array(fixed["asked_at"]),
            raw,
            begin,
            sizes,
            self._wait_ms,
            s.table,
            s.ids,
            s.state,
            s.deadline,
            s.early_label,
            s.early_t,
            s.asked_no,
            s.asked_at,
            s.fixed,
            s.text_at,
            s.text_sizes,
            s.made,
            s.heap,
            s.free,
            self._meta,
            out,
            label_out,
        )

    def _gather(self, out: I64, label_out: npt.NDArray[np.float64]) -> ExampleRows:
        m, s = int(self._meta[k.EMITTED]), self._slots
        slots = out[:m, 0]
        start = s.text_at[slots]
        texts = {}
        for j, name in enumerate(TEXTS):
            end = start + s.text_sizes[slots, j]
            texts[name] = Texts(s.arena, start, end, np.ones(m, np.bool_))
            start = end
        fixed = s.fixed[slots].reshape(-1).view(self._dtype)
        return ExampleRows(
            out[:m, 1].astype(np.int8),
            s.asked_no[slots],
            out[:m, 2].copy(),
            label_out[:m],
            out[:m, 3] > 0,
            fixed,
            texts,
        )

    def _make_room(self, rows: int, text_bytes: int) -> None:
        s, meta = self._slots, self._meta
        if meta[k.FREE] < rows:
            live = int(meta[k.TAIL] - meta[k.FORGET_HEAD] + meta[k.HEAP])
            self._rebuild(2 * (live + rows), text_bytes)
        elif self._text_used + text_bytes > len(s.arena):
            self._rebuild(len(s.state), text_bytes)

    def _rebuild(self, capacity: int, text_bytes: int) -> None:
        """The live slots, in the order of `_live`, in new arrays: more room, no gaps between
        texts."""
        self._restore(self._live(), max(capacity, SLOTS), text_bytes)

    def _live(self) -> dict[str, npt.NDArray[Any]]:
        """Everything about the live slots: those to be forgotten in their order, then those to
        expire in theirs."""
        s, meta = self._slots, self._meta
        expired = s.queue[np.arange(meta[k.FORGET_HEAD], meta[k.TAIL]) % len(s.queue)]
        waiting = s.heap[: meta[k.HEAP]]
        order = np.concatenate(
            [expired, waiting[np.lexsort((s.made[waiting], s.deadline[waiting]))]]
        )
        size = s.text_sizes[order].sum(axis=1)
        texts = Texts(
            s.arena, s.text_at[order], s.text_at[order] + size, np.ones(len(order), np.bool_)
        ).to_arrow()
        packed = texts.buffers()[2]
        state: dict[str, npt.NDArray[Any]] = {name: getattr(s, name)[order] for name in _PER_SLOT}
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
        s = self._slots = _Slots(capacity, self._dtype.itemsize)
        for name in _PER_SLOT:
            getattr(s, name)[:n] = state[name]
        ends = np.cumsum(state["text_sizes"].sum(axis=1)) if n else np.zeros(0, np.int64)
        s.text_at[:n] = ends - state["text_sizes"].sum(axis=1)
        self._text_used = int(ends[-1]) if n else 0
        s.arena = np.zeros(max(64 * capacity, 2 * (self._text_used + text_bytes)), np.uint8)
        s.arena[: self._text_used] = state["texts"]
        meta = self._meta = state["meta"].copy()
        expired = int(meta[k.TAIL] - meta[k.FORGET_HEAD])
        meta[k.FORGET_HEAD] = 0
        meta[k.TAIL] = expired
        s.queue[:expired] = np.arange(expired)
        # What is sorted is a heap.
        s.heap[: n - expired] = np.arange(expired, n)
        meta[k.FREE] = capacity - n
        s.free[: capacity - n] = np.arange(n, capacity)[::-1]
        k.fill_table(s.table, s.ids, n)

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
        own["vectors"] = as_json(self._plan.vectors.digest)
        own["settings"] = as_json(self._settings)
        return {**self._live(), **own}

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        """Raises `CheckpointError` if the model's vectors were others then."""
        state = deltas[-1] if deltas else base
        if "vectors" not in state or from_json(state["vectors"]) != self._plan.vectors.digest:
            raise CheckpointError(
                self.name,
                f"its state holds predictions with other vectors than model {self._plan.model} has now",
                "Give the changed model another name, or remove these checkpoints and the model's logs to start over.",
            )
        self._restore(state, SLOTS, 0)
        self._cursors.load(state["cursors"])
        self._ticks.load(state["ticks"])
        self._done = int(state["done"][0])
        if "settings" in state and (settings := from_json(state["settings"])):
            self._settings, self._wait_ms = settings, settings[-1][2]

    def facts(self) -> dict[str, Any]:
        meta = self._meta
        pending = int(meta[k.HEAP])
        counts = {name: int(meta[at]) for name, at in COUNTS.items()}
        own = {"asked": int(meta[k.NEXT_ASK]), "open": pending, "finished": self._done}
        return counts | own | {"labels": self._label_facts()}

    def _label_facts(self) -> dict[str, Any]:
        """What became of the labels, and of those `since_used`: since the last one that made an
        example to learn."""
        meta = self._meta
        of = {
            "used": int(meta[k.USED]),
            "saw_future": int(meta[k.SAW_FUTURE_COUNT]),
            "late": int(meta[k.LATE_LABELS]),
            "repeated": int(meta[k.REPEATED_LABELS]),
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
