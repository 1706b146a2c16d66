"""What happened of late: `Recent`, folded from one `Status` after the other. Bounded: a few points
for each topic, source and role."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from freshet.serving.alerts.bounds import AlertBounds, Missed, Recent
from freshet.serving.status.status import RoleFigures, Status, TopicFigures

POINTS = 20  # of a topic's window
FORGETS = 0.9999  # an event of a source: how often it was usually missed halves in some 7,000
MOST_RESTARTS = 100


@dataclass(frozen=True, slots=True)
class _Point:
    records: int
    dead: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Source:
    """A source when it last brought something: its events, and those of the topic's others; see
    `Missed`."""

    events: int
    others: int
    missed: float
    usually: float


class Window:
    """Counts are taken as they are when first seen: what was before this process watched is not of
    late. Counts that go back (a role resumed from its checkpoint) begin anew."""

    def __init__(self, bounds: AlertBounds) -> None:
        self._bounds = bounds
        self._points: dict[str, deque[_Point]] = {}
        self._sources: dict[tuple[str, str], _Source] = {}
        self._restarts: dict[tuple[str, str], tuple[int, deque[int]]] = {}

    def observe(self, status: Status) -> Recent:
        """The figures of late, as of this status."""
        since = {t.name: self._since(t) for t in status.topics}
        missed: dict[tuple[str, str], Missed] = {}
        for t in status.topics:
            missed |= self._missed(t)
        return Recent(
            records={t.name: t.records - since[t.name].records for t in status.topics},
            dead={
                t.name: {r: n - since[t.name].dead.get(r, 0) for r, n in t.dead.items()}
                for t in status.topics
            },
            missed=missed,
            restarts={(r.role, r.instance): self._restarted(r, status.at_ms) for r in status.roles},
        )

    def _since(self, t: TopicFigures) -> _Point:
        """Where the topic's newest `dead_window` records begin."""
        window, now = self._bounds.dead_window, _Point(t.records, t.dead)
        points = self._points.setdefault(t.name, deque())
        if points and t.records < points[-1].records:
            points.clear()
        if not points and t.records:
            points.append(now if t.records > window else _Point(0, {}))
        if points and t.records - points[-1].records >= window / POINTS:
            points.append(now)
        while len(points) > 1 and t.records - points[1].records >= window:
            points.popleft()
        return points[0] if points else now

    def _missed(self, t: TopicFigures) -> dict[tuple[str, str], Missed]:
        """Of each source: what its usual share of the others' events since its newest one would
        be."""
        total, out = sum(s.events for s in t.sources), {}
        for s in t.sources:
            others = total - s.events
            before = self._sources.get((t.name, s.name))
            if before is None or s.events < before.events or others < before.others:
                now = _Source(s.events, others, 0.0, 0.0)
            elif s.events > before.events:
                usually = max(before.missed, before.usually * FORGETS ** (s.events - before.events))
                now = _Source(s.events, others, 0.0, usually)
            else:
                expected = (others - before.others) * s.events / others if others else 0.0
                now = _Source(s.events, before.others, expected, before.usually)
            self._sources[t.name, s.name] = now
            out[t.name, s.name] = Missed(now.missed, now.usually)
        return out

    def _restarted(self, r: RoleFigures, now_ms: int) -> int:
        count, moments = self._restarts.get(
            (r.role, r.instance), (r.restarts, deque[int](maxlen=MOST_RESTARTS))
        )
        moments.extend([now_ms] * min(r.restarts - count, MOST_RESTARTS))
        while moments and now_ms - moments[0] > self._bounds.restarts_ms:
            moments.popleft()
        self._restarts[r.role, r.instance] = (r.restarts, moments)
        return len(moments)
