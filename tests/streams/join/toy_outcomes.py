"""Rows of a small outcomes log, predictions and labels, and the join of them the slow and obvious
way."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from freshet.schemas.models.layout import Layout
from freshet.schemas.models.vectors import VectorSchema
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import key_of, parts_of
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.schemas.wire.outcomes import KINDS, TEXTS, ExampleRows, prediction_rows
from freshet.streams.join.task import JoinPlan

VECTORS = VectorSchema(("carrier", "gate"), ("delay", "wind", "temp"))
LAYOUT = Layout.of(VECTORS)
DTYPE = LAYOUT.dtype
WAIT = 1_000
LABELS = ("landings", 0)
NO_OTHERS: Mapping[int, Layout] = {}
Row = tuple[Any, ...]


def plan(correct_late: bool = True, wait: int = WAIT) -> JoinPlan:
    return JoinPlan("late", "examples", wait, correct_late)


@dataclass(frozen=True)
class Asked:
    """A prediction: its fixed part follows from id, time and `salt`; `said` is what the request
    said beside the id."""

    id: str
    t: int
    salt: int = 0
    categories: str = "AA|a"
    lineage: str = ""
    said: int = 0
    scorer: int = 1

    def fixed(self, sequence: int) -> Any:
        row = np.zeros((), DTYPE)
        noise = np.random.default_rng(zlib.crc32(repr(self).encode()))
        row["categories"], row["numbers"] = noise.integers(0, 1 << 63, 2), noise.normal(size=3)
        row["p"], row["asked_at"], row["sequence"] = noise.random(), self.t, sequence
        row["request"] = self.said % 2, self.said // 2
        return row


@dataclass(frozen=True)
class Answered:
    """A label; None is an event whose label is missing."""

    id: str
    t: int
    label: float | None


@dataclass(frozen=True)
class Tick:
    t: int


Item = Asked | Answered | Tick


def prediction_block(
    rows: Sequence[Asked], first: int, tick: int = blocks.NO_TICK, layout: Layout = LAYOUT
) -> bytes:
    """As a scorer of a layout writes them: of names that are not in `VECTORS` it logs zeros."""
    sequence = np.arange(first, first + len(rows))
    own = np.array([r.fixed(s) for r, s in zip(rows, sequence.tolist())], DTYPE)
    fixed = np.zeros(len(rows), layout.dtype)
    for stamp, _, _ in layout.stamps:
        fixed[stamp] = own[stamp]
    for part, names in (("categories", layout.categories), ("numbers", layout.numbers)):
        known = getattr(VECTORS, part)
        for i, name in enumerate(names):
            if name in known:
                fixed[part][:, i] = own[part][:, known.index(name)]
    texts = {
        "id": [r.id for r in rows],
        "categories": [_categories(r, layout) for r in rows],
        "lineage": [r.lineage for r in rows],
    }
    versions = pa.array([b"v" * 16] * len(rows), pa.binary(16))
    made = prediction_rows(layout, fixed, {k: Texts.of(v) for k, v in texts.items()}, versions)
    return blocks.encode(Block(blocks.PREDICTIONS, f"scorer/{rows[0].scorer}", 0, made, tick))


def _categories(row: Asked, layout: Layout) -> str:
    if layout is LAYOUT:
        return row.categories
    of = dict(zip(VECTORS.categories, parts_of(row.categories)))
    return key_of([of.get(name) for name in layout.categories])


def label_block(rows: Sequence[Answered], first: int, tick: int = blocks.NO_TICK) -> bytes:
    n = len(rows)
    columns = {
        "id": pa.array([r.id for r in rows]),
        "t": pa.array([r.t for r in rows], pa.int64()),
        "label": pa.array([r.label for r in rows], pa.float64()),
        "_offset": pa.array(np.arange(first, first + n)),
        "_index": pa.array(np.zeros(n, np.int32)),
    }
    made = pa.RecordBatch.from_pydict(columns) if n else None
    return blocks.encode(Block(blocks.LABELS, *LABELS, made, tick))


def records(
    items: Sequence[Item], cuts: Sequence[int] = (), layouts: Mapping[int, Layout] = NO_OTHERS
) -> list[bytes]:
    """The items as blocks, of which scorers write theirs by their `layouts`. A block ends where the
    origin changes, after a tick, and at the cuts."""
    out: list[bytes] = []
    open_: list[Any] = []
    counts: Counter[int] = Counter()

    def close(tick: int = blocks.NO_TICK) -> None:
        if open_ and isinstance(open_[0], Asked):
            scorer = open_[0].scorer
            layout = layouts.get(scorer, LAYOUT)
            out.append(prediction_block(open_, counts[scorer], layout=layout))
        if (open_ and isinstance(open_[0], Answered)) or tick != blocks.NO_TICK:
            out.append(label_block([x for x in open_ if isinstance(x, Answered)], counts[-1], tick))
        if open_:
            counts[origin_of(open_[0])] += len(open_)
        open_.clear()

    for i, item in enumerate(items):
        if i in cuts or (open_ and origin_of(item) != origin_of(open_[0])):
            close(item.t) if isinstance(item, Tick) else close()
            if isinstance(item, Tick):
                continue
        if isinstance(item, Tick):
            close(item.t)
        else:
            open_.append(item)
    close()
    return out


def origin_of(item: Item) -> int:
    """The scorer of a prediction; -1 for labels, -2 for a tick."""
    if isinstance(item, Asked):
        return item.scorer
    return -1 if isinstance(item, Answered) else -2


@dataclass
class Open:
    """What is known of one id."""

    due: int
    life: str
    question: Asked | None = None
    sequence: int = 0
    number: int = 0
    early: tuple[float, int] = (0.0, 0)
    past: bool = False


@dataclass
class ReferenceJoin:
    """Takes items one by one; `rows` are the examples as tuples, `facts` as `JoinTask.facts` has
    them."""

    correct_late: bool = True
    wait: int = WAIT
    open: dict[str, Open] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    facts: dict[str, int] = field(default_factory=dict)
    expired: list[Open] = field(default_factory=list)
    now: int | None = None
    asked: int = 0
    done: int = blocks.NO_TICK
    conflict: dict[str, Any] | None = None
    came: int = 0
    used: int = 0
    saw_future: int = 0
    empty: int = 0
    newest: int | None = None
    since: dict[str, int] = field(default_factory=dict)

    def unused(self, reason: str) -> None:
        """A label came to nothing: in all, and since the last one that did not."""
        self.since[reason] = self.since.get(reason, 0) + 1

    def judge(self, future: bool) -> None:
        if future:
            self.saw_future += 1
            self.unused("saw_future")
        else:
            self.used += 1
            self.since = {}

    @property
    def labels(self) -> dict[str, Any]:
        """As `JoinTask.facts` has them under `labels`."""
        late = self.facts.get("late_labels", 0)
        repeated = self.facts.get("repeated_labels", 0)
        conflicting = self.facts.get("conflicting_labels", 0)
        others = self.used + self.saw_future + late + repeated + conflicting + self.empty
        reasons = ("without_question", "saw_future", "late", "repeated", "conflicting", "empty")
        return {
            "came": self.came,
            "used": self.used,
            "saw_future": self.saw_future,
            "late": late,
            "repeated": repeated,
            "conflicting": conflicting,
            "empty": self.empty,
            "without_question": self.came - others,
            "since_used": {reason: self.since.get(reason, 0) for reason in reasons},
            "newest_ms": self.newest,
        }

    def count(self, name: str) -> None:
        self.facts[name] = self.facts.get(name, 0) + 1

    def emit(self, kind: str, o: Open, t: int, label: float | None = None) -> None:
        q = o.question
        assert q is not None
        future = label is not None and t <= q.t
        self.rows.append(
            (
                kind,
                o.number,
                t,
                repr(label),
                future,
                q.fixed(o.sequence).tobytes(),
                q.id,
                q.categories,
                q.lineage,
            )
        )

    def advance(self, t: int) -> None:
        if self.now is not None and t <= self.now:
            return
        self.now = t
        # Dictionaries keep the order in which ids were entered, and sorting the order of equals.
        for o in sorted(self.open.values(), key=lambda o: o.due):
            if o.past or o.due > t:
                continue
            o.past = True
            self.expired.append(o)
            if o.life == "pending":
                o.life = "overdue"
                self.count("expired")
                self.emit("expired", o, o.due)
            elif o.life == "early":
                self.count("unmatched_labels")
        while self.expired and self.expired[0].due + self.wait <= t:
            gone = self.expired.pop(0)
            self.open = {k: o for k, o in self.open.items() if o is not gone}

    def take(self, item: Item, sequence: int = 0) -> None:
        if isinstance(item, Tick):
            self.advance(item.t)
        if isinstance(item, Asked):
            self.ask(item, sequence)
        elif isinstance(item, Answered):
            self.answer(item)
        elif item.t > self.done:
            self.done = item.t
            self.rows.append(("tick", item.t))

    def ask(self, q: Asked, sequence: int) -> None:
        o = self.open.get(q.id)
        if o is not None and o.life != "early":
            self.ask_again(o, q)
            return
        if o is None:
            o = self.open[q.id] = Open(q.t + self.wait, "pending")
        o.question, o.sequence, o.number = q, sequence, self.asked
        self.asked += 1
        self.emit("asked", o, q.t)
        if o.life == "early":
            # When it came, it was counted as without a question.
            self.since["without_question"] = max(0, self.since.get("without_question", 0) - 1)
            self.judge(o.early[1] <= q.t)
            self.labelled(o, *o.early)

    def ask_again(self, o: Open, q: Asked) -> None:
        assert o.question is not None
        if q.said == o.question.said:
            self.count("repeated_questions")
            return
        self.count("conflicting_questions")
        if o.life != "contested":
            self.count("conflicted" if o.life == "pending" else "settled_conflicts")
            o.life = "contested"
            self.emit("conflicted", o, q.t)
            self.conflict = {"id": q.id, "at_ms": q.t}

    def labelled(self, o: Open, label: float, t: int) -> None:
        self.emit("labelled", o, t, label)
        self.count("labelled")
        o.life = "answered"

    def answer(self, a: Answered) -> None:
        o = self.open.get(a.id)
        self.came += 1
        self.newest = a.t if self.newest is None else max(a.t, self.newest)
        future = o is not None and o.question is not None and a.t <= o.question.t
        if a.label is None:
            self.count("unmatched_labels")
            self.empty += 1
            self.unused("empty")
        elif o is None:
            due = max(a.t, self.now or 0) + self.wait
            self.open[a.id] = Open(due, "early", early=(a.label, a.t))
            self.unused("without_question")
        elif o.life == "pending":
            self.judge(future)
            self.labelled(o, a.label, a.t)
        elif o.life == "overdue":
            o.life = "answered"
            if self.correct_late:
                self.judge(future)
            else:
                self.unused("late")
            self.count("corrected" if self.correct_late else "late_labels")
            if self.correct_late:
                self.emit("corrected", o, a.t, a.label)
        elif o.life == "contested":
            self.count("conflicting_labels")
            self.unused("conflicting")
        else:
            self.count("repeated_labels")
            self.unused("repeated")

    @property
    def all_facts(self) -> dict[str, Any]:
        return {
            **self.facts,
            **({"conflict": self.conflict} if self.conflict else {}),
            "labels": self.labels,
            "asked": self.asked,
            "open": sum(not o.past for o in self.open.values()),
        }


def rows_of(values: Sequence[bytes]) -> list[Row]:
    """Examples blocks as the reference's rows."""
    out: list[Row] = []
    for value in values:
        block = blocks.decode(value)
        if block.rows is not None:
            e = ExampleRows.from_arrow(block.rows, LAYOUT)
            texts = [e.texts[name].to_arrow().to_pylist() for name in TEXTS]
            for i in range(len(e)):
                label = None if np.isnan(e.label[i]) else float(e.label[i])
                head = (
                    KINDS[e.kind[i]],
                    int(e.ask[i]),
                    int(e.t[i]),
                    repr(label),
                    bool(e.saw_future[i]),
                )
                out.append((*head, e.fixed[i].tobytes(), *(t[i] for t in texts)))
        if block.tick != blocks.NO_TICK:
            out.append(("tick", block.tick))
    return out
