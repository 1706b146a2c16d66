"""The scorer: reads features, answers by the highest rung that can, and logs what it answered."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import structlog

from freshet.features.reading.vectors import Read, VectorPlan
from freshet.features.stores.contract import RowReader, Store
from freshet.learners.model import Model
from freshet.learners.rungs import Rung
from freshet.schemas.errors import ComponentError, FreshetError, RequestError
from freshet.schemas.events.field import DATATYPES, NUMBERS, TEXTS, Field
from freshet.schemas.models.conditions import FALL_BACK
from freshet.schemas.models.layout import Layout
from freshet.schemas.models.vectors import F64, Vectors
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import canonical, parts_of
from freshet.schemas.topics.topic import Freshness, Topic
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import Block
from freshet.schemas.wire.messages import Inputs, Logged
from freshet.schemas.wire.outcomes import RUNGS, prediction_rows
from freshet.serving.loading.live_model import LiveModel, ModelSlot, Standing
from freshet.serving.scoring.contract import Answer, Column, ModelCard, Question, TensorSpec
from freshet.serving.scoring.fallback import Conditions, choose
from freshet.serving.scoring.lag import FeatureTicks, Lag, tolerated
from freshet.serving.scoring.prediction_log import PredictionLog, Spooled
from freshet.serving.scoring.reach import REST_SECONDS, Reach
from freshet.serving.scoring.request_digest import RequestDigests, bytes_of
from freshet.streams.clock import Clock, ManualClock
from freshet.streams.log.contract import Writer
from freshet.streams.operators.task import Append
from freshet.streams.outages import Outages

log = structlog.get_logger()
# Predictions gather for as long before they are logged; a killed scorer loses them.
LINGER_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Predictions:
    """What one request adds to the prediction log. `request` are its columns as they were sent;
    they become a digest on the log's thread. `missing` are features for want of which no model
    answered."""

    fixed: npt.NDArray[np.void]
    ids: Sequence[str]
    categories: Texts
    lineage: str
    versions: npt.NDArray[np.uint8]
    request: Mapping[str, Column]
    missing: tuple[str, ...] = ()


class Logging(NamedTuple):
    """Where predictions are logged, and who is told of those that are."""

    open_writer: Callable[[], Writer]
    on_logged: Callable[[Logged], None] = lambda logged: None


class Answered(NamedTuple):
    """Answers float64 `[n]`, of classes `[n, k]`, the snapshot that they came from (None: of no
    model) and its lag (-1: none), and the rung."""

    p: F64
    live: LiveModel | None
    model_lag_ms: int
    rung: str


class Asking(NamedTuple):
    """A question on its way: the moment that it asks about, the snapshots that may answer, and what
    is missing now."""

    served: ServedModel
    question: Question
    as_of: int
    standing: Standing
    asks_store: bool
    inputs: Inputs | None

    def read(self, store: RowReader | None) -> Read:
        return self.served.plan.read(
            store,
            self.question.columns,
            self.question.n,
            self.as_of,
        )


@dataclass(frozen=True)
class Policy:
    """What a scorer goes by while it runs. Operators decide whether models answer, and how fresh
    they must be (by topic: as declared where it says nothing). `outages` is told when the store is
    away; `reflected` says up to when the store's rows are known to reflect their topics, by the
    store's names of views."""

    models_answer: Callable[[], bool] = lambda: True
    freshness: Callable[[str], Freshness | None] = lambda topic: None
    outages: Outages = field(default_factory=Outages)
    reflected: Callable[[], Mapping[str, int]] = dict


@dataclass
class ServedModel:
    """A model as the scorer holds it: its plan, its live snapshot and its log."""

    model: Model
    plan: VectorPlan
    outcomes: str
    slot: ModelSlot = field(default_factory=ModelSlot)
    predictions: PredictionLog[Predictions] | None = None
    rungs: dict[str, int] = field(default_factory=dict)  # rows answered by each
    card: tuple[Standing, ModelCard] | None = None
    inputs: Inputs | None = None  # which are missing, of a model that falls back for it

    def __post_init__(self) -> None:
        self.layout = Layout.of(self.model.vectors)
        # Each once, as several views may read one.
        read = [topic for view in self.plan.views for topic in view.topics]
        self.read_topics = {topic.name: topic for topic in read}.values()


