"""What `control` reads: the app's messages, and examples with their labels; and whether it has read
what was there before it. Reports and examples are read from where an earlier process was, decisions
from the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from freshet.app import App
from freshet.declared.lineages import Lineages
from freshet.schemas.wire.messages import Message, NewLineage
from freshet.serving.board.board import Board
from freshet.serving.inputs.decisions import Decisions
from freshet.streams.control.channels import Follower
from freshet.streams.control.extent import Extent
from freshet.streams.log.contract import Log, Reader, TopicPartition

MOST_RECORDS = 10_000  # of a partition at once


class Gathering:
    """Feeds a board. Not thread-safe."""

    def __init__(
        self,
        log: Log,
        app: App,
        board: Board,
        lineages: Lineages | None = None,
        decisions: Decisions | None = None,
    ) -> None:
        self._log = log
        self._lineages = lineages
        self._board = board
        self._decisions = decisions or Decisions(app.models)
        self._models = {app.examples_log_of(m): m.name for m in app.models}
        self._channels = app.channels
        self._follower: Follower | None = None
        self._held = Extent()
        self._examples: Reader | None = None
        self._examples_at: dict[str, int] = {}
        # By log, where what was there at first ends, as long as it is still to be read.
        self._past: Mapping[str, int] = {}

    @property
    def catching_up(self) -> bool:
        """Whether some of what was said before the first `take` has not been taken yet."""
        return self._follower is None or bool(self._past)

    def take(self) -> None:
        """Take what came since the last call. Raises `LogError` while the log is away."""
        follower = self._follower or self._begin()
        found = follower.poll(0.0)
        if any(isinstance(message, NewLineage) for message in found):
            # First: what it says of itself is of a lineage that is known.
            self._compete()
        for message in found:
            self._decisions.note(message)
        if found:
            reached = follower.positions[self._channels.reports]
            self._board.take(found, reached, self._held.marks)
        if self._examples is not None:
            for batch in self._examples.poll(MOST_RECORDS, 0.0):
                self._board.learn_outcomes(self._models[batch.topic], batch)
                self._examples_at[batch.topic] = int(batch.offsets[-1]) + 1
        positions = {**follower.positions, **self._examples_at}
        self._past = {
            topic: end for topic, end in self._past.items() if positions.get(topic, 0) < end
        }

    def observe(self) -> list[Message]:
        """Once a second: the board observes; what is to be said of it."""
        return self._decisions.decide(self._board.observe(self.catching_up))

    def _compete(self) -> None:
        if self._lineages is not None:
            for model in self._lineages.take_up().models:
                self._board.compete(model)

    def _begin(self) -> Follower:
        """See where those logs end that hold anything; each has one partition."""
        bounds = {topic: self._log.bounds(topic) for topic in (*self._channels, *self._models)}
        spans = {topic: found.spans[0] for topic, found in bounds.items()}
        starts = {}
        for topic, model in self._models.items():
            start = self._board.begin_outcomes(model, bounds[topic].identity)
            first, _ = spans[topic]
            # Of what was trimmed meanwhile nothing is told any more.
            if start > first:
                starts[topic] = start

        def begin(gained: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
            return {place: starts[place[0]] for place in gained if place[0] in starts}

        if self._models:
            self._examples = self._log.reader(list(self._models), None, begin)
        self._examples_at = starts
        reports = self._channels.reports
        start = self._board.begin_reports(bounds[reports].identity, spans[reports])
        # Made anew with the follower: what that was told of before is told again.
        self._held = Extent(self._board.held())
        follower = Follower(
            self._log,
            *self._channels,
            starts={reports: start},
            extents={reports: self._held},
        )
        self._past = {topic: end for topic, (first, end) in spans.items() if end > first}
        # Last: it is begun anew as long as the log is away in the middle of it.
        self._follower = follower
        return follower
