"""Explains a prediction from what the run has written: its logs, and the manifests of its
snapshots. Changes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from freshet.app import App
from freshet.explain.explanation import (
    Answer,
    Explanation,
    LabelEvent,
    Learned,
    OutcomeFacts,
    RequestValue,
    SnapshotFacts,
    State,
)
from freshet.explain.search import (
    Findings,
    JoinedExample,
    LoggedLabel,
    LoggedPrediction,
    extent,
    find,
)
from freshet.explain.view_reads import view_reads
from freshet.figures import count, moment
from freshet.learners.model import Model
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.signing import Verifier
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import ComponentError, FreshetError, RequestError
from freshet.schemas.models.manifest import SnapshotName
from freshet.schemas.models.tasks import Classes
from freshet.schemas.text.keys import TEXT, canonical, parts_of
from freshet.schemas.topics.settings import effective
from freshet.schemas.wire.messages import Cut, Setting
from freshet.schemas.wire.outcomes import ASKED, CONFLICTED, CORRECTED, EXPIRED, LABELLED, RUNGS
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import messages_of
from freshet.streams.log.spans import PartitionSpans


class Told(NamedTuple):
    """What was said on the control log so far."""

    cuts: list[Cut]
    settings: list[Setting]


def explain(
    run: OpenedRun, prediction: str, model: str | None = None, whole_window: bool = False
) -> Explanation:
    """Explain the first logged answer to an id; with `whole_window`, with every event behind its
    rows.

    Raises:
        RequestError: no model (or not this one) was ever asked this id.
        LogError: a log cannot be read.
    """
    wanted = _models(run.app, model)
    if not prediction:
        raise RequestError(
            "prediction id ''",
            "is empty",
            "Give the id that the request carried or the answer named.",
        )
    found: dict[str, Findings] = {}
    for candidate in wanted:
        findings = find(
            run.app,
            run.log,
            candidate,
            _written(prediction, candidate),
        )
        if findings.asked:
            found[candidate.name] = findings
    if not found:
        raise _unknown(run, prediction, wanted)
    # The first in the app's order; the others are named, and may be asked for.
    model_asked = run.app.model(next(iter(found)))
    findings = found[model_asked.name]
    first = findings.asked[0]
    told = _told(run)
    return Explanation(
        prediction,
        model_asked.name,
        _answer(first, findings, model_asked),
        [_answer(repeat, findings, model_asked) for repeat in findings.asked[1:]],
        list(found)[1:],
        _snapshot(run, model_asked, first, told.cuts),
        _outcome(model_asked, findings, told),
        _known(int(first.fixed["value_age"])),
        _request(model_asked, first),
        view_reads(run, model_asked, first, whole_window),
    )


def _written(prediction: str, model: Model) -> str:
    """The id as the model's logs have it; one that freshet made itself is of no declared type."""
    try:
        return str(canonical(prediction, model.on.events[model.id].key_kind or TEXT))
    except ValueError:
        return prediction


def _models(app: App, name: str | None) -> Sequence[Model]:
    known = [model.name for model in app.models]
    if name is not None and name not in known:
        raise RequestError(
            f"model {name!r}", f"is none of app {app.name}", f"Its models are {', '.join(known)}."
        )
    if not known:
        raise RequestError(
            f"app {app.name}",
            "declares no model, so nothing was predicted",
            "Declare one in models=[…].",
        )
    return [model for model in app.models if name in (None, model.name)]


def _unknown(run: OpenedRun, prediction: str, wanted: Sequence[Model]) -> RequestError:
    told = []
    for model in wanted:
        reach = extent(run.app, run.log, model)
        log = run.app.outcomes_log_of(model)
        holds = f"that of {model.name} ({log}) holds {count(reach.n)} predictions"
        if reach.n:
            holds += f", asked from {moment(reach.first_ms)} to {moment(reach.last_ms)}"
        told.append(holds)
    ids = ", ".join(dict.fromkeys(f"{model.on.name}.{model.id}" for model in wanted))
    return RequestError(
        f"prediction {prediction!r}",
        "is in no outcomes log of this run",
        f"Checked: {'; '.join(told)}. An id is what the request carried as {ids}, or, where it "
        "carried none, the id in the answer. A prediction of the last moment may not be logged "
        "yet.",
    )


