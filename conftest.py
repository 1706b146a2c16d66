"""Of the whole repository: a room is tested under the one name that its modules have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
GIB = 2**30
WORKER_BYTES = 4 * GIB  # a Kafka, a Cassandra and an app with its roles
MOST_WORKERS = 4  # beyond these, each worker's own servers cost more than it brings
# These files run for a minute or more: begun last, one of them would be waited for alone. So the
# longest are begun first, in this order; then what is like them, and then all others.
LONGEST = (
    "tests/faults/test_outages.py",
    "tests/system/test_apply.py",
    "tests/system/test_shared_folder.py",
    "tests/system/test_silence.py",
    "tests/system/test_changed_definitions.py",
    "tests/serving/page/test_page.py",
    "tests/streams/agents/test_faust_app.py",
    "tests/system/test_operate.py",
    "tests/system/test_no_leak.py",
    "tests/system/test_registry.py",
    "tests/contracts/test_log.py",
    "tests/system/test_partitions.py",
    "tests/faults/test_refusals.py",
    "tests/system/test_equal.py",
    "tests/faults/test_kills.py",
    "tests/freshet/scaffold/test_command.py",
    "tests/streams/kafka/test_log.py",
    "tests/streams/archive/test_owners.py",
    "tests/streams/archive/test_trimming.py",
    "tests/freshet/hydration/test_hydrator.py",
    "tests/streams/fates/test_runs.py",
    "tests/streams/operators/test_befallen.py",
    "tests/streams/intake/test_task.py",
    "tests/freshet/test_shadows.py",
)
LONG = (
    "tests/faults/",
    "tests/system/",
    "tests/streams/operators/",
    "tests/serving/page/",
    "tests/test_",
)


def pytest_configure(config: pytest.Config) -> None:
    """`pytest schemas/text/kernels.py` means `freshet/schemas/…`: by the bare path its modules
    would be imported a second time, under names that nothing else uses."""
    config.args[:] = [
        _through_the_package(argument, config.invocation_params.dir) for argument in config.args
    ]


def _through_the_package(argument: str, directory: Path) -> str:
    given, separator, test = argument.partition("::")
    path = Path(os.path.normpath(directory / given))
    if not path.is_relative_to(ROOT) or path == ROOT:
        return argument
    room, *rest = path.relative_to(ROOT).parts
    linked = ROOT / "freshet" / room
    if not linked.is_symlink():
        return argument
    return f"{linked.joinpath(*rest)}{separator}{test}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: some of the time is waiting, for outages to be over and for
    servers to start. With two more nothing is ready any sooner, and runs of a dozen processes each
    wait for each other longer than tests are patient."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cores = os.cpu_count() or 1
    wanted = min(cores + 1, MOST_WORKERS, memory // WORKER_BYTES)
    return max(wanted, 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """Whose it is; within one turn they stay as they were collected."""
    file = item.nodeid.partition("::")[0]
    if file in LONGEST:
        return LONGEST.index(file)
    return len(LONGEST) + (not file.startswith(LONG))
