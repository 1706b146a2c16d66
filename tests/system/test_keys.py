"""One value, one key: whatever its type, however it is written, from the event to the row, the
label and the explanation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from freshet.app import App, load
from freshet.explain.explain import explain
from freshet.explain.explanation import Explanation
from freshet.features.reading.api import read_request
from freshet.features.stores.memory_store import MemoryStore
from freshet.roles.interface import feature_reader
from freshet.runs import record as run_record
from freshet.runs.opened import opened
from freshet.schemas.errors import DefinitionError, RequestError
from freshet.settings import Settings
from freshet.testing import LocalRun
from tests.howto import Sent

APP = """
import polars as pl
import freshet as fr

UUID = {"type": "string", "logicalType": "uuid"}
KEYS = [
    {"name": "user", "type": ["null", "long"]},
    {"name": "brand", "type": ["null", "string"]},
    {"name": "item", "type": ["null", "string"]},
    {"name": "member", "type": ["null", "boolean"]},
]
FIELDS = [{"name": "id", "type": UUID}, {"name": "at", "type": "long"}, *KEYS, {"name": "x", "type": "double"}]
visits = fr.Topic(
    "visits", {"type": "record", "name": "visit", "fields": FIELDS}, event_id="id", event_time="at", source="user"
)
PAID = [
    {"name": "no", "type": "long"},
    {"name": "at", "type": "long"},
    {"name": "visit", "type": ["null", UUID]},
    {"name": "late", "type": "boolean"},
]
payments = fr.Topic("payments", {"type": "record", "name": "payment", "fields": PAID}, event_id="no", event_time="at")
sums = {"sum": fr.sum("x", over="1h")}
by_user = fr.View("by_user", visits, key="user", features=sums)
by_pair = fr.View("by_pair", visits, key=("brand", "item"), features=sums)
by_member = fr.View("by_member", visits, key="member", features=sums)
model = fr.Model(
    "late",
    on=visits,
    id="id",
    label=fr.Label(payments, id="visit", value=pl.col("late")),
    features=[
        fr.category(visits["user"]), visits["brand"], visits["item"], visits["member"],
        by_user["sum"], by_pair["sum"], by_member["sum"],
    ],
    learners=[fr.Baseline()],
    slices=["brand"],
    fallback=[fr.constant(0.5)],
)
app = fr.App("shop", topics=[visits, payments], views=[by_user, by_pair, by_member], models=[model])
"""
NOW, STEP = 1_795_890_000_000, 10_000
# Both are one and the same float64.
EVEN, ODD = 9_007_199_254_740_992, 9_007_199_254_740_993
VISITS = [
    ("a", EVEN, "a|b", "c", True, 1.0),
    ("b", ODD, "a", "b|c", False, 2.0),
    ("c", None, None, "", None, 4.0),
    ("d", 0, "", None, True, 8.0),
    ("e", -7, "\\N", "\\", None, 16.0),
]


def uuid_of(letter: str) -> str:
    return f"{letter * 8}-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, LocalRun, MemoryStore]]:
    """Every visit is pushed, then asked about, then paid for; ids come in either case."""
    folder, store = tmp_path_factory.mktemp("keys"), MemoryStore()
    (folder / "app.py").write_text(APP)
    app = load(folder / "app.py")
    run_record.write(app.name, str(folder / "app.py"), Settings(run_dir=folder))
    names = ("id", "user", "brand", "item", "member", "x")
    rows = [dict(zip(names, (uuid_of(letter), *rest))) for letter, *rest in VISITS]
    sent = Sent((NOW + i, {**row, "at": NOW + i}) for i, row in enumerate(rows))
    # The same visit, written otherwise: a duplicate.
    sent.append((NOW + 9, {**rows[0], "id": rows[0]["id"].upper(), "at": NOW + 9}))
    asked = {name: [row[name] for row in rows] for name in names}
    asked["id"] = [asked["id"][0].upper(), *asked["id"][1:]]
    later = NOW + 2 * STEP
    paid = [
        {"no": i, "at": later + 1, "visit": row["id"].upper(), "late": True}
        for i, row in enumerate(rows)
    ]
    paid += [{"no": 99, "at": later + 1, "visit": None, "late": True}]
    with LocalRun(app, folder, store) as local:
        local.step(NOW, NOW + STEP, {}, {"visits": sent})
        local.step(NOW + STEP, later, asked, {})
        local.step(
            later, later + STEP, {}, {"payments": Sent((later + 1, event) for event in paid)}
        )
        yield folder, local, store


def values(
    ran: tuple[Path, LocalRun, MemoryStore], view: str, entities: dict[str, list[Any]]
) -> Any:
    _, local, store = ran
    asked = read_request(json.dumps({"features": [f"{view}:sum"], "entities": entities}).encode())
    return feature_reader(local.app).answer(asked, store, NOW + STEP).results[-1].values


def test_whole_numbers_are_keys_to_the_last_digit(ran: tuple[Path, LocalRun, MemoryStore]) -> None:
    assert values(ran, "by_user", {"user": [EVEN, ODD, 0, -7]}) == [1.0, 2.0, 8.0, 16.0]
    assert values(ran, "by_user", {"user": [str(EVEN), str(ODD), "00", "-007"]}) == [
        1.0,
        2.0,
        8.0,
        16.0,
    ]


def test_null_has_a_row_of_its_own(ran: tuple[Path, LocalRun, MemoryStore]) -> None:
    assert values(ran, "by_user", {"user": [None]}) == [4.0]
    assert values(ran, "by_pair", {"brand": [None, ""], "item": ["", None]}) == [4.0, 8.0]
    assert values(ran, "by_pair", {"brand": ["", None], "item": ["", None]}) == [None, None]


def test_texts_may_hold_what_keys_are_joined_by(ran: tuple[Path, LocalRun, MemoryStore]) -> None:
    brands, items = ["a|b", "a", "\\N", "a|b|c"], ["c", "b|c", "\\", ""]
    assert values(ran, "by_pair", {"brand": brands, "item": items}) == [1.0, 2.0, 16.0, None]


def test_truths_are_keys(ran: tuple[Path, LocalRun, MemoryStore]) -> None:
    assert values(ran, "by_member", {"member": [True, False, None, "true"]}) == [
        9.0,
        2.0,
        20.0,
        9.0,
    ]


@pytest.mark.parametrize("user", [True, "7.0", "", str(1 << 63), 1 << 70])
def test_what_is_no_such_key_is_refused(ran: tuple[Path, LocalRun, MemoryStore], user: Any) -> None:
    with pytest.raises(
        RequestError, match=r"entity 'user': cannot be: .* is no whole number\. Its type is long"
    ):
        values(ran, "by_user", {"user": [user]})


def test_models_read_the_rows_that_consumers_do(ran: tuple[Path, LocalRun, MemoryStore]) -> None:
    for letter, user, brand, item, member, _ in VISITS:
        told = {v.view: v.values["sum"] for v in explained(ran, uuid_of(letter)).views}
        assert [told["by_user"]] == values(ran, "by_user", {"user": [user]})
        assert [told["by_pair"]] == values(ran, "by_pair", {"brand": [brand], "item": [item]})
        assert [told["by_member"]] == values(ran, "by_member", {"member": [member]})


def explained(ran: tuple[Path, LocalRun, MemoryStore], prediction: str) -> Explanation:
    with opened(ran[0]) as run:
        return explain(run, prediction, whole_window=True)


@pytest.mark.parametrize("letter", [visit[0] for visit in VISITS])
def test_a_prediction_is_explained_with_exact_keys(
    ran: tuple[Path, LocalRun, MemoryStore], letter: str
) -> None:
    _, user, brand, item, member, _ = next(visit for visit in VISITS if visit[0] == letter)
    found = explained(ran, uuid_of(letter).upper())
    sent = {value.name: value.value for value in found.request}
    assert sent["user"] == (None if user is None else str(user))
    assert (sent["brand"], sent["item"]) == (brand, item)
    assert sent["member"] == (None if member is None else str(member).lower())
    assert all(view.window is not None and view.window.agrees for view in found.views)


def test_labels_find_their_predictions_in_either_case(
    ran: tuple[Path, LocalRun, MemoryStore],
) -> None:
    for letter, *_ in VISITS:
        assert explained(ran, uuid_of(letter)).outcome.state == "labelled"


def test_an_id_in_another_case_is_a_repeat(ran: tuple[Path, LocalRun, MemoryStore]) -> None:
    fates = [t.facts() for o in ran[1].operators for t in o.tasks() if t.name == "intake:visits:0"]
    assert fates[0]["fates"]["deduplicated"] == 1
    assert fates[0]["sources"].keys() == {str(EVEN), str(ODD), "0", "-7"}


def test_kinds_of_keys_and_ids_must_agree(tmp_path: Path) -> None:
    changed = {
        (
            "on=visits,",
            "on=visits2,",
        ): "'user' of visits2 is a text, and as key of view by_user a whole number",
        (
            'id="visit"',
            'id="no"',
        ): "id 'id' of visits is a uuid, and 'no' of its label a whole number",
        ('    id="id",\n', '    id="x",\n'): "id 'x' is of type double",
    }
    other = 'visits2 = fr.Topic("visits2", {"type": "record", "name": "v", "fields": [{**f, "type": ["null", "string"]} if '
    other += 'f["name"] == "user" else f for f in FIELDS]}, event_id="id", event_time="at")\n'
    for (old, new), text in changed.items():
        written = APP.replace(old, new).replace("PAID = [", f"{other}PAID = [")
        if new == "on=visits2,":
            for name in ("user", "brand", "item", "member"):
                written = written.replace(f'visits["{name}"]', f'visits2["{name}"]')
            written = written.replace("topics=[visits,", "topics=[visits, visits2,")
        (tmp_path / "app.py").write_text(written)
        with pytest.raises(DefinitionError, match=text):
            load(tmp_path / "app.py")
    assert isinstance(load_of(tmp_path, APP), App)


def load_of(folder: Path, text: str) -> App:
    (folder / "app.py").write_text(text)
    return load(folder / "app.py")
