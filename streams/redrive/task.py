"""Dead letters that were sent again: settled as intake settles, and put where their topic's events
go.

It reads one log, which people write to by `freshet dlq`. A letter's event is taken once, however
often it is sent: by its place in its topic. It is late behind nothing, and a repeat of those alone
that were sent again before; imputes know no other events either. Its original stays dead-lettered,
and its ledger, which this one is beside, as it was. What cannot be taken this time, either, becomes
no second letter: its fate stands in this ledger.

What it appends has an origin of its own, which tells the time from the first letter on: until then
nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.events.columns import BAD_LABEL
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import NO_TICK
from freshet.streams.intake.fates import first_dead
from freshet.streams.intake.ledger import Ledger
from freshet.streams.intake.task import (
    IntakePlan,
    IntakeTask,
    LabelledRoute,
    Settled,
    fates_of,
    fits,
)
from freshet.streams.log.contract import Batch
from freshet.streams.operators.origins import Origin
from freshet.streams.operators.task import Outputs, as_json, from_json
from freshet.streams.redrive.records import are_given_up, are_labels, elements_of
from freshet.streams.repartition.records import read

# No event is as old.
NEVER_LATE_MS = 1 << 60
# In place of the code of a fate.
GIVEN_UP = 255
CRASHED = 254
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Had:
    """What was sent again of a topic, each once, in the order of the log: `places` int64 `[n, 3]`
    (partition, offset and index in the topic), and `codes` uint8 `[n]`: of each the index of its
    fate, `GIVEN_UP`, or `CRASHED`."""

    places: I64
    codes: npt.NDArray[np.uint8]


class _Topic:
    """Of one topic, what intake keeps of its events, and which were had."""

    def __init__(self, plan: IntakePlan) -> None:
        self.plan = plan
        self.had = Had(np.empty((0, 3), np.int64), np.empty(0, np.uint8))
        self._known: set[tuple[int, ...]] = set()
        self.intake = self._anew()

    def _anew(self) -> IntakeTask:
        intake = IntakeTask(self.plan, 0)
        self._let_late(intake)
        return intake

    def _let_late(self, intake: IntakeTask) -> None:
        max_future_ms = self.plan.topic.freshness.ms("max_future")
        intake.take_on([0, NEVER_LATE_MS, max_future_ms])

    def fresh(self, partition: int, rows: pa.RecordBatch) -> tuple[list[int], I64]:
        """The rows that were not had yet, and their places. Letters are few: people send them."""
        places = np.stack(
            [
                np.full(rows.num_rows, partition),
                rows.column("_offset").to_numpy(),
                rows.column("_index").to_numpy().astype(np.int64),
            ],
            axis=1,
        )
        new = []
        for row, place in enumerate(map(tuple, places.tolist())):
            if place not in self._known:
                self._known.add(place)
                new.append(row)
        return new, places[new]

    def know(self, places: I64) -> None:
        """What was had with others."""
        self._known |= set(map(tuple, places.tolist()))

    def note(self, places: I64, codes: npt.NDArray[np.uint8]) -> None:
        self.had = Had(
            np.concatenate([self.had.places, places]), np.concatenate([self.had.codes, codes])
        )

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "topic_digest": as_json(self.plan.topic.digest),
            "had_places": self.had.places,
            "had_codes": self.had.codes,
            # Whole: of what people send there is little.
            **self.intake.dump(True),
        }

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Of a topic that is declared otherwise by now only what was had: its fates are others."""
        self.had = Had(state["had_places"].copy(), state["had_codes"].copy())
        self._known = set(map(tuple, self.had.places.tolist()))
        if from_json(state["topic_digest"]) == self.plan.topic.digest and fits(
            self.plan.topic, state, []
        ):
            self.intake = self._anew()
            self.intake.load(state, [])
            # Whatever it was when that was saved.
            self._let_late(self.intake)