def model_lag_ms(live: LiveModel, now_ms: int) -> int:
    """How long ago it was that this snapshot reflected all labels: at the tick at which it was
    cut."""
    return max(0, now_ms - live.tick)


class Scorer:
    """Answers for all models of an app; see `freshet.serving.scoring.contract.Answering`.

    `instance` is new at each start, since it numbers its predictions from 0. With a `ManualClock`
    (in a replay) requests may say their own `as_of`; otherwise the clock does. Those that do are
    the replay's own: what they are answered is what is learned, so they are put off while the store
    is away.
    """

    def __init__(
        self,
        name: str,
        models: Sequence[tuple[Model, VectorPlan, str]],
        store: Store,
        clock: Clock,
        logging: Logging,
        policy: Policy | None = None,
    ) -> None:
        self.instance = f"{name}/{uuid.uuid4().hex[:8]}"
        self._clock = clock
        self._policy = policy or Policy()
        self.reach = Reach(store, self._policy.outages)
        self.feature_ticks = FeatureTicks(self._policy.reflected, clock)
        self.served: dict[str, ServedModel] = {}
        for model, plan, outcomes in models:
            served = ServedModel(model, plan, outcomes)
            served.predictions = PredictionLog(
                self.instance,
                logging.open_writer,
                self._packer(served),
                _naming(model.name, logging.on_logged),
                linger_seconds=LINGER_SECONDS,
            )
            self.served[model.name] = served

    def warm(self) -> None:
        """Before the first question: what it needs is loaded."""
        for served in self.served.values():
            read = served.plan.warm()
            # The first expression of Polars in a process takes ten times as long as a request.
            for declared in served.model.fallback:
                self._declared(served, declared, read)
            self.card(served.model.name)

    def models(self) -> Sequence[str]:
        return tuple(self.served)

    def card(self, model: str) -> ModelCard:
        served = self.served[model]
        standing = served.slot.standing
        # By identity: every swap makes a new standing, and nothing else changes the card.
        if served.card is None or served.card[0] is not standing:
            served.card = standing, self._card(served)
        return served.card[1]

    def _card(self, served: ServedModel) -> ModelCard:
        types = {f.name: f for f in served.model.on.events.fields}
        # Each once: the id may be a feature, too.
        names = dict.fromkeys((served.model.id, *served.plan.fields))
        needed = []
        for n in names:
            f = types[n]
            or_these = served.plan.given_instead(n)
            must = f.required or not (f.nullable or f.has_default or n == served.model.id)
            needed.append(_spec_of(f, required=must, nullable=not must, instead=or_these))
        rest = [
            _spec_of(f, required=False, nullable=not f.required)
            for n, f in types.items()
            if n not in names and f.type in (*TEXTS, *NUMBERS)
        ]
        texts = served.plan.given_texts
        given = [
            TensorSpec(name, "BYTES" if name in texts else "FP64", required=False)
            for name in served.plan.given
        ]
        standing = served.slot.standing
        versions = [_version(x) for x in (standing.current, standing.last_good) if x is not None]
        return ModelCard(
            served.model.name,
            (*needed, *rest, *given),
            tuple(versions),
            task=served.model.task,
        )

    def ready(self, model: str, version: str | None = None) -> bool:
        served = self.served[model]
        if version is not None:
            return version in self.card(model).versions
        # With a declared rung it answers before its first snapshot.
        return served.slot.current() is not None or bool(served.model.fallback)

    def note_inputs(self, told: Inputs) -> None:
        """Which inputs of a model are missing, from now on. By any thread."""
        served = self.served.get(told.model)
        if served is None:
            return
        # What is said of a model that was declared otherwise then changes no answer.
        falls_back = served.model.missing_inputs == FALL_BACK
        served.inputs = told if told.missing and falls_back else None

    def infer(self, question: Question) -> Answer:
        """For runs without an event loop: it waits for the store as long as that itself waits."""
        asking = self._asking(question)
        found = self.reach.waiting(asking.read) if asking.asks_store else None
        return self._answer(asking, found)

    def at_once(self, question: Question) -> Answer:
        asking = self._asking(question)
        found = self.reach.at_once(asking.read) if asking.asks_store else None
        return self._answer(asking, found)

    async def later(self, question: Question) -> Answer:
        asking = self._asking(question)
        found = (
            await self.reach.later(asking.read, question.deadline) if asking.asks_store else None
        )
        return self._answer(asking, found)

    def _asking(self, question: Question) -> Asking:
        served = self.served[question.model]
        as_of = self._as_of(question)
        standing = _asked_for(served.slot.standing, question)
        asks_store = served.plan.asks_store(question.columns)
        # Once: what is told of this question is what was known when it was asked.
        return Asking(
            served,
            question,
            as_of,
            standing,
            asks_store,
            served.inputs,
        )

    def _answer(self, asking: Asking, found: Read | None) -> Answer:
        """The answer from what was read of the store: None if it could not be read as far as it had
        to be."""
        served, question, as_of, _, asks_store, inputs = asking
        features = found is not None or not asks_store
        read = found or asking.read(None)
        if not features and self._is_of_replay(question):
            raise ComponentError(
                f"model {question.model}",
                "its store is away or lacks rows, and a replay's questions wait for it",
                "Ask again.",
                refused=True,
                retry_seconds=round(REST_SECONDS),
            )
        if self._is_of_replay(question):
            # as of this question: what it is answered is the same in each replay
            self.feature_ticks.look()
        fresh = features and (not asks_store or self._fresh_features(served, as_of))
        answered = self._climb(asking, read, fresh)
        live = answered.live
        rung = answered.rung
        ids = self._ids(served, question)
        first = self._log(asking, read, ids, answered)
        served.rungs[rung] = served.rungs.get(rung, 0) + question.n
        parameters: dict[str, str | int | float | bool] = {
            "model": question.model,
            "lineage": live.lineage if live else "",
            "snapshot": live.number if live else -1,
            "segment": "global",
            "model_lag_ms": answered.model_lag_ms,
            "feature_lag_ms": self.feature_ticks.lag_ms(served.plan.stored_as, as_of),
            "rung": rung,
            "instance": self.instance,
        }
        if inputs is not None:
            parameters["missing_inputs"] = inputs.why
        return Answer(
            answered.p,
            ids,
            read.value_age_ms,
            first,
            parameters,
            served.model.task,
        )

    def _as_of(self, question: Question) -> int:
        """The app time to answer for. In a replay, questions move the clock; who does not say gets
        the newest.

        Raises:
            RequestError: a question says another moment than now, and this is no replay.
        """
        if question.as_of_ms is None:
            return self._clock.now_ms()
        if not isinstance(self._clock, ManualClock):
            raise RequestError(
                "parameter as_of", "is for replays only", "Leave it out: the answer is as of now."
            )
        self._clock.set(question.as_of_ms)
        return question.as_of_ms

    def _is_of_replay(self, question: Question) -> bool:
        return isinstance(self._clock, ManualClock) and question.as_of_ms is not None

    def _climb(self, asking: Asking, read: Read, features: bool) -> Answered:
        """By the highest rung that can. A model that fails on this request is passed over."""
        served = asking.served
        question = asking.question
        standing = asking.standing
        as_of = asking.as_of
        missing: frozenset[str] = frozenset()
        if asking.inputs is not None:
            missing = frozenset(asking.inputs.missing)
        conditions = Conditions(
            champion=standing.current is not None,
            last_good=standing.last_good is not None,
            models=self._policy.models_answer(),
            fresh_model=self._fresh(served, standing, as_of),
            features=features,
            time=question.deadline is None or time.monotonic() < question.deadline,
            missing=missing,
        )
        while True:
            choice = choose(
                conditions,
                served.model.fallback,
                served.plan.reads_views,
            )
            if choice is None and conditions.missing:
                # Better by a model that lacks something than by none.
                conditions = replace(conditions, missing=frozenset())
                continue
            if choice is None:
                raise _unanswerable(question.model, conditions)
            if choice.declared is not None:
                p = self._declared(served, choice.declared, read)
                return Answered(p, None, -1, choice.rung)
            live = standing.current if choice.rung == "champion" else standing.last_good
            assert live is not None
            predicted = _predicted(live, read.vectors)
            if predicted is not None:
                return Answered(
                    predicted,
                    live,
                    model_lag_ms(live, as_of),
                    choice.rung,
                )
            # Rungs of models are named as the condition they need. Each turn rules one out: it
            # ends.
            ruled_out: dict[str, Any] = {choice.rung: False}
            conditions = replace(conditions, **ruled_out)

    def _fresh(self, served: ServedModel, standing: Standing, as_of: int) -> bool:
        """Whether the model may answer as old as it is.

        Raises: ComponentError: it may not, and its topic is declared to refuse rather than to fall
            back.
        """
        if standing.current is None:
            return True
        topic = served.model.label.topic
        lag_ms = model_lag_ms(standing.current, as_of)
        return tolerated(
            Lag(
                "model", f"model {served.model.name}", topic.name, lag_ms, self._freshness_of(topic)
            )
        )

    def _fresh_features(self, served: ServedModel, as_of: int) -> bool:
        """Whether rows of the model's views may be read as old as they are.

        Raises: ComponentError: they may not, and their topic is declared to refuse rather than to
            fall back.
        """
        by_topic = {topic.name: self._freshness_of(topic) for topic in served.read_topics}
        for view, stored_as in zip(served.plan.views, served.plan.stored_as):
            for topic in view.topics:
                freshness = by_topic[topic.name]
                if freshness.on_violation == "serve":
                    continue  # whatever its lag, which needs not be reckoned for each request
                lag_ms = self.feature_ticks.lag_ms([stored_as], as_of)
                lag = Lag(
                    "feature",
                    f"view {view.name}",
                    topic.name,
                    lag_ms,
                    freshness,
                )
                if not tolerated(lag):
                    return False
        return True

    def _freshness_of(self, topic: Topic) -> Freshness:
        return self._policy.freshness(topic.name) or topic.freshness

    def _declared(self, served: ServedModel, declared: Rung, read: Read) -> F64:
        """A heuristic's or a constant's answer."""
        schema = served.model.vectors
        vectors = read.vectors
        columns: dict[str, Any] = {
            name: vectors.numbers[:, i] for i, name in enumerate(schema.numbers)
        }
        texts = [parts_of(t) for t in read.categories.to_arrow().to_pylist()]
        for i, name in enumerate(schema.categories):
            columns[name] = pl.Series([t[i] for t in texts], dtype=pl.String)
        return declared.answer(pl.DataFrame(columns), served.model.task)

    def _ids(self, served: ServedModel, question: Question) -> Sequence[str]:
        """The prediction ids: the request's own, or new ones."""
        sent = question.columns.get(served.model.id)
        if sent is None:
            return [uuid.uuid4().hex for _ in range(question.n)]
        values = sent if isinstance(sent, list) else sent.tolist()
        return [uuid.uuid4().hex if x is None else _id(served.model, x) for x in values]

    def _log(self, asking: Asking, read: Read, ids: Sequence[str], answered: Answered) -> int:
        """The number of the first of its predictions."""
        live = answered.live
        served = asking.served
        columns = asking.question.columns
        as_of = asking.as_of
        fixed = np.zeros(len(ids), served.layout.dtype)
        fixed["categories"] = read.vectors.categories
        fixed["numbers"] = read.vectors.numbers
        fixed["p"] = answered.p
        fixed["asked_at"] = as_of
        fixed["model_lag"] = answered.model_lag_ms
        fixed["value_age"] = read.value_age_ms
        fixed["rung"] = RUNGS.index(answered.rung)
        # -1, and no lineage: no model answered.
        fixed["snapshot"] = live.number if live else -1
        lineage = live.lineage if live else ""
        assert served.predictions is not None
        missing = tuple(asking.inputs.missing) if asking.inputs is not None else ()
        rows = Predictions(
            fixed,
            ids,
            read.categories,
            lineage,
            read.versions,
            columns,
            missing,
        )
        # What is held for the log is bounded in bytes; these are nearly all of them.
        size = fixed.nbytes + read.versions.nbytes + len(read.categories.data)
        size += sum(map(len, ids)) + bytes_of(columns)
        return served.predictions.append(rows, len(ids), as_of, size)

    def _packer(
        self, served: ServedModel
    ) -> Callable[[Sequence[Spooled[Predictions]]], list[Append]]:
        """Encodes spooled predictions as few blocks as hold them (on the log's thread)."""

        digests = RequestDigests(served.model.on.events, served.model.id)

        def pack(spooled: Sequence[Spooled[Predictions]]) -> list[Append]:
            # Here and not where requests wait: a digest costs more than the rest of a row's part.
            # And before they are gathered: it is of each request's own columns.
            for one in spooled:
                one.rows.fixed["request"] = digests.of(one.rows.request, one.n)
            values = [
                value
                for one in _gathered(spooled)
                for value in _encoded(served, one, self.instance)
            ]
            return [Append(served.outcomes, 0, values, max(s.time_ms for s in spooled))]

        return pack

    def close(self) -> None:
        """Flush what is not logged yet."""
        self.reach.close()
        for served in self.served.values():
            assert served.predictions is not None
            served.predictions.close()

    def facts(self) -> Mapping[str, Any]:
        models = {}
        now = self._clock.now_ms()
        for name, s in self.served.items():
            live = s.slot.current()
            assert s.predictions is not None
            models[name] = {
                "lineage": live.lineage if live else None,
                "snapshot": live.number if live else None,
                "tick": live.tick if live else None,
                "model_lag_ms": model_lag_ms(live, now) if live else None,
                "feature_lag_ms": self.feature_ticks.lag_ms(s.plan.stored_as, now),
                "rungs": dict(s.rungs),
                "lost": s.predictions.lost,
                "unlogged": s.predictions.held,
            }
        return {"models": models}


