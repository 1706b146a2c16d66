"""How good the answers were that clients got, from a model's examples log."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from freshet.learners.model import Model
from freshet.learners.training import by_task
from freshet.schemas.errors import SchemaError
from freshet.schemas.models.layout import Layout
from freshet.schemas.text.keys import key_of, parts_of
from freshet.schemas.wire import blocks, outcomes
from freshet.serving.quality.reliability import diagram
from freshet.serving.quality.told import quality_of, references_of
from freshet.serving.status import status as s
from freshet.serving.values.served_file import Arrays, KeptServed, packed, unpacked
from freshet.serving.values.skew import Skew
from freshet.streams.log.contract import Batch
from freshet.streams.operators.origins import Cursors

ROLLING = 5_000  # the newest labelled predictions that rolling figures are of
CALIBRATED = 20_000  # the newest labelled predictions that the calibration plot is of
# A hundred features take .2 s.
SKEW_SECONDS = 10.0


class ServedFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Quality as it was reckoned last: over the newest 5,000 labelled predictions, over all, by
    slice and by what was answered."""

    rolling: s.Quality = s.Quality()
    overall: s.Quality = s.Quality()
    rolling_references: s.References = s.References()
    overall_references: s.References = s.References()
    slices: tuple[tuple[str, str, s.Quality], ...] = ()  # field, value
    calibration: tuple[s.CalibrationBin, ...] = ()
    classes: tuple[s.ClassCounts, ...] = ()


