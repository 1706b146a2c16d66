"""The honest summary of a replay: everything recomputed from the logs, the ledger included."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.app import App
from freshet.audit import kept as kept_by_run
from freshet.audit import ledger as audit
from freshet.audit.moved import faults
from freshet.learners.baseline_learner import Baseline
from freshet.learners.contract import LearnerSpec
from freshet.learners.linear.learner import HashedLinear
from freshet.learners.logistic.learner import HashedLogistic
from freshet.learners.model import Model
from freshet.learners.training.pending import Pending
from freshet.quality.figures import no_answers, of_json, quality, references
from freshet.quality.report_types import TaskReport
from freshet.replay.replayer import Facts
from freshet.replay.report_types import (
    LineageReport,
    ModelReport,
    QuantilesReport,
    RequestReport,
    TopicReport,
    lost,
)
from freshet.schemas.errors import SchemaError
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.vectors import Examples
from freshet.schemas.text.keys import key_of, parts_of
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.schemas.wire.outcomes import (
    ASKED,
    CORRECTED,
    EXPIRED,
    LABELLED,
    ExampleRows,
    vectors_of,
)
from freshet.streams.intake.fates import EMPTY, fates
from freshet.streams.intake.ledger import Ledger, totals
from freshet.streams.log.contract import Log

CHECKPOINT_PATIENCE_SECONDS = 20.0  # several times what lies between two checkpoints
SLICE_LABELS = 500  # of fewer no figure says anything
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What was served and what came of it, in the order of the examples log: columns over labelled
    rows, and counts. `label_delay_ms` is from question to label; of the labelled and the corrected
    `saw_future` were asked after their label's event, and learned by nobody."""

    p: F64
    y: F64
    label_delay_ms: npt.NDArray[np.int64]
    categories: list[str]
    model_lag_ms: npt.NDArray[np.int64]
    asked: int
    expired: int
    corrected: int
    saw_future: int
    rows: list[ExampleRows]


def topic_report(app: App, log: Log, checkpoints_url: str, name: str) -> TopicReport:
    """Records as the log has them, fates by intake's own ledger, and whether the one recomputed
    from the log agrees."""
    topic = app.topic(name)
    names = fates(topic)
    counts = dict.fromkeys(names, 0)
    sources = _Sources(log, checkpoints_url, topic, app.log_of(name))
    settled = app.settled_log_of(topic)
    # Also those that were added since it was declared.
    every = sorted(log.bounds(app.log_of(name)).spans)
    letters = {p: kept_by_run.told(log, app.dead_log, topic, p) for p in every}
    by_place = {
        ((p, offset), event): why
        for p, told in letters.items()
        for (offset, event), why in told.items()
    }
    events = 0
    agrees = True
    for p in range(topic.partitions):
        recorded = kept_by_run.taken_on(log, checkpoints_url, topic, settled, p)
        if topic.by_id:
            moved = kept_by_run.moved_records(log, settled, p)
            again = audit.recompute(topic, moved, by_place, recorded)
        else:
            again = audit.recompute(topic, sources.records(p), letters[p], recorded)
        # How many events a record is, only its reader knows: here the auditor.
        events += sum(totals(again, names).values())
        kept = _kept(app, log, checkpoints_url, name, p)
        agrees = agrees and again == kept
        for fate, n in totals(kept, names).items():
            counts[fate] += n
    if topic.by_id:
        wrong = faults(
            topic,
            {p: sources.records(p) for p in every},
            {p: kept_by_run.moved_records(log, settled, p) for p in range(topic.partitions)},
        )
        agrees = agrees and not list(wrong)
    under = {
        k: {f.split(":")[1]: n for f, n in counts.items() if f.startswith(k + ":") and n}
        for k in ("dropped", "dead")
    }
    return TopicReport(
        records=sources.n if topic.explode is None else events,
        applied=counts["applied"],
        deduplicated=counts["deduplicated"],
        empty=counts.get(EMPTY, 0),
        dropped=under["dropped"],
        dead=under["dead"],
        ledger_agrees=agrees,
    )


class _Sources:
    """The records of a topic's own partitions, which are counted while they are read: an input of
    the report that no ledger has a part in."""

    def __init__(self, log: Log, checkpoints_url: str, topic: Topic, source: str) -> None:
        self._log = log
        self._url = checkpoints_url
        self._topic = topic
        self._source = source
        self.n = 0

    def records(self, partition: int) -> Iterator[kept_by_run.Record]:
        start = kept_by_run.start(self._log, self._url, self._topic, self._source, partition)
        headers = list(self._topic.headers.values())
        for record in kept_by_run.records(self._log, self._source, partition, start, headers):
            self.n += 1
            yield record


