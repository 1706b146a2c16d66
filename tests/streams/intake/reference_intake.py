"""Intake the slow and obvious way: one record at a time, dictionaries and Python numbers.

The kernels are held to this bit for bit, so running statistics do the same float operations in the
same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from freshet.audit.ledger import identity
from freshet.schemas.durations import EARLIEST_MS
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import key_of
from freshet.streams.intake.ledger import LEDGER_BLOCK
from tests.streams.toy_events import (
    CLEAN_FIELDS,
    IMPUTES,
    LATENESS,
    MAX_FUTURE,
    ROUTES,
    SCHEMA,
    Sent,
)

WHOLE = {"seats", "mileage"}


class P2Median:
    """P² for the median, as Jain and Chlamtac (1985) print it: five markers, moved one place at a
    time."""

    def __init__(self) -> None:
        self.heights: list[float] = []
        self.positions = [1, 2, 3, 4, 5]
        self.count = 0

    def add(self, x: float) -> None:
        self.count += 1
        q, n = self.heights, self.positions
        if self.count <= 5:
            q.append(x)
            q.sort()
            return
        if x < q[0]:
            q[0], cell = x, 0
        elif x >= q[4]:
            q[4], cell = x, 3
        else:
            cell = max(k for k in range(4) if q[k] <= x)
        for i in range(cell + 1, 5):
            n[i] += 1
        for i in (1, 2, 3):
            d = 1.0 + (self.count - 1) * 0.25 * i - n[i]
            if (d >= 1 and n[i + 1] - n[i] > 1) or (d <= -1 and n[i - 1] - n[i] < -1):
                s = 1 if d > 0 else -1
                rise, fall = (
                    (q[i + 1] - q[i]) / (n[i + 1] - n[i]),
                    (q[i] - q[i - 1]) / (n[i] - n[i - 1]),
                )
                # The paper's parabola; the kernel divides last, so the products come first here,
                # too.
                a = (n[i] - n[i - 1] + s) * (q[i + 1] - q[i]) / (n[i + 1] - n[i])
                b = (n[i + 1] - n[i] - s) * (q[i] - q[i - 1]) / (n[i] - n[i - 1])
                h = q[i] + s / (n[i + 1] - n[i - 1]) * (a + b)
                if not q[i - 1] < h < q[i + 1]:
                    h = q[i] + (rise if s > 0 else -fall)
                q[i] = h
                n[i] += s

    def value(self) -> float:
        return self.heights[2] if self.count >= 5 else self.heights[(self.count - 1) // 2]


@dataclass
class Running:
    """What was seen of one field in one group."""

    median: P2Median = field(default_factory=P2Median)
    total: float = 0.0
    count: int = 0
    last: float = 0.0

    def add(self, x: float) -> None:
        self.median.add(float(x))
        self.total += float(x)
        self.count += 1
        self.last = x

    def value(self, kind: str, start: float) -> float:
        if not self.count:
            return start
        return {"median": self.median.value(), "mean": self.total / self.count, "last": self.last}[
            kind
        ]


class Lateness:
    """The newest event time of each source, in two dictionaries that take turns when the newer one
    has `most`."""

    def __init__(self, source: str | None, most: int) -> None:
        self.source, self.most = source, most
        self.newer: dict[Any, int] = {}
        self.older: dict[Any, int] = {}
        self.full = 0

    def is_late(self, event: Mapping[str, Any], appended: int) -> bool:
        source = event[self.source] if self.source else None
        if source is None:
            return bool(event["at"] < appended - LATENESS)
        known = self.newer.get(source, self.older.get(source))
        if source not in self.newer and len(self.newer) == self.most:
            self.older, self.newer = self.newer, {}
            self.full += 1
        compared = known
        if known is None:
            compared = appended if self.full > 1 else event["at"]
        self.newer[source] = max(event["at"], event["at"] if known is None else known)
        return bool(event["at"] < compared - LATENESS)


class ReferenceIntake:
    """Takes records of one source partition; `clean` and `labels` by log, `dead`, fates by
    offset."""

    def __init__(
        self, partition: int, clean_partitions: int, source: str | None = None, most: int = 1 << 14
    ) -> None:
        self.partition, self.clean_partitions = partition, clean_partitions
        self.told: int | None = None
        self.newest: int | None = None
        self.new_ids: set[str] = set()
        self.old_ids: set[str] = set()
        self.running: dict[tuple[str, Any], Running] = {}
        self.lateness = Lateness(source, most)
        self.imputed = dict.fromkeys(IMPUTES, 0)
        self.logs: dict[tuple[str, int], list[Any]] = {}
        self.fates: dict[int, str] = {}
        self.applied: dict[int, int] = {}

    def take(self, sent: Sent, offset: int) -> None:
        if sent.tick is not None:
            if self.told is not None and sent.tick <= self.told:
                return
            self.told = sent.tick
            for to in (*ROUTES, "outcomes"):
                for p in range(self.clean_partitions):
                    self._log(to, p).append(("tick", sent.tick))
            return
        fate, where = judge(sent)
        if fate:
            self._log("dead", 0).append(
                (fate, where, None, len(sent.value), sent.value[: 64 * 1024], offset)
            )
            self.fates[offset] = f"dead:{fate}"
            return
        self.fates[offset] = self._admit(sent.event, sent.time)
        if self.fates[offset] != "applied":
            return
        block = offset // LEDGER_BLOCK
        self.applied[block] = (self.applied.get(block, 0) + identity(sent.event["id"])) % (1 << 128)
        self._route(self._imputed(as_wired(sent.event)), offset)

    def turn(self) -> None:
        """A new generation of ids."""
        self.old_ids, self.new_ids = self.new_ids, set()

    def _admit(self, event: Mapping[str, Any], appended: int) -> str:
        """`applied`, or why not."""
        if event["id"] in self.new_ids | self.old_ids:
            return "deduplicated"
        self.new_ids.add(event["id"])
        self.newest = event["at"] if self.newest is None else max(event["at"], self.newest)
        if self.lateness.is_late(event, appended):
            return "dropped:late"
        if event["carrier"] == "??":
            return "dropped:spam"
        if event["seats"] is not None and event["seats"] > 500 and event["late"]:
            return "dropped:heavy"
        return "applied"

    def _imputed(self, event: dict[str, Any]) -> dict[str, Any]:
        for name, how in IMPUTES.items():
            group = event[how.by] if how.by else ""
            running = self.running.setdefault((name, group), Running())
            if event[name] is not None:
                if not isinstance(how.value, str):
                    running.add(event[name])
                continue
            self.imputed[name] += 1
            value: Any = (
                how.value if how.kind == "constant" else running.value(how.kind, float(how.value))
            )
            event[name] = round(value) if name in WHOLE else value
        return event

    def _route(self, event: dict[str, Any], offset: int) -> None:
        for to, keys in ROUTES.items():
            key = key_of([written(event[k]) for k in keys])
            row = (key, event["at"], *(narrowed(f, event[f]) for f in CLEAN_FIELDS), offset)
            self._log(to, self._partition(key)).append(row)
        label = None if event["gust"] is None else float(event["gust"] > 15)
        self._log("outcomes", self._partition(event["id"])).append(
            (event["id"], event["at"], label, offset)
        )

    def _partition(self, key: str) -> int:
        return int(Texts.of([key]).partitions(self.clean_partitions)[0])

    def _log(self, to: str, partition: int) -> list[Any]:
        return self.logs.setdefault((to, partition), [])

    def ledger(self, names: Sequence[str]) -> dict[int, tuple[tuple[int, ...], int]]:
        out = {}
        for block in sorted({o // LEDGER_BLOCK for o in self.fates}):
            mine = [f for o, f in self.fates.items() if o // LEDGER_BLOCK == block]
            out[block] = tuple(mine.count(name) for name in names), self.applied.get(block, 0)
        return out


def judge(sent: Sent) -> tuple[str, str | None]:
    """The first rule that a record breaks, and the field."""
    if sent.reason:
        return sent.reason, None
    e = sent.event
    if e["crew"] is None:
        return "missing_required", "crew"
    if e["gate"] not in ("a", "b", "c"):
        return "out_of_domain", "gate"
    ranges = {
        "delay": (-100, 1000),
        "wind": (-1e308, 1e308),
        "temp": (-1e38, 1e38),
        "seats": (0, 900),
    }
    for f in SCHEMA.fields:
        if (
            f.name in ranges
            and e[f.name] is not None
            and not ranges[f.name][0] <= e[f.name] <= ranges[f.name][1]
        ):
            return "out_of_range", f.name
    if e["at"] < EARLIEST_MS:
        return "bad_time", "at"
    return ("far_future", "at") if e["at"] > sent.time + MAX_FUTURE else ("", None)


def written(value: Any) -> str | None:
    """A key's value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def as_wired(event: Mapping[str, Any]) -> dict[str, Any]:
    return {**event, "temp": narrowed("temp", event["temp"])}


def narrowed(name: str, value: Any) -> Any:
    return float(np.float32(value)) if name == "temp" and value is not None else value
