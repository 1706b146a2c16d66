"""The rungs below the models, as users declare them: what answers where no model can.

A rung says what it needs. It answers only if all of that is there, so no rung is chosen that
suffers from the very thing it should cure: features that cannot be read rule out every rung that
reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from freshet.schemas.declared import brief
from freshet.schemas.errors import DefinitionError
from freshet.schemas.evaluated import evaluated
from freshet.schemas.models.label_values import label_values
from freshet.schemas.models.tasks import BINARY, DEFAULT_TASK, Classes, Regression, Task
from freshet.schemas.models.vectors import F64

if TYPE_CHECKING:
    import polars as pl

Need = Literal["champion", "last_good", "fresh_model", "features", "inputs", "time"]
LEAST = 1e-6  # of a probability that a rung gives: what is certain costs too much if it is wrong
SUM_WITHIN = 1e-6  # of declared probabilities, which people round
_NOTHING: frozenset[Need] = frozenset()
_FEATURES: frozenset[Need] = frozenset(("features",))


@dataclass(frozen=True)
class Constant:
    """A rung that answers every row with `p`, and needs nothing. Made by `fr.constant`.

    Args:
        p: As of `fr.constant`.
    """

    p: float | str | Mapping[str, float]
    rung = "constant"
    needs = _NOTHING

    def __post_init__(self) -> None:
        # What no task has for an answer is refused where it stands.
        if isinstance(self.p, float) and not math.isfinite(self.p):
            raise DefinitionError(
                f"constant({self.p})",
                f"{self.p} is no answer",
                "Use a finite number: of a binary model a probability.",
            )

    def check(self, where: str, task: Task) -> None:
        """Raises `DefinitionError`, naming `where`, if it is no answer of a task."""
        answered(where, self.p, task)

    def answer(self, frame: pl.DataFrame, task: Task = DEFAULT_TASK) -> F64:
        """Answers float64 `[n]`, of classes `[n, k]`: all of them `p`."""
        one = answered("fr.constant", self.p, task)
        out: F64 = np.repeat(one, frame.height, axis=0)
        return out


@dataclass(frozen=True)
class Heuristic:
    """A rung that answers by a row-wise expression. Made by `fr.heuristic`.

    Args:
        when: A Polars expression over the model's features.
        p_true: The answer where it is true.
        p_false: The answer where it is false or missing.
    """

    when: pl.Expr
    p_true: float | str | Mapping[str, float]
    p_false: float | str | Mapping[str, float]
    # Those of its features that a request brings, though their names have dots: nested ones.
    brought: frozenset[str] = field(default=frozenset(), init=False, compare=False, repr=False)
    # Those that are computed of features of views, under names without dots.
    of_views: frozenset[str] = field(default=frozenset(), init=False, compare=False, repr=False)
    rung = "heuristic"

    def check(self, where: str, task: Task) -> None:
        """Raises `DefinitionError`, naming `where`, if it gives no answers of a task."""
        for p in (self.p_true, self.p_false):
            answered(where, p, task)

    @property
    def fields(self) -> tuple[str, ...]:
        """The features that it reads; those of views have a dot in their name, as those have that
        are nested in a request."""
        return tuple(sorted(set(self.when.meta.root_names())))

    @property
    def needs(self) -> frozenset[Need]:
        """The store, if it reads a feature of a view, or what is computed of one; else nothing."""
        for name in self.fields:
            of_view = "." in name and name not in self.brought
            if of_view or name in self.of_views:
                return _FEATURES
        return _NOTHING

    def answer(self, frame: pl.DataFrame, task: Task = DEFAULT_TASK) -> F64:
        """Answers float64 `[n]`, of classes `[n, k]`, for `n` rows of the features it reads."""
        # to Polars NaN is larger than any number, to models it is missing
        known = frame.fill_nan(None)
        found = evaluated(known, [self.when.alias("p")]).to_series()
        yes, no = (answered("fr.heuristic", p, task) for p in (self.p_true, self.p_false))
        p: F64
        if str(found.dtype) == "Boolean":
            is_true = found.fill_null(False).to_numpy()
            p = np.concatenate([no, yes])[is_true.astype(np.intp)]
        elif isinstance(task, Classes):
            # The name of a class, where the expression says one; what it does not say is `p_false`.
            given = label_values(found, task).values.fill_null(-1.0).to_numpy().astype(np.intp)
            every = [no, *(answered("fr.heuristic", name, task) for name in task.classes)]
            p = np.concatenate(every)[given + 1]
        else:
            other = float(no[0])
            p = found.cast(float).fill_null(other).fill_nan(other).to_numpy().copy()
            if task.kind == BINARY:
                p = np.clip(p, LEAST, 1 - LEAST)
            else:
                p[~np.isfinite(p)] = other
        return p


# What answers where no model can, as users declare it.
Rung = Heuristic | Constant


def constant(p: float | str | Mapping[str, float]) -> Constant:
    """A rung that always answers `p`, such as the base rate; the last of a model's `fallback`.

    It needs neither model nor store nor time, so that with it no request goes without an answer.

    Args:
        p: By the model's task. Binary: a probability, between 0 and 1, both exclusive. Classes: a
            probability for each class by its name, or the name of one, which is as good as certain
            then. Regression: a finite number.

    Returns:
        The rung, for `fr.Model(fallback=[…])`. That `p` fits the task is checked by `fr.Model`.

    Examples:
        >>> import freshet as fr
        >>> fr.constant(0.2)
        Constant(p=0.2)
        >>> fr.constant({"red": 0.5, "green": 0.3, "blue": 0.2}).p["red"]
        0.5
    """
    return Constant(p)


def heuristic(
    when: pl.Expr,
    p_true: float | str | Mapping[str, float] = 0.6,
    p_false: float | str | Mapping[str, float] = 0.2,
) -> Heuristic:
    """A rung that needs no model: an expression over the features of a request.

    If it reads a feature of a view it needs the store, and is passed over while that is away.

    Args:
        when: A row-wise Polars expression over the names of the model's features (those of views
            are `view.feature`; categories are texts, numbers are float32, all are null where
            missing). It is true, false or null, or the answer itself: a probability, which is held
            within 1e-6 and 1 - 1e-6, the name of a class, or of a regression the number.
        p_true: The answer where `when` is true, as `fr.constant` has it.
        p_false: The answer where `when` is false or missing (null or NaN), or is no answer itself.

    Returns:
        The rung, for `fr.Model(fallback=[…])`.

    Raises:
        DefinitionError: from `fr.Model`, if `p_true` or `p_false` is no answer of its task. That
            `when` is row-wise and reads features of the model is checked by `fr.App`.

    Examples:
        >>> import freshet as fr
        >>> import polars as pl
        >>> late = fr.heuristic(pl.col("courier.late_1h") > 20, p_true=0.7)
        >>> late.answer(pl.DataFrame({"courier.late_1h": [30.0, 5.0, None]})).tolist()
        [0.7, 0.2, 0.2]
    """
    return Heuristic(when, p_true, p_false)


def answered(where: str, p: float | str | Mapping[str, float], task: Task) -> F64:
    """A declared answer as one row, float64 `[1]`, of classes `[1, k]`. Raises `DefinitionError`,
    naming `where`, if it is none of the task."""
    if isinstance(task, Classes):
        return _of_classes(where, p, task)
    is_number = isinstance(p, int | float) and not isinstance(p, bool)
    if isinstance(task, Regression):
        if not is_number or not math.isfinite(cast(float, p)):
            raise DefinitionError(where, f"{p!r} is no finite number", "Write one: fr.constant(0).")
    elif not is_number or not 0 < cast(float, p) < 1:
        raise DefinitionError(
            where, f"{p!r} is no probability", "Use a number between 0 and 1, both exclusive."
        )
    return np.array([float(cast(float, p))])


def _of_classes(where: str, p: float | str | Mapping[str, float], task: Classes) -> F64:
    shares = p
    if isinstance(p, str):
        # Not quite certain: a single mistake would cost an infinite log loss.
        rest = LEAST / (task.width - 1)
        shares = {name: 1 - LEAST if name == p else rest for name in task.classes}
    is_sound = isinstance(shares, Mapping) and set(shares) == set(task.classes)
    if not is_sound or (isinstance(p, str) and p not in task.classes):
        raise DefinitionError(
            where,
            f"{brief(p)} is no answer of {task.width} classes",
            f"Name one, or give each its probability: {', '.join(task.classes[:10])}.",
        )
    row = np.array([float(cast(Mapping[str, float], shares)[name]) for name in task.classes])
    if not ((row > 0) & (row < 1)).all() or abs(row.sum() - 1) > SUM_WITHIN:
        raise DefinitionError(
            where,
            f"{brief(p)} are no probabilities",
            "Use numbers between 0 and 1, both exclusive, that add up to 1.",
        )
    found: F64 = row[np.newaxis] / row.sum()
    return found


def with_sources(rung: Rung, nested: frozenset[str], of_views: frozenset[str]) -> Rung:
    """A rung that knows which of the names with dots a request brings, and which of those without
    are made of features of views."""
    if not isinstance(rung, Heuristic):
        return rung
    made = replace(rung)
    # Frozen to everybody else.
    object.__setattr__(made, "brought", nested)
    object.__setattr__(made, "of_views", of_views)
    return made