def _id(model: Model, value: object) -> str:
    """An id that was sent, as its labels will have it."""
    kind = model.on.events[model.id].key_kind
    assert kind is not None  # as the model was declared
    try:
        return str(canonical(value, kind))
    except ValueError as error:
        expected = f"Send one {kind} a row."
        raise RequestError(f"input {model.id!r}", f"cannot be an id: {error}", expected) from error


def _spec_of(
    field: Field, required: bool, nullable: bool, instead: tuple[str, ...] = ()
) -> TensorSpec:
    """What a request may send for a field: what a push may."""
    words = field.domain or field.symbols
    domain = frozenset(words) if words else None
    return TensorSpec(
        field.name, DATATYPES[field.type], required, nullable, instead, domain, field.bounds
    )


def _unanswerable(model: str, conditions: Conditions) -> ComponentError:
    """Why no rung can answer, and whether that is what an operator decided."""
    declare = "Declare fallback=[…, fr.constant(p)] on the model."
    if not conditions.models:
        cause = "the switch answer is off"
        next_step = f"Turn it on with freshet switch answer on. {declare}"
    elif not conditions.fresh_model:
        cause = "its lag is beyond its limit, and on_violation is fallback"
        next_step = declare
    else:
        return ComponentError(
            f"model {model}",
            "no rung can answer: there is no snapshot yet (or it fails), "
            "and no fallback is declared",
            declare,
        )
    text = f"no rung can answer: {cause}, and no fallback that could answer is declared"
    return ComponentError(
        f"model {model}",
        text,
        next_step,
        refused=True,
    )


