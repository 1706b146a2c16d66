"""What goes wrong on the way to a topic, seeded, and what intake must make of it.

- A *duplicate* is the same bytes once more: half of them at once, half up to `resend_within_ms`
  later.
- A *bad row* is one more record: a corrupted copy, under the same id, at the same moment, half of
  them just before the good one and half just after. So every event still arrives whole, neither
  labels nor features suffer, and a good event after its bad copy is the corrected resend that must
  count. Each breaks exactly one rule.
- *Disorder* holds a record up by half to all of the lateness, so that newer events overtake it;
  nothing is published before its own event time, and nothing becomes late.

Every choice is drawn from the seed, the topic and the row's place in the data, never from other
rows or the clock: an altered outcome of one flight leaves the faults of all others as they were.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from freshet.demo.flights.data import ROW
from freshet.demo.flights.draws import Draws
from freshet.demo.flights.wire import EventType
from freshet.schemas.durations import DAY_MS

I64 = npt.NDArray[np.int64]
GOOD = 0
DUPLICATE = 1
FIRST_BAD = 2
BAD = ("unknown_schema", "missing", "domain", "range", "undecodable", "future")
OUTLIER = 1_000_000_000  # beyond the range of every field that has one
UNKNOWN_SCHEMA_ID = 999
# Times are whole minutes, and departures bunch at every fifth: of the records held up only every
# third is overtaken, of take-offs and arrivals every second, of observations none. So more are held
# up than shall be overtaken.
_HELD_UP = {"departures": 3.2, "takeoffs": 2.1, "arrivals": 1.8, "weather": 1.0}


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of a topic's events: sent twice, sent broken beside, overtaken.

    `lateness_ms` must not exceed the topics' lateness, and both durations together not their
    `dedup`.
    """

    duplicates: float = 0.01
    bad: float = 0.005
    disorder: float = 0.02
    lateness_ms: int = 120_000
    resend_within_ms: int = 300_000


@dataclass(frozen=True, slots=True)
class Expected:
    """What was published on a topic, and so the fates that intake must count.

    `good` events are applied, `duplicates` deduplicated, `bad` and `refused` dead-lettered by
    reason: `bad` are the corrupted copies, `refused` what breaks a rule in the data itself.
    `disordered` records (part of the others) come after one with a newer event time.
    """

    good: int
    duplicates: int
    bad: Mapping[str, int]
    refused: Mapping[str, int]
    disordered: int

    @property
    def dead(self) -> dict[str, int]:
        return {kind: self.bad.get(kind, 0) + self.refused.get(kind, 0) for kind in BAD}

    @property
    def records(self) -> int:
        return self.good + self.duplicates + sum(self.dead.values())


@dataclass(frozen=True, slots=True)
class Plan:
    """A topic's records in publication order: when (ms), the event's row in its frame, and what is
    done to it (`GOOD`, `DUPLICATE`, or `FIRST_BAD` + index in `BAD`); int64 `[records]` each."""

    publish: I64
    row: I64
    act: I64


def plan(kind: EventType, events: pl.DataFrame, faults: Faults, seed: int) -> tuple[Plan, Expected]:
    """Draw the faults of a topic's events, which are sorted by event time."""
    count = len(events)
    time = events[kind.time].to_numpy()
    refused = refusals(kind, events)
    draw = Draws(seed, kind.topic, events[ROW].to_numpy())
    # What the data itself gets wrong keeps its one fate.
    whole = refused == 0
    held_up = draw.share("disorder", faults.disorder * _HELD_UP[kind.topic])
    half = faults.lateness_ms // 2
    publish = time + held_up * (half + draw.below("delay", half))
    again = np.flatnonzero(draw.share("duplicate", faults.duplicates) & whole)
    later = draw.below("later", 2) * draw.below("resend", faults.resend_within_ms)
    bad = np.flatnonzero(draw.share("bad", faults.bad) & whole)
    row = np.concatenate([np.arange(count), again, bad])
    at = np.concatenate([publish, (publish + later)[again], publish[bad]])
    act = np.concatenate(
        [
            np.zeros(count, np.int64),
            np.full(len(again), DUPLICATE),
            FIRST_BAD + draw.below("kind", len(BAD))[bad],
        ]
    )
    beside = np.concatenate(
        [np.zeros(count, np.int64), np.full(len(again), 2), 2 * draw.below("side", 2)[bad] - 1]
    )
    # At one moment: by event, its bad copy before or after it, its duplicate last.
    order = np.lexsort((beside, row, at))
    done = Plan(at[order], row[order], act[order])
    return done, _expected(done, time, refused)


def refusals(kind: EventType, events: pl.DataFrame) -> I64:
    """What the data itself gets wrong, int64 `[n]`: 0, or 1 + the index in `BAD` of the rule it
    breaks."""
    out = np.zeros(len(events), np.int64)
    broken = {
        "missing": [pl.col(field).is_null() for field in kind.required],
        "domain": [~pl.col(field).is_in(list(words)) for field, words in kind.domains.items()],
        "range": [
            ~pl.col(field).is_between(low, high) for field, (low, high) in kind.ranges.items()
        ],
    }
    for name, rules in broken.items():
        mask = events.select(pl.any_horizontal(rules).fill_null(False)).to_series().to_numpy()
        out[mask & (out == 0)] = 1 + BAD.index(name)
    return out


def corrupted(kind: EventType, event: Mapping[str, Any], what: str, seed: str) -> bytes:
    """The record of a bad copy of `event`, a whole one, that breaks the rule `what` of `BAD` and no
    other."""
    randomness = random.Random(seed)
    if what == "unknown_schema":
        return kind.encode(event, schema_id=UNKNOWN_SCHEMA_ID)
    if what == "undecodable":
        return _garbled(kind.encode(event), randomness)
    if what == "missing":
        change: dict[str, Any] = {randomness.choice(kind.required): None}
    elif what == "domain":
        change = {randomness.choice(sorted(kind.domains)): "??"}
    elif what == "range":
        change = {randomness.choice(sorted(kind.ranges)): OUTLIER}
    else:
        change = {kind.time: event[kind.time] + randomness.randint(30, 3650) * DAY_MS}
    return kind.encode({**event, **change})


def _garbled(record: bytes, randomness: random.Random) -> bytes:
    """Cut short, or noise after a header, or noise alone; no reading of any of them gives an
    event."""
    form = randomness.randrange(3)
    if form == 0:
        return record[: randomness.randrange(1, len(record))]
    if form == 1:
        return record[:5] + b"\x7f" + randomness.randbytes(40)  # a union has no branch -64
    # The first byte is neither an event's nor that of JSON.
    return b"\xff" + randomness.randbytes(40)


def _expected(done: Plan, time: I64, refused: I64) -> Expected:
    acts = np.bincount(done.act, minlength=FIRST_BAD + len(BAD))
    sound = done.act < FIRST_BAD
    published = time[done.row[sound]]
    newest = np.maximum.accumulate(published)
    breaks = np.bincount(refused, minlength=1 + len(BAD))
    return Expected(
        good=int(acts[GOOD] - breaks[1:].sum()),
        duplicates=int(acts[DUPLICATE]),
        bad={name: int(acts[FIRST_BAD + i]) for i, name in enumerate(BAD)},
        refused={name: int(refused) for name, refused in zip(BAD, breaks[1:]) if refused},
        disordered=int((published < newest)[done.act[sound] == GOOD].sum()),
    )
