"""The rungs below the models, as users declare them: what answers where no model can.

A rung says what it needs. It answers only if all of that is there, so no rung is chosen that
suffers from the very thing it should cure: features that cannot be read rule out every rung that
reads them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from freshet.schemas.errors import DefinitionError
from freshet.schemas.evaluated import evaluated
from freshet.schemas.models.vectors import F64

if TYPE_CHECKING:
    import polars as pl

Need = Literal["champion", "last_good", "fresh_model", "features", "inputs", "time"]
_NOTHING: frozenset[Need] = frozenset()
_FEATURES: frozenset[Need] = frozenset(("features",))


@dataclass(frozen=True)
class Constant:
    """A rung that answers every row with `p`, and needs nothing. Made by `fr.constant`.

    Args:
        p: A probability, between 0 and 1, both exclusive.
    """

    p: float
    rung = "constant"
    needs = _NOTHING

    def __post_init__(self) -> None:
        _check(f"constant({self.p})", self.p)

    def answer(self, frame: pl.DataFrame) -> F64:
        """Probabilities float64 `[n]`, all of them `p`."""
        return np.full(frame.height, self.p)


@dataclass(frozen=True)
class Heuristic:
    """A rung that answers by a row-wise expression. Made by `fr.heuristic`.

    Args:
        when: A Polars expression over the model's features.
        p_true: The answer where it is true.
        p_false: The answer where it is false or missing.
    """

    when: pl.Expr
    p_true: float
    p_false: float
    # Those of its features that a request brings, though their names have dots: nested ones.
    brought: frozenset[str] = field(default=frozenset(), init=False, compare=False, repr=False)
    # Those that are computed of features of views, under names without dots.
    of_views: frozenset[str] = field(default=frozenset(), init=False, compare=False, repr=False)
    rung = "heuristic"

    def __post_init__(self) -> None:
        for p in (self.p_true, self.p_false):
            _check(f"heuristic(…, p_true={self.p_true}, p_false={self.p_false})", p)

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

    def answer(self, frame: pl.DataFrame) -> F64:
        """Probabilities float64 `[n]` within (0, 1), for `n` rows of the features it reads."""
        # to Polars NaN is larger than any number, to models it is missing
        known = frame.fill_nan(None)
        found = evaluated(known, [self.when.alias("p")]).to_series()
        p: F64
        if str(found.dtype) == "Boolean":
            p = np.where(found.fill_null(False).to_numpy(), self.p_true, self.p_false)
        else:
            p = np.clip(
                found.cast(float).fill_null(self.p_false).fill_nan(self.p_false).to_numpy(),
                1e-6,
                1 - 1e-6,
            )
        return p


# What answers where no model can, as users declare it.
Rung = Heuristic | Constant


def constant(p: float) -> Constant:
    """A rung that always answers `p`, such as the base rate; the last of a model's `fallback`.

    It needs neither model nor store nor time, so that with it no request goes without an answer.

    Args:
        p: A probability, between 0 and 1, both exclusive.

    Returns:
        The rung, for `fr.Model(fallback=[…])`.

    Raises:
        DefinitionError: `p` is no such number.

    Examples:
        >>> import freshet as fr
        >>> fr.constant(0.2)
        Constant(p=0.2)
    """
    return Constant(p)


def heuristic(when: pl.Expr, p_true: float = 0.6, p_false: float = 0.2) -> Heuristic:
    """A rung that needs no model: an expression over the features of a request.

    If it reads a feature of a view it needs the store, and is passed over while that is away.

    Args:
        when: A row-wise Polars expression over the names of the model's features (those of views
            are `view.feature`; categories are texts, numbers are float32, all are null where
            missing). It is true, false or null, or a probability, which is held
            within 1e-6 and 1 - 1e-6.
        p_true: The answer where `when` is true, between 0 and 1, both exclusive.
        p_false: The answer where `when` is false or missing (null or NaN), in the same bounds.

    Returns:
        The rung, for `fr.Model(fallback=[…])`.

    Raises:
        DefinitionError: `p_true` or `p_false` is no such number. That `when` is row-wise and reads
            features of the model is checked by `fr.App`.

    Examples:
        >>> import freshet as fr
        >>> import polars as pl
        >>> late = fr.heuristic(pl.col("courier.late_1h") > 20, p_true=0.7)
        >>> late.answer(pl.DataFrame({"courier.late_1h": [30.0, 5.0, None]})).tolist()
        [0.7, 0.2, 0.2]
    """
    return Heuristic(when, p_true, p_false)


def _check(what: str, p: float) -> None:
    if not 0 < p < 1:
        raise DefinitionError(
            what, f"{p} is no probability", "Use a number between 0 and 1, both exclusive."
        )


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