def _kept(app: App, log: Log, checkpoints_url: str, name: str, partition: int) -> Ledger:
    """Intake's ledger once its checkpoint covers the whole log (it saves one every few seconds)."""
    settled = app.settled_log_of(app.topic(name))
    end = log.bounds(settled).spans[partition][1]
    deadline = time.monotonic() + CHECKPOINT_PATIENCE_SECONDS
    while True:
        offset, ledger = kept_by_run.ledger(
            log, checkpoints_url, app.topic(name), settled, partition
        )
        # Too late it does not agree, which is what the report then says.
        if offset >= end or time.monotonic() > deadline:
            return ledger
        time.sleep(0.2)


def outcomes_of(app: App, log: Log, model: Model, keep_rows: bool = True) -> Outcomes:
    """Read a model's whole examples log. Without its rows what is kept are a few numbers of each
    labelled one."""
    rows: list[ExampleRows] = []
    p = [no_answers(model.task)]
    y = [np.empty(0)]
    delay = [np.empty(0, np.int64)]
    lag = [np.empty(0, np.int64)]
    categories: list[str] = []
    counts = dict.fromkeys((ASKED, EXPIRED, CORRECTED), 0)
    saw_future = 0
    for r in _example_rows(app, log, model):
        for kind in counts:
            counts[kind] += int(np.count_nonzero(r.kind == kind))
        saw_future += int(np.count_nonzero(r.saw_future))
        at = np.flatnonzero(r.kind == LABELLED)
        p.append(r.fixed["p"][at])
        y.append(r.label[at])
        delay.append(r.t[at] - r.fixed["asked_at"][at])
        lag.append(r.fixed["model_lag"][r.kind == ASKED])
        if keep_rows:
            rows.append(r)
        if keep_rows or model.slices:
            categories += r.texts["categories"].take(at).to_arrow().to_pylist()
    return Outcomes(
        p=np.concatenate(p),
        y=np.concatenate(y),
        label_delay_ms=np.concatenate(delay),
        categories=categories,
        model_lag_ms=np.concatenate(lag),
        asked=counts[ASKED],
        expired=counts[EXPIRED],
        corrected=counts[CORRECTED],
        saw_future=saw_future,
        rows=rows,
    )


def _example_rows(app: App, log: Log, model: Model) -> Iterator[ExampleRows]:
    """Each row once."""
    layout = Layout.of(model.vectors)
    topic = app.examples_log_of(model)
    seen: set[tuple[int, int, int]] = set()
    for record in kept_by_run.records(log, topic, 0):
        try:
            block = blocks.decode(record.value)
            found = ExampleRows.from_arrow(block.rows, layout) if block.rows is not None else None
        except (SchemaError, KeyError, ValueError):  # a foreign record, which trainers have buried
            continue
        if block.rows is None or found is None:
            continue
        # After a restart the join appends again what it had appended: an origin counts once.
        first = block.rows.slice(0, 1)
        place = (int(first.column(name)[0].as_py()) for name in ("_offset", "_index"))
        origin = (*place, block.rows.num_rows)
        if origin not in seen:
            seen.add(origin)
            yield found


def prequential(model: Model, spec: LearnerSpec, found: Outcomes) -> F64:
    """What a learner would have answered, live, to each labelled question.

    The steps are those of the log: predict on what was asked, then learn what was answered.
    """
    own = model.vectors_of(spec)
    places = own.places_in(model.vectors)
    learner = spec.make(own)
    # Without an end to how long an answer waits: the join has settled that.
    pending = Pending(1 << 60, model.task.width)
    out = [no_answers(model.task)]
    for rows in found.rows:
        vectors = vectors_of(rows.fixed)
        if places is not None:
            vectors = places.of(vectors)
        asked = np.flatnonzero(rows.kind == ASKED)
        # First: of what it answers here it has not learned yet.
        if len(asked):
            p = learner.predict(vectors.take(asked))
            pending.put(rows.ask[asked], np.ascontiguousarray(rows.fixed["asked_at"][asked]), p)
        at = np.flatnonzero((rows.kind == LABELLED) | (rows.kind == CORRECTED))
        if len(at):
            out.append(pending.get(rows.ask[at[rows.kind[at] == LABELLED]]))
            learner.learn(Examples(vectors.take(at), rows.label[at].astype(np.float32)))
    return np.concatenate(out)


def without_views(model: Model) -> LearnerSpec | None:
    """The model's hashed regression, less every feature of views: what the request alone can
    tell."""
    hashed = (HashedLogistic, HashedLinear)
    linear = next((x for x in model.learners if isinstance(x, hashed)), None)
    if linear is None:
        return None
    # Crosses of categories alone: those of the request.
    plain = [c for c in linear.crosses if set(c) <= set(model.vectors_of(linear).categories)]
    return replace(
        linear, name="without_views", without=("*.*",), crosses=plain, combinations=None, knots=None
    )


def quantiles(values: npt.NDArray[Any]) -> QuantilesReport:
    if not len(values):
        return QuantilesReport(p50=None, p99=None, max=None)
    p50, p99, top = np.quantile(values, (0.5, 0.99, 1.0)).tolist()
    return QuantilesReport(p50=round(p50, 3), p99=round(p99, 3), max=round(top, 3))


