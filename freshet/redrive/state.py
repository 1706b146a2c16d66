"""What was sent again of a run's dead letters so far, and what would become of more: the task that
settles them is a function of its log alone, so whoever reads the log knows as much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from freshet.dead_letters.letters import Origin, every
from freshet.roles.plans import redrive_plans
from freshet.runs.opened import OpenedRun
from freshet.schemas.wire.messages import Tick
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import messages_of
from freshet.streams.log.contract import Batch
from freshet.streams.log.errors import NoSuchTopic
from freshet.streams.log.spans import PartitionSpans
from freshet.streams.redrive.records import Again, blocks_of
from freshet.streams.redrive.task import RedriveTask, names_of

Place = tuple[str, int, int, int]


class SentAgain:
    """As of the end of the log, when it was last read."""

    def __init__(self, run: OpenedRun) -> None:
        self._run = run
        plans = redrive_plans(run.app, run.earlier)
        self.task = RedriveTask(run.app.name, plans)
        self._names = {plan.topic.name: names_of(plan) for plan in plans}
        self._at = 0
        self.read()

    def read(self) -> None:
        """What was appended meanwhile."""
        # A run of an earlier version has no such log.
        with (
            suppress(NoSuchTopic),
            PartitionSpans(self._run.log, self._run.app.redriven_log) as spans,
        ):
            for batch in spans.read(self._at, spans.after):
                self.task.apply(batch)
            self._at = spans.after

    def fates(self) -> Mapping[Place, str]:
        """What became of each letter's event, by topic, partition, offset and index."""
        found: dict[Place, str] = {}
        for topic, names in self._names.items():
            had = self.task.had(topic)
            for place, code in zip(had.places.tolist(), had.codes.tolist()):
                partition, offset, index = place
                found[topic, partition, offset, index] = names[code]
        return found

    def would_become(self, topic: str, sent: Sequence[Again]) -> Mapping[Place, str]:
        """What would become of letters of a topic; this is then no state of the log any more."""
        for value in blocks_of(topic, sent):
            data = np.frombuffer(value, np.uint8)
            place = np.array([self._at])
            end = np.array([len(data)])
            start = np.zeros(1, np.int64)
            self.task.apply(Batch(self._run.app.redriven_log, 0, data, start, end, place, start))
            self._at += 1
        return self.fates()


def by_origin(run: OpenedRun) -> Mapping[Origin, str]:
    """What became of the letters that were sent again, or that were given up."""
    return {Origin(*place): fate for place, fate in SentAgain(run).fates().items()}


def by_kind(run: OpenedRun) -> Mapping[tuple[str, str], Mapping[str, int]]:
    """The same by topic and reason of the letters: how many became what."""
    known = by_origin(run)
    found: dict[tuple[str, str], Counter[str]] = {}
    # Most runs have none, and then no letter is read for this.
    for letter in every(run) if known else ():
        fate = known.get(letter.origin)
        if fate is not None:
            found.setdefault((letter.topic, letter.reason), Counter())[fate] += 1
    return found


def now_ms(run: OpenedRun) -> int:
    """The app's clock: what a replay said last, or else the wall's."""
    wall_ms = WallClock().now_ms()
    with PartitionSpans(run.log, run.app.control_log) as control:
        said = [
            message.now
            for batch in control.read(control.first, control.after)
            for message in messages_of(batch, wall_ms)
            if isinstance(message, Tick)
        ]
    return max(said, default=wall_ms)