class ServedQuality:
    """Of one model. Counts are as of the last batch; `figures` cost milliseconds, so they are as of
    the last `reckon`."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._layout = Layout.of(model.vectors)
        self._at = {f: model.vectors.categories.index(f) for f in model.slices}
        task = model.task
        self._overall = by_task.quality(task)
        self._rolling = by_task.rolling(task, ROLLING)
        self._newest = diagram(task, CALIBRATED)
        self._references = by_task.references(task, ROLLING)
        self._slices = {f: by_task.sliced(task) for f in model.slices}
        self._rungs = np.zeros(len(outcomes.RUNGS), np.int64)
        self._reckoned = 0
        self._cursors = Cursors()
        self.asked = self.labelled = self.expired = 0
        self.figures = ServedFigures()
        self._skew = Skew(self._layout.categories, self._layout.numbers, model.skew_bounds)
        self._skewed_at = -SKEW_SECONDS
        self._skewed = 0  # how many had been asked and labelled then
        self.skew: list[s.SkewFigures] = []
        self._identity = ""  # of the log that is read
        self._position = 0  # in it: what stands before has been learned
        # Another thread than the one that learns saves what came of it.
        self._lock = threading.Lock()

    @property
    def rungs(self) -> dict[str, int]:
        """Predictions by the rung that answered; those that occurred."""
        return {rung: n for rung, n in zip(outcomes.RUNGS, self._rungs.tolist()) if n}

    @property
    def skewed(self) -> list[s.DriftFigures]:
        """Features that were farther from what was learned from than is usual, the newest first."""
        return self._skew.told

    def begin(self, identity: str, kept: KeptServed | None) -> int:
        """The log of that identity is read from now on: from which offset, 0 from what it has
        first. What was `kept` counts if it is of the same log and declaration."""
        with self._lock:
            self._identity = identity
            if kept is not None and (kept.identity, kept.declared) == (identity, self._declared()):
                self._restore(kept)
            return self._position

    def kept(self) -> KeptServed | None:
        """What `begin` goes on with; None before that was called. By any thread."""
        with self._lock:
            if not self._identity:
                return None
            skew = self._skew.kept()
            arrays = self._arrays()
        return KeptServed(self._identity, self._position, self._declared(), skew, packed(arrays))

    def _declared(self) -> str:
        model = self._model
        parts = [self._layout.id, list(self._slices), dict(model.skew_bounds)]
        # Of a binary model it is what it was before there were others.
        if facts := model.task.facts:
            parts.append(facts)
        return msgspec.json.encode(parts).decode()

    def _arrays(self) -> Arrays:
        counts = [self.asked, self.labelled, self.expired]
        parts: dict[str, Any] = {
            "overall": self._overall.checkpoint(),
            "rolling": self._rolling.checkpoint(),
            "newest": self._newest.checkpoint(),
            "references": self._references.checkpoint(),
            "skew": self._skew.arrays(),
            "own": {
                "counts": np.array(counts),
                "rungs": self._rungs.copy(),
                "cursors": self._cursors.dump(),
            },
        }
        for at, table in enumerate(self._slices.values()):
            parts[f"slice{at}"] = table.checkpoint()
        return {
            f"{part}.{name}": array
            for part, arrays in parts.items()
            for name, array in arrays.items()
        }

    def _restore(self, kept: KeptServed) -> None:
        arrays = unpacked(kept.packed)

        def part(name: str) -> Arrays:
            begin = f"{name}."
            return {
                key.removeprefix(begin): array
                for key, array in arrays.items()
                if key.startswith(begin)
            }

        task = self._model.task
        self._overall = by_task.quality(task, part("overall"))
        self._rolling = by_task.rolling(task, ROLLING, part("rolling"))
        self._newest = diagram(task, CALIBRATED, part("newest"))
        self._references = by_task.references(task, ROLLING, part("references"))
        for at, name in enumerate(self._slices):
            self._slices[name] = by_task.sliced(task, part(f"slice{at}"))
        self._skew.restore(kept.skew, part("skew"))
        own = part("own")
        self.asked, self.labelled, self.expired = own["counts"].tolist()
        # Of rungs that there are by now; they only come to be more.
        self._rungs[: own["rungs"].size] = own["rungs"]
        self._cursors.load(own["cursors"])
        self._position = kept.position

    def learn(self, batch: Batch) -> None:
        """Blocks of the examples log, each counted once. A record that is none of it is passed
        over: trainers bury it."""
        for i in range(len(batch)):
            # One by one: whoever saves does not wait until a year is judged.
            with self._lock:
                self._learn(batch.value(i))
                self._position = int(batch.offsets[i]) + 1

    def _learn(self, value: memoryview) -> None:
        try:
            block = blocks.decode(value)
            if block.rows is None:
                return
            rows = outcomes.ExampleRows.from_arrow(block.rows, self._layout)
            is_whole = not self._layout.lacking(outcomes.layout_of(block.rows))
        except (SchemaError, KeyError, ValueError):
            return
        at = block.rows.column("_offset").to_numpy()
        index = block.rows.column("_index").to_numpy()
        if self._cursors.fresh(block.origin, block.partition, at, index).start == 0:
            self._take(rows, is_whole)

    def _take(self, rows: outcomes.ExampleRows, is_whole: bool) -> None:
        """`is_whole`: they were logged with all columns of now."""
        asked = rows.kind == outcomes.ASKED
        self.asked += int(np.count_nonzero(asked))
        self.expired += int(np.count_nonzero(rows.kind == outcomes.EXPIRED))
        # With a place for each rung, whichever occurred.
        self._rungs += np.bincount(rows.fixed["rung"][asked], minlength=len(self._rungs))
        at = np.flatnonzero(rows.kind == outcomes.LABELLED)
        # What saw the future is not learned from.
        learned = (rows.kind == outcomes.LABELLED) & ~rows.saw_future
        # A column that came to be read only later is not missing of what was asked before.
        if is_whole:
            self._skew.take(rows.fixed, asked, learned)
        if not len(at):
            return
        self.labelled += len(at)
        p = np.ascontiguousarray(rows.fixed["p"][at])
        y = rows.label[at]
        for quality in (self._overall, self._rolling, self._newest):
            quality.update(p, y)
        self._references.update(y)
        if self._slices:
            self._take_slices(rows.texts["categories"].take(at).to_arrow().to_pylist(), p, y)

    def _take_slices(self, texts: list[str], p: npt.NDArray[Any], y: npt.NDArray[Any]) -> None:
        parts = [parts_of(t) for t in texts]
        for name, table in self._slices.items():
            table.update([key_of([x[self._at[name]]]) for x in parts], p, y)

    def reckon(self) -> None:
        """Bring `figures` up to date, if anything was labelled since; `skew` now and then."""
        self._reckon_skew(time.monotonic())
        if self._reckoned == self.labelled:
            return
        self._reckoned = self.labelled
        self.figures = ServedFigures(
            rolling=quality_of(self._rolling.figures()),
            overall=quality_of(self._overall.figures()),
            rolling_references=references_of(self._references.rolling()),
            overall_references=references_of(self._references.figures()),
            slices=tuple(
                (field, value, quality_of(figures))
                for field, table in self._slices.items()
                for value, figures in table.figures().items()
            ),
            calibration=self._newest.bins(),
            classes=self._newest.by_class(),
        )

    def _reckon_skew(self, now: float) -> None:
        taken = self.asked + self.labelled
        # What tells nothing yet is no turn: the first figures do not wait for the next one.
        if taken == self._skewed or not self._skew.is_known:
            return
        if now - self._skewed_at < SKEW_SECONDS:
            return
        self._skewed = taken
        self._skewed_at = now
        self.skew = self._skew.figures()
