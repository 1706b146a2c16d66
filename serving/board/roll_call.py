"""The roll call: which processes of a run are there, from the `Status` that each tells about once a
second.

A process whose loop has told nothing for longer than `SILENT_MS` is busy as long as its heartbeat
is heard; beyond `STUCK_MS` it is taken for lost, too. A process is silent when its newest status is
older than `SILENT_MS` of wall time, and lost beyond `LOST_MS`; the clocks of its machine and of
this one are taken to agree. A silent one is forgotten once another of its name has started since.

What was said before this process began to listen is of an earlier run, or of before its own
restart: whoever is known from then only is starting, and lost no sooner than `GRACE_MS` later. One
that said that it ends is stopped. One that the app does not declare (any more) is shown while it
speaks. Silence counts only while this process listens: when it, or the whole machine, stood still,
nobody is lost for that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from freshet.schemas.wire.messages import Status
from freshet.serving.status.status import RequestFigures, RoleFigures, RoleState
from freshet.streams.outages import Outage

SILENT_MS = 2_500
LOST_MS = 5_000
STUCK_MS = 120_000
GRACE_MS = 60_000  # a busy machine takes so long to import what the roles need
NOTHING: Mapping[str, Any] = {}


class RollCall:
    """The newest status of each process, and the requests that those which are gone had answered.

    `belongs` says of a lasting name, such as `view` or `view.2`, whether the app has such a
    role."""

    def __init__(self, belongs: Callable[[str], bool] = lambda name: True) -> None:
        self._belongs = belongs
        self._newest: dict[str, Status] = {}
        self._gone: dict[str, Mapping[str, Any]] = {}
        self._replaced: Counter[str] = Counter()
        # when this one began to listen: what was over before is no restart
        self._since_ms: int | None = None
        self._looked_ms: int | None = None
        self._listens_since_ms = 0  # without a pause of its own

    def begin(self, now_ms: int) -> None:
        """All that was said before is known: from now on, roles are heard as they speak. Later
        calls change nothing."""
        self._since_ms = now_ms if self._since_ms is None else self._since_ms

    def note(self, m: Status) -> None:
        before = self._newest.get(m.instance)
        if before is not None and before.at > m.at:
            return
        if before is not None and _has_ended(m):
            # Its last words are but that: what it had told stays.
            m = msgspec.structs.replace(m, facts={**before.facts, **m.facts})
        self._newest[m.instance] = m
        self._gone.pop(m.instance, None)

    def kept(self) -> tuple[list[Status], dict[str, dict[str, Any]]]:
        """The newest status of each process, and the requests of those that are gone."""
        gone = {instance: dict(requests) for instance, requests in self._gone.items()}
        return list(self._newest.values()), gone

    def restore(self, newest: Iterable[Status], gone: Mapping[str, Mapping[str, Any]]) -> None:
        """Know what another one `kept`. It was all said before this one listens; how often somebody
        was replaced is counted anew."""
        self._newest = {m.instance: m for m in newest}
        self._gone = dict(gone)

    def look(self, now_ms: int) -> None:
        """Once a second. Let go of processes that others have replaced, and count those; what they
        counted stays."""
        if self._looked_ms is not None and now_ms - self._looked_ms > SILENT_MS:
            # it was this one that heard nothing: it, or the machine, stood still
            self._listens_since_ms = now_ms
        self._looked_ms = now_ms
        kept = {m.instance: m for m in self._present(now_ms)}
        for m in self._newest.values():
            if m.instance not in kept:
                heard = self._since_ms is not None and m.at >= self._since_ms
                self._replaced[_name(m.instance)] += heard and not _has_ended(m)
                if "requests" in m.facts:
                    self._gone[m.instance] = m.facts["requests"]
        self._newest = kept

    def state(self, instance: str, now_ms: int) -> RoleState:
        """Of a process by its instance; one that is forgotten is lost."""
        m = self._newest.get(instance)
        if m is None:
            return "lost"
        if _has_ended(m) or self._silence_ms(m, now_ms) > LOST_MS:
            if self._is_from_before(m, now_ms):
                return "starting"
            return "stopped" if _has_ended(m) else "lost"
        told_ms = m.facts.get("told_ms", m.at) or m.facts.get("started_ms", m.at)
        if m.at - told_ms > STUCK_MS:
            return "lost"
        if m.facts.get("held") is True:
            return "held"
        return "busy" if m.at - told_ms > SILENT_MS else "running"

    def figures(self, children: Mapping[str, Mapping[str, Any]], now_ms: int) -> list[RoleFigures]:
        """By role and instance. `children` is what the supervisor knows, by role name: one that has
        not been heard of is starting."""
        present = self._present(now_ms)
        names = [_name(m.instance) for m in present]
        out = [self._role(m, names.count(_name(m.instance)) > 1, children, now_ms) for m in present]
        for name in children.keys() - set(names):
            out.append(_unheard(name, children[name]))
        return sorted(out, key=lambda r: (r.role, r.instance))

    def _role(
        self, m: Status, several: bool, children: Mapping[str, Mapping[str, Any]], now_ms: int
    ) -> RoleFigures:
        child = children.get(_name(m.instance), NOTHING)
        state = self.state(m.instance, now_ms)
        if state == "lost" and not child.get("alive", True):
            state = "restarting"
        # However well it was a moment ago: who ends again and again is not there.
        if child.get("failing"):
            state = "restarting"
        instance = m.instance if several else _name(m.instance)
        restarts = max(int(child.get("restarts", 0)), self._replaced[_name(m.instance)])
        last_exit = str(child.get("last_exit", ""))
        if state in ("starting", "stopped"):  # its figures are those of a process that is gone
            return RoleFigures(
                role=m.role, instance=instance, state=state, restarts=restarts, last_exit=last_exit
            )
        return RoleFigures(
            role=m.role,
            instance=instance,
            pid=m.pid,
            state=state,
            memory_mb=m.facts.get("memory_mb"),
            seen_ms=m.at,
            restarts=restarts,
            last_exit=last_exit,
            cpu_seconds=m.facts.get("cpu_seconds"),
            started_ms=m.facts.get("started_ms"),
            metrics=m.facts.get("metrics", ""),
            clock_off_ms=m.facts.get("clock_off_ms", 0),
        )

    def outages(self, now_ms: int) -> list[tuple[str, Outage]]:
        """What processes that are heard of wait out, with the name of their role."""
        heard = [m for m in self._newest.values() if _speaks(m, now_ms)]
        return [
            (m.role, msgspec.convert(o, Outage))
            for m in sorted(heard, key=lambda m: m.instance)
            for o in m.facts.get("outages", ())
        ]

    def requests(self, now_ms: int) -> RequestFigures:
        """Of all scorers together: counts are summed, also of those that are gone; latencies are
        the slowest scorer's."""
        told = [m for m in self._newest.values() if "requests" in m.facts]
        heard = [m.facts["requests"] for m in told if _speaks(m, now_ms)]
        counted = [*self._gone.values(), *(m.facts["requests"] for m in told)]
        return RequestFigures(
            answered=sum(r["answered"] for r in counted),
            failed=sum(r["failed"] for r in counted),
            refused=sum(r.get("refused", 0) for r in counted),  # scorers of 0.1 did not tell
            in_error=sum(r.get("in_error", 0) for r in counted),  # nor did those of 0.2
            rows=sum(r["rows"] for r in counted),
            per_second=sum(r["per_second"] for r in heard),
            p50_ms=_slowest(heard, "p50_ms"),
            p99_ms=_slowest(heard, "p99_ms"),
            p99_swap_ms=_slowest(heard, "p99_swap_ms"),
        )

    def _present(self, now_ms: int) -> list[Status]:
        by_name: dict[str, list[Status]] = {}
        for m in self._newest.values():
            by_name.setdefault(_name(m.instance), []).append(m)
        return [
            m
            for of_name in by_name.values()
            for m in of_name
            if not _replaced(m, of_name, now_ms)
            and (self._belongs(_name(m.instance)) or _speaks(m, now_ms))
        ]

    def _silence_ms(self, m: Status, now_ms: int) -> int:
        """For how long it was not heard of while somebody listened. As of the last look: if those
        stop, too, it is this process that hangs; but not for ever."""
        looked_ms = now_ms if self._looked_ms is None else self._looked_ms
        until_ms = looked_ms if now_ms - looked_ms <= STUCK_MS else now_ms
        return until_ms - max(m.at, self._listens_since_ms)

    def _is_from_before(self, m: Status, now_ms: int) -> bool:
        """Whether it was heard of only before this process began to listen, which is not long
        ago."""
        if self._since_ms is None:
            return True
        return m.at < self._since_ms and now_ms - self._since_ms < GRACE_MS


