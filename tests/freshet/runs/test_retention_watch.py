"""A log that deletes by itself is watched: how old what is not archived is, beside how long it
stays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from freshet.runs.retention_watch import RetentionWatch
from freshet.streams.archive.layout import SOURCE, task_of
from freshet.streams.operators.checkpoints import Checkpoints
from freshet.streams.sqlite.log import SqliteLog

KEPT_MS = 1_000


class Deleting(SqliteLog):
    """It has one record a millisecond, and says that it deletes after `KEPT_MS`."""

    def retention_ms(self, topic: str) -> int | None:
        return KEPT_MS


@pytest.mark.parametrize(
    ("archived", "now_ms", "expected"),
    [
        (100, 1_000, {"spent": 0.0, "lost": 0}),  # all of it
        (40, 540, {"spent": 0.0, "lost": 0}),
        (40, 541, {"spent": 0.5, "lost": 0}),
        (40, 841, {"spent": 0.8, "lost": 0}),
        (10, 1_011, {"spent": 0.8, "lost": 10}),
        (None, 501, {"spent": 0.0, "lost": 0}),
    ],
)
def test_it_says_how_much_of_the_retention_is_spent_and_what_is_lost(
    tmp_path: Path, archived: int | None, now_ms: int, expected: Mapping[str, float]
) -> None:
    log = Deleting(tmp_path / "log")
    log.ensure("theirs", 1)
    writer = log.writer()
    for at in range(100):
        writer.append("theirs", 0, [b"x"], at)
    writer.flush()
    log.delete_before("theirs", {0: 20})
    url = str(tmp_path / "checkpoints")
    if archived is not None:
        saved = Checkpoints(url, task_of(SOURCE, "theirs", 0), log.bounds("theirs").identity)
        saved.save(archived, {"a": np.zeros(1)}, full=True)
    watch = RetentionWatch(url)
    assert watch.of(("theirs", 0)) == {}
    watch.look(log, "theirs", now_ms)
    assert watch.of(("theirs", 0)) == {"retention_ms": KEPT_MS, **expected}
    writer.close()
    log.close()
