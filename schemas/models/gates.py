"""What a model must hold before it may answer: bounds of a figure, or of its distance from another.

In TensorFlow Model Analysis' words (its page on model validations): `at_most` and `at_least` are a
*value threshold*, `no_worse_by` is a *change threshold* against another model on the same labels,
`per_slice` asks for it in each slice, and rates by group with a cut-off are *fairness indicators*.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from freshet.schemas.declared import brief
from freshet.schemas.errors import DefinitionError
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION, Task

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")
RATIO = "_ratio"  # of the least rate among groups over the greatest
RATIOS = tuple(rate + RATIO for rate in RATES)
# Means of a bounded loss of each label: only of those are differences of pairs bounded too.
LOSSES = {
    BINARY: ("brier", "log_loss", "accuracy"),
    CLASSES: ("brier", "log_loss", "accuracy"),
    REGRESSION: ("mse", "mae"),
}
METRICS = {
    BINARY: (*LOSSES[BINARY], "auc", "calibration", *RATES, *RATIOS),
    CLASSES: LOSSES[CLASSES],
    REGRESSION: (*LOSSES[REGRESSION], "rmse", "bias"),
}
KNOWN = tuple(dict.fromkeys(metric for metrics in METRICS.values() for metric in metrics))
CHAMPION = "champion"
REFERENCES = (CHAMPION, "baseline", "fallback", "frozen")
OF_BOUNDS = "Write at_most=, at_least= or both; or no_worse_by= alone."


@dataclass(frozen=True, slots=True)
class Gate:
    """A figure that a model must hold, on labels of questions that were really asked.

    Args:
        metric: `log_loss`, `brier`, `accuracy`, and of binary ones `auc`, `calibration`, the rates
            `selection_rate`, `true_positive_rate`, `false_positive_rate` and each with `_ratio`;
            of numbers `mse`, `mae`, `rmse`, `bias`.
        at_most: The figure may be no more.
        at_least: It may be no less.
        no_worse_by: It may be worse than that of `than`, on the same questions, by no more than
            this, in the metric's own unit. 0 asks for a better one.
        than: `"champion"`, `"baseline"`, `"fallback"` or `"frozen"` (the champion of long ago, so
            that small losses cannot add up).
        per_slice: The gate holds in each slice as well that has `min_labels`.
        slice: Of a ratio of rates: the declared slice whose values are the groups.
        cut_off: Of a rate: from which probability on an answer counts as selected.
        min_labels: With fewer labels nothing passes, and what has not passed never answers.

    Raises:
        DefinitionError: an unknown metric or reference, no bound or two kinds of bounds, a bound
            that is no number, a rate without `cut_off` or a ratio without `slice`.

    Examples:
        >>> Gate("log_loss", at_most=0.62).than
        'champion'
        >>> Gate("selection_rate_ratio", slice="carrier", cut_off=0.5, at_least=0.8).min_labels
        1000
    """

    metric: str
    at_most: float | None = None
    at_least: float | None = None
    no_worse_by: float | None = None
    than: str = CHAMPION
    per_slice: bool = False
    slice: str | None = None
    cut_off: float | None = None
    min_labels: int = 1_000

    def __post_init__(self) -> None:
        if self.metric not in KNOWN:
            raise self.wrong("it is no metric", f"Write one of {', '.join(KNOWN)}.")
        self._check_bounds()
        if self.than not in REFERENCES:
            instead = f"Write one of {', '.join(REFERENCES)}."
            raise self.wrong(f"than={brief(self.than)} is no reference", instead)
        if type(self.min_labels) is not int or self.min_labels < 1:
            raise self.wrong(
                f"min_labels={brief(self.min_labels)}", "Write a whole number, 1 or more."
            )
        self._check_groups()

    @property
    def is_relative(self) -> bool:
        """Whether it compares with another model."""
        return self.no_worse_by is not None

    @property
    def rate(self) -> str | None:
        """Of a rate, or a ratio of rates, the rate."""
        rate = self.metric.removesuffix(RATIO)
        if rate in RATES:
            return rate
        return None

    def wrong(self, problem: str, instead: str) -> DefinitionError:
        """A refusal that names the gate."""
        return DefinitionError(
            f"fr.Gate({brief(self.metric)})",
            problem,
            instead,
        )

    def _check_bounds(self) -> None:
        given = {"at_most": self.at_most, "at_least": self.at_least}
        given["no_worse_by"] = self.no_worse_by
        for name, bound in given.items():
            if bound is not None and not _is_number(bound):
                raise self.wrong(f"{name}={brief(bound)}", "Write a finite number.")
        alone = self.at_most is None and self.at_least is None
        if alone == (self.no_worse_by is None):
            raise self.wrong("it has no bound, or two kinds of them", OF_BOUNDS)
        if self.no_worse_by is not None:
            if all(self.metric not in losses for losses in LOSSES.values()):
                instead = "Compare brier, log_loss, accuracy, mse or mae; bound this one itself."
                raise self.wrong("no label has one of its own to compare", instead)
            if self.no_worse_by < 0:
                raise self.wrong(f"no_worse_by={self.no_worse_by}", "Write 0 or more.")
        elif self.than != CHAMPION:
            raise self.wrong("than= is for no_worse_by= only", OF_BOUNDS)
        if self.at_most is not None and self.at_least is not None and self.at_least > self.at_most:
            raise self.wrong("at_least is above at_most", "Nothing is both: turn them round.")

    def _check_groups(self) -> None:
        if self.rate is None:
            if self.cut_off is not None or self.slice is not None:
                instead = f"Leave them out, or write one of {', '.join((*RATES, *RATIOS))}."
                raise self.wrong("cut_off= and slice= are for rates only", instead)
            return
        cut = self.cut_off
        if cut is None or not _is_number(cut) or not 0 < cut < 1:
            raise self.wrong(f"cut_off={brief(cut)}", "Write a probability, such as cut_off=0.5.")
        is_ratio = self.metric in RATIOS
        if is_ratio != (self.slice is not None):
            instead = "A ratio needs slice=, whose values are the groups; a rate has none."
            raise self.wrong(f"slice={brief(self.slice)}", instead)
        if is_ratio and self.per_slice:
            raise self.wrong("per_slice=True", "Groups of a ratio are slices already: leave it.")


def check_gates(where: str, gates: Sequence[Gate], task: Task, slices: Collection[str]) -> None:
    """Raises `DefinitionError` where a gate means nothing of such a task, or of these slices."""
    for gate in gates:
        if gate.metric not in METRICS[task.kind]:
            can = ", ".join(METRICS[task.kind])
            problem = f"its gate {gate.metric!r} means nothing of task {task.kind!r}"
            raise DefinitionError(where, problem, f"Write one of {can}.")
        if gate.per_slice and not slices:
            problem = f"its gate {gate.metric!r} is per_slice, and it has no slices"
            raise DefinitionError(where, problem, "Declare slices=[…], or leave per_slice out.")
        if gate.slice is not None and gate.slice not in slices:
            problem = f"its gate {gate.metric!r} names {gate.slice!r}, which is no slice"
            raise DefinitionError(where, problem, "Declare it in slices=[…].")


def _is_number(value: object) -> bool:
    """A truth value is an int to Python, and no bound."""
    kind = isinstance(value, int | float) and not isinstance(value, bool)
    return kind and math.isfinite(float(value))  # type: ignore[arg-type]
