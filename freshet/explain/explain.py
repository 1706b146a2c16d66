"""Explains a prediction from what the run has written: its logs, and the manifests of its
snapshots. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
from freshet.explain.search import Findings, JoinedExample, LoggedPrediction, extent, find
from freshet.explain.view_reads import view_reads
from freshet.figures import count, moment
from freshet.learners.model import Model
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.signing import Verifier
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import ComponentError, FreshetError, RequestError
from freshet.schemas.models.manifest import SnapshotName
from freshet.schemas.text.keys import TEXT, canonical, parts_of
from freshet.schemas.topics.settings import effective
from freshet.schemas.wire.messages import Cut, Setting
from freshet.schemas.wire.outcomes import ASKED, CONFLICTED, CORRECTED, EXPIRED, LABELLED, RUNGS
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import messages_of
from freshet.streams.log.spans import PartitionSpans

Told = tuple[list[Cut], list[Setting]]


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
    all_ = {m.name: find(run.app, run.log, m, _written(prediction, m)) for m in wanted}
    found = {name: findings for name, findings in all_.items() if findings.asked}
    if not found:
        raise _unknown(run, prediction, wanted)
    m = run.app.model(next(iter(found)))
    findings = found[m.name]
    first = findings.asked[0]
    told = _told(run)
    return Explanation(
        prediction,
        m.name,
        _answer(first, findings),
        [_answer(p, findings) for p in findings.asked[1:]],
        list(found)[1:],
        _snapshot(run, m, first, told[0]),
        _outcome(m, findings, told),
        _known(int(first.fixed["value_age"])),
        _request(m, first),
        view_reads(run, m, first, whole_window),
    )


def _written(prediction: str, model: Model) -> str:
    """The id as the model's logs have it; one that freshet made itself is of no declared type."""
    try:
        return str(canonical(prediction, model.on.events[model.id].key_kind or TEXT))
    except ValueError:
        return prediction


def _models(app: App, name: str | None) -> Sequence[Model]:
    known = [m.name for m in app.models]
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
    return [m for m in app.models if name in (None, m.name)]


def _unknown(run: OpenedRun, prediction: str, wanted: Sequence[Model]) -> RequestError:
    told = []
    for m in wanted:
        e = extent(run.app, run.log, m)
        span = f", asked from {moment(e.first_ms)} to {moment(e.last_ms)}" if e.n else ""
        told.append(
            f"that of {m.name} ({run.app.outcomes_log_of(m)}) holds {count(e.n)} predictions{span}"
        )
    ids = ", ".join(dict.fromkeys(f"{m.on.name}.{m.id}" for m in wanted))
    return RequestError(
        f"prediction {prediction!r}",
        "is in no outcomes log of this run",
        f"Checked: {'; '.join(told)}. An id is what the request carried as {ids}, or, where it carried none, the id in "
        f"the answer. A prediction of the last moment may not be logged yet.",
    )


def _answer(p: LoggedPrediction, findings: Findings) -> Answer:
    f = p.fixed
    own = f.tobytes()
    return Answer(
        probability=float(f["p"]),
        rung=RUNGS[int(f["rung"])],
        asked_ms=int(f["asked_at"]),
        instance=p.instance,
        sequence=int(f["sequence"]),
        offset=p.offset,
        lineage=p.lineage,
        snapshot=_known(int(f["snapshot"])),
        model_lag_ms=_known(int(f["model_lag"])),
        counted=any(x.kind == ASKED and x.fixed == own for x in findings.examples),
        same_request=bool((f["request"] == findings.asked[0].fixed["request"]).all()),
    )


def _known(value: int) -> int | None:
    return value if value >= 0 else None


def _told(run: OpenedRun) -> Told:
    """What trainers and operators have said on the control log so far."""
    with PartitionSpans(run.log, run.app.control_log) as control:
        batches = list(control.read(control.first, control.after))
    now_ms = WallClock().now_ms()
    said = [m for batch in batches for m in messages_of(batch, now_ms)]
    return [m for m in said if isinstance(m, Cut)], [m for m in said if isinstance(m, Setting)]


