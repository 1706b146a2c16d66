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
        since = {topic.name: self._since(topic) for topic in status.topics}
        missed: dict[tuple[str, str], Missed] = {}
        for topic in status.topics:
            missed |= self._missed(topic)
        return Recent(
            records={
                topic.name: topic.records - since[topic.name].records for topic in status.topics
            },
            dead={
                topic.name: {
                    reason: count - since[topic.name].dead.get(reason, 0)
                    for reason, count in topic.dead.items()
                }
                for topic in status.topics
            },
            missed=missed,
            restarts={
                (role.role, role.instance): self._restarted(role, status.at_ms)
                for role in status.roles
            },
        )

    def _since(self, topic: TopicFigures) -> _Point:
        """Where the topic's newest `dead_window` records begin."""
        window = self._bounds.dead_window
        now = _Point(topic.records, topic.dead)
        points = self._points.setdefault(topic.name, deque())
        if points and topic.records < points[-1].records:
            points.clear()
        if not points and topic.records:
            # A topic with less than a window was watched from its beginning, so all of it counts.
            first = _Point(0, {})
            if topic.records > window:
                first = now
            points.append(first)
        if points and topic.records - points[-1].records >= window / POINTS:
            points.append(now)
        # The first point stays until the second alone spans a window.
        while len(points) > 1 and topic.records - points[1].records >= window:
            points.popleft()
        if not points:
            return now
        return points[0]

    def _missed(self, topic: TopicFigures) -> dict[tuple[str, str], Missed]:
        """Of each source: what its usual share of the others' events since its newest one would
        be."""
        total = sum(source.events for source in topic.sources)
        out = {}
        for source in topic.sources:
            others = total - source.events
            before = self._sources.get((topic.name, source.name))
            if before is None or source.events < before.events or others < before.others:
                now = _Source(source.events, others, 0.0, 0.0)
            elif source.events > before.events:
                # It came back, so that what it was missed by was one of its usual pauses.
                kept = before.usually * FORGETS ** (source.events - before.events)
                now = _Source(source.events, others, 0.0, max(before.missed, kept))
            else:
                expected = 0.0
                if others:
                    expected = (others - before.others) * source.events / others
                now = _Source(source.events, before.others, expected, before.usually)
            self._sources[topic.name, source.name] = now
            out[topic.name, source.name] = Missed(now.missed, now.usually)
        return out

    def _restarted(self, role: RoleFigures, now_ms: int) -> int:
        unseen = (role.restarts, deque[int](maxlen=MOST_RESTARTS))
        count, moments = self._restarts.get((role.role, role.instance), unseen)
        # Counted from what is first seen on; a count that went back multiplies to an empty list.
        moments.extend([now_ms] * min(role.restarts - count, MOST_RESTARTS))
        while moments and now_ms - moments[0] > self._bounds.restarts_ms:
            moments.popleft()
        self._restarts[role.role, role.instance] = (role.restarts, moments)
        return len(moments)
