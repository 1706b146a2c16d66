"""Records that were moved otherwise than they should have been are found, each by its place."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import freshet as fr
from freshet.audit.kept import Record
from freshet.audit.moved import faults
from freshet.streams.operators.dead_letters import KEPT_BYTES

SCHEMA = {
    "type": "record",
    "name": "visit",
    "fields": [{"name": "id", "type": "long"}, {"name": "at", "type": "long"}],
}
VISITS = fr.Topic("visits", SCHEMA, "id", "at", partitions=2, dedup_by="topic")


def record(source: int, offset: int, id_: int) -> Record:
    value = json.dumps({"id": id_, "at": 0}).encode()
    return Record(offset, 0, value, source=(source, offset))


CAME = {0: [record(0, 0, 1), record(0, 1, 2)], 1: [record(1, 0, 2), record(1, 5, 1)]}
MOVED = {0: [CAME[0][0], CAME[1][1]], 1: [CAME[1][0], CAME[0][1]]}


def found(moved: dict[int, list[Record]], came: dict[int, list[Record]] | None = None) -> list[str]:
    return list(faults(VISITS, came or CAME, moved))


def test_what_is_moved_once_and_whole_is_as_it_should_be() -> None:
    assert found(MOVED) == []
    nothing = {0: [replace(CAME[0][0], value=b"", is_null=True)]}
    assert found({0: nothing[0], 1: []}, nothing) == []
    large = b"x" * (KEPT_BYTES + 1)
    came = {0: [Record(0, 0, large)]}
    assert found({0: [Record(7, 0, large[:-1], source=(0, 0))], 1: []}, came) == []


@pytest.mark.parametrize(
    ("moved", "told"),
    [
        ({0: MOVED[0], 1: MOVED[1][:1]}, ["offset 1 of partition 0 was not moved"]),
        (
            {0: MOVED[0], 1: [*MOVED[1], record(0, 9, 2)]},
            ["offset 9 of partition 0 is no record there"],
        ),
        (
            {0: [*MOVED[0], MOVED[1][0]], 1: MOVED[1]},
            [
                "offset 0 of partition 1 was moved to two partitions",
                "id 2 is in partition 0, and in 1",
                "id 2 is in partition 0, and in 1",
            ],
        ),
        (
            {0: [replace(MOVED[0][0], value=b"{}"), MOVED[0][1]], 1: MOVED[1]},
            ["offset 0 of partition 0 was moved as other bytes"],
        ),
        (
            {0: [replace(MOVED[0][0], value=b"", is_null=True), MOVED[0][1]], 1: MOVED[1]},
            ["offset 0 of partition 0 was moved as other bytes"],
        ),
    ],
)
def test_what_is_wrong_is_told(moved: dict[int, list[Record]], told: list[str]) -> None:
    assert found(moved) == told