def _answer(prediction: LoggedPrediction, findings: Findings, model: Model) -> Answer:
    fixed = prediction.fixed
    classes: tuple[str, ...] = ()
    if isinstance(model.task, Classes):
        classes = tuple(model.task.classes)
    # All of it: a question that was asked again differs at least in when.
    own = fixed.tobytes()
    return Answer(
        probability=fixed["p"].tolist(),
        rung=RUNGS[int(fixed["rung"])],
        asked_ms=int(fixed["asked_at"]),
        instance=prediction.instance,
        sequence=int(fixed["sequence"]),
        offset=prediction.offset,
        lineage=prediction.lineage,
        snapshot=_known(int(fixed["snapshot"])),
        model_lag_ms=_known(int(fixed["model_lag"])),
        counted=any(
            example.kind == ASKED and example.fixed == own for example in findings.examples
        ),
        same_request=bool((fixed["request"] == findings.asked[0].fixed["request"]).all()),
        missing=prediction.missing,
        classes=classes,
    )


def _known(value: int) -> int | None:
    """In the log's fixed columns -1 stands for what there is not."""
    if value < 0:
        return None
    return value


def _told(run: OpenedRun) -> Told:
    """What trainers and operators have said on the control log so far."""
    with PartitionSpans(run.log, run.app.control_log) as control:
        batches = list(control.read(control.first, control.after))
    now_ms = WallClock().now_ms()
    said = [message for batch in batches for message in messages_of(batch, now_ms)]
    cuts = [message for message in said if isinstance(message, Cut)]
    settings = [message for message in said if isinstance(message, Setting)]
    return Told(cuts, settings)


def _snapshot(
    run: OpenedRun, model: Model, prediction: LoggedPrediction, cuts: Sequence[Cut]
) -> SnapshotFacts | None:
    number = int(prediction.fixed["snapshot"])
    if number < 0:
        return None
    said = next(
        (
            cut
            for cut in cuts
            if (cut.model, cut.lineage, cut.number) == (model.name, prediction.lineage, number)
        ),
        None,
    )
    cut_ms = None
    examples = None
    if said is not None:
        cut_ms = said.tick
        examples = said.stats.get("learned")
    name = SnapshotName(
        run.app.name,
        model.name,
        prediction.lineage,
        number,
    )
    archive = run.settings.snapshots_url, name
    if not snapshots.is_there(*archive):
        return SnapshotFacts(
            prediction.lineage,
            number,
            False,
            cut_ms,
            examples,
            None,
            None,
            {},
        )
    signatures = {
        "trainer": _signature(run.settings.keys_url, archive, False),
        "qualifier": _signature(run.settings.keys_url, archive, True),
    }
    if signatures["trainer"] != "holds":  # nothing in it is to be believed
        return SnapshotFacts(
            prediction.lineage, number, True, cut_ms, examples, None, None, signatures
        )
    manifest = snapshots.read_signed(
        *archive, Verifier.load(f"{run.settings.keys_url}/trainer")
    ).manifest
    return SnapshotFacts(
        prediction.lineage,
        number,
        True,
        manifest.tick,
        manifest.examples,
        manifest.sha256,
        manifest.size,
        signatures,
    )


def _signature(keys: str, archive: tuple[str, SnapshotName], approval: bool) -> str:
    """`holds`, or why a snapshot's signature does not, or cannot be judged."""
    try:
        trainer = Verifier.load(f"{keys}/trainer")
        qualifier = None
        if approval:
            qualifier = Verifier.load(f"{keys}/qualifier")
        snapshots.read_signed(*archive, trainer, qualifier)
    # Before `FreshetError`, its root: what cannot be read is not known to be wrong.
    except ComponentError as error:
        return f"cannot be checked: {error.cause} ({error.resource})"
    except FreshetError as error:
        return f"does not hold: {error.cause}"
    return "holds"


