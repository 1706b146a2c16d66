"""Release: judges every snapshot once, signs what may be served, and orders what is.

Follows the control log. Cuts of one model at one tick are settled together, once every lineage has
sent its own. Live, one that is late by `PATIENCE_SECONDS` (wall) counts as it stood at its last
cut, and is not waited for before it cuts again; in a replay all are waited for, so that what is decided depends on the log alone.

What others say on that log is believed no further than the snapshots themselves bear it out: a cut
is what the signed manifest says, an approval is a signature of its own, and an order that it did
not give changes nothing but the next number.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog
from msgspec.structs import replace

from freshet.learners.baseline_learner import Baseline
from freshet.schemas.errors import SnapshotError
from freshet.schemas.models.manifest import Identity
from freshet.schemas.wire.facts import one_line
from freshet.schemas.wire.messages import Cut, Message, Ruling, Settled, Verdict
from freshet.serving.release import gate
from freshet.serving.release.comparison import Approved, Comparison, examples_of
from freshet.serving.release.gate import GateBounds, Hold
from freshet.serving.release.judge import Judge
from freshet.serving.release.policy import (
    LineageStanding,
    Promote,
    Reference,
    ReleaseConfig,
    Standing,
    decide,
)
from freshet.serving.release.qualify import Unsound
from freshet.streams.control.orders import OrderBook

log = structlog.get_logger()
PATIENCE_SECONDS = 5.0
ECHOES = 1_000  # of its own messages that have not come back yet; far more than one turn says

_Key = tuple[str, int, str | None, int]


def _key(m: Cut | Verdict) -> _Key:
    """All that a cut says of its snapshot: of two that differ in anything, one is made up, and
    judged apart."""
    return m.lineage, m.number, m.digest, m.tick


@dataclass
class Release:
    """One model's release; `tell` sends to the control log."""

    judge: Judge
    tell: Callable[[Sequence[Message]], None]
    keep: int = 20
    patient: bool = False
    bounds: GateBounds = field(default_factory=GateBounds)
    _cuts: dict[int, list[Cut]] = field(default_factory=dict)
    _first_seen: dict[int, float] = field(default_factory=dict)
    _verdicts: dict[_Key, Verdict] = field(default_factory=dict)
    _genuine: set[_Key] = field(default_factory=set)
    # By lineage, those that may be served, the one that is chosen last; in front of it those
    # before, to go back to.
    _approved: dict[str, list[Identity]] = field(default_factory=dict)
    _comparisons: dict[str, Comparison] = field(default_factory=dict)
    _stats: dict[str, Cut] = field(default_factory=dict)
    _rulings: dict[tuple[str, int], Ruling] = field(default_factory=dict)
    # Lineages that a tick was settled without, until they cut again: waiting for them at each tick
    # anew would keep what the others learn from being served.
    _silent: set[str] = field(default_factory=set)
    _settled: Settled | None = None
    _since_ms: int = 0
    _book: OrderBook = field(default_factory=OrderBook)
    _own: deque[Message] = field(default_factory=lambda: deque(maxlen=ECHOES))
    _acting: bool = False

    @property
    def name(self) -> str:
        return self.judge.model.name

    @property
    def lineages(self) -> tuple[str, ...]:
        model = self.judge.model
        return tuple(model.lineage(x) for x in model.learners)

    @property
    def config(self) -> ReleaseConfig:
        return self.judge.model.release or ReleaseConfig()

    def note(self, m: Message) -> None:
        """Take in a message; decide nothing yet, since what comes next may be the decision itself
        (after a restart)."""
        if getattr(m, "model", None) != self.name:
            return
        if m in self._own:
            self._own.remove(m)
            return
        match m:
            case Cut():
                self._note_cut(m)
            case Ruling():
                self._rulings[m.lineage, m.number] = m
            case Verdict() | Settled() if self._acting:
                # There is one release; what it has decided it knows. The number may be used up,
                # though.
                log.warning(
                    "a decision that release did not take is set aside",
                    model=self.name,
                    said=str(m),
                )
                if isinstance(m, Settled):
                    self._book.take(m)
            case Verdict():
                self._note_verdict(m)
            case Settled() if why := self._book.take(m):
                log.warning("order is set aside", model=self.name, reason=why)
            case Settled():
                self._note_settled(m)
            case _:
                pass

    def _note_cut(self, m: Cut) -> None:
        if m.lineage not in self.lineages:
            return
        self._silent.discard(m.lineage)
        if self._settled is not None and m.tick <= self._settled.tick:
            return  # its tick was settled without it
        known = self._cuts.setdefault(m.tick, [])
        self._first_seen.setdefault(m.tick, time.monotonic())
        if m not in known:  # a trainer that resumes says its last one again
            known.append(m)

    def _note_verdict(self, m: Verdict) -> None:
        self._verdicts[_key(m)] = m
        comparison = self._comparison(m.lineage)
        if m.held:
            comparison.hold(m.tick)
        elif m.approved:
            comparison.held_since_ms = None
        if m.by:
            self._rulings.pop((m.lineage, m.number), None)
            self._take_ruling(m)

    def _take_ruling(self, m: Verdict) -> None:
        if m.digest is None:
            return
        which = self.judge.identity(m.lineage, m.number, m.digest)
        if m.approved:
            self._choose(which)
        else:
            self._approved[m.lineage] = [
                x for x in self._approved.get(m.lineage, []) if x.number != m.number
            ]

    def _note_settled(self, m: Settled) -> None:
        if self._settled is None or self._settled.lineage != m.lineage:
            self._since_ms = m.tick
        self._settled = m
        for tick in sorted(x for x in self._cuts if x <= m.tick):
            for cut in self._cuts[tick]:
                # One without a verdict came while its tick was settled: it was never judged,
                # nothing waits for it, and its file may be gone by now.
                if (verdict := self._verdicts.get(_key(cut))) is not None:
                    self._count(cut, verdict)
        self._close(m.tick)

    def rule(self) -> None:
        """Carry out what people said; also while releases are switched off."""
        self._begin()
        for ruling in list(self._rulings.values()):
            self._rule(ruling)
        self._rulings.clear()

    def act(self) -> None:
        """Judge what was cut, then settle what is complete, in order of ticks."""
        self.rule()
        for tick in sorted(self._cuts):
            for cut in list(self._cuts.get(tick, ())):
                self._judge(cut)
            if tick in self._cuts and self._complete(tick):
                self._settle(tick)
                self._close(tick)

    def _begin(self) -> None:
        """What was said before this process is known. What it is to build on must be there."""
        if self._acting:
            return
        self._acting = True
        for lineage in self._approved:
            self._drop_missing(lineage)

    def _drop_missing(self, lineage: str) -> None:
        known = self._approved[lineage]
        while known and not self.judge.is_approved(known[-1]):
            gone = known.pop()
            log.warning(
                "an approved snapshot is not there any more, or not approved", snapshot=str(gone)
            )

    def _complete(self, tick: int) -> bool:
        """Whether to settle a tick. Live, one at which nobody really cut anything is forgotten: it
        may lie ahead."""
        cuts = self._cuts[tick]
        missing = set(self.lineages) - {cut.lineage for cut in cuts}
        if self.patient:
            return not missing
        is_real = any(_key(cut) in self._genuine for cut in cuts)
        if is_real and missing <= self._silent:
            return True
        if time.monotonic() - self._first_seen[tick] <= PATIENCE_SECONDS:
            return False
        if is_real:
            self._silent |= missing
            return True
        log.warning(
            "nothing that was said to be cut is there; it is set aside", model=self.name, tick=tick
        )
        del self._cuts[tick], self._first_seen[tick]
        return False

    def _close(self, tick: int) -> None:
        for old in [x for x in self._cuts if x <= tick]:
            for cut in self._cuts.pop(old):
                self._verdicts.pop(_key(cut), None)
                self._genuine.discard(_key(cut))
            del self._first_seen[old]

    def _judge(self, cut: Cut) -> None:
        """Qualify a snapshot, once."""
        if _key(cut) in self._genuine:
            return
        verdict = self._verdicts.get(_key(cut))
        if verdict is not None and (not verdict.approved or self._bears_out(cut)):
            if verdict.approved or verdict.held:
                self._genuine.add(_key(cut))
            self._count(cut, verdict)
            return
        verdict = self._judged(cut)
        self._verdicts[_key(cut)] = verdict
        if not verdict.approved:
            log.warning(
                "snapshot refused", lineage=cut.lineage, number=cut.number, reasons=verdict.reasons
            )
        self._say(verdict)
        self._count(cut, verdict)

    def _bears_out(self, cut: Cut) -> bool:
        """An approval that was told before a restart, or by somebody, is a signature."""
        return cut.digest is not None and self.judge.is_approved(
            self.judge.identity(cut.lineage, cut.number, cut.digest)
        )

    def _judged(self, cut: Cut) -> Verdict:
        if cut.digest is None:
            if self._exports(cut.lineage):
                return _verdict(
                    cut, False, ["its trainer is said to have nothing to export, and it does"]
                )
            self._genuine.add(_key(cut))
            told = "its learner has no arrays to export: it is compared with the others, but never served"
            return _verdict(cut, False, [told])
        which = self.judge.identity(cut.lineage, cut.number, cut.digest)
        try:
            self.judge.check(cut, which)
            self._genuine.add(_key(cut))
            found = self.judge.examine(which)
            if isinstance(found, Unsound):
                return _verdict(cut, False, found.reasons)
            comparison = self._comparison(cut.lineage)
            choice = gate.decide(comparison.standing(cut, found.answers, self.bounds), self.bounds)
            if isinstance(choice, Hold):
                comparison.hold(cut.tick)
                return _verdict(cut, False, [choice.reason], held=True)
            self.judge.approve(which)
        except SnapshotError as error:
            return _verdict(cut, False, [str(error)])
        comparison.approve(cut, found.answers)
        return _verdict(cut, True, [choice.reason] if choice.reason else [])

    def _exports(self, lineage: str) -> bool:
        model = self.judge.model
        spec = next(x for x in model.learners if model.lineage(x) == lineage)
        return bool(getattr(spec, "servable", True))

    def _comparison(self, lineage: str) -> Comparison:
        """What was approved last answers once more after a restart of release."""
        found = self._comparisons.setdefault(lineage, Comparison())
        known = self._approved.get(lineage)
        if self._acting and found.approved is None and known:
            found.approved = self.judge.approved(known[-1])
        return found

    def _count(self, cut: Cut, verdict: Verdict) -> None:
        if not self._acting or _key(cut) in self._genuine:
            self._stats[cut.lineage] = cut
        # A model that has learned nothing knows less than the fallback that users declared.
        if verdict.approved and cut.digest is not None and examples_of(cut):
            self._choose(self.judge.identity(cut.lineage, cut.number, cut.digest))

    def _choose(self, which: Identity) -> None:
        """Of its lineage, this one is served from now on."""
        before = [x for x in self._approved.get(which.lineage, []) if x != which]
        self._approved[which.lineage] = [*before[1 - self.keep :], which]

    def _current(self, lineage: str) -> Identity | None:
        known = self._approved.get(lineage)
        return known[-1] if known else None

    def _rule(self, ruling: Ruling) -> None:
        """A person outranks the gate, but cannot make a snapshot sound."""
        before = self._served()
        verdict = self._ruled(ruling)
        log.warning("a person ruled", model=self.name, said=str(verdict))
        self._verdicts[_key(verdict)] = verdict
        self._say(verdict)
        if self._settled is not None and self._served() != before:
            self._settle(self._settled.tick)

    def _ruled(self, ruling: Ruling) -> Verdict:
        lineage = ruling.lineage
        refused = Verdict(self.name, lineage, ruling.number, 0, None, False, [], by=ruling.by)
        try:
            if lineage not in self.lineages:
                raise SnapshotError(
                    f"lineage {lineage}", f"is none of model {self.name}", "See freshet models."
                )
            which, manifest = self.judge.find(lineage, ruling.number)
            refused = replace(refused, tick=manifest.tick, digest=which.digest)
            if not ruling.approved:
                self.judge.withdraw(which)
                self._take_ruling(refused)
                self._drop_missing(lineage)
                self._comparisons[lineage] = Comparison()
                return replace(refused, reasons=[one_line(f"refused by {ruling.by}")])
            found = self.judge.examine(which)
            if isinstance(found, Unsound):
                return replace(refused, reasons=[one_line(x) for x in found.reasons])
            self.judge.approve(which)
        except SnapshotError as error:
            return replace(refused, reasons=[one_line(str(error))])
        self._choose(which)
        comparison = Comparison(approved=Approved(which.number, manifest.examples, found.answers))
        self._comparisons[lineage] = comparison
        return replace(refused, approved=True, reasons=[one_line(f"let through by {ruling.by}")])

    def _served(self) -> Identity | None:
        if self._settled is None or self._settled.lineage is None:
            return None
        return self._current(self._settled.lineage)

    def _settle(self, tick: int) -> None:
        """Order what is to be served as of now."""
        champion = self._settled.lineage if self._settled else None
        choice = decide(self._standing(tick, champion), self.config)
        if isinstance(choice, Promote):
            champion = choice.lineage
        served = self._current(champion) if champion else None
        # Where somebody else wrote orders, those of release go on above them, and correct them.
        settled = Settled(
            self.name,
            self._book.last(self.name) + 1,
            tick,
            None,
            None,
            None,
            one_line(choice.reason),
        )
        if served is not None:
            settled = replace(
                settled,
                lineage=served.lineage,
                number=served.number,
                digest=served.digest,
                back=self._book.goes_back(self.name, served.lineage, served.number),
                reflects=self.judge.reflects(served),
            )
        self._book.take(settled)
        if self._settled is None or self._settled.lineage != settled.lineage:
            self._since_ms = tick
        self._settled = settled
        self._say(settled)
        self._prune()

    def _say(self, m: Message) -> None:
        self._own.append(m)
        self.tell([m])

    def _standing(self, tick: int, champion: str | None) -> Standing:
        lineages = []
        for name in self.lineages:
            stats = (
                self._stats[name].stats["rolling"]
                if name in self._stats
                else {"n": 0, "log_loss": None}
            )
            loss = float("nan") if stats["log_loss"] is None else float(stats["log_loss"])
            approved = self._current(name)
            lineages.append(
                LineageStanding(
                    name, approved.number if approved else None, int(stats["n"] or 0), loss
                )
            )
        model = self.judge.model
        declared = next((model.lineage(x) for x in model.learners if isinstance(x, Baseline)), None)
        baseline = next((x for x in lineages if x.lineage == declared), None)
        reference = (
            Reference(baseline.lineage, baseline.log_loss)
            if baseline and baseline.examples
            else None
        )
        return Standing(tick, champion, self._since_ms, tuple(lineages), reference)

    def _prune(self) -> None:
        """Keep the newest of each lineage, and what may be served. Found by its name, so only the
        run's own can go."""
        for lineage in self.lineages:
            current = self._current(lineage)
            in_use = {current.number} if current is not None else set[int]()
            try:
                self.judge.prune(lineage, self.keep, in_use)
            except (SnapshotError, OSError) as error:
                log.warning("old snapshots stay", lineage=lineage, error=str(error))


def _verdict(cut: Cut, approved: bool, reasons: list[str], held: bool = False) -> Verdict:
    told = [one_line(x) for x in reasons]
    return Verdict(cut.model, cut.lineage, cut.number, cut.tick, cut.digest, approved, told, held)
