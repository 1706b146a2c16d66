"""Views as users declare them."""

from __future__ import annotations

from typing import Any

import freshet as fr

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


def test_a_view_says_how_fine_its_windows_are() -> None:
    sales = fr.Topic("sales", SCHEMA, event_id="id", event_time="at")
    windows = {"short": fr.count(over="10m"), "long": fr.count(over="30d")}
    own = fr.View("pair", sales, key="item", features=windows)
    minutes = fr.View("pair", sales, key="item", features=windows, tile="60s")
    assert (own.tiles, own.tile_ms) == ("32 a window", None)
    assert (minutes.tiles, minutes.tile_ms) == ("1m", 60_000)
    assert own.digest != minutes.digest
    assert fr.View("pair", sales, key="item", features={"age": fr.age()}).tiles == "none"