def _outcome(model: Model, findings: Findings, told: Told) -> OutcomeFacts:
    """What the join made of the first answer, and who learned it."""
    first = findings.asked[0].fixed
    own = first.tobytes()
    question = next(
        (
            example
            for example in findings.examples
            if example.kind == ASKED and example.fixed == own
        ),
        None,
    )
    mine = {
        example.kind: example
        for example in findings.examples
        if question is not None and example.ask == question.ask
    }
    answered = mine.get(LABELLED) or mine.get(CORRECTED)
    topic = model.label.topic
    wait = effective({topic.name: topic.freshness}, told.settings)[topic.name].ms("label_wait")
    due_ms = int(first["asked_at"]) + wait
    expired = mine.get(EXPIRED)
    contested = mine.get(CONFLICTED)
    if expired is not None:
        due_ms = expired.t  # as the join had it: the wait may have been another one then
    contested_ms = None
    if contested is not None:
        contested_ms = contested.t
    outcome = OutcomeFacts(
        state=_state(question, mine),
        label=None,
        label_ms=None,
        due_ms=due_ms,
        saw_future=False,
        contested_ms=contested_ms,
        labels=_label_events(findings.labels, answered, model),
        learned=[],
    )
    if answered is None:
        return outcome
    outcome = replace(
        outcome,
        label=_as_said(answered.label, model),
        label_ms=answered.t,
        saw_future=answered.saw_future,
    )
    if answered.saw_future:
        return outcome
    return replace(outcome, learned=_learned(model, answered, told.cuts))


def _as_said(label: float | None, model: Model) -> float | str | None:
    """A label as its event had it: of classes the class."""
    if label is None or not isinstance(model.task, Classes):
        return label
    return model.task.classes[int(label)]


def _label_events(
    labels: Sequence[LoggedLabel], answered: JoinedExample | None, model: Model
) -> list[LabelEvent]:
    """The first one that says what the join took was used; a later equal one is a duplicate."""
    out = []
    left = answered
    for label in labels:
        used = left is not None and (label.t, label.value) == (left.t, left.label)
        place = (label.topic, label.partition, label.offset, label.t)
        element = None
        if model.label.topic.explode is not None:
            element = label.place
        out.append(LabelEvent(*place, _as_said(label.value, model), used, element))
        if used:
            left = None
    return out


def _state(question: JoinedExample | None, mine: dict[int, JoinedExample]) -> State:
    if question is None:
        return "unjoined"
    # Before the others: it has expired, and has a label all the same.
    if CORRECTED in mine:
        return "corrected"
    # By the first of these that there is: what was settled before it was contested stands.
    states: dict[int, State] = {LABELLED: "labelled", EXPIRED: "expired", CONFLICTED: "conflicted"}
    return next((state for kind, state in states.items() if kind in mine), "pending")


def _learned(model: Model, example: JoinedExample, cuts: Sequence[Cut]) -> list[Learned]:
    """Trainers learn an example at the next tick of its log at the latest, so the first cut from
    then on reflects it."""
    # Lineages that the app declares no more have learned it, too.
    told = [cut.lineage for cut in cuts if cut.model == model.name]
    out = []
    for lineage in dict.fromkeys([*(model.lineage(spec) for spec in model.learners), *told]):
        its = [cut for cut in cuts if (cut.model, cut.lineage) == (model.name, lineage)]
        with_it = [cut for cut in its if example.tick is not None and cut.tick >= example.tick]
        if with_it:
            first = min(with_it, key=lambda cut: cut.tick)
            out.append(Learned(lineage, first.number, first.tick))
        else:
            out.append(Learned(lineage, None, None))
    return out


def _request(model: Model, prediction: LoggedPrediction) -> list[RequestValue]:
    names = model.vectors.categories
    numbers = model.vectors.numbers
    computed = {made.field.name for made in model.computed}
    texts = []
    # Without categories the joined text is empty, and would be one empty part.
    if names:
        texts = parts_of(prediction.categories)
    out = []
    of_views = {feature.name for feature in model.view_features}
    for name, text in zip(names, texts):
        # Those are told with their rows.
        if name in of_views:
            continue
        out.append(RequestValue(name, "on demand" if name in computed else "category", text))
    for name, number in zip(numbers, prediction.fixed["numbers"]):
        if name not in of_views:
            value = None
            if not math.isnan(number):
                value = float(number)
            out.append(RequestValue(name, "on demand" if name in computed else "number", value))
    return out
