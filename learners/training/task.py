"""A trainer: one lineage over one examples partition. It predicts on what was asked, and learns
when it is answered.

Its steps close at `batch` examples or at a tick of the log, never at a batch boundary of the
reader: so the sequence of `predict` and `learn` calls, and with it every bit of a CPU learner, is a
function of the log alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.learners.contract import Learner
from freshet.learners.holding.watch import UNDECLARED, Watch, Watching
from freshet.learners.started import Start
from freshet.learners.training import by_task
from freshet.learners.training.exclusions import Exclusions
from freshet.learners.training.open_step import Open, at_places, dumped, joined, piece, restored
from freshet.learners.training.past_columns import PastColumns
from freshet.learners.training.pending import Pending
from freshet.learners.training.skips import Skips
from freshet.schemas.errors import SchemaError
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.spans import Span
from freshet.schemas.models.vectors import Examples, Vectors, VectorSchema
from freshet.schemas.text.keys import key_of, parts_of
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.schemas.wire.messages import Cut, Message
from freshet.schemas.wire.outcomes import (
    ASKED,
    CORRECTED,
    LABELLED,
    ExampleRows,
    Fixed,
    layout_of,
    vectors_of,
)
from freshet.streams.log.contract import Batch
from freshet.streams.operators.origins import Cursors, Ticks
from freshet.streams.operators.task import NotYet, Outputs, as_json, from_json, without_rows

ROLLING_EXAMPLES = 5_000
MOST_SKIPS = 20  # that are told; all are saved
MOST_MISSING = 50  # inputs that are told
Arrays = dict[str, npt.NDArray[Any]]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrainPlan:
    """One lineage: what it learns from (`origin` names the outcomes log), in what steps, and when
    it cuts snapshots.

    A learner that is not `durable` has no arrays for checkpoints and snapshots: it is only compared
    with others. `reads` are its vectors with the categories of `slices` behind its own (None: it
    reads those itself). `start` says of a lineage that was started while its app ran where that was
    and what it leaves out, to which a question's source is its field of the name `source`.
    `earlier_bytes` of its checkpoints are kept to go back to. By what it is `watching` it is held
    itself."""

    model: str
    lineage: str
    vectors: VectorSchema
    origin: str
    batch: int
    slices: tuple[str, ...]
    label_wait_ms: int
    snapshot_every_ms: int
    durable: bool = True
    label_topic: str = ""
    reads: VectorSchema | None = None
    start: Start | None = None
    source: str = ""
    earlier_bytes: int = 0
    watching: Watching = UNDECLARED

    @property
    def exclusions(self) -> Exclusions | None:
        """What it leaves out; None where that is nothing."""
        start = self.start
        if start is None or (start.since is None and not start.where and not start.ids):
            return None
        reads = self.reads or self.vectors
        return Exclusions(reads, self.source, start.since, start.where, start.ids)


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a lineage stands when it cuts: snapshot number, tick (ms), examples learned, next
    offset of its log."""

    number: int
    tick: int
    examples: int
    position: int


SaveSnapshot = Callable[[Learner, Moment], str | None]


