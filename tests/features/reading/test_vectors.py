"""What the scorer makes of a request, against the slow reference: the same bytes, or the same
input refused."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshet as fr
from freshet.app import App
from freshet.features.packed import Packed
from freshet.features.partition.rows import ViewRows
from freshet.features.reading.vectors import VectorPlan
from freshet.features.stores.contract import RowKeys, Rows
from freshet.features.stores.memory_store import MemoryStore
from freshet.roles import plans
from freshet.schemas.errors import RequestError, StoreError
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import key_of
from tests.features.reading import reference

ROOT = Path(__file__).parents[3]
MINUTE = 60_000
NOW = 1_000 * MINUTE
SYMBOLS = ("S", "L")
IDS = tuple(str(UUID(int=i)) for i in (1, 0xABCDEF))
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "word", "type": ["null", "string"], "default": None},
    {"name": "filled", "type": ["null", "string"], "default": None},
    {"name": "device", "type": ["null", {"type": "string", "logicalType": "uuid"}]},
    {"name": "size", "type": {"type": "enum", "name": "size", "symbols": list(SYMBOLS)}},
    {"name": "truth", "type": ["null", "boolean"], "default": None},
    {"name": "few", "type": ["null", "int"], "default": None},
    {"name": "many", "type": ["null", "long"], "default": None},
    {"name": "x", "type": ["null", "double"], "default": None},
    {"name": "y", "type": ["null", "float"], "default": None},
]
KEYS: dict[str, str | tuple[str, ...]] = {
    "by_word": "word",
    "by_filled": "filled",
    "by_device": "device",
    "by_two": ("word", "many"),
    "again_by_word": "word",
    "by_truth": "truth",
    "by_three": ("size", "truth", "few"),
}
WORDS = ("", "a", "a|b", "\\N", "é|", "unknown")
WHOLE = (0, 7, -1, 2**31 - 1, 2**53 + 1, 2**63 - 1, -(2**63))


def _app() -> App:
    things = fr.Topic(
        "things",
        {"type": "record", "name": "thing", "fields": FIELDS},
        event_id="id",
        event_time="at",
        impute={
            "filled": fr.impute.constant("unknown"),
            "few": fr.impute.constant(7.0),
            "y": fr.impute.constant(0.5),
        },
        freshness=fr.Freshness(max_future="1m", lateness="2m"),
    )
    views = [
        fr.View(
            name,
            things,
            key=key,
            tile="1m",
            features={
                "n": fr.count(over=f"{2 + i}m"),
                "mean": fr.mean("x", over="5m"),
                "least": fr.min("x", over="3m"),
                "last": fr.last("y"),
                "ewm": fr.decayed_mean("x", half_life="2m", prior=1.0, weight=2.0),
                "unread": fr.sum("x", over="1m"),
                "ago": fr.age(),
            },
            max_age="4m" if i % 2 else None,
        )
        for i, (name, key) in enumerate(KEYS.items())
    ]
    model = fr.Model(
        "late",
        on=things,
        id="id",
        label=fr.Label(things, id="id", value=pl.col("x") > 1),
        features=[
            things["word"],
            things["x"],
            *(view[f] for view in views for f in view.features if f != "unread"),
            things["y"],
            *(fr.category(things[name]) for name in ("truth", "few", "many")),
            things["filled"],
            things["device"],
            things["size"],
        ],
        learners=[fr.Baseline()],
    )
    return App("vectors", topics=[things], views=views, models=[model])


APP = _app()
MODEL = APP.models[0]
VIEWS = APP.views_of(MODEL)
PLAN = plans.vector_plan(APP, MODEL)
SLOW = reference.Plan(
    MODEL.vectors,
    VIEWS,
    [APP.stored_as(view) for view in VIEWS],
    {"filled": "unknown", "few": 7.0, "y": 0.5},
    frozenset(["device"]),
)


def _store() -> MemoryStore:
    """Rows for some of the keys that questions ask for."""
    made = MemoryStore()
    values: dict[str, tuple[str | None, ...]] = {
        "word": (*WORDS, None),
        "filled": WORDS,
        "device": (*IDS, None),
        "size": SYMBOLS,
        "truth": ("true", "false", None),
        "few": ("0", "7"),
        "many": ("0", str(2**53 + 1), None),
    }
    for v, view in enumerate(VIEWS):
        combined: list[tuple[str | None, ...]] = [()]
        for name in view.keys:
            combined = [(*row, value) for row in combined for value in values[name]]
        texts = [key_of(row) for row in combined][: 7 + v]
        rows = ViewRows(view.plan)
        times = NOW - MINUTE * np.arange(len(texts))
        numbers = np.arange(len(texts) * len(view.plan.fields)).reshape(len(texts), -1) / 3
        rows.fold(Texts.of(texts), times, numbers, 40 + v, np.arange(len(texts)))
        made.write(APP.stored_as(view), *rows.hand_over())
    return made


STORE = _store()
texts = st.sampled_from((*WORDS, "elsewhere", "\ud800"))
uuids = st.sampled_from((*IDS, IDS[1].upper(), "no-uuid"))
whole = st.sampled_from((*WHOLE, 2**63, -(2**63) - 1))
reals = st.sampled_from((0.0, -0.0, 7.0, 1.5, 2.0**53, 2.0**63, -(2.0**63), 1e300, np.inf, np.nan))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "word": texts,
    "filled": texts,
    "device": uuids,
    "size": st.sampled_from(SYMBOLS),
    "truth": st.booleans(),
    "few": whole,
    "many": st.one_of(st.sampled_from(WHOLE), st.sampled_from((0, 2**53 + 1))),
    "x": st.floats(width=64),
    "y": st.floats(width=32),
}
STRANGE: st.SearchStrategy[Any] = st.sampled_from(({}, "text", 3, 2.5, True, float("nan")))


@st.composite
def questions(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    """Columns as contracts of questions have them, and some that they have not."""
    n = draw(st.integers(1, 5))
    columns: dict[str, Any] = {}
    for name, values in VALUES.items():
        form = draw(st.sampled_from(("list", "list", "gaps", "array", "reals", "strange", "none")))
        if form == "none":
            continue
        one = reals if form == "reals" and name not in ("x", "y") else values
        column = draw(st.lists(one, min_size=n, max_size=n))
        if form in ("gaps", "reals"):
            column = [None if draw(st.booleans()) else value for value in column]
        elif form == "strange" and draw(st.booleans()):
            column[draw(st.integers(0, n - 1))] = draw(STRANGE)
        elif form == "array" and not isinstance(column[0], str):
            with contextlib.suppress(OverflowError):
                column = np.array(column)
            if isinstance(column, np.ndarray) and column.dtype == object:
                column = column.tolist()
        columns[name] = column
    for name in draw(st.lists(st.sampled_from(MODEL.vectors.numbers[1:9]), max_size=2)):
        columns[name] = draw(st.lists(st.floats(width=64), min_size=n, max_size=n))
    return columns, n


def found(
    plan: VectorPlan, store: MemoryStore | None, columns: dict[str, Any], n: int, as_of: int
) -> reference.Found:
    read = plan.read(store, columns, n, as_of)
    views = len(plan.views)
    assert read.versions.shape == (n, 16 * views)
    assert read.vectors.categories.flags.c_contiguous
    assert read.vectors.numbers.flags.c_contiguous
    return reference.Found(
        read.vectors.categories.tobytes(),
        read.vectors.numbers.tobytes(),
        read.versions.tobytes(),
        read.value_age_ms.tolist(),
        read.categories.to_arrow().to_pylist(),
    )


@given(
    questions(),
    st.sampled_from((NOW, NOW - 3 * MINUTE, NOW + MINUTE, NOW + 90 * MINUTE)),
    st.booleans(),
)
def test_a_question_is_read_as_the_reference_reads_it(
    asked: tuple[dict[str, Any], int], as_of: int, is_there: bool
) -> None:
    columns, n = asked
    store = STORE if is_there else None
    expected: reference.Found | None = None
    refused = ""
    with np.errstate(over="ignore"):
        try:
            expected = reference.read(SLOW, store, columns, n, as_of)
        except reference.Refused as error:
            refused = f"input {str(error)!r}"
        except (TypeError, ValueError):
            refused = "its values are no numbers"
        if expected is None:
            with pytest.raises(RequestError, match=refused):
                PLAN.read(store, columns, n, as_of)
        else:
            assert found(PLAN, store, columns, n, as_of) == expected


IN_A_NEW_PROCESS = """
from freshet.features.rows import finish_kernels as kernels
from tests.features.reading.test_vectors import NOW, PLAN, STORE


