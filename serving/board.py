"""The board: everything that roles say on the control log, and how good what was served was, gathered into one `Status`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.view import View
from learners.model import Model
from learners.prequential import Figures, Quality, RollingQuality, SliceQuality
from schemas import blocks, messages, outcomes
from schemas.topic import Topic
from serving import status as s
from serving.history import History, Swap
from streams.log import Batch

LOST_SECONDS = 5.0
WINDOW_SECONDS = 5.0


@dataclass
class _ModelBoard:
    """What is known of one model."""

    model: Model
    lineages: tuple[str, ...]
    settled: messages.Settled | None = None
    since_ms: int | None = None
    asked: int = 0
    labelled: int = 0
    expired: int = 0
    cuts: int = 0
    approvals: int = 0
    refusals: int = 0
    swaps: int = 0
    swapped: messages.Swapped | None = None
    numbers: dict[str, int] = field(default_factory=dict)
    waiting: dict[tuple[str, int], int] = field(default_factory=dict)
    overall: Quality = field(default_factory=Quality)
    rolling: RollingQuality = field(default_factory=RollingQuality)
    slices: dict[str, SliceQuality] = field(default_factory=dict)
    trainers: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def baseline(self) -> str:
        return next((x for x in self.lineages if x.startswith("baseline")), "")


class Board:
    """Fed by one thread with messages and examples; `status` may be called from any."""

    def __init__(
        self,
        app: str,
        topics: Sequence[Topic],
        views: Sequence[View],
        models: Sequence[Model],
        history: History,
        paced: bool = True,
    ) -> None:
        self._paced = paced
        self._app, self._topics, self._views, self._history = app, topics, views, history
        self._models = {
            m.name: _ModelBoard(
                m, tuple(m.lineage(x) for x in m.learners), slices={f: SliceQuality() for f in m.slices}
            )
            for m in models
        }
        self._clock: messages.Clock | None = None
        self._first_ms: int | None = None
        self._end_ms: int | None = None
        self._roles: dict[str, messages.Status] = {}
        self._seen: dict[str, float] = {}
        self._ticks: dict[str, int] = {}
        self._started = time.monotonic()
        self._rates: dict[str, list[tuple[float, int]]] = {}
        self.children: Mapping[str, Mapping[str, Any]] = {}

    def note(self, m: messages.Message) -> None:
        """One message of the control log, in order."""
        match m:
            case messages.Clock():
                self._clock = m
                self._first_ms = m.now if self._first_ms is None else self._first_ms
            case messages.Span():
                self._first_ms, self._end_ms = m.start, m.end
            case messages.Progress():
                self._ticks |= m.ticks
            case messages.Status():
                self._roles[m.instance] = m
                self._seen[m.instance] = time.monotonic()
                self._note_trainers(m)
            case messages.Cut() | messages.Waiting() | messages.Verdict() | messages.Settled() | messages.Swapped():
                if m.model in self._models:
                    self._note_model(self._models[m.model], m)
            case _:
                pass

    def _note_model(self, board: _ModelBoard, m: messages.Message) -> None:
        match m:
            case messages.Cut():
                board.cuts += 1
                board.numbers[m.lineage] = m.number
            case messages.Waiting():
                board.waiting.setdefault((m.lineage, m.number), m.since)
            case messages.Verdict():
                board.approvals += m.approved
                board.refusals += not m.approved
            case messages.Settled():
                if board.settled is None or board.settled.lineage != m.lineage:
                    board.since_ms = m.tick
                board.settled = m
            case messages.Swapped():
                board.swaps += 1
                board.swapped = m
                self._history.swap(Swap(m.tick, m.model, m.lineage, m.number))
            case _:
                pass

    def _note_trainers(self, m: messages.Status) -> None:
        for facts in m.facts.values():
            if isinstance(facts, dict) and "lineage" in facts:
                for board in self._models.values():
                    if facts["lineage"] in board.lineages:
                        board.trainers[facts["lineage"]] = facts

    def learn_outcomes(self, model: str, batch: Batch) -> None:
        """Blocks of a model's examples log: how good were the answers that clients got?"""
        board = self._models[model]
        dtype = outcomes.fixed_dtype(board.model.vectors)
        for i in range(len(batch)):
            block = blocks.decode(batch.value(i))
            if block.rows is None:
                continue
            rows = outcomes.ExampleRows.from_arrow(block.rows, dtype)
            board.asked += int(np.count_nonzero(rows.kind == outcomes.ASKED))
            board.expired += int(np.count_nonzero(rows.kind == outcomes.EXPIRED))
            at = np.flatnonzero(rows.kind == outcomes.LABELLED)
            if not len(at):
                continue
            board.labelled += len(at)
            p, y = np.ascontiguousarray(rows.fixed["p"][at]), rows.label[at]
            board.overall.update(p, y)
            board.rolling.update(p, y)
            self._learn_slices(board, rows.texts["categories"].take(at).to_arrow().to_pylist(), p, y)

    def _learn_slices(self, board: _ModelBoard, texts: list[str], p: Any, y: Any) -> None:
        parts = [t.split(outcomes.CATEGORY_SEPARATOR) for t in texts]
        for name, table in board.slices.items():
            at = board.model.vectors.categories.index(name)
            table.update([x[at] for x in parts], p, y)

    def observe(self) -> s.Status:
        """The status now, also taken into the history."""
        status = self.status()
        self._history.observe(status)
        return status

    def status(self) -> s.Status:
        now = self._now()
        topics = [self._topic(t) for t in self._topics]
        rate = self._rate("", sum(t.records for t in topics))
        views = [self._view(v, now) for v in self._views]
        models = [self._model(b, now) for b in self._models.values()]
        roles, requests = self._role_figures(), self._requests()
        return s.Status(
            app=self._app,
            at_ms=time.time_ns() // 1_000_000,
            clock=self._clock_figures(now),
            events_per_second=rate,
            promises=_promises(views, models, roles, requests, topics),
            topics=topics,
            views=views,
            models=models,
            requests=requests,
            roles=roles,
        )

    def _now(self) -> int | None:
        """The app's clock: the replayer's, or the wall."""
        if not self._paced:
            return time.time_ns() // 1_000_000
        return self._clock.now if self._clock else None

    def _clock_figures(self, now: int | None) -> s.Clock:
        done = self._clock is not None and self._clock.done
        state: s.RunState = "starting" if now is None else "ended" if done else "running"
        wall = time.monotonic() - self._started
        return s.Clock(
            state=state, paced=self._paced, app_ms=now, start_ms=self._first_ms, end_ms=self._end_ms, wall_seconds=wall
        )

    def _rate(self, topic: str, records: int) -> float:
        """Records a second of wall time, over the newest seconds; of all topics together under the empty name."""
        now, seen = time.monotonic(), self._rates.setdefault(topic, [])
        seen.append((now, records))
        while len(seen) > 2 and now - seen[0][0] > WINDOW_SECONDS:
            seen.pop(0)
        (t0, n0), (t1, n1) = seen[0], seen[-1]
        return (n1 - n0) / (t1 - t0) if t1 > t0 else 0.0

    def _facts(self, task: str) -> list[Mapping[str, Any]]:
        """The newest facts of every partition of a task."""
        newest: dict[str, tuple[int, Mapping[str, Any]]] = {}
        for m in self._roles.values():
            for name, facts in m.facts.items():
                if name.startswith(task + ":") and (name not in newest or newest[name][0] < m.at):
                    newest[name] = (m.at, facts)
        return [facts for _, facts in newest.values()]

    def _topic(self, topic: Topic) -> s.TopicFigures:
        fates: dict[str, int] = {}
        for facts in self._facts(f"intake:{topic.name}"):
            for name, n in facts["fates"].items():
                fates[name] = fates.get(name, 0) + n
        under = {
            kind: {k.split(":", 1)[1]: n for k, n in fates.items() if k.startswith(kind + ":") and n}
            for kind in ("dropped", "dead")
        }
        records = sum(n for k, n in fates.items() if k != "tick")
        return s.TopicFigures(
            name=topic.name,
            records=records,
            per_second=self._rate(topic.name, records),
            applied=fates.get("applied", 0),
            deduplicated=fates.get("deduplicated", 0),
            dropped=under["dropped"],
            dead=under["dead"],
            ticks=fates.get("tick", 0),
        )

    def _view(self, view: View, now: int | None) -> s.ViewFigures:
        ticks = [t for name, t in self._ticks.items() if name.startswith(f"view:{view.name}:")]
        lag = max(0, now - min(ticks)) if now is not None and ticks else None
        rows = sum(int(f["keys"]) for f in self._facts(f"view:{view.name}"))
        slo = view.topic.freshness.ms("feature_slo")
        return s.ViewFigures(
            name=view.name, topic=view.topic.name, key="|".join(view.keys), rows=rows, lag_ms=lag, slo_ms=slo
        )

    def _model(self, b: _ModelBoard, now: int | None) -> s.ModelFigures:
        served, lag = None, None
        if b.swapped is not None:
            served = s.Served(lineage=b.swapped.lineage, number=b.swapped.number, since_ms=b.since_ms)
            since = b.waiting.get((b.swapped.lineage, b.swapped.number))
            lag = 0 if since is None or now is None else max(0, now - since)
        base = b.trainers.get(b.baseline, {})
        return s.ModelFigures(
            name=b.model.name,
            served=served,
            baseline=b.baseline,
            lag_ms=lag,
            slo_ms=b.model.label.topic.freshness.ms("model_slo"),
            asked=b.asked,
            labelled=b.labelled,
            expired=b.expired,
            snapshots=b.cuts,
            approvals=b.approvals,
            refusals=b.refusals,
            swaps=b.swaps,
            rolling=_quality(b.rolling.figures()),
            rolling_baseline=_told(base.get("rolling")),
            overall=_quality(b.overall.figures()),
            overall_baseline=_told(base.get("all")),
            lineages=[self._lineage(b, name) for name in b.lineages],
            slices=[
                s.SliceFigures(field=f, value=value, served=_quality(figures), baseline=_slice_of(base, f, value))
                for f, table in b.slices.items()
                for value, figures in table.figures().items()
            ],
        )

    def _lineage(self, b: _ModelBoard, name: str) -> s.LineageFigures:
        facts = b.trainers.get(name, {})
        champion = b.settled is not None and b.settled.lineage == name
        return s.LineageFigures(
            name=name,
            alias="champion" if champion else "",
            number=b.numbers.get(name),
            examples=int(facts.get("learned", 0)),
            overall=_told(facts.get("all")),
            rolling=_told(facts.get("rolling")),
        )

    def _role_figures(self) -> list[s.RoleFigures]:
        newest: dict[tuple[str, str], messages.Status] = {}
        for m in self._roles.values():
            name = m.instance.split("/", 1)[0]
            if (m.role, name) not in newest or newest[m.role, name].at <= m.at:
                newest[m.role, name] = m
        out = []
        for (role, name), m in sorted(newest.items()):
            silent = time.monotonic() - self._seen[m.instance] > LOST_SECONDS
            out.append(
                s.RoleFigures(
                    role=role,
                    instance=name,
                    pid=m.pid,
                    state="lost" if silent else "running",
                    memory_mb=m.facts.get("memory_mb"),
                    seen_ms=m.at,
                    restarts=int(self.children.get(name, {}).get("restarts", 0)),
                )
            )
        return out

    def _requests(self) -> s.RequestFigures:
        found = [m for m in self._roles.values() if m.role == "serve" and "requests" in m.facts]
        if not found:
            return s.RequestFigures()
        facts = max(found, key=lambda m: m.at).facts["requests"]
        known = {f: facts[f] for f in s.RequestFigures.__struct_fields__ if f in facts}
        return s.RequestFigures(**known)