class RedriveTask:
    """Of all topics of an app; see `freshet.streams.operators.task.Task`."""

    def __init__(self, app: str, plans: Sequence[IntakePlan]) -> None:
        self.name = f"redrive:{app}:0"
        self._topics = {plan.topic.name: _Topic(plan) for plan in plans}
        self._tick = NO_TICK

    @property
    def finished(self) -> int:
        return self._tick

    def apply(self, batch: Batch) -> Outputs:
        out = Outputs()
        for at in range(len(batch)):
            self._take(batch.rows(at, at + 1), out)
        return out

    def _take(self, record: Batch, out: Outputs) -> None:
        block = blocks.decode(record.value(0))
        topic = self._topics.get(block.origin)
        # Of a topic that the app has no more nothing can be made.
        if topic is None or block.rows is None:
            return
        new, places = topic.fresh(block.partition, block.rows)
        if not new:
            return
        rows = block.rows.take(pa.array(new))
        given_up = are_given_up(rows)
        codes = np.full(len(new), GIVEN_UP, np.uint8)
        is_label = are_labels(rows)
        had = [places[given_up]]
        became = [codes[given_up]]
        # Each apart: of an event that was applied its label alone is sent.
        for only_labels in (False, True):
            sent = np.flatnonzero(~given_up & (is_label == only_labels))
            if not len(sent):
                continue
            own = read(
                rows.take(pa.array(sent)),
                block.partition,
                record,
            )
            moved = replace(own.moved, elements=elements_of(rows.take(pa.array(sent))))
            settled = topic.intake.settle(own.batch, moved)
            routed = Outputs()
            if only_labels:
                settled = _with_bad(
                    settled,
                    topic.intake.label(settled, routed),
                    topic.plan,
                )
            else:
                topic.intake.route(settled, routed)
            events, own_codes = _places_of(settled, places[sent])
            # Of a record that holds several events each that was sent has a place.
            had.append(events)
            became.append(own_codes)
            topic.know(events)
            # They are of now, however long ago their records were appended.
            time_ms = int(record.times[0])
            out.appends.extend(replace(append, time_ms=time_ms) for append in routed.appends)
        topic.note(np.concatenate(had), np.concatenate(became))

    def tick(self, now_ms: int, partitions: int) -> Outputs:
        """The time, in every output of a topic of which anything was sent again."""
        out = Outputs()
        if now_ms <= self._tick:
            return out
        self._tick = now_ms
        for topic in self._topics.values():
            if len(topic.had.codes):
                out.appends.extend(topic.intake.tick(now_ms, 1).appends)
        return out

    def write(self) -> None:
        """It writes to no store."""

    def configure(self, settings: Mapping[str, Freshness], at: int) -> bool:
        """Nothing is late here, and what is of the far future is as it is declared."""
        return False

    def doubts(self, batch: Batch, now_ms: int) -> bool:
        """Times were bounded when their letters were written."""
        return False

    def vouch(self, batch: Batch, now_ms: int) -> None:
        """As it was done already."""

    def turn(self, at: int, bound_ms: int | None) -> bool:
        """Places are remembered for ever, and with them their ids: letters are few."""
        return False

    def skip(self, batch: Batch) -> Outputs:
        """A record that crashed it: what it held is settled by that."""
        try:
            block = blocks.decode(batch.value(0))
        except Exception:  # it is no block: somebody else's
            return Outputs()
        topic = self._topics.get(block.origin)
        if topic is not None and block.rows is not None:
            new, places = topic.fresh(block.partition, block.rows)
            topic.note(places, np.full(len(new), CRASHED, np.uint8))
        return Outputs()

    def dump(self, full: bool) -> dict[str, npt.NDArray[Any]]:
        """Always everything."""
        state: dict[str, npt.NDArray[Any]] = {
            "names": as_json(list(self._topics)),
            "tick": np.array([self._tick]),
        }
        for name, topic in self._topics.items():
            state |= {f"{name}/{key}": values for key, values in topic.dump().items()}
        return state

    def load(
        self, base: Mapping[str, npt.NDArray[Any]], deltas: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> None:
        state = deltas[-1] if deltas else base
        self._tick = int(state["tick"][0])
        for name in from_json(state["names"]):
            if name in self._topics:
                own = f"{name}/"
                mine = {
                    key.removeprefix(own): values
                    for key, values in state.items()
                    if key.startswith(own)
                }
                self._topics[name].load(mine)

    def had(self, topic: str) -> Had:
        """What was sent again of a topic."""
        return self._topics[topic].had

    def origins(self) -> list[Origin]:
        """Of whom what it appends is: of each topic from the first letter on."""
        return [
            (topic.plan.appends_as, 0) for topic in self._topics.values() if len(topic.had.codes)
        ]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many events that were sent again became what, by topics of which some were."""
        found: dict[str, dict[str, int]] = {}
        for topic in self._topics.values():
            if len(topic.had.codes):
                found |= topic.intake.counts()
        return found

    def ledger(self, topic: str) -> Ledger:
        """Of the events that were sent again of a topic, by blocks of this log's offsets."""
        return self._topics[topic].intake.ledger.entries()

    def facts(self) -> dict[str, Any]:
        sent = {}
        for name, topic in self._topics.items():
            codes = topic.had.codes
            if len(codes):
                sent[name] = {fate: int(n) for fate, n in counts(topic.plan, codes).items() if n}
        return {"finished": self._tick, "sent_again": sent}


def _with_bad(settled: Settled, found: Sequence[LabelledRoute], plan: IntakePlan) -> Settled:
    """The same, where a label that is bad this time, too, is told as its letter's fate: its event
    was applied before, and nothing else of it was sent."""
    code = settled.code.copy()
    for _, own in found:
        code[own.bad] = first_dead(plan.topic) + BAD_LABEL - 1
    return settled._replace(code=code)


def _places_of(settled: Settled, letters: I64) -> tuple[I64, npt.NDArray[np.uint8]]:
    """Where in their topic the events stand that were sent, and their codes: those of their
    `letters`, or, of records that hold several, each that was meant."""
    batch = settled.batch
    moved = settled.moved
    if batch.places is None or moved is None:
        return letters, settled.code
    places = np.stack([moved.partitions, moved.offsets, batch.places.astype(np.int64)], axis=1)
    meant = moved.is_meant(batch.places)
    if meant is None:
        return places, settled.code
    return places[meant], settled.code[meant]


def names_of(plan: IntakePlan) -> dict[int, str]:
    """What became of an event that was sent again, by its code."""
    named = dict(enumerate(fates_of(plan)))
    return named | {GIVEN_UP: "given up", CRASHED: "crashed"}


def counts(plan: IntakePlan, codes: npt.NDArray[np.uint8]) -> dict[str, int]:
    """How many events became what."""
    names = names_of(plan)
    found, times = np.unique(codes, return_counts=True)
    return {names[code]: n for code, n in zip(found.tolist(), times.tolist())}
