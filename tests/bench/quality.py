"""Which quality the demo's learners reach on its own features: its clock and its app, simulated in
one process.

    python -m tests.bench.quality [--year] [learner …]

In steps of 15 minutes: the step's departures are answered by the newest snapshot, with features as
of the step's start; then what became known is learned. There is no log and no store, and nothing is
late or twice: features come from sorted arrays, so a year takes seconds a learner. Prints AUC,
normalised entropy and calibration for each.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from freshet.app import App
from freshet.demo.flights.data import START_MS, load
from freshet.features.aggregates import Age, Aggregate, DecayedMean, Last, Window
from freshet.features.views.view import View
from freshet.learners.catalog import predictor
from freshet.learners.contract import LearnerSpec
from freshet.learners.model import Model
from freshet.learners.training.prequential import figures_of
from freshet.schemas.models.vectors import Examples, Vectors
from freshet.schemas.text.columns import Texts
from freshet.schemas.topics.topic import FieldRef, Topic

Array = npt.NDArray[Any]
Frames = Mapping[str, pl.DataFrame]
MINUTE_MS = 60_000
STEP_MS = 15 * MINUTE_MS
ALONE = 1e15  # ms between the times of two keys, so that one sorted array serves all


class ViewOf:
    """The features of a view for each question: what its events strictly before the question's time
    say."""

    def __init__(self, view: View, events: pl.DataFrame, asked: pl.DataFrame, at: Array) -> None:
        both = pl.concat([events.select(view.keys), asked.select(view.keys)])
        code = (
            both.select(pl.concat_str(view.keys, separator="|").rank("dense"))
            .to_series()
            .to_numpy()
            * ALONE
        )
        known, own = events[view.topic.event_time].to_numpy().astype(float), code[: len(events)]
        self._by = np.lexsort((known, own))
        self._events, self._known, self._at = events, known[self._by], at.astype(float)
        self._line, self._asked = own[self._by] + self._known, code[len(events) :]
        self._first, self._end = np.searchsorted(self._line, self._asked), self._before(0)

    def feature(self, aggregate: Aggregate) -> Array:
        """Float64, one a question; NaN where there is nothing to tell."""
        some, newest = self._end > self._first, np.maximum(self._end - 1, 0)
        match aggregate:
            case Age():
                return np.where(some, (self._at - self._known[newest]) / 1000, np.nan)
            case Last():
                return np.where(some, self._values(aggregate.field)[newest], np.nan)
            case DecayedMean():
                return self._decayed(aggregate, newest, some)
            case Window():
                return self._window(aggregate)

    def _before(self, earlier_ms: float) -> Array:
        """Where in the line each question's key has its first event at or after its time less
        `earlier_ms`."""
        return np.searchsorted(self._line, self._asked + self._at - earlier_ms)

    def _values(self, field: str) -> Array:
        return self._events[field].to_numpy().astype(float)[self._by]

    def _window(self, w: Window) -> Array:
        start = np.minimum(np.maximum(self._before(w.over_ms), self._first), self._end)
        n = self._end - start
        if w.kind == "count" or w.field is None:
            return n.astype(float)
        x = self._values(w.field)
        if w.kind in ("min", "max"):
            # each start to its end; what lies between spans is dropped
            spans = np.stack([start, self._end], 1).ravel()
            ends = (np.minimum if w.kind == "min" else np.maximum).reduceat(
                np.append(x, np.nan), spans
            )[::2]
            return np.where(n > 0, ends, np.nan)
        total = np.concatenate([[0.0], np.cumsum(x)])
        sums = total[self._end] - total[start]
        return sums if w.kind == "sum" else np.where(n > 0, sums / np.maximum(n, 1), np.nan)

    def _decayed(self, d: DecayedMean, newest: Array, some: Array) -> Array:
        x = self._values(d.field)
        gap = np.diff(self._line, prepend=self._line[0])
        kept = np.where(gap < ALONE / 2, np.exp2(-gap / d.half_life_ms), 0.0)
        sums, weights, s, n = np.zeros(len(x)), np.zeros(len(x)), 0.0, 0.0
        for i, (k, v) in enumerate(zip(kept.tolist(), x.tolist())):
            s, n = s * k + v, n * k + 1.0
            sums[i], weights[i] = s, n
        if d.prior is None:
            return np.where(some, sums[newest] / weights[newest], np.nan)
        now = np.where(
            some, np.exp2(-np.maximum(self._at - self._known[newest], 0) / d.half_life_ms), 0.0
        )
        return (sums[newest] * now + d.weight * d.prior) / (weights[newest] * now + d.weight)


class Questions:
    """All departures of the year in order of their steps, with their vectors and what became of
    them."""

    def __init__(self, app: App, model: Model, frames: Frames) -> None:
        self._app, self._model = app, model
        self._frames = {t.name: imputed(t, frames[t.name]) for t in app.topics}
        asked = self._frames[model.on.name]
        scheduled = asked[model.on.event_time].to_numpy()
        self.step = (scheduled - START_MS) // STEP_MS * STEP_MS + START_MS
        self._asked = asked

    @cached_property
    def vectors(self) -> Vectors:
        views = {
            v.name: ViewOf(v, self._frames[v.topic.name], self._asked, self.step)
            for v in self._app.views
        }
        categories, numbers = [], []
        for f in self._model.features:
            if not isinstance(f, FieldRef):
                numbers.append(views[f.view].feature(self._app.view(f.view).features[f.feature]))
            elif f.categorical:
                categories.append(Texts.from_arrow(text_column(self._asked[f.field])).hashes())
            else:
                numbers.append(self._asked[f.field].to_numpy())
        return Vectors(np.stack(categories, 1), np.stack(numbers, 1).astype(np.float32))

    @cached_property
    def outcome(self) -> tuple[Array, Array]:
        """When each label is known (ms; infinite: never) and what it is."""
        label = self._model.label
        told = self._frames[label.topic.name].select(
            pl.col(label.id).alias(self._model.id),
            known=pl.col(label.topic.event_time),
            label=label.value,
        )
        both = self._asked.join(told, on=self._model.id, how="left", maintain_order="left")
        known = both["known"].cast(pl.Float64).fill_null(np.inf).to_numpy()
        return known, both["label"].fill_null(False).to_numpy().astype(np.float32)


def text_column(column: pl.Series) -> Any:
    """As Arrow utf8 with 32-bit offsets."""
    import pyarrow as pa

    return column.cast(pl.String).to_arrow().cast(pa.string())


def imputed(topic: Topic, frame: pl.DataFrame) -> pl.DataFrame:
    """Constants as declared; other kinds by the last value of the same source, which is near
    enough."""
    filled = [
        pl.col(f).fill_null(how.value)
        if how.kind == "constant"
        else pl.col(f).forward_fill().over(topic.source).fill_null(0)
        for f, how in topic.impute.items()
    ]
    kept = [~e.fill_null(False) for e in topic.drop.values()]
    return frame.filter(*kept).with_columns(filled)


def simulate(
    spec: LearnerSpec, model: Model, asked: Questions, every_ms: int, until_ms: int
) -> Array:
    """The served prediction of each question that is asked before `until_ms`; NaN for the
    others."""
    known, labels = asked.outcome
    order = np.argsort(known, kind="stable")[: np.isfinite(known).sum()]
    told, examples = known[order], Examples(asked.vectors.take(order), labels[order])
    learner, p = spec.make(model.vectors), np.full(len(known), np.nan)
    learned, last = 0, -1
    served = predictor(learner.export(), model.vectors)
    starts, first = np.unique(asked.step, return_index=True)
    for start, a, b in zip(starts.tolist(), first, [*first[1:], len(known)]):
        if start >= until_ms:
            break
        cut = start // every_ms * every_ms
        for tick in (cut, start):
            k = int(np.searchsorted(told, tick))
            if k > learned:
                rows = slice(learned, k)
                v = Vectors(examples.vectors.categories[rows], examples.vectors.numbers[rows])
                learner.learn(Examples(v, examples.labels[rows]))
                learned = k
            if tick == cut > last:
                served, last = predictor(learner.export(), model.vectors), cut
        p[a:b] = served.predict(Vectors(asked.vectors.categories[a:b], asked.vectors.numbers[a:b]))
    return p


def report(app: App, names: Iterable[str], year: bool) -> None:
    model = app.models[0]
    asked = Questions(app, model, load())
    known, labels = asked.outcome
    rank = np.cumsum(np.isfinite(known))
    every, until, skip = (6, int(2e12), 20_000) if year else (3, START_MS + 59 * 86_400_000, 5_000)
    for spec in model.learners:
        if names and spec.name not in names:
            continue
        started = time.monotonic()
        p = simulate(spec, model, asked, every * 60 * MINUTE_MS, until)
        judged = np.isfinite(known) & np.isfinite(p) & (rank > skip)
        f = figures_of(p[judged], labels[judged])
        took = time.monotonic() - started
        print(
            f"{spec.name:24} {f.auc:.4f} {f.normalised_entropy:.4f} {f.calibration:.3f}   {f.n} in {took:.0f} s"
        )


if __name__ == "__main__":
    from freshet.demo.flights.app import app

    report(app, [a for a in sys.argv[1:] if a != "--year"], "--year" in sys.argv)
