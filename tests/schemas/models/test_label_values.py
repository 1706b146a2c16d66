"""Labels as numbers: held to a slow reference, value by value, and every one has exactly one
fate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

import freshet as fr
from freshet.schemas.models.label_values import label_values, why_bad

BAD = "bad"
COLOURS = fr.Classes(["red", "7", "true", "grün"])


def slow(value: Any, task: Any) -> float | str | None:
    """What a value is, as a person would say it."""
    if value is None:
        return None
    if isinstance(task, fr.Classes):
        text = value
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, int):
            text = str(value)
        return float(task.classes.index(text)) if text in task.classes else BAD
    if isinstance(task, fr.Regression):
        number = float(value)
        with np.errstate(over="ignore"):
            held = np.float32(number)
        # Just beyond the largest float32 it still rounds to it: that is refused, too.
        is_large = math.isfinite(number) and abs(number) > float(np.finfo(np.float32).max)
        return BAD if is_large or not math.isfinite(held) else number
    return float(value) if value in (0, 1) else BAD


def fast(values: list[Any], dtype: Any, task: Any) -> list[float | str | None]:
    found = label_values(pl.Series("x", values, dtype), task)
    assert found.values.dtype == pl.Float64
    assert all(value is None for value in found.values.filter(pl.Series(found.is_bad)))
    return [BAD if bad else value for bad, value in zip(found.is_bad, found.values.to_list())]


NULL = st.none()
TEXTS = st.lists(st.one_of(NULL, st.sampled_from(COLOURS.classes), st.text(max_size=3)))
WHOLE = st.lists(st.one_of(NULL, st.integers(-(2**63), 2**63 - 1), st.integers(-1, 8)))
FLAGS = st.lists(st.one_of(NULL, st.booleans()))
NUMBERS = st.lists(st.one_of(NULL, st.floats(), st.sampled_from([0.0, 1.0, -0.0, 3.4028236e38])))


@given(TEXTS, WHOLE, FLAGS)
def test_labels_of_classes_are_places_by_their_text(
    texts: list[Any], whole: list[Any], flags: list[Any]
) -> None:
    kinds = [(texts, pl.String), (whole, pl.Int64), (flags, pl.Boolean)]
    for values, dtype in kinds:
        assert fast(values, dtype, COLOURS) == [slow(value, COLOURS) for value in values]


@given(NUMBERS, WHOLE, FLAGS)
def test_labels_of_numbers_are_finite_and_of_two_0_or_1(
    numbers: list[Any], whole: list[Any], flags: list[Any]
) -> None:
    for task in (fr.Regression(), fr.Binary()):
        for values, dtype in ((numbers, pl.Float64), (whole, pl.Int64)):
            assert fast(values, dtype, task) == [slow(value, task) for value in values]
    assert fast(flags, pl.Boolean, fr.Binary()) == [slow(flag, fr.Binary()) for flag in flags]


@given(NUMBERS, st.integers(0, 10))
def test_what_stands_beside_a_label_decides_nothing(values: list[Any], cut: int) -> None:
    task = fr.Regression()
    apart = fast(values[:cut], pl.Float64, task) + fast(values[cut:], pl.Float64, task)
    assert fast(values, pl.Float64, task) == apart


def test_a_bad_label_is_told_with_its_value_and_what_to_do() -> None:
    many = fr.Classes([f"c{number}" for number in range(12)])
    assert why_bad("x", many).endswith("c9 and 2 more; declare it, or send it again patched")
    assert why_bad(math.inf, fr.Regression()).startswith("inf is no number that float32 can hold")
    assert why_bad(0.5, fr.Binary()).startswith("0.5 is neither true nor false")