def _naming(model: str, on_logged: Callable[[Logged], None]) -> Callable[[Logged], None]:
    """Says of which model the predictions were logged, too."""
    return lambda logged: on_logged(msgspec.structs.replace(logged, model=model))


def _gathered(spooled: Sequence[Spooled[Predictions]]) -> list[Spooled[Predictions]]:
    """Predictions that follow each other and are of one lineage, as one: a block costs nearly the
    same for one row as for fifty, and its thread takes the interpreter from requests."""
    runs: list[list[Spooled[Predictions]]] = []
    for one in spooled:
        if runs and _follows(one, runs[-1][-1]):
            runs[-1].append(one)
        else:
            runs.append([one])
    return [_as_one(run) for run in runs]


def _follows(one: Spooled[Predictions], last: Spooled[Predictions]) -> bool:
    # A gap in the numbers stands for predictions that are lost.
    is_next = last.first + last.n == one.first
    is_alike = last.rows.lineage == one.rows.lineage and last.rows.missing == one.rows.missing
    return is_next and is_alike


def _as_one(run: Sequence[Spooled[Predictions]]) -> Spooled[Predictions]:
    if len(run) == 1:
        return run[0]
    parts = [one.rows for one in run]
    # As bytes: where numpy joins records, it asks first whether their fields agree, 20 µs a part.
    fixed = bytearray().join([part.fixed.tobytes() for part in parts])
    rows = replace(
        parts[0],
        fixed=np.frombuffer(fixed, parts[0].fixed.dtype),
        ids=[prediction_id for part in parts for prediction_id in part.ids],
        categories=Texts.concatenate([part.categories for part in parts]),
        versions=np.concatenate([part.versions for part in parts]),
        request={},  # their digests stand in `fixed`
    )
    return replace(run[0], n=sum(one.n for one in run), rows=rows)


