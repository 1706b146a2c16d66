"""Cuts of one model that wait to be settled, with what was decided of them, by tick."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from freshet.schemas.wire.messages import Cut, Verdict

# Of a lineage that has not cut yet: it may be training slowly, and the others wait for it.
PATIENCE_SECONDS = 5.0


class CutKey(NamedTuple):
    """All that a cut says of its snapshot: of two that differ in anything, one is made up, and
    judged apart."""

    lineage: str
    number: int
    digest: str | None
    tick: int


def key_of(message: Cut | Verdict) -> CutKey:
    return CutKey(
        message.lineage,
        message.number,
        message.digest,
        message.tick,
    )


@dataclass
class OpenCuts:
    """Genuine are those cuts that their own snapshots bear out."""

    _cuts: dict[int, list[Cut]] = field(default_factory=dict)
    _first_seen: dict[int, float] = field(default_factory=dict)
    _verdicts: dict[CutKey, Verdict] = field(default_factory=dict)
    _genuine: set[CutKey] = field(default_factory=set)

    def add(self, cut: Cut) -> None:
        known = self._cuts.setdefault(cut.tick, [])
        self._first_seen.setdefault(cut.tick, time.monotonic())
        if cut not in known:  # a trainer that resumes says its last one again
            known.append(cut)

    def ticks(self) -> list[int]:
        """In the order in which they are settled."""
        return sorted(self._cuts)

    def cuts(self, tick: int) -> Sequence[Cut]:
        """As they are now: whoever goes through them may add to them or close them."""
        return tuple(self._cuts.get(tick, ()))

    def decide(self, verdict: Verdict) -> None:
        self._verdicts[key_of(verdict)] = verdict

    def verdict(self, cut: Cut) -> Verdict | None:
        return self._verdicts.get(key_of(cut))

    def believe(self, cut: Cut) -> None:
        self._genuine.add(key_of(cut))

    def is_genuine(self, cut: Cut) -> bool:
        return key_of(cut) in self._genuine

    def missing(self, tick: int, lineages: Collection[str]) -> set[str]:
        """Of these, the ones that have not sent their cut."""
        return set(lineages) - {cut.lineage for cut in self.cuts(tick)}

    def has_genuine(self, tick: int) -> bool:
        return any(self.is_genuine(cut) for cut in self.cuts(tick))

    def is_overdue(self, tick: int) -> bool:
        """Whether enough was waited, on the wall: the log's own time does not go on while nobody
        cuts."""
        first_seen = self._first_seen.get(tick)
        return first_seen is not None and time.monotonic() - first_seen > PATIENCE_SECONDS

    def forget(self, tick: int) -> None:
        """Let go of cuts that nothing bears out; what was decided of them stays known."""
        del self._cuts[tick]
        del self._first_seen[tick]

    def close(self, tick: int) -> None:
        """All up to this tick is settled."""
        for old in [known for known in self._cuts if known <= tick]:
            for cut in self._cuts.pop(old):
                self._verdicts.pop(key_of(cut), None)
                self._genuine.discard(key_of(cut))
            del self._first_seen[old]
