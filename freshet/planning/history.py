"""What the logs of a run hold, as far as a plan needs it: from when on, how much, and how fast the
run itself gets through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from freshet.app import App
from freshet.hydration import record as hydrations
from freshet.planning.compared import Compared
from freshet.planning.frozen import Frozen
from freshet.schemas.errors import LogError
from freshet.schemas.topics.digests import hashed
from freshet.schemas.wire.messages import Status
from freshet.streams.control.channels import messages_of
from freshet.streams.intake.starts import decided
from freshet.streams.log.contract import Batch, Log, Reader, TopicPartition

SAMPLED = 1_000  # records at each end of a partition
HEARD = 3_000  # reports, the newest
LEAST_RECORDS = 10_000  # between two reports: fewer are lost among what a process does anyway
FOR_EVER_MS = 1 << 62  # no message is set aside for its time
# Records a second where the run has not told of its own: two thirds of what one core folds here.
USUAL_RATE = 200_000.0


class OfLog(NamedTuple):
    """A log as it is now: how many records and bytes it holds, when the first one was appended
    (ms; None: there is none), and whether there were others before."""

    records: int = 0
    bytes: int = 0
    first_ms: int | None = None
    was_longer: bool = False
    identity: str = ""
    firsts: tuple[int, ...] = ()


@dataclass(frozen=True)
class History:
    """Of an app's logs, by name; those that are not there are left out. `rate` is in records a
    second, `measured` says by what it is known (empty: it is a guess). `compared` is what came of
    recomputing what was served, `frozen` are snapshots by the views that they read, where a person
    has said that they are served."""

    now_ms: int
    logs: Mapping[str, OfLog] = field(default_factory=dict)
    rate: float = USUAL_RATE
    measured: str = ""
    compared: Sequence[Compared] = ()
    frozen: Mapping[str, Sequence[Frozen]] = field(default_factory=dict)

    def of(self, log: str) -> OfLog:
        return self.logs.get(log, OfLog())

    @property
    def digest(self) -> str:
        """Changes with what the logs begin with; not with what is appended to them."""
        parts = sorted((name, log.identity, log.firsts) for name, log in self.logs.items())
        return hashed(repr(parts))


def history(app: App, log: Log, url: str, now_ms: int) -> History:
    """What there is. Raises `LogError` where the log cannot be reached."""
    topics = {app.log_of(topic.name): topic for topic in app.topics}
    names = [*topics, *(app.examples_log_of(model) for model in app.models), app.redriven_log]
    found = {}
    for name in names:
        of_log = _of_log(log, name)
        if of_log is None:
            continue
        found[name] = of_log
        # What was there before the app began to read it is not missing.
        starts = name in topics and decided(url, topics[name], name, of_log.identity)
        if starts:
            wanted = [starts.offsets.get(partition, 0) for partition in range(len(of_log.firsts))]
            was_longer = any(first > least for first, least in zip(of_log.firsts, wanted))
            found[name] = of_log._replace(was_longer=was_longer)
    rate, measured = _rate(app, log, url)
    return History(now_ms, found, rate, measured)


def _of_log(log: Log, name: str) -> OfLog | None:
    try:
        bounds = log.bounds(name)
    except LogError:
        return None
    spans = bounds.spans
    reader = log.reader([name], None)
    sampled = 0
    sampled_bytes = 0
    begins = []
    for partition, (first, end) in spans.items():
        for at in {first, max(first, end - SAMPLED)}:
            is_oldest = at == first
            for batch in _records(reader, (name, partition), at, min(end, at + SAMPLED)):
                sampled += len(batch)
                sampled_bytes += int((batch.end - batch.start).sum())
                if is_oldest and len(batch):
                    begins.append(int(batch.times[0]))
                    is_oldest = False
    reader.close()
    size = 0
    records = sum(end - first for first, end in spans.values())
    if sampled:
        size = round(records * sampled_bytes / sampled)
    return OfLog(
        records,
        size,
        min(begins, default=None),
        any(first > 0 for first, _ in spans.values()),
        bounds.identity,
        tuple(first for _, (first, _) in sorted(spans.items())),
    )


def _records(reader: Reader, part: TopicPartition, at: int, until: int) -> Iterator[Batch]:
    """What a partition holds from one offset to another one."""
    reader.seek(*part, at)
    while at < until:
        for batch in reader.poll(SAMPLED, 1.0):
            if (batch.topic, batch.partition) == part:
                yield batch.rows(0, int(np.searchsorted(batch.offsets, until)))
        # Nothing is assigned before the first poll.
        at = reader.position(*part)


def _rate(app: App, log: Log, url: str) -> tuple[float, str]:
    """As fast as the run built a view before, else as fast as its intake and its views are."""
    built = hydrations.rate(url)
    if built is not None:
        return built, "as the run built a view before"
    seconds = [_cpu_seconds_a_record(told) for told in _reports(app, log)]
    known: list[float] = [each for each in seconds if each is not None]
    if known and len(known) == len(seconds):
        return 1.0 / sum(known), "by the processor time of the run's intake and views"
    return USUAL_RATE, ""


def _reports(app: App, log: Log) -> list[list[Status]]:
    """What intake, and what views said of late."""
    name = app.reports_log
    heard: list[Status] = []
    try:
        first, end = log.bounds(name).spans[0]
    except LogError:
        return [[], []]
    reader = log.reader([name], None)
    for batch in _records(reader, (name, 0), max(first, end - HEARD), end):
        heard += [m for m in messages_of(batch, FOR_EVER_MS) if isinstance(m, Status)]
    reader.close()
    return [[m for m in heard if m.role == role] for role in ("intake", "view")]


def _cpu_seconds_a_record(told: Sequence[Status]) -> float | None:
    """Between the first and the last report of the process that spoke last; None where too little
    came in between."""
    if not told:
        return None
    own = [m.facts for m in told if m.instance == told[-1].instance]
    records = own[-1].get("records", 0) - own[0].get("records", 0)
    seconds = own[-1].get("cpu_seconds", 0.0) - own[0].get("cpu_seconds", 0.0)
    if records < LEAST_RECORDS or seconds <= 0:
        return None
    return float(seconds / records)
