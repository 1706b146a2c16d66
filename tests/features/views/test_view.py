"""Views as users declare them."""

from __future__ import annotations

from typing import Any

import pytest

import freshet as fr
from freshet.schemas.errors import DefinitionError

FIELDS = [{"name": name, "type": "string"} for name in ("id", "brand", "item")]
SCHEMA = {"type": "record", "name": "sale", "fields": [*FIELDS, {"name": "at", "type": "long"}]}


def by(key: Any) -> fr.View:
    sales = fr.Topic("sales", SCHEMA, event_id="id", event_time="at")
    return fr.View("pair", sales, key=key, features={"n": fr.count(over="1h")})


def test_a_list_of_key_fields_is_the_same_view_as_a_tuple_of_them() -> None:
    """Else whoever writes it otherwise one day has another view, whose rows are empty."""
    assert by(["brand", "item"]).keys == by(("brand", "item")).keys == ("brand", "item")
    assert by(["brand", "item"]).digest == by(("brand", "item")).digest
    assert by(["brand", "item"]).digest != by(["item", "brand"]).digest


def kept(features: dict[str, Any], **more: Any) -> fr.View:
    sales = fr.Topic("sales", SCHEMA, event_id="id", event_time="at")
    return fr.View("pair", sales, key="item", features=features, **more)


def test_rows_are_kept_for_as_long_as_they_say_something() -> None:
    windows = {"n": fr.count(over="10m"), "long": fr.rate(over="6h", per="1h")}
    assert kept(windows).plan.keep_ms == 6 * 3_600_000
    assert kept(windows, max_age="5h").plan.keep_ms == 10 * 3_600_000
    assert kept(windows, keep="1d").plan.keep_ms == 24 * 3_600_000
    with_age = {**windows, "age": fr.age()}
    assert kept(with_age).plan.keep_ms == 0, "for ever"
    assert kept(with_age, max_age="5h").plan.keep_ms == 0
    assert kept(with_age, keep="6h").plan.keep_ms == 6 * 3_600_000


def test_a_keep_makes_another_view_and_what_follows_from_its_features_does_not() -> None:
    windows = {"n": fr.count(over="10m")}
    plain = kept(windows)
    assert "keep" not in plain.facts
    assert kept(windows, max_age="5h").digest == plain.digest
    assert kept(windows, max_age="5h").plan.digest == plain.plan.digest
    hour = kept(windows, keep="60m")
    assert hour.facts["keep"] == "1h"
    assert hour.digest == kept(windows, keep="1h").digest != plain.digest
    assert hour.plan.digest != plain.plan.digest


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"keep": "9m"}, "keep=9m is shorter than its longest window, 10m"),
        ({"keep": "1h", "max_age": "2h"}, "keep=1h is shorter than max_age, 2h"),
        ({"keep": "0s"}, "is no time at all"),
        ({"keep": 3}, "is not a duration"),
        ({"keep": "a while"}, "is not a duration"),
    ],
)
def test_a_keep_that_forgets_what_is_read_is_refused(more: dict[str, Any], cause: str) -> None:
    with pytest.raises(DefinitionError, match=cause):
        kept({"n": fr.count(over="10m")}, **more)


def test_a_view_says_how_fine_its_windows_are() -> None:
    sales = fr.Topic("sales", SCHEMA, event_id="id", event_time="at")
    windows = {"short": fr.count(over="10m"), "long": fr.count(over="30d")}
    own = fr.View("pair", sales, key="item", features=windows)
    minutes = fr.View("pair", sales, key="item", features=windows, tile="60s")
    assert (own.tiles, own.tile_ms) == ("32 a window", None)
    assert (minutes.tiles, minutes.tile_ms) == ("1m", 60_000)
    assert own.digest != minutes.digest
    assert fr.View("pair", sales, key="item", features={"age": fr.age()}).tiles == "none"