def _encoded(served: ServedModel, spooled: Spooled[Predictions], instance: str) -> list[bytes]:
    rows = spooled.rows
    n = spooled.n
    rows.fixed["sequence"] = np.arange(spooled.first, spooled.first + n)
    width = rows.versions.shape[1]
    versions = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), n, [None, pa.py_buffer(rows.versions)]
    )
    texts = {
        "id": Texts.of(list(rows.ids)),
        "categories": rows.categories,
        "lineage": Texts.of([rows.lineage] * n),
    }
    views = served.plan.stored_as
    batch = prediction_rows(
        served.layout,
        rows.fixed,
        texts,
        versions,
        views,
        rows.missing,
    )
    return blocks.encode_parts(Block(blocks.PREDICTIONS, f"scorer:{instance}", 0, batch))


def _asked_for(standing: Standing, question: Question) -> Standing:
    """What may answer: all that stands, or the one version that was asked for."""
    if question.version is None:
        return standing
    for live in (standing.current, standing.last_good):
        if live is not None and _version(live) == question.version:
            return Standing(live, None)
    raise RequestError(
        f"version {question.version!r} of {question.model}",
        "is not live",
        "Leave the version out.",
        status=404,
    )


def _predicted(live: LiveModel, vectors: Vectors) -> F64 | None:
    """Its answers, or None if it fails on these vectors: that is logged, and no client pays
    for it."""
    try:
        p = live.predictor.predict(vectors)
    except (FreshetError, ArithmeticError, IndexError, TypeError, ValueError) as error:
        log.error(
            "a live snapshot fails; the next rung answers",
            snapshot=_version(live),
            error=str(error),
        )
        return None
    if not np.isfinite(p).all():
        log.error(
            "a live snapshot answers with what is no number; the next rung answers",
            snapshot=_version(live),
        )
        return None
    return p


def _version(live: LiveModel) -> str:
    """A snapshot as a version of the model: its lineage and number."""
    return f"{live.lineage}.{live.number}"
