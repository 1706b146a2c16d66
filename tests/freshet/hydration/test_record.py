"""Which views are to be built from the past, and that this is decided once."""

from __future__ import annotations

from pathlib import Path

import pytest

import freshet as fr
from freshet.declared.definitions import Definitions
from freshet.hydration import record
from freshet.schemas.errors import CheckpointError

SCHEMA = {
    "type": "record",
    "name": "v",
    "fields": [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}],
}


def app(over: str = "1h", dedup: str = "1h", views: tuple[str, ...] = ("by_id",)) -> fr.App:
    topic = fr.Topic("visits", SCHEMA, event_id="id", event_time="at", dedup=dedup)
    made = [fr.View(name, topic, key="id", features={"n": fr.count(over=over)}) for name in views]
    return fr.App("past", topics=[topic], views=made)


def ran(*apps: fr.App) -> Definitions:
    known = Definitions("past")
    for at, each in enumerate(apps):
        known = known.now(each, at)
    return known


def built(url: str, declared: fr.App) -> list[str]:
    return [view.name for view in record.unfinished(url, declared)]


def test_a_view_is_built_that_was_never_declared_over_a_topic_that_was(tmp_path: Path) -> None:
    url = str(tmp_path)
    now = app(views=("by_id", "more"))
    record.decide(url, ran(app()), now, 5)
    assert built(url, now) == ["more"]
    changed = app(over="2h")
    record.decide(url, ran(app()), changed, 5)
    assert built(url, changed) == ["by_id"]


@pytest.mark.parametrize(
    "before", [None, ran(app(dedup="2h")), ran(app(views=("by_id", "more")), app())]
)
def test_none_is_built_at_first_nor_with_its_topic_nor_what_is_put_back(
    before: Definitions | None, tmp_path: Path
) -> None:
    now = app(views=("by_id", "more"))
    record.decide(str(tmp_path), before, now, 5)
    assert built(str(tmp_path), now) == []


def test_it_is_decided_once_and_stays_until_it_is_built(tmp_path: Path) -> None:
    url = str(tmp_path)
    now = app(views=("by_id", "more"))
    record.decide(url, ran(app()), now, 5)
    # As another process does, and one that is started after a crash.
    record.decide(url, ran(app()), now, 6)
    view = now.view("more")
    known = record.of(url, view)
    assert known is not None
    assert known.decided_ms == 5
    done = record.Hydration(view.name, view.digest, 5, 7, 3, 20_000, 1_000)
    record.finish(url, done)
    assert record.of(url, view) == done
    assert built(url, now) == []
    assert record.rate(url) == 1_000


def test_a_file_that_is_none_is_one_error(tmp_path: Path) -> None:
    now = app(views=("by_id", "more"))
    record.decide(str(tmp_path), ran(app()), now, 5)
    (file,) = (tmp_path / "hydrations").iterdir()
    file.write_text("?")
    with pytest.raises(CheckpointError, match="cannot be read"):
        record.of(str(tmp_path), now.view("more"))
    assert record.rate(str(tmp_path)) is None