def loaded():
    return [sorted(map(str, kernel.signatures)) for kernel in (kernels.finish, kernels.spread)]


assert loaded() == [[], []]
PLAN.warm()
warmed = loaded()
assert all(warmed)
PLAN.read(STORE, {"word": ["a"], "size": ["S"], "truth": [True], "few": [7]}, 1, NOW)
assert loaded() == warmed
"""


def test_a_plan_that_was_warmed_loads_nothing_for_its_first_question() -> None:
    subprocess.run([sys.executable, "-c", IN_A_NEW_PROCESS], check=True, cwd=ROOT)


def test_what_the_property_is_about_is_there() -> None:
    """Rows that are found, in all views; else the reference would say nothing."""
    columns = {
        "word": ["a", "a|b", "a", None],
        "filled": ["a", None, "a", "é|"],
        "device": [IDS[1].upper(), IDS[0], None, IDS[1]],
        "size": ["S", "S", "L", "S"],
        "truth": [True, True, None, True],
        "few": [0, 7, None, 0],
        "many": np.array([0, 2**53 + 1, 0, 0]),
    }
    read = PLAN.read(STORE, columns, 4, NOW)
    of_views = read.versions.reshape(4, len(VIEWS), 16).any(axis=2)
    assert of_views.any(axis=0).all(), "each view has a row for one of the questions"
    assert read.versions[0].tobytes() == read.versions[2].tobytes() or not of_views.all()


@pytest.mark.parametrize("n", [1, 3])
def test_a_key_that_no_store_takes_is_refused_and_named(n: int) -> None:
    columns = {name: [None] * n for name in ("word", "many", "truth", "filled", "device")}
    columns["word"] = ["é" * (KEY_BYTES // 2 + 1)] * n  # type: ignore[list-item]
    with pytest.raises(RequestError, match=f"input 'word': is a key of {KEY_BYTES + 2} bytes"):
        PLAN.read(STORE, columns, n, NOW)


@pytest.mark.parametrize("more", [b"", b"\0" * 8, b"."])
def test_bytes_that_are_no_row_of_the_view_are_absent(more: bytes) -> None:
    class Foreign(MemoryStore):
        def read(self, wanted: Any) -> list[Rows]:
            rows = super().read(wanted)
            return [Rows(Packed.of([row[:-8] + more * 2 for row in one.packed])) for one in rows]

    foreign = Foreign()
    foreign.rows = STORE.rows
    columns = {"word": ["a"], "few": [0], "truth": [True]}
    read = PLAN.read(foreign, columns, 1, NOW)
    assert PLAN.read(STORE, columns, 1, NOW).versions.any()
    assert not read.versions.any()
    assert read.value_age_ms.tolist() == [-1]


@pytest.mark.parametrize("rows", [1, 3])
def test_another_number_of_rows_than_was_asked_for_is_an_error_of_the_store(rows: int) -> None:
    class Wrong(MemoryStore):
        def read(self, wanted: Any) -> list[Rows]:
            return [Rows(Packed.of([b""] * rows)) for _ in wanted]

    with pytest.raises(StoreError, match=f"2 keys were answered with {rows} rows"):
        PLAN.read(Wrong(), {"word": ["a", "b"]}, 2, NOW)


def test_a_column_of_another_length_than_the_question_is_refused() -> None:
    with pytest.raises(RequestError, match="input 'word': has 1 values, and there are 2 rows"):
        PLAN.read(STORE, {"word": ["a"]}, 2, NOW)


def test_a_key_that_several_rows_or_views_share_is_read_once_a_view() -> None:
    class Counting(MemoryStore):
        asked: list[RowKeys]

        def read(self, wanted: Any) -> list[Rows]:
            self.asked = list(wanted)
            return super().read(wanted)

    store = Counting()
    PLAN.read(store, {"word": ["a", "b|", "a"]}, 3, NOW)
    assert [one.keys for one in store.asked] == [[b"a", b"b\\|"]] * 2