@dataclass(frozen=True, slots=True)
class Judged:
    """How a model is reported: over the labels after the first `after`, beside what else could have
    answered where that is to be computed `again` from all examples, which takes memory for them.
    `counts` are messages by type, and verdicts."""

    facts: Facts
    counts: Mapping[str, int]
    after: int = 0
    again: bool = False


def model_report(app: App, log: Log, model: Model, judged: Judged) -> ModelReport:
    """Quality of what was served, over everything and by slice, beside what needs no features; and
    what was learned of what came, and what was not, and why."""
    found = outcomes_of(app, log, model, keep_rows=judged.again)
    after = judged.after
    task = model.task
    p = found.p[after:]
    y = found.y[after:]
    kept = found.categories[after:]
    base = without = None
    if judged.again:
        answers = prequential(model, Baseline(), found)
        base = quality(task, answers[after:], y)
        static = without_views(model)
        if static is not None:
            answers = prequential(model, static, found)
            without = quality(task, answers[after:], y)
    plain = references(task, found.y, after)
    settled = judged.facts.settled.get(model.name)
    counts = judged.counts
    return ModelReport(
        asked=found.asked,
        examples=found.asked,
        labelled=len(found.p),
        expired=found.expired,
        corrections=found.corrected,
        snapshots=counts.get("Cut", 0),
        approvals=counts.get("approved", 0),
        refusals=counts.get("refused", 0),
        swaps=counts.get("Swapped", 0),
        served_lineage=settled.lineage if settled else None,
        baseline_lineage=next(
            (model.lineage(x) for x in model.learners if isinstance(x, Baseline)), ""
        ),
        after=after,
        served=quality(task, p, y),
        baseline=base,
        without_features=without,
        prior=plain["prior"],
        no_change=plain["no_change"],
        lineages=_lineages(model, judged.facts),
        slices={s: _slices(model, s, kept, p, y) for s in model.slices},
        lag_ms=quantiles(found.model_lag_ms[found.model_lag_ms >= 0]),
        label_delay_ms=quantiles(found.label_delay_ms),
        not_learned=_not_learned(model, judged.facts, found),
    )


def _lineages(model: Model, facts: Facts) -> dict[str, LineageReport]:
    """Prequential figures as the trainers last told them, each beside what needs no features on the
    same labels."""
    out: dict[str, LineageReport] = {}
    # In order of declaration. One whose trainer never spoke is not there.
    for name in map(model.lineage, model.learners):
        told = facts.of_tasks.get(f"train:{model.name}.{name}:0")
        if told is not None:
            task = model.task
            plain = told["references"]["all"]
            out[name] = LineageReport(
                learned=told["learned"],
                prequential=of_json(task, told["all"]),
                prior=of_json(task, plain["prior"]),
                no_change=of_json(task, plain["no_change"]),
            )
    return out


def _not_learned(model: Model, facts: Facts, found: Outcomes) -> dict[str, int]:
    """Questions and labels that nobody learned from, by reason; those that there are."""
    told = facts.of_tasks.get(f"join:{model.name}:0", {})
    labels = told.get("labels", {})
    counts = {
        "questions without a label within label_wait": found.expired - found.corrected,
        "questions that still wait for their label": told.get("open", 0),
        "questions for an id that was asked before": told.get("repeated_questions", 0),
        "labels that belong to no question": labels.get("without_question", 0),
        "labels not later than their question": labels.get("saw_future", 0),
        "labels later than label_wait": labels.get("late", 0),
        "labels of what had one": labels.get("repeated", 0),
        "labels that are null": labels.get("empty", 0),
    }
    return {reason: n for reason, n in counts.items() if n}


def _slices(
    model: Model, name: str, categories: list[str], p: F64, y: F64
) -> dict[str, TaskReport]:
    """By value of a category, those with enough labels, most first."""
    at = model.vectors.categories.index(name)
    values = np.array([key_of([parts_of(c)[at]]) for c in categories])
    names, n = np.unique(values, return_counts=True)
    order = [str(names[i]) for i in np.argsort(-n) if n[i] >= SLICE_LABELS]
    return {v: quality(model.task, p[values == v], y[values == v]) for v in order}


def verdict(
    topics: Mapping[str, TopicReport], requests: RequestReport, scorer_restarts: int
) -> list[str]:
    """Why the run did not pass; empty if it did. A scorer that ended broke what it had in hand,
    which was asked again."""
    why = [
        f"the ledger of {name} does not agree with its log"
        for name, t in topics.items()
        if not t["ledger_agrees"]
    ]
    why += [
        f"{lost(t)} records of {name} ended in no fate" for name, t in topics.items() if lost(t)
    ]
    if requests["failed"]:
        why.append(f"{requests['failed']} requests failed")
    if requests["broken"] and not scorer_restarts:
        why.append(f"{requests['broken']} requests got no answer, though no scorer was restarted")
    return why
