"""Topics of three partitions, whose intakes and views are two processes each that share them; one
of each is killed.

The same flights with one partition, and with three in one process, are the references. What three
partitions leave may differ from what one leaves only where a gap was filled from the other events
of its partition; and two runs that interleave differently differ in the last bits of sums and
decays, at most.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from freshet.app import App, load
from freshet.audit import kept as kept_by_run
from freshet.demo.flights.schedule import Schedule
from freshet.features.aggregates import Aggregate, DecayedMean, Window
from freshet.features.catalog import open_store
from freshet.features.packed import Packed
from freshet.features.rows.finish import finish
from freshet.features.rows.layout import NEWEST
from freshet.features.rows.plan import WORD
from freshet.features.stores.contract import VERSION_BYTES, RowKeys, Store
from freshet.features.views.view import View
from freshet.processes import supervisor
from freshet.processes.runtime import Runtime
from freshet.processes.supervisor import RoleSpec, Supervisor
from freshet.replay.client import ScoringClient
from freshet.replay.replayer import Replayer, published
from freshet.replay.report import outcomes_of, topic_report
from freshet.roles.process import run_role
from freshet.schemas.durations import milliseconds
from freshet.schemas.wire import blocks
from freshet.schemas.wire.outcomes import KINDS
from freshet.servers.redis_server import RedisServer
from freshet.settings import Settings
from freshet.streams.log.contract import Log
from freshet.testing import LocalRun
from tests.system.test_equal import DAYS, DRAIN_MS, EVERY, STEP_MS, light_flights

PARTITIONS, SECONDS, AWAY_SECONDS = 3, 90.0, 15.0
TASKS = {"intake": 4 * PARTITIONS, "view": 8 * PARTITIONS}
CLOSE = 1e-9
Row = bytes
# After the newest event of a row: at it, and while windows empty.
MOMENTS = (0, 599_000, 3_600_000, 20_000_000)


def split_flights(directory: Path, name: str = "flights") -> Path:
    """The light app with three partitions of every topic, and so of every view."""
    file = light_flights(directory, name)
    file.write_text(
        file.read_text().replace('source="origin"', f'source="origin", partitions={PARTITIONS}')
    )
    assert {t.partitions for t in load(file).topics} == {PARTITIONS}
    return file


@dataclass(frozen=True)
class Example:
    """What a model was told of one id."""

    id: str
    kind: str
    label: float
    categories: bytes
    numbers: npt.NDArray[np.float32]

    @property
    def told(self) -> tuple[str, str, float]:
        return self.id, self.kind, self.label


@dataclass(frozen=True)
class Left:
    """What a run leaves: by topic its fates and its ledgers by partition, rows without versions by
    view and key, examples."""

    fates: dict[str, Any]
    ledgers: dict[str, dict[int, dict[int, Any]]]
    rows: dict[str, dict[str, Row]]
    examples: list[Example]


def left(app: App, log: Log, store: Store, checkpoints_url: str) -> Left:
    fates = {t.name: dict(topic_report(app, log, checkpoints_url, t.name)) for t in app.topics}
    for name, found in fates.items():
        assert found["ledger_agrees"], f"a ledger of {name} is not what its log says"
    ledgers = {
        t.name: {
            p: kept_by_run.ledger(log, checkpoints_url, t, app.log_of(t.name), p)[1]
            for p in range(t.partitions)
        }
        for t in app.topics
    }
    rows = {v.name: rows_of(app, log, store, v) for v in app.views}
    return Left(fates, ledgers, rows, sorted(examples_of(app, log), key=lambda e: e.told))


def rows_of(app: App, log: Log, store: Store, view: View) -> dict[str, Row]:
    """Rows of every key that any partition of a view's clean log names."""
    keys: set[str] = set()
    for p in range(view.topic.partitions):
        found = (
            blocks.decode(r.value).rows for r in kept_by_run.records(log, app.clean_log_of(view), p)
        )
        keys |= {
            key for rows in found if rows is not None for key in rows.column("key").to_pylist()
        }
    wanted = sorted(keys)
    (read,) = store.read([RowKeys(app.stored_as(view), [x.encode() for x in wanted])])
    assert read.present.all(), f"view {view.name} lacks rows"
    return {key: row[VERSION_BYTES:] for key, row in zip(wanted, read.packed)}