def _quality(f: Figures) -> s.Quality:
    told = {
        k: None if v != v else v
        for k, v in (("auc", f.auc), ("ne", f.normalised_entropy), ("calibration", f.calibration))
    }
    return s.Quality(n=f.n, **told)


def _told(f: Mapping[str, Any] | None) -> s.Quality:
    """Figures as a trainer tells them."""
    if not f:
        return s.Quality()
    return s.Quality(n=f["n"], auc=f["auc"], ne=f["normalised_entropy"], calibration=f["calibration"])


def _slice_of(trainer: Mapping[str, Any], name: str, value: str) -> s.Quality:
    return _told(trainer.get("slices", {}).get(name, {}).get(value))


def _promises(
    views: Sequence[s.ViewFigures],
    models: Sequence[s.ModelFigures],
    roles: Sequence[s.RoleFigures],
    requests: s.RequestFigures,
    topics: Sequence[s.TopicFigures],
) -> list[s.Promise]:
    """Every promise with its light and its reason."""
    out = [_bounded(f"features of {v.name}", v.lag_ms, v.slo_ms) for v in views]
    worst = sorted(out, key=lambda p: ("red", "amber", "green").index(p.state))[:1]
    found = [s.Promise("features fresh", worst[0].state, worst[0].reason)] if worst else []
    found += [_bounded(f"model {m.name} fresh", m.lag_ms, m.slo_ms) for m in models if m.served is not None]
    failed = requests.failed
    found.append(
        s.Promise("no failed request", "red" if failed else "green", f"{failed} of {requests.answered + failed} failed")
    )
    lost = [r.role for r in roles if r.state == "lost"]
    found.append(
        s.Promise("roles alive", "red" if lost else "green", ", ".join(lost) or f"{len(roles)} roles heard of")
    )
    refused = sum(m.refusals for m in models)
    found.append(
        s.Promise(
            "snapshots approved",
            "amber" if refused else "green",
            f"{refused} refused of {sum(m.snapshots for m in models)}",
        )
    )
    dead, records = sum(sum(t.dead.values()) for t in topics), sum(t.records for t in topics)
    share = dead / records if records else 0.0
    found.append(s.Promise("events readable", "amber" if share > 0.02 else "green", f"{share:.2%} in the dead letters"))
    return found


def _bounded(name: str, lag_ms: int | None, slo_ms: int | None) -> s.Promise:
    if lag_ms is None or slo_ms is None:
        return s.Promise(name, "amber", "not known yet")
    text = f"lag {_span(lag_ms)}, promised {_span(slo_ms)}"
    state: s.Light = "green" if lag_ms <= slo_ms else "amber" if lag_ms <= 1.2 * slo_ms else "red"
    return s.Promise(name, state, text)


def _span(ms: int) -> str:
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms >= size:
            return f"{ms / size:.1f} {unit}"
    return f"{ms} ms"
