"""The snapshots of one lineage: cut and judged."""

from __future__ import annotations

from dataclasses import dataclass

from freshet.schemas.wire import messages


@dataclass
class LineageSnapshots:
    """Of one lineage: its newest cut and its verdicts by number.

    What a learner that cannot be `exported` cuts is only compared with others, never served: that
    is no refusal."""

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

    def cut(self, m: messages.Cut) -> None:
        """A trainer that resumes tells its newest ones again."""
        if self.tick is None or m.tick > self.tick:
            self.cuts += 1
            self.number = m.number
            self.tick = m.tick
            self.exported = m.digest is not None

    def judge(self, m: messages.Verdict) -> None:
        # By tick, not by number: no tick lies far ahead, and nothing that was said of a number that
        # will never come keeps off what is said next. A person speaks of earlier ones.
        if self.judged_tick is not None and m.tick <= self.judged_tick and not m.by:
            return
        if not m.by:
            self.judged = m.number
            self.judged_tick = m.tick
        self.verdict = _sentence(m)
        if m.approved:
            self.approvals += 1
            self.approved = m.number
        else:
            self.reasons = f"snapshot {m.number}: {'; '.join(m.reasons)}"
            if self.exported:
                self.refusals += 1
                self.refused = m.number


def _sentence(m: messages.Verdict) -> str:
    """What was decided of a snapshot, and why."""
    what = "approved" if m.approved else "refused"
    why = "; ".join(m.reasons)
    if m.held:
        return f"snapshot {m.number}: {why}"
    return f"snapshot {m.number} {what}: {why}" if why else f"snapshot {m.number} {what}"
