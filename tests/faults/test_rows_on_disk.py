"""A view's task with less memory than its rows take: events in, the same rows out, whatever happens
to it and wherever its checkpoints lie."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.features.cold.memory import RowMemory
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.task import ViewTask
from freshet.streams.operators.assignment import Assignment, Since
from freshet.streams.operators.checkpoints import MOST_DELTAS, Checkpoints
from tests.features.views.test_task import (
    LOGS,
    VIEW,
    Event,
    rows_in,
    take,
    values_of,
)
from tests.streams.toy_events import CUTS, batch_of, cut, within

few = settings(deadline=None, max_examples=40)


def begin(url: str, memory: RowMemory | None, store: MemoryStore) -> Assignment:
    """As an operator begins a partition that it was given."""
    task = ViewTask(VIEW, "v", 0, store, 0, memory)
    return Assignment.resumed(task, Checkpoints(url, task.name, "log"), 0, Since(0, 0))


def go_on(assigned: Assignment, values: Sequence[bytes], after: int) -> None:
    """Take what comes next, up to an offset."""
    first = assigned.position
    if after > first:
        offsets = range(first, after)
        assigned.task.apply(batch_of(values[first:after], offsets, [0] * len(offsets)))
        assigned.next = after
    assigned.task.write()


@few
@given(LOGS, CUTS, CUTS, CUTS, st.sampled_from(["file", "memory"]), st.data())
def test_any_memory_restarts_and_losses_leave_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[Event],
    edges: list[int],
    restarts: list[int],
    losses: list[int],
    where: str,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("run")
    url = {"file": str(folder / "checkpoints"), "memory": f"memory:/{folder}"}[where]
    memories = st.sampled_from([0, 1, 500, 1 << 20]).map(
        lambda most: RowMemory(folder / "rows", most)
    )
    values = values_of(events, within(len(events), edges))
    plain = MemoryStore()
    one = ViewTask(VIEW, "v", 0, plain)
    take(one, values)
    store = MemoryStore()
    assigned = begin(url, data.draw(memories), store)
    restarts = within(len(values), restarts)
    losses = within(len(values), losses)
    for first, after in cut(len(values), [*restarts, *losses]):
        if first in losses:
            store.lose()
        if first in restarts:  # killed here; what came after the checkpoint is read again
            assigned = begin(url, data.draw(memories), store)
        go_on(assigned, values, after)
        if data.draw(st.booleans()):
            assigned.save()
    assert rows_in(store) == rows_in(plain)
    facts = assigned.task.facts()
    facts.pop("keys_on_disk", None)
    assert facts == one.facts()


def blocks_of(*spans: tuple[int, int]) -> list[bytes]:
    """An event of each of some gates, in blocks of 20."""
    gates = [gate for first, after in spans for gate in range(first, after)]
    events = [Event(f"gate {gate}", 5, float(gate), gate, False) for gate in gates]
    return values_of(events, list(range(0, len(events), 20)))


def crowded(folder: Path, most: int = 30_000) -> Assignment:
    """A task of 400 rows, of which its memory has room for some."""
    assigned = begin(str(folder / "checkpoints"), RowMemory(folder / "rows", most), MemoryStore())
    values = blocks_of((0, 400))
    for at in range(len(values)):
        go_on(assigned, values, at + 1)
    return assigned


def test_memory_holds_what_it_may_and_a_disk_the_rest(tmp_path: Path) -> None:
    assigned = crowded(tmp_path)
    task: Any = assigned.task
    assert task._rows.used_bytes <= 30_000
    assert task.facts()["keys"] == 400
    assert 200 < task.facts()["keys_on_disk"] < 400


def test_a_base_is_files_that_later_ones_share(tmp_path: Path) -> None:
    assigned = crowded(tmp_path)
    assigned.save()
    before = {path.name for path in tmp_path.rglob("checkpoints/**/files/*")}
    assert any(path.suffix == ".base" for path in tmp_path.rglob("*"))
    more = blocks_of((0, 420))
    go_on(assigned, more, len(more))
    assigned.checkpoints._deltas = MOST_DELTAS  # the next one is a base
    assigned.save()
    after = {path.name for path in tmp_path.rglob("checkpoints/**/files/*")}
    assert before & after
    assert after - before


def test_what_is_restored_is_the_checkpoint_not_the_disk_of_before(tmp_path: Path) -> None:
    """What the disk has had since is another future, which is read once more."""
    assigned = crowded(tmp_path)
    assigned.save()
    expected = rows_of(assigned)
    saved = assigned.saved
    more = blocks_of((0, 400), (0, 300))
    go_on(assigned, more, len(more))
    again = begin(
        str(tmp_path / "checkpoints"), RowMemory(tmp_path / "next", 30_000), MemoryStore()
    )
    assert again.position == saved
    assert rows_of(again) == expected


def test_a_view_that_is_given_enough_memory_again_leaves_the_disk(tmp_path: Path) -> None:
    assigned = crowded(tmp_path)
    assigned.save()
    again = begin(str(tmp_path / "checkpoints"), None, MemoryStore())
    assert again.task.facts()["keys_on_disk"] == 0
    assert rows_of(again) == rows_of(assigned)
    again.next = again.position + 1
    again.save()
    third = begin(str(tmp_path / "checkpoints"), None, MemoryStore())
    assert "keys_on_disk" not in third.task.facts()
    assert rows_of(third) == rows_of(assigned)


def rows_of(assigned: Assignment) -> dict[bytes, bytes]:
    task: Any = assigned.task
    found = {}
    for names, rows in task._rows.all_parts():
        found |= {key: rows.row(at) for at, key in enumerate(names)}
    return found


def test_a_task_that_goes_leaves_nothing_in_the_folder(tmp_path: Path) -> None:
    assigned = crowded(tmp_path)
    assigned.save()
    assert list(tmp_path.rglob("rows/*/*/*.sst"))
    del assigned
    assert not list(tmp_path.rglob("rows/*/*/*.sst"))


def test_without_a_bound_the_library_is_not_even_imported() -> None:
    code = (
        "import sys; from freshet.features.views.task import ViewTask; "
        "from freshet.roles import operators; assert 'rocksdict' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert np.size(ViewTask(VIEW, "v", 0, MemoryStore()).files()) == 0
