"""What a label's expression makes of events, as what is learned: one number each, by the task of
the model that it labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.schemas.models.tasks import Binary, Classes, Regression, Task

if TYPE_CHECKING:
    import polars as pl

# Learners are given labels as float32: beyond it a number would be learned as infinity.
LARGEST = float(np.finfo(np.float32).max)
SHOWN_CLASSES = 10  # of those that were declared, in a letter


class LabelValues(NamedTuple):
    """Of each event its label, float64 with nulls where it is none, and whether what the expression
    gave is no label of the task (bool `[n]`): there `values` is null, too."""

    values: pl.Series
    is_bad: npt.NDArray[np.bool_]


def label_values(found: pl.Series, task: Task) -> LabelValues:
    """Labels of what an expression gave: of a binary task 0.0 and 1.0 (of a boolean: false, true),
    of classes the place of the text among those declared (integers and booleans by their text: 7,
    true), of a regression the number, which must be finite as float32. Null is no label."""
    if isinstance(task, Classes):
        return _of_classes(found, task)
    return _of_numbers(found, task)


def _of_classes(found: pl.Series, task: Classes) -> LabelValues:
    import polars as pl

    texts = found.cast(pl.String)
    places = [float(place) for place in range(len(task.classes))]
    values = texts.replace_strict(
        list(task.classes),
        places,
        default=None,
        return_dtype=pl.Float64,
    )
    is_bad = values.is_null() & texts.is_not_null()
    return LabelValues(values, is_bad.to_numpy())


def _of_numbers(found: pl.Series, task: Binary | Regression) -> LabelValues:
    import polars as pl

    values = found.cast(pl.Float64)
    # Null is a label of neither kind, and no bad one.
    numbers = values.fill_null(0.0).to_numpy()
    if isinstance(task, Regression):
        # Not the other way round: every comparison with NaN is false.
        is_bad = ~(np.abs(numbers) <= LARGEST)
    else:
        is_bad = (numbers != 0.0) & (numbers != 1.0)
    if is_bad.any():
        values = values.set(pl.Series(is_bad), None)
    return LabelValues(values, is_bad)


def why_no_label(dtype: pl.DataType, values: pl.Series, task: Task) -> tuple[str, str] | None:
    """What a label of a task is, and what to do, where an expression that gives such values can be
    none; None where it can."""
    if isinstance(task, Classes):
        return _why_no_class(dtype)
    if isinstance(task, Regression):
        if dtype.is_numeric():
            return None
        other = "Give a number"
        if str(dtype) == "Boolean":
            other = "Declare task=fr.Binary(), which labels are true or false of"
        elif str(dtype) == "String":
            other = "Declare task=fr.Classes([…]), or cast it to a number"
        return "a label of fr.Regression() is a number", f"{other}."
    is_sound = str(dtype) == "Boolean"
    if dtype.is_numeric():
        # Of values that are there: nulls are passed over.
        is_sound = bool(((values == 0) | (values == 1)).all())
    if is_sound:
        return None
    instead = "an amount is task=fr.Regression(), one of several values task=fr.Classes([…])"
    return (
        "a label is true or false",
        f"Ask for one outcome, as a comparison does, or declare the model's task: {instead}.",
    )


def _why_no_class(dtype: pl.DataType) -> tuple[str, str] | None:
    is_text = str(dtype).startswith(("String", "Enum", "Categorical"))
    if is_text or dtype.is_integer() or str(dtype) == "Boolean":
        return None
    return (
        "what fr.Classes(…) takes is a text",
        "Give one of the classes as a text, or as an integer or a boolean that is written like it; "
        "an amount is task=fr.Regression().",
    )


def why_bad(value: object, task: Task) -> str:
    """What is wrong with a value that is no label of a task, and the next step, for a person."""
    if isinstance(task, Classes):
        shown = ", ".join(task.classes[:SHOWN_CLASSES])
        more = len(task.classes) - SHOWN_CLASSES
        if more > 0:
            shown = f"{shown} and {more} more"
        return f"{value!r} is none of the classes {shown}; declare it, or send it again patched"
    if isinstance(task, Regression):
        return f"{value!r} is no number that float32 can hold; send it again patched"
    return (
        f"{value!r} is neither true nor false, neither 1 nor 0, nor null, which is no label; "
        "send it again patched"
    )