def examples_of(app: App, log: Log) -> Iterator[Example]:
    for rows in outcomes_of(app, log, app.models[0]).rows:
        ids = rows.texts["id"].to_arrow().to_pylist()
        labels = np.nan_to_num(rows.label, nan=-1.0).tolist()
        for i, (name, label) in enumerate(zip(ids, labels)):
            fixed = rows.fixed[i]
            yield Example(
                name,
                KINDS[rows.kind[i]],
                label,
                fixed["categories"].tobytes(),
                fixed["numbers"].copy(),
            )


def in_one_process(file: Path, directory: Path) -> Left:
    app = load(file)
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(directory / "redis"))
        store = stack.enter_context(closing(open_store(redis.url)))
        local = stack.enter_context(LocalRun(app, directory, store, EVERY))
        for step in Schedule(DAYS, STEP_MS, drain_ms=DRAIN_MS):
            local.step(step.start_ms, step.end_ms, step.queries, step.events)
        for operator in local.operators:
            operator.checkpoint()
        return left(app, local.log, store, str(directory / "checkpoints"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Left:
    directory = tmp_path_factory.mktemp("whole")
    return in_one_process(light_flights(directory), directory)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Left:
    directory = tmp_path_factory.mktemp("split")
    return in_one_process(split_flights(directory), directory)


class Members:
    """A second process of each role that shares partitions. What is killed stays away until it is
    started again."""

    def __init__(self, file: Path, given: Settings, replayer: Replayer) -> None:
        self._specs = [
            RoleSpec(f"{role}.2", run_role, (str(file), role, given, "2")) for role in TASKS
        ]
        self._replayer = replayer
        self.start()

    def start(self) -> None:
        self._supervisor = Supervisor(self._specs)
        self._supervisor.start()

    def stop(self) -> None:
        self._supervisor.stop()

    def kill(self) -> None:
        for facts in self._supervisor.facts().values():
            os.kill(facts["pid"], signal.SIGKILL)

    def until(
        self, what: str, holds: Callable[[dict[str, dict[str, int]]], bool]
    ) -> dict[str, dict[str, int]]:
        """Wait until what the processes say from now on `holds`: their shares, which are partitions
        by role and member."""
        since, deadline = time.time_ns() // 1_000_000, time.monotonic() + SECONDS
        while not holds(shares := self._shares(since)):
            assert time.monotonic() < deadline, (
                f"not within {SECONDS:.0f} s: {what}; last told were {shares}"
            )
            self._replayer.drained()
            time.sleep(0.05)
        return shares

    def _shares(self, since_ms: int) -> dict[str, dict[str, int]]:
        told = [s for s in self._replayer.facts.status.values() if s.at >= since_ms]
        shares: dict[str, dict[str, int]] = {role: {} for role in TASKS}
        for s in told:
            if s.role in shares:
                shares[s.role][s.instance.split("/")[0]] = sum(
                    name.startswith(f"{s.role}:") for name in s.facts
                )
        return shares


def shared(shares: Mapping[str, Mapping[str, int]]) -> bool:
    return all(
        len(of) == 2 and min(of.values()) > 0 and sum(of.values()) == TASKS[role]
        for role, of in shares.items()
    )


def alone(shares: Mapping[str, Mapping[str, int]]) -> bool:
    return all(of == {role: TASKS[role]} for role, of in shares.items())


@dataclass
class Disturbance:
    """Kills the second processes in the middle of the step `at`, and starts them again before the
    step `until`."""

    members: Members
    at: int
    until: int
    took_over: Mapping[str, Mapping[str, int]] | None = None
    shared_again: Mapping[str, Mapping[str, int]] | None = None

    def before(self, n: int) -> None:
        if n == self.at:
            self._killed_at = time.monotonic()
            self._timer = threading.Timer(0.1, self.members.kill)
            self._timer.start()
        elif n == self.until:
            self._timer.join()
            self.took_over = self.members.until("one process holds all partitions", alone)
            time.sleep(max(0.0, self._killed_at + AWAY_SECONDS - time.monotonic()))
            self.members.start()
            self.shared_again = self.members.until("partitions are shared again", shared)


@dataclass(frozen=True)
class Run:
    left: Left
    first: Mapping[str, Mapping[str, int]]
    disturbance: Disturbance
    failed: int  # attempts without an answer of 200, whatever became of them
    restarts: Mapping[str, int]


@pytest.fixture(scope="module")
def disturbed(kafka: str, redis_address: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    directory = tmp_path_factory.mktemp("disturbed")
    file = split_flights(directory, f"flights_{uuid.uuid4().hex[:8]}")
    app = load(file)
    given = Settings(
        run_dir=directory / "run",
        log=f"kafka://{kafka}",
        store=f"redis://{redis_address}/0",
        port=0,
        status_port=0,
        replay=True,
        snapshot_every=EVERY,
    )
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        # whom the test kills, the test starts again
        patch.setattr(supervisor, "BACKOFF_SECONDS", (float("inf"),))
        runtime = stack.enter_context(Runtime(app, str(file), given))
        replayer = Replayer(app, runtime.log, milliseconds(EVERY))
        stack.callback(replayer.close)
        client = ScoringClient(
            [runtime.address("serve")], app.models[0].name, app.models[0].on.events
        )
        stack.callback(client.close)
        members = Members(file, runtime.settings, replayer)
        stack.callback(lambda: members.stop())
        first = members.until("partitions are shared", shared)
        schedule = Schedule(DAYS, STEP_MS, drain_ms=DRAIN_MS)
        disturbance = Disturbance(members, len(schedule) // 3, len(schedule) // 2)
        for n, step in enumerate(schedule):
            disturbance.before(n)
            ask = (
                partial(client.ask, step.queries, step.start_ms)
                if any(step.queries.values())
                else dict[str, int]
            )
            replayer.step(step.start_ms, step.end_ms, ask, published(app, step.events))
        with closing(open_store(given.store)) as store:
            found = left(app, runtime.log, store, runtime.settings.checkpoints_url)
        restarts = {name: c["restarts"] for name, c in runtime.supervisor.facts().items()}
        return Run(found, first, disturbance, client.failed + client.broken, restarts)


pytestmark = pytest.mark.timeout(600)


def from_other_events(view: View) -> set[str]:
    """The fields whose gaps are filled from other events."""
    return {name for name, how in view.topic.impute.items() if how.kind != "constant"}


def check_rows(
    view: View, found: Mapping[str, Row], expected: Mapping[str, Row], filled_alike: bool
) -> None:
    """Counts, extremes and times are equal, sums and decays close, as of whatever moment. Unless
    gaps were `filled_alike`, features of fields that have some filled from other events are left
    out."""
    assert found.keys() == expected.keys() != set()
    keys = sorted(found)
    other = from_other_events(view)
    mine = packed_of(found, keys)
    its = packed_of(expected, keys)
    newest = newest_of(its)
    np.testing.assert_array_equal(newest_of(mine), newest, f"times of {view.name}")
    for later_ms in MOMENTS:
        one = finish(view.plan, mine, newest + later_ms)
        two = finish(view.plan, its, newest + later_ms)
        for at, name in enumerate(view.plan.names):
            feature = view.features[name]
            if not filled_alike and getattr(feature, "field", None) in other:
                continue
            told = f"{view.name}:{name} {later_ms} ms later"
            values = (one.values[:, at], two.values[:, at])
            if is_exact(feature):
                np.testing.assert_array_equal(*values, told)
            else:
                np.testing.assert_allclose(*values, CLOSE, CLOSE, err_msg=told)


def is_exact(feature: Aggregate) -> bool:
    """Whether the order in which events came in does not matter to the last bit."""
    if isinstance(feature, Window):
        return feature.kind in ("count", "min", "max")
    return not isinstance(feature, DecayedMean)


def packed_of(rows: Mapping[str, Row], keys: Sequence[str]) -> Packed:
    version = bytes(VERSION_BYTES)
    return Packed.of([version + rows[key] for key in keys])


def newest_of(rows: Packed) -> npt.NDArray[np.int64]:
    """The newest event time of each row."""
    found: npt.NDArray[np.int64] = rows.data.view(np.int64)[rows.starts // WORD + NEWEST]
    return found


def check_vectors(found: list[Example], expected: list[Example]) -> None:
    """Categories are equal, numbers so close that only their rounding to 32 bits may differ."""
    assert [e.categories for e in found] == [e.categories for e in expected]
    a, b = (np.stack([e.numbers for e in examples]) for examples in (found, expected))
    np.testing.assert_allclose(a, b, 1e-6, 1e-6)


def totals(
    ledgers: Mapping[str, Mapping[int, Mapping[int, Any]]],
) -> dict[str, tuple[list[int], int]]:
    """By topic, over all its partitions: records by fate, and the sum of the ids that were
    applied."""
    out = {}
    for topic, parts in ledgers.items():
        entries = [e for part in parts.values() for e in part.values()]
        counts = np.sum([e.counts for e in entries], axis=0).tolist()
        out[topic] = counts, sum(e.applied for e in entries) % (1 << 128)
    return out


def test_two_processes_of_a_role_share_its_partitions(disturbed: Run) -> None:
    assert shared(disturbed.first)


def test_what_a_killed_process_held_goes_to_the_other_and_is_shared_again_once_it_is_back(
    disturbed: Run,
) -> None:
    assert disturbed.disturbance.took_over == {role: {role: n} for role, n in TASKS.items()}
    assert disturbed.disturbance.shared_again is not None
    assert not any(disturbed.restarts.values()), disturbed.restarts


def test_no_request_failed_meanwhile(disturbed: Run) -> None:
    assert disturbed.failed == 0


def test_every_partition_has_records(disturbed: Run) -> None:
    for topic, parts in disturbed.left.ledgers.items():
        applied = [sum(e.counts[0] for e in parts[p].values()) for p in range(PARTITIONS)]
        assert min(applied) > 0, f"{topic}: {applied}"


def test_ledgers_and_fates_are_those_of_one_process(disturbed: Run, split: Left) -> None:
    assert disturbed.left.fates == split.fates
    assert disturbed.left.ledgers == split.ledgers


def test_fates_and_applied_ids_are_those_of_one_partition(disturbed: Run, whole: Left) -> None:
    assert disturbed.left.fates == whole.fates
    for topic, (_, applied) in totals(whole.ledgers).items():
        assert totals(disturbed.left.ledgers)[topic][1] == applied, topic


@pytest.mark.parametrize("reference", ["split", "whole"])
def test_rows_are_those_of_one_process(
    disturbed: Run, reference: str, request: pytest.FixtureRequest
) -> None:
    expected: Left = request.getfixturevalue(reference)
    for view in load(light_flights(request.getfixturevalue("tmp_path"))).views:
        rows = disturbed.left.rows[view.name], expected.rows[view.name]
        check_rows(view, *rows, filled_alike=reference == "split")


def test_examples_are_those_of_one_process(disturbed: Run, split: Left, whole: Left) -> None:
    """Ids, labels, and the vectors that were asked. Whether a label at the very end of its wait
    answers or corrects depends on which partition's labels come first into the log where they
    meet."""
    assert {e.told[1] for e in disturbed.left.examples} >= {"asked", "labelled", "expired"}
    assert labels(disturbed.left.examples) == labels(split.examples) == labels(whole.examples)
    asked = [
        [e for e in examples if e.told[1] == "asked"]
        for examples in (disturbed.left.examples, split.examples)
    ]
    check_vectors(*asked)
    turned = [
        sum(e.told[1] == "corrected" for e in left.examples)
        for left in (disturbed.left, split, whole)
    ]
    assert max(turned) - min(turned) <= len(asked[0]) // 500, turned


def labels(examples: list[Example]) -> dict[str, float | None]:
    """By id: what it turned out to be, None where nobody ever told."""
    out: dict[str, float | None] = {}
    for flight, kind, label in (e.told for e in examples):
        if kind in ("labelled", "corrected"):
            assert out.get(flight) is None, "a second label is a duplicate"
            out[flight] = label
        else:
            out.setdefault(flight, None)
    return out