class TrainTask:
    """See `freshet.streams.operators.task.Task`. `save` writes a signed snapshot and returns its
    digest (None: its learner has no arrays); writing it again is harmless.

    Of what was asked before anybody read some of its columns, those are told by the `past`, where
    they can be known, and else missing. Such a vector is *reconstructed*: it is learned from, and
    nothing is predicted on it, so no figure is of it."""

    def __init__(
        self,
        plan: TrainPlan,
        learner: Learner,
        save: SaveSnapshot,
        partition: int,
        past: PastColumns | None = None,
    ) -> None:
        self.name = f"train:{plan.model}.{plan.lineage}:{partition}"
        self._plan = plan
        self._learner = learner
        self._save = save
        reads = plan.reads or plan.vectors
        self._layout = Layout.of(reads)
        self._slice_at = {s: reads.categories.index(s) for s in plan.slices}
        self._own = Layout.of(plan.vectors)
        self._past = past
        self._open: list[Open] = []
        self._open_answers = 0
        self._every_ms = plan.snapshot_every_ms
        self._wait_ms = plan.label_wait_ms
        # changes: from which offset on, snapshot_every and label_wait (ms)
        self._settings: list[list[int]] = []
        # A label may still correct an expiry for one more wait: until then it is scored.
        task = plan.vectors.task
        self._pending = Pending(2 * plan.label_wait_ms, task.width)
        self._quality = by_task.quality(task)
        self._rolling = by_task.rolling(task, ROLLING_EXAMPLES)
        self._references = by_task.references(task, ROLLING_EXAMPLES)
        self._by_slice = {s: by_task.sliced(task) for s in plan.slices}
        self._cursors = Cursors()
        self._ticks = Ticks()
        self._tick = self._cut_tick = blocks.NO_TICK
        self._learned = self._cuts = self._reconstructed = 0
        self._exclusions = plan.exclusions
        self._skips = Skips(plan.start)
        own = plan.vectors
        self._watch = Watch(plan.watching, own.categories, own.numbers)
        self._cuts_from = blocks.NO_TICK
        if plan.start is not None:
            self._cuts_from = plan.start.cuts_from

    @property
    def earlier_bytes(self) -> int:
        return self._plan.earlier_bytes

    @property
    def has_caught_up(self) -> bool:
        """Whether it has come to where the others were when it was started."""
        return self._tick >= self._cuts_from

    @property
    def finished(self) -> int:
        return self._tick

    def apply(self, batch: Batch) -> Outputs:
        out = Outputs()
        for i in range(len(batch)):
            block = blocks.decode(batch.value(i))
            if block.rows is not None:
                self._take(block)
            self._ticks.note(block)
            if self._ticks.finished > self._tick:
                self._reach(self._ticks.finished, int(batch.offsets[i]) + 1, out.messages)
        return out

    def write(self) -> None:
        """A trainer writes to no store."""

    def prepare(self, batch: Batch) -> None:
        """Wait for what the past says of these examples."""
        past = self._past
        if past is None or past.covers(int(batch.offsets[-1]) + 1):
            return
        # What was logged with all of its columns waits for nothing.
        if any(self._lacks(batch.value(i)) for i in range(len(batch))):
            raise NotYet

    def _lacks(self, value: memoryview) -> bool:
        try:
            rows = blocks.decode(value).rows
            return rows is not None and bool(self._own.lacking(layout_of(rows)))
        except SchemaError:  # it is buried when it is applied
            return False

    def _take(self, block: blocks.Block) -> None:
        """Add rows to the open step; close it at every `batch` answers."""
        table = block.rows
        assert table is not None
        origin = table.column("_offset").to_numpy()
        index = table.column("_index").to_numpy()
        fresh = self._cursors.fresh(block.origin, block.partition, origin, index)
        if fresh.stop == fresh.start:
            return
        part = table.slice(fresh.start, fresh.stop - fresh.start)
        rows = ExampleRows.from_arrow(part, self._layout)
        lacking = self._complete(rows, layout_of(part))
        if self._exclusions is not None:
            kept = np.flatnonzero(~self._exclusions.too_early(rows))
            rows = at_places(rows, kept)
            lacking = lacking[kept]
        # Steps close as if nobody had asked what is left out.
        answers = np.cumsum(_is_answer(rows) & ~self._left_out(rows))
        first = 0
        while first < len(rows):
            before = int(answers[first - 1]) if first else 0
            left = self._plan.batch - self._open_answers
            # With the row that completes the step; what was only asked before it comes along.
            last = int(np.searchsorted(answers, before + left)) + 1
            end = min(last, len(rows))
            self._open.append(Open(piece(rows, first, end), lacking[first:end]))
            self._open_answers += int(answers[min(last, len(rows)) - 1]) - before
            if self._open_answers >= self._plan.batch:
                self._close()
            first = last

    def _complete(self, rows: ExampleRows, written: Layout) -> Bools:
        """Put in what the past says of columns that were not logged; of which rows there are
        some."""
        lacks = bool(self._own.lacking(written))
        lacking = np.full(len(rows), lacks)
        if not lacks or self._past is None:
            return lacking
        found = self._past.of(rows.ask)
        places = np.flatnonzero(found.known)
        own_categories, own_numbers = self._own.columns
        logged_categories, logged_numbers = written.columns
        # What was logged is never computed again.
        for at, column in enumerate(own_categories):
            if column not in logged_categories:
                told = found.vectors.categories[places, at]
                rows.fixed["categories"][places, at] = told
        for at, column in enumerate(own_numbers):
            if column not in logged_numbers:
                rows.fixed["numbers"][places, at] = found.vectors.numbers[places, at]
        return lacking

    def _close(self) -> None:
        """One step: predict what was asked, score what was answered, learn it."""
        if not self._open:
            return
        rows, lacking = joined(self._open)
        self._open = []
        self._open_answers = 0
        self._watch.take(rows, lacking)
        # First predict, then score, then learn: no figure is of a model that has seen the answer.
        asked = np.flatnonzero((rows.kind == ASKED) & ~lacking)
        if len(asked):
            fixed = rows.fixed[asked]
            p = self._learner.predict(self._vectors(fixed))
            self._pending.put(rows.ask[asked], np.ascontiguousarray(fixed["asked_at"]), p)
        # What saw the future would flatter the figures as it would the weights.
        is_fair = _is_answer(rows) & ~rows.saw_future
        fair = np.flatnonzero(is_fair)
        if not len(fair):
            return
        # Also of what is not learned: lineages are compared over the same examples.
        self._score(rows, fair)
        chosen = np.flatnonzero(is_fair & ~self._left_out(rows))
        # All of the step was read since the newest tick, since a tick closes it.
        span = self._skips.at(self._tick)
        if span is not None:
            self._skips.count(span, len(chosen))
        elif len(chosen):
            labels = rows.label[chosen].astype(np.float32)
            self._learner.learn(Examples(self._vectors(rows.fixed[chosen]), labels))
            self._watch.learn(rows, chosen[~lacking[chosen]])
            self._learned += len(chosen)
            self._reconstructed += int(np.count_nonzero(lacking[chosen]))

    def _left_out(self, rows: ExampleRows) -> npt.NDArray[np.bool_]:
        if self._exclusions is None:
            return np.zeros(len(rows), np.bool_)
        return self._exclusions.of(rows)

    def hold(self, holds: Mapping[str, Sequence[Span]]) -> bool:
        """When people held the model."""
        return self._skips.hold(holds.get(self._plan.model, ()))

    def _vectors(self, fixed: Fixed) -> Vectors:
        """The learner's own, without what slices are told apart by."""
        found = vectors_of(fixed)
        own = len(self._plan.vectors.categories)
        if own == found.categories.shape[1]:
            return found
        return Vectors(found.categories[:, :own].copy(), found.numbers)

    def _score(self, rows: ExampleRows, answered: npt.NDArray[np.intp]) -> None:
        p = self._pending.get(rows.ask[answered])
        y = rows.label[answered]
        # NaN: asked before this lineage began, or before somebody read its columns: it never
        # answered that.
        known = by_task.known(self._plan.vectors.task, p)
        p = p[known]
        y = y[known]
        if not len(p):
            return
        self._quality.update(p, y)
        self._rolling.update(p, y)
        self._references.update(y)
        if self._slice_at:
            texts = rows.texts["categories"].take(answered[known]).to_arrow().to_pylist()
            parts = [parts_of(t) for t in texts]
            for name, at in self._slice_at.items():
                self._by_slice[name].update([key_of([x[at]]) for x in parts], p, y)

    def _reach(self, tick: int, position: int, told: list[Message]) -> None:
        """A tick closes the open step; the first at or after a multiple of `snapshot_every` cuts a
        snapshot."""
        self._close()
        every = self._every_ms
        # The first tick of all only sets the mark from which intervals are counted.
        due = self._tick != blocks.NO_TICK and tick // every > self._cut_tick // every
        if self._cut_tick == blocks.NO_TICK:
            self._cut_tick = tick
        self._tick = tick
        self._watch.reach(tick)
        self._skips.by_conditions = self._watch.spans
        if due and not self.has_caught_up:
            # Of the past nothing is served; what it cuts first is due when that of the others is.
            self._cut_tick = tick
        elif due:
            told.append(self._cut(tick, position))

    def _cut(self, tick: int, position: int) -> Cut:
        self._cuts += 1
        self._cut_tick = tick
        # After a crash the same cut comes again under the same number: it is written once more.
        digest = self._save(self._learner, Moment(self._cuts, tick, self._learned, position))
        return Cut(self._plan.model, self._plan.lineage, self._cuts, tick, digest, self.stats())

    def stats(self) -> dict[str, Any]:
        """Prequential figures as of now, over everything and over the newest examples, beside what
        no learning would have scored on the same labels."""
        return {
            "learned": self._learned,
            "reconstructed": self._reconstructed,
            "all": self._quality.figures().as_json(),
            "rolling": self._rolling.figures().as_json(),
            "references": {
                "all": self._references.figures().as_json(),
                "rolling": self._references.rolling().as_json(),
            },
        }

    def facts(self) -> dict[str, Any]:
        slices = {
            s: {k: f.as_json() for k, f in table.figures().items()}
            for s, table in self._by_slice.items()
        }
        own = {"lineage": self._plan.lineage, "snapshots": self._cuts, "finished": self._tick}
        return {**self.stats(), **own, "slices": slices, **self._told()}

    def _told(self) -> dict[str, Any]:
        """What it does not learn, and what it is not given."""
        missing = [lacking._asdict() for lacking in self._watch.inputs[:MOST_MISSING]]
        return {
            "skipped": self._skips.examples,
            "skips": self._skips.told()[-MOST_SKIPS:],
            "missing_inputs": missing,
        }

    def configure(self, settings: Mapping[str, Freshness], at: int) -> bool:
        """`snapshot_every` and `label_wait` of the label's topic."""
        freshness = settings.get(self._plan.label_topic)
        if freshness is None:
            return False
        now = [freshness.ms("snapshot_every"), freshness.ms("label_wait")]
        if now == [self._every_ms, self._wait_ms]:
            return False
        self._settings.append([at, *now])
        self._take_on(*now)
        return True

    def _take_on(self, every_ms: int, wait_ms: int) -> None:
        self._every_ms = every_ms
        self._wait_ms = wait_ms
        self._pending.keep_ms = 2 * wait_ms

    def skip(self, batch: Batch) -> Outputs:
        alone = without_rows(batch)
        return self.apply(alone) if alone is not None else Outputs()

    def dump(self, full: bool) -> Arrays:
        """Always everything; nothing if the learner has no arrays."""
        if not self._plan.durable:
            return {}
        state: Arrays = {f"learner.{k}": v for k, v in self._learner.checkpoint().items()}
        state |= {f"quality.{k}": v for k, v in self._quality.checkpoint().items()}
        state |= {f"rolling.{k}": v for k, v in self._rolling.checkpoint().items()}
        state |= {f"references.{k}": v for k, v in self._references.checkpoint().items()}
        for s, table in self._by_slice.items():
            state |= {f"slice.{s}.{k}": v for k, v in table.checkpoint().items()}
        state |= self._pending.dump()
        state["cursors"] = self._cursors.dump()
        state["ticks"] = self._ticks.dump()
        numbers = [self._tick, self._cut_tick, self._learned, self._cuts, self._open_answers]
        state["numbers"] = as_json([*numbers, self._reconstructed])
        state["settings"] = as_json(self._settings)
        state |= self._skips.dump() | self._watch.dump()
        return state | dumped(self._open, self._layout)

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        # Every dump holds everything, so the newest alone is read.
        state = deltas[-1] if deltas else base
        self._learner.restore(_under(state, "learner."))
        task = self._plan.vectors.task
        self._quality = by_task.quality(task, _under(state, "quality."))
        self._rolling = by_task.rolling(task, ROLLING_EXAMPLES, _under(state, "rolling."))
        kept = _under(state, "references.")
        self._references = by_task.references(task, ROLLING_EXAMPLES, kept)
        self._by_slice = {s: self._restored_slice(state, s) for s in self._plan.slices}
        self._pending.load(state)
        self._cursors.load(state["cursors"])
        self._ticks.load(state["ticks"])
        numbers = from_json(state["numbers"])
        self._tick, self._cut_tick, self._learned, self._cuts, self._open_answers = numbers[:5]
        self._reconstructed = numbers[5]
        self._open = restored(state, self._layout)
        self._watch.load(state)
        self._skips.by_conditions = self._watch.spans
        self._skips.load(state)
        if "settings" in state and (settings := from_json(state["settings"])):
            self._settings = settings
            self._take_on(*settings[-1][1:])

    def _restored_slice(
        self, state: Mapping[str, npt.NDArray[Any]], name: str
    ) -> by_task.SlicedFigures:
        """A slice that was declared after the checkpoint is counted from here on."""
        kept = _under(state, f"slice.{name}.")
        return by_task.sliced(self._plan.vectors.task, kept or None)


def _under(state: Mapping[str, npt.NDArray[Any]], prefix: str) -> Arrays:
    return {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}


def _is_answer(rows: ExampleRows) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (rows.kind == LABELLED) | (rows.kind == CORRECTED)
    return found