def _snapshot(
    run: OpenedRun, model: Model, p: LoggedPrediction, cuts: Sequence[Cut]
) -> SnapshotFacts | None:
    number = int(p.fixed["snapshot"])
    if number < 0:
        return None
    said = next(
        (c for c in cuts if (c.model, c.lineage, c.number) == (model.name, p.lineage, number)), None
    )
    cut_ms, examples = (said.tick, said.stats.get("learned")) if said is not None else (None, None)
    name = SnapshotName(run.app.name, model.name, p.lineage, number)
    archive = run.settings.snapshots_dir, name
    if not snapshots.is_there(*archive):
        return SnapshotFacts(p.lineage, number, False, cut_ms, examples, None, None, {})
    signatures = {
        "trainer": _signature(run.settings.keys_dir, archive, False),
        "qualifier": _signature(run.settings.keys_dir, archive, True),
    }
    if signatures["trainer"] != "holds":  # nothing in it is to be believed
        return SnapshotFacts(p.lineage, number, True, cut_ms, examples, None, None, signatures)
    m = snapshots.read_signed(*archive, Verifier.load(run.settings.keys_dir / "trainer")).manifest
    return SnapshotFacts(p.lineage, number, True, m.tick, m.examples, m.sha256, m.size, signatures)


def _signature(keys: Path, archive: tuple[Path, SnapshotName], approval: bool) -> str:
    """`holds`, or why a snapshot's signature does not, or cannot be judged."""
    try:
        trainer = Verifier.load(keys / "trainer")
        snapshots.read_signed(
            *archive, trainer, Verifier.load(keys / "qualifier") if approval else None
        )
    except ComponentError as error:
        return f"cannot be checked: {error.cause} ({error.resource})"
    except FreshetError as error:
        return f"does not hold: {error.cause}"
    return "holds"


def _outcome(model: Model, findings: Findings, told: Told) -> OutcomeFacts:
    """What the join made of the first answer, and who learned it."""
    cuts, settings = told
    first = findings.asked[0].fixed
    own = first.tobytes()
    question = next((x for x in findings.examples if x.kind == ASKED and x.fixed == own), None)
    mine = {x.kind: x for x in findings.examples if question is not None and x.ask == question.ask}
    answered = mine.get(LABELLED) or mine.get(CORRECTED)
    topic = model.label.topic
    wait = effective({topic.name: topic.freshness}, settings)[topic.name].ms("label_wait")
    expired = mine.get(EXPIRED)
    contested = mine.get(CONFLICTED)
    labels, left = [], answered
    for x in findings.labels:
        used = left is not None and (x.t, x.value) == (left.t, left.label)
        labels.append(LabelEvent(x.topic, x.partition, x.offset, x.t, x.value, used))
        left = None if used else left
    return OutcomeFacts(
        state=_state(question, mine),
        label=answered.label if answered is not None else None,
        label_ms=answered.t if answered is not None else None,
        due_ms=expired.t if expired is not None else int(first["asked_at"]) + wait,
        saw_future=answered is not None and answered.saw_future,
        contested_ms=contested.t if contested is not None else None,
        labels=labels,
        learned=_learned(model, answered, cuts)
        if answered is not None and not answered.saw_future
        else [],
    )


def _state(question: JoinedExample | None, mine: dict[int, JoinedExample]) -> State:
    if question is None:
        return "unjoined"
    if CORRECTED in mine:
        return "corrected"
    # By the first of these that there is: what was settled before it was contested stands.
    states: dict[int, State] = {LABELLED: "labelled", EXPIRED: "expired", CONFLICTED: "conflicted"}
    return next((state for kind, state in states.items() if kind in mine), "pending")


def _learned(model: Model, example: JoinedExample, cuts: Sequence[Cut]) -> list[Learned]:
    """Trainers learn an example at the next tick of its log at the latest, so the first cut from
    then on reflects it."""
    told = [c.lineage for c in cuts if c.model == model.name]
    out = []
    for lineage in dict.fromkeys([*(model.lineage(x) for x in model.learners), *told]):
        its = [c for c in cuts if (c.model, c.lineage) == (model.name, lineage)]
        with_it = [c for c in its if example.tick is not None and c.tick >= example.tick]
        found = min(with_it, key=lambda c: c.tick, default=None)
        out.append(Learned(lineage, found.number if found else None, found.tick if found else None))
    return out


def _request(model: Model, p: LoggedPrediction) -> list[RequestValue]:
    names, numbers = model.vectors.categories, model.vectors.numbers
    texts = parts_of(p.categories) if names else []
    out = [RequestValue(n, "category", t) for n, t in zip(names, texts)]
    own = {f.name for f in model.on.events.fields}
    for n, x in zip(numbers, p.fixed["numbers"]):
        if n in own:
            out.append(RequestValue(n, "number", float(x) if x == x else None))
    return out
