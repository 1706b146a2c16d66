"""The snapshots of one lineage: cut, judged, and how long examples wait for the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from freshet.schemas.wire import messages


@dataclass
class LineageSnapshots:
    """Of one lineage: its newest cut and its verdicts by number. `waiting` says by number since when (app clock, ms) the
    first example waits that a snapshot does not reflect; only of those that are served or may yet be.

    What a learner that cannot be `exported` cuts is only compared with others, never served: that is no refusal."""

    cuts: int = 0
    exported: bool = True
    number: int | None = None
    tick: int | None = None
    approvals: int = 0
    refusals: int = 0
    approved: int | None = None
    judged: int = -1
    judged_tick: int | None = None
    verdict: str = ""
    refused: int | None = None
    reasons: str = ""
    waiting: dict[int, int] = field(default_factory=dict)

    def cut(self, m: messages.Cut) -> None:
        """A trainer that resumes tells its newest ones again."""
        if self.tick is None or m.tick > self.tick:
            self.cuts, self.number, self.tick = self.cuts + 1, m.number, m.tick
            self.exported = m.digest is not None

    def wait(self, m: messages.Waiting) -> None:
        """Of no interest where the snapshot was refused: it will not be served."""
        if m.number > self.judged or m.number == self.approved:
            self.waiting.setdefault(m.number, m.since)

    def judge(self, m: messages.Verdict) -> None:
        # By tick, not by number: no tick lies far ahead, and nothing that was said of a number that will never
        # come keeps off what is said next. A person speaks of earlier ones.
        if self.judged_tick is not None and m.tick <= self.judged_tick and not m.by:
            return
        if not m.by:
            self.judged, self.judged_tick = m.number, m.tick
        self.verdict = _sentence(m)
        if m.approved:
            self.approvals, self.approved = self.approvals + 1, m.number
        else:
            self.reasons = f"snapshot {m.number}: {'; '.join(m.reasons)}"
            if self.exported:
                self.refusals, self.refused = self.refusals + 1, m.number

    def prune(self, served: int | None) -> None:
        """Forget who waits for snapshots that are over; `served` is the one of this lineage that answers, if any does."""
        needed = {served, self.approved}
        self.waiting = {n: since for n, since in self.waiting.items() if n in needed or n > self.judged}

    def since(self, served: int) -> int | None:
        """Since when (app clock, ms) the oldest example waits that snapshot `served` does not reflect; at least, where that
        is known of later ones only. None: no example waits."""
        later = [since for n, since in self.waiting.items() if n > served]
        return self.waiting.get(served, min(later, default=None))


def _sentence(m: messages.Verdict) -> str:
    """What was decided of a snapshot, and why."""
    what = "approved" if m.approved else "refused"
    why = "; ".join(m.reasons)
    if m.held:
        return f"snapshot {m.number}: {why}"
    return f"snapshot {m.number} {what}: {why}" if why else f"snapshot {m.number} {what}"