def _unheard(name: str, child: Mapping[str, Any]) -> RoleFigures:
    """Of a process that has said nothing yet, by what its supervisor knows."""
    state: RoleState = "starting"
    if child.get("failing"):
        state = "restarting"
    return RoleFigures(
        role=name.split(".", 1)[0],
        instance=name,
        pid=child.get("pid"),
        state=state,
        restarts=int(child.get("restarts", 0)),
        last_exit=str(child.get("last_exit", "")),
    )


def _has_ended(m: Status) -> bool:
    return m.facts.get("ended") is True


def _speaks(m: Status, now_ms: int) -> bool:
    return not _has_ended(m) and now_ms - m.at <= LOST_MS


def _replaced(m: Status, of_name: Iterable[Status], now_ms: int) -> bool:
    """Whether a process is silent, and another of its name started after it was last heard of; or
    has ended, and another spoke after it."""
    if _has_ended(m):
        return any(other.at > m.at for other in of_name)
    if now_ms - m.at <= SILENT_MS:
        return False
    return any(
        other.at > m.at and other.facts.get("started_ms", other.at) >= m.at for other in of_name
    )


def _slowest(requests: Iterable[Mapping[str, Any]], quantile: str) -> float | None:
    return max((r[quantile] for r in requests if r.get(quantile) is not None), default=None)


def _name(instance: str) -> str:
    """The lasting name in `view/1f2e3d4c`."""
    return instance.split("/", 1)[0]
