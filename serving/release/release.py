"""Release: judges every snapshot once, signs what may be served, and lets the policy move the alias.

Follows the control log. Cuts of one model at one tick are settled together, once every lineage has sent its own. Live, one
that is late by `PATIENCE_SECONDS` (wall) counts as it stood at its last cut; in a replay all are waited for, so that what is
decided depends on the log alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from freshet.learners.baseline_learner import Baseline
from freshet.learners.catalog import predictor
from freshet.learners.contract import Export, Predictor
from freshet.learners.model import Model
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.signing import Signer, Verifier
from freshet.schemas.errors import SnapshotError
from freshet.schemas.wire.messages import Cut, Message, Settled, Verdict
from freshet.serving.release.policy import LineageStanding, Promote, Reference, ReleaseConfig, Standing, decide
from freshet.serving.release.qualify import Bounds, Candidate, qualify

log = structlog.get_logger()
PATIENCE_SECONDS = 5.0
ALIAS = "champion"


@dataclass
class Release:
    """One model's release: `lineages` are all that are expected; `tell` sends to the control log."""

    model: Model
    trainer: Verifier
    qualifier: Signer
    tell: Callable[[Sequence[Message]], None]
    keep: int = 20
    patient: bool = False
    _cuts: dict[int, dict[str, Cut]] = field(default_factory=dict)
    _first_seen: dict[int, float] = field(default_factory=dict)
    _verdicts: dict[tuple[str, int], Verdict] = field(default_factory=dict)
    _approved: dict[str, Cut] = field(default_factory=dict)
    _stats: dict[str, Cut] = field(default_factory=dict)
    _settled: Settled | None = None
    _since_ms: int = 0
    _predictors: dict[str, Predictor] = field(default_factory=dict)

    @property
    def lineages(self) -> tuple[str, ...]:
        return tuple(self.model.lineage(x) for x in self.model.learners)

    @property
    def config(self) -> ReleaseConfig:
        return self.model.release or ReleaseConfig()

    def note(self, m: Message) -> None:
        """Take in a message; decide nothing yet, since what comes next may be the decision itself (after a restart)."""
        if getattr(m, "model", None) != self.model.name:
            return
        match m:
            case Cut() if self._settled is None or m.tick > self._settled.tick:
                self._cuts.setdefault(m.tick, {})[m.lineage] = m
                self._first_seen.setdefault(m.tick, time.monotonic())
            case Verdict():
                self._verdicts[m.lineage, m.number] = m
            case Settled():
                if self._settled is None or self._settled.lineage != m.lineage:
                    self._since_ms = m.tick
                self._settled = m
            case _:
                pass

    def act(self) -> None:
        """Judge what was cut, then settle what is complete, in order of ticks."""
        for tick in sorted(self._cuts):
            cuts = self._cuts[tick]
            for cut in cuts.values():
                if not self._came_too_late(cut):
                    self._judge(cut)
            if self._complete(tick, cuts):
                self._settle(tick)
                del self._cuts[tick], self._first_seen[tick]

    def _came_too_late(self, cut: Cut) -> bool:
        """Its tick was settled before it was read, as who reads the log again sees: it was never judged, nothing waits for it,
        and its file may be gone by now."""
        is_settled = self._settled is not None and cut.tick <= self._settled.tick
        return is_settled and (cut.lineage, cut.number) not in self._verdicts

    def _complete(self, tick: int, cuts: dict[str, Cut]) -> bool:
        if all(x in cuts for x in self.lineages):
            return True
        return not self.patient and time.monotonic() - self._first_seen[tick] > PATIENCE_SECONDS

    def _judge(self, cut: Cut) -> None:
        """Qualify a snapshot, once."""
        verdict = self._verdicts.get((cut.lineage, cut.number))
        if verdict is None:
            reasons = self._reasons(cut)
            if not reasons:
                snapshots.approve(Path(cut.path), self.qualifier)
            verdict = Verdict(cut.model, cut.lineage, cut.number, cut.tick, not reasons, reasons)
            if reasons:
                log.warning("snapshot refused", lineage=cut.lineage, number=cut.number, reasons=reasons)
            self._verdicts[cut.lineage, cut.number] = verdict
            self.tell([verdict])
        self._stats[cut.lineage] = cut
        if verdict.approved and cut.stats.get("learned", 1):
            # A model that has learned nothing knows less than the fallback that users declared.
            self._approved[cut.lineage] = cut

    def _reasons(self, cut: Cut) -> list[str]:
        if not cut.path:
            return ["its learner has no arrays to export: it is compared with the others, but never served"]
        try:
            found = snapshots.read_verified(Path(cut.path), self.trainer)
            arrays = snapshots.arrays_of(found.data)
        except SnapshotError as error:
            return [str(error)]
        manifest = found.manifest
        export = Export(manifest.kind, manifest.meta, arrays)
        candidate = Candidate(manifest, arrays, lambda: predictor(export, self.model.vectors))
        reasons = qualify(candidate, self.model.vectors, self._predictors.get(cut.lineage), Bounds())
        if not reasons:
            # The next snapshot of this lineage must not have moved too far from this one.
            self._predictors[cut.lineage] = candidate.build()
        return reasons

    def _settle(self, tick: int) -> None:
        if self._settled is not None and self._settled.tick >= tick:
            return
        champion = self._settled.lineage if self._settled else None
        choice = decide(self._standing(tick, champion), self.config)
        if isinstance(choice, Promote):
            champion = choice.lineage
        served = self._approved.get(champion) if champion else None
        settled = Settled(
            self.model.name,
            ALIAS,
            tick,
            served.lineage if served else None,
            served.number if served else None,
            served.path if served else None,
            choice.reason,
        )
        self.note(settled)
        self.tell([settled])
        self._prune(served)

    def _standing(self, tick: int, champion: str | None) -> Standing:
        lineages = []
        for name in self.lineages:
            stats = self._stats[name].stats["rolling"] if name in self._stats else {"n": 0, "log_loss": None}
            loss = float("nan") if stats["log_loss"] is None else float(stats["log_loss"])
            approved = self._approved.get(name)
            lineages.append(LineageStanding(name, approved.number if approved else None, int(stats["n"] or 0), loss))
        declared = next((self.model.lineage(x) for x in self.model.learners if isinstance(x, Baseline)), None)
        baseline = next((x for x in lineages if x.lineage == declared), None)
        reference = Reference(baseline.lineage, baseline.log_loss) if baseline and baseline.examples else None
        return Standing(tick, champion, self._since_ms, tuple(lineages), reference)

    def _prune(self, served: Cut | None) -> None:
        """Keep the newest of each lineage, and what is served."""
        in_use = {Path(c.path) for c in self._approved.values() if c.path} | ({Path(served.path)} if served else set())
        for cut in self._approved.values():
            snapshots.prune(Path(cut.path).parent, self.keep, in_use)
