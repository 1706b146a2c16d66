"""Release: judges every snapshot once, signs what may be served, and orders what is.

Follows the control log. Cuts of one model at one tick are settled together, once every lineage has
sent its own. Live, one that is late by `PATIENCE_SECONDS` (wall) counts as it stood at its last
cut, and is not waited for before it cuts again; in a replay all are waited for, so that what is
decided depends on the log alone.

What others say on that log is believed no further than the snapshots themselves bear it out: a cut
is what the signed manifest says, an approval is a signature of its own, and an order that it did
not give changes nothing but the next number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_fields

import structlog
from msgspec.structs import replace

from freshet.learners.model import Model
from freshet.learners.release_config import ReleaseConfig
from freshet.learners.started import Started
from freshet.schemas.errors import SnapshotError
from freshet.schemas.models.losses import loss_of
from freshet.schemas.models.manifest import Identity
from freshet.schemas.models.tasks import BINARY
from freshet.schemas.wire.facts import one_line
from freshet.schemas.wire.messages import Cut, Message, Ruling, Settled, Verdict
from freshet.serving.release import gate
from freshet.serving.release.comparison import Approved, Comparison, examples_of
from freshet.serving.release.gate import GateBounds, Hold
from freshet.serving.release.judge import Judge
from freshet.serving.release.open_cuts import OpenCuts
from freshet.serving.release.policy import Promote, Standing, decide
from freshet.serving.release.qualify import Unsound
from freshet.serving.release.servable import Servable
from freshet.serving.release.standing import lineage_standing, reference_of
from freshet.streams.control.orders import OrderBook, ordered

log = structlog.get_logger()
ECHOES = 1_000  # of its own messages that have not come back yet; far more than one turn says


@dataclass
class Release:
    """One model's release; `tell` sends to the control log."""

    judge: Judge
    tell: Callable[[Sequence[Message]], None]
    keep: int = 20
    patient: bool = False
    bounds: GateBounds = field(default_factory=GateBounds)
    _open: OpenCuts = field(default_factory=OpenCuts)
    _comparisons: dict[str, Comparison] = field(default_factory=dict)
    _newest_cuts: dict[str, Cut] = field(default_factory=dict)
    _rulings: dict[tuple[str, int], Ruling] = field(default_factory=dict)
    _settled: Settled | None = None
    _since_ms: int = 0
    _book: OrderBook = field(default_factory=OrderBook)
    _own: deque[Message] = field(default_factory=lambda: deque(maxlen=ECHOES))
    _acting: bool = False
    # Lineages that a tick was settled without, until they cut again: waiting for them at each tick
    # anew would keep what the others learn from being served.
    _silent: set[str] = field(default_factory=set)
    # Lineages that were started later, and have yet to catch up with the others: nobody waits for
    # them, and what they cut of the past takes part in nothing.
    _behind: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._servable = Servable(self.keep)
        self._take_lineages()
        self._behind = self._started()

    def _take_lineages(self) -> None:
        model = self.judge.model
        # Once: each is named by a digest of all that it learns from, and every turn asks for them.
        self._lineages = tuple(model.lineage(learner) for learner in model.learners)

    @property
    def name(self) -> str:
        return self.judge.model.name

    @property
    def lineages(self) -> tuple[str, ...]:
        return self._lineages

    @property
    def config(self) -> ReleaseConfig:
        return self.judge.model.release or ReleaseConfig()

    def compete(self, model: Model) -> None:
        """The same model, with lineages that were started meanwhile: they take part from the first
        snapshot on that they cut together with the others."""
        before = self._started()
        self.judge = with_fields(self.judge, model=model)
        self._take_lineages()
        self._behind |= self._started() - before

    def _started(self) -> set[str]:
        model = self.judge.model
        return {model.lineage(spec) for spec in model.learners if isinstance(spec, Started)}

    def note(self, message: Message) -> None:
        """Take in a message; decide nothing yet, since what comes next may be the decision itself
        (after a restart)."""
        if getattr(message, "model", None) != self.name:
            return
        # What it said itself comes back to it, and was taken in when it was said.
        if message in self._own:
            self._own.remove(message)
            return
        match message:
            case Cut():
                self._note_cut(message)
            case Ruling():
                self._rulings[message.lineage, message.number] = message
            case Verdict() | Settled() if self._acting:
                # There is one release; what it has decided it knows. The number may be used up,
                # though.
                log.warning(
                    "a decision that release did not take is set aside",
                    model=self.name,
                    said=str(message),
                )
                if isinstance(message, Settled):
                    self._book.take(message)
            case Verdict():
                self._note_verdict(message)
            case Settled() if why := self._book.take(message):
                log.warning(
                    "order is set aside",
                    model=self.name,
                    reason=why,
                )
            case Settled():
                self._note_settled(message)
            case _:
                pass

    def _note_cut(self, cut: Cut) -> None:
        if cut.lineage not in self.lineages:
            return
        self._silent.discard(cut.lineage)
        if self._settled is not None and cut.tick <= self._settled.tick:
            return  # its tick was settled without it
        self._behind.discard(cut.lineage)
        self._open.add(cut)

    def _note_verdict(self, verdict: Verdict) -> None:
        self._open.decide(verdict)
        comparison = self._comparison(verdict.lineage)
        if verdict.held:
            comparison.hold(verdict.tick)
        elif verdict.approved:
            comparison.held_since_ms = None
        if verdict.by:
            # The ruling that it answers came before it: it is carried out already.
            self._rulings.pop((verdict.lineage, verdict.number), None)
            self._follow_ruling(verdict)

    def _follow_ruling(self, verdict: Verdict) -> None:
        if verdict.digest is None:
            return  # nothing was found by the name that the person gave
        if verdict.approved:
            self._servable.choose(
                self.judge.identity(verdict.lineage, verdict.number, verdict.digest)
            )
        else:
            self._servable.withdraw(verdict.lineage, verdict.number)

    def _note_settled(self, settled: Settled) -> None:
        if self._settled is None or self._settled.lineage != settled.lineage:
            self._since_ms = settled.tick
        self._settled = settled
        which = ordered(self.judge.app, settled)
        if which is not None and which.lineage not in self.lineages:
            # Of a lineage that is declared no more: it answers until another one can.
            self._servable.only(which)
        for tick in self._open.ticks():
            if tick > settled.tick:
                break
            for cut in self._open.cuts(tick):
                # One without a verdict came while its tick was settled: it was never judged,
                # nothing waits for it, and its file may be gone by now.
                if (verdict := self._open.verdict(cut)) is not None:
                    self._count(cut, verdict)
        self._open.close(settled.tick)

    def rule(self) -> None:
        """Carry out what people said; also while releases are switched off."""
        self._begin()
        for ruling in list(self._rulings.values()):
            self._rule(ruling)
        self._rulings.clear()

    def look_again(self) -> None:
        """After keys or snapshots were revoked: go back to what is still believed, now."""
        self._begin()
        for lineage in self._servable.lineages():
            current = self._servable.current(lineage)
            self._servable.drop_missing(lineage, self.judge.is_approved)
            if self._servable.current(lineage) != current:
                # What later cuts were compared with is what nobody believes any more.
                self._comparisons[lineage] = self._new_comparison()
        last = self._settled
        if last is not None and self._served() != ordered(self.judge.app, last):
            self._settle(last.tick)

    def act(self) -> None:
        """Judge what was cut, then settle what is complete, in order of ticks."""
        # First: what a person said of an earlier snapshot is what the next ones are compared with.
        self.rule()
        self._order_anew()
        for tick in self._open.ticks():
            for cut in self._open.cuts(tick):
                self._judge(cut)
            if self._is_complete(tick):
                self._settle(tick)
                self._open.close(tick)
            elif self._is_made_up(tick):
                log.warning(
                    "nothing that was said to be cut is there; it is set aside",
                    model=self.name,
                    tick=tick,
                )
                self._open.forget(tick)

    def _begin(self) -> None:
        """What was said before this process is known. What it is to build on must be there."""
        if self._acting:
            return
        self._acting = True
        for lineage in self._servable.lineages():
            self._servable.drop_missing(lineage, self.judge.is_approved)

    def _order_anew(self) -> None:
        """What was ordered last may be of a model that was declared otherwise: then what this one
        had before, if anything, answers at once."""
        last = self._settled
        if last is None or last.lineage is None or last.lineage in self.lineages:
            return
        if self._served() is None:
            self._settle(last.tick)

    def _is_complete(self, tick: int) -> bool:
        missing = self._open.missing(tick, self.lineages) - self._behind
        if self.patient:
            return not missing
        # Of a tick at which nobody really cut anything nothing is settled: it may lie ahead, and
        # every true one would be older.
        if not self._open.has_genuine(tick):
            return False
        if missing <= self._silent:
            return True
        if not self._open.is_overdue(tick):
            return False
        self._silent |= missing
        return True

    def _is_made_up(self, tick: int) -> bool:
        if self.patient or self._open.has_genuine(tick):
            return False
        return self._open.is_overdue(tick)

    def _judge(self, cut: Cut) -> None:
        """Qualify a snapshot, once."""
        if self._open.is_genuine(cut):
            return
        verdict = self._open.verdict(cut)
        if verdict is not None and (not verdict.approved or self._bears_out(cut)):
            # A refusal may be of a snapshot that is not there, and says nothing of its cut.
            if verdict.approved or verdict.held:
                self._open.believe(cut)
            self._count(cut, verdict)
            return
        verdict = self._examined(cut)
        self._open.decide(verdict)
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

    def _examined(self, cut: Cut) -> Verdict:
        if cut.digest is None:
            return self._without_arrays(cut)
        which = self.judge.identity(
            cut.lineage,
            cut.number,
            cut.digest,
        )
        try:
            self.judge.check(cut, which)
            self._open.believe(cut)
            found = self.judge.examine(which)
            if isinstance(found, Unsound):
                return _verdict(cut, False, found.reasons)
            comparison = self._comparison(cut.lineage)
            choice = gate.decide(comparison.standing(cut, found.answers, self.bounds), self.bounds)
            if isinstance(choice, Hold):
                comparison.hold(cut.tick)
                return _verdict(
                    cut,
                    False,
                    [choice.reason],
                    held=True,
                )
            # Signed before anybody is told: who hears of an approval finds its signature.
            self.judge.approve(which)
        except SnapshotError as error:
            return _verdict(cut, False, [str(error)])
        comparison.approve(cut, found.answers)
        return _verdict(
            cut,
            True,
            list(filter(None, [choice.reason])),
        )

    def _without_arrays(self, cut: Cut) -> Verdict:
        if self._exports(cut.lineage):
            why = "its trainer is said to have nothing to export, and it does"
            return _verdict(cut, False, [why])
        self._open.believe(cut)
        why = (
            "its learner has no arrays to export: it is compared with the others, but never served"
        )
        return _verdict(cut, False, [why])

    def _exports(self, lineage: str) -> bool:
        model = self.judge.model
        spec = next(learner for learner in model.learners if model.lineage(learner) == lineage)
        # A learner of a user's own need not know the word.
        return bool(getattr(spec, "servable", True))

    def _new_comparison(self) -> Comparison:
        return Comparison(task=self.judge.model.task)

    def _comparison(self, lineage: str) -> Comparison:
        """What was approved last answers once more after a restart of release."""
        found = self._comparisons.setdefault(lineage, self._new_comparison())
        known = self._servable.current(lineage)
        # Before it acts, approvals of the past go by that are not the last ones.
        if self._acting and found.approved is None and known is not None:
            found.approved = self.judge.approved(known)
        return found

    def _count(self, cut: Cut, verdict: Verdict) -> None:
        if not self._acting or self._open.is_genuine(cut):
            self._newest_cuts[cut.lineage] = cut
        # A model that has learned nothing knows less than the fallback that users declared.
        if verdict.approved and cut.digest is not None and examples_of(cut):
            self._servable.choose(self.judge.identity(cut.lineage, cut.number, cut.digest))

    def _rule(self, ruling: Ruling) -> None:
        """A person outranks the gate, but cannot make a snapshot sound."""
        before = self._served()
        verdict = self._ruled(ruling)
        log.warning(
            "a person ruled",
            model=self.name,
            said=str(verdict),
        )
        self._open.decide(verdict)
        self._say(verdict)
        # Not at the next tick: a person who takes a snapshot back wants it gone now.
        if self._settled is not None and self._served() != before:
            self._settle(self._settled.tick)

    def _ruled(self, ruling: Ruling) -> Verdict:
        lineage = ruling.lineage
        refused = Verdict(
            self.name,
            lineage,
            ruling.number,
            0,
            None,
            False,
            [],
            by=ruling.by,
        )
        try:
            if lineage not in self.lineages:
                raise SnapshotError(
                    f"lineage {lineage}", f"is none of model {self.name}", "See freshet models."
                )
            which, manifest = self.judge.find(lineage, ruling.number)
            refused = replace(
                refused,
                tick=manifest.tick,
                digest=which.digest,
            )
            if not ruling.approved:
                self.judge.withdraw(which)
                self._follow_ruling(refused)
                self._servable.drop_missing(lineage, self.judge.is_approved)
                # What later cuts were compared with may be what was just refused.
                self._comparisons[lineage] = self._new_comparison()
                return replace(refused, reasons=[one_line(f"refused by {ruling.by}")])
            found = self.judge.examine(which)
            if isinstance(found, Unsound):
                return replace(refused, reasons=[one_line(reason) for reason in found.reasons])
            self.judge.approve(which)
        except SnapshotError as error:
            return replace(refused, reasons=[one_line(str(error))])
        self._servable.choose(which)
        comparison = self._new_comparison()
        comparison.approved = Approved(
            which.number,
            manifest.examples,
            found.answers,
        )
        self._comparisons[lineage] = comparison
        return replace(
            refused,
            approved=True,
            reasons=[one_line(f"let through by {ruling.by}")],
        )

    def _served(self) -> Identity | None:
        if self._settled is None or self._settled.lineage is None:
            return None
        return self._servable.current(self._settled.lineage)

    def _settle(self, tick: int) -> None:
        """Order what is to be served as of now."""
        champion = None
        if self._settled is not None:
            champion = self._settled.lineage
        choice = decide(self._standing(tick, champion), self.config)
        if isinstance(choice, Promote):
            champion = choice.lineage
        settled = self._order(tick, champion, choice.reason)
        self._book.take(settled)
        if self._settled is None or self._settled.lineage != settled.lineage:
            self._since_ms = tick
        self._settled = settled
        self._say(settled)
        # Once it is said: what was served until now is in use no more.
        self._prune()

    def _order(self, tick: int, champion: str | None, reason: str) -> Settled:
        # Where somebody else wrote orders, those of release go on above them, and correct them.
        number = self._book.last(self.name) + 1
        order = Settled(
            self.name,
            number,
            tick,
            None,
            None,
            None,
            one_line(reason),
        )
        served = None
        if champion is not None:
            served = self._servable.current(champion)
        if served is None:
            return order
        return replace(
            order,
            lineage=served.lineage,
            number=served.number,
            digest=served.digest,
            back=self._book.goes_back(self.name, served.lineage, served.number),
            reflects=self.judge.reflects(served),
        )

    def _say(self, message: Message) -> None:
        self._own.append(message)
        self.tell([message])

    def _standing(self, tick: int, champion: str | None) -> Standing:
        task = self.judge.model.task
        lineages = {
            name: lineage_standing(name, self._newest_cuts.get(name), self._servable, task)
            for name in self.lineages
        }
        reference = reference_of(self.judge.model, lineages)
        # Of a binary task everybody knows it, and what was said of one stays as it was.
        loss = ""
        if task.kind != BINARY:
            loss = loss_of(task)
        standings = tuple(lineages.values())
        return Standing(
            tick,
            champion,
            self._since_ms,
            standings,
            reference,
            loss,
        )

    def _prune(self) -> None:
        """Keep the newest of each lineage, and what may be served. Found by its name, so only the
        run's own can go."""
        for lineage in self.lineages:
            in_use = set[int]()
            current = self._servable.current(lineage)
            if current is not None:
                in_use.add(current.number)
            try:
                self.judge.prune(lineage, self.keep, in_use)
            except (SnapshotError, OSError) as error:
                log.warning(
                    "old snapshots stay",
                    lineage=lineage,
                    error=str(error),
                )


def _verdict(cut: Cut, approved: bool, reasons: list[str], held: bool = False) -> Verdict:
    told = [one_line(reason) for reason in reasons]
    return Verdict(
        cut.model,
        cut.lineage,
        cut.number,
        cut.tick,
        cut.digest,
        approved,
        told,
        held,
    )
