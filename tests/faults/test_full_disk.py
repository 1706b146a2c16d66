"""The disk of a whole run is full for a while: that is told, questions are answered meanwhile, and in
the end everything is as if there had always been room."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.disturbance import Left, running
from tests.faults.test_outages import Scene, played
from tests.small_disk import STUFFING, fill, small_disk

SIZE = "512m"
FULL_SECONDS = 15.0
AT_STEP = 15  # hours: models have been released

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Filled:
    scene: Scene
    left: Left
    folder: Path


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with small_disk(tmp_path_factory.mktemp("full") / "disk", SIZE) as folder:
        stuffing = folder / STUFFING
        scene = Scene(
            at=AT_STEP,
            component="disk",
            where=str(folder),
            away_seconds=FULL_SECONDS,
            end=lambda: fill(folder),
            start=lambda: stuffing.unlink(missing_ok=True),
        )
        with running(folder) as run:
            left, _ = played(run, [scene])
            yield Filled(scene, left, folder)


def test_it_is_told_with_its_folder_and_what_to_do(filled: Filled) -> None:
    assert filled.scene.status is not None
    (outage,) = [o for o in filled.scene.status.outages if o.component == "disk"]
    assert outage.resource == f"of {filled.folder}"
    assert outage.cause == "no space is left on it"
    assert outage.next_step == "Make room there: remove what is not needed, or give it more."


def test_questions_are_answered_by_the_model_meanwhile(filled: Filled) -> None:
    assert filled.scene.failed == []
    assert set(filled.scene.rungs) == {"champion"}
    assert filled.scene.rung_after == "champion"


def test_what_is_left_is_that_of_an_undisturbed_run(filled: Filled, undisturbed: Left) -> None:
    assert filled.left.ledgers == undisturbed.ledgers
    assert filled.left.rows == undisturbed.rows
    assert filled.left.examples == undisturbed.examples
    both = filled.left.digests.keys() & undisturbed.digests.keys()
    assert both
    assert {k: filled.left.digests[k] for k in both} == {k: undisturbed.digests[k] for k in both}


def test_nothing_half_written_stays(filled: Filled) -> None:
    assert list(filled.folder.rglob("*.part")) == []
