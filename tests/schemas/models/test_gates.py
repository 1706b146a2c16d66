"""Gates are declared rightly, or refused in a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from freshet.schemas.errors import DefinitionError
from freshet.schemas.models.gates import KNOWN, METRICS, Gate, check_gates
from freshet.schemas.models.tasks import Binary, Classes, Regression, Task

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("loss", {"at_most": 1.0}, "it is no metric"),
    ("brier", {}, "it has no bound"),
    ("brier", {"at_most": 1.0, "no_worse_by": 0.1}, "two kinds"),
    ("brier", {"at_most": float("nan")}, "at_most=nan"),
    ("brier", {"at_most": True}, "at_most=True"),
    ("brier", {"no_worse_by": -0.1}, "no_worse_by=-0.1"),
    ("auc", {"no_worse_by": 0.1}, "no label has one of its own"),
    ("brier", {"at_most": 0.1, "than": "frozen"}, "than= is for no_worse_by= only"),
    ("brier", {"no_worse_by": 0.1, "than": "me"}, "than='me' is no reference"),
    ("auc", {"at_least": 0.9, "at_most": 0.8}, "at_least is above at_most"),
    ("auc", {"at_least": 0.9, "min_labels": 0}, "min_labels=0"),
    ("auc", {"at_least": 0.9, "cut_off": 0.5}, "for rates only"),
    ("selection_rate", {"at_most": 0.9}, "cut_off=None"),
    ("selection_rate", {"at_most": 0.9, "cut_off": 1.0}, "cut_off=1.0"),
    ("selection_rate", {"at_most": 0.9, "cut_off": 0.5, "slice": "a"}, "slice='a'"),
    ("selection_rate_ratio", {"at_least": 0.8, "cut_off": 0.5}, "slice=None"),
    (
        "selection_rate_ratio",
        {"at_least": 0.8, "cut_off": 0.5, "slice": "a", "per_slice": True},
        "per_slice=True",
    ),
]


@pytest.mark.parametrize(("metric", "given", "told"), WRONG)
def test_a_gate_that_means_nothing_is_refused(
    metric: str, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        Gate(metric, **given)
    assert told in str(caught.value)
    assert metric in str(caught.value)


@pytest.mark.parametrize("task", [Binary(), Classes(["a", "b"]), Regression()])
@pytest.mark.parametrize("metric", KNOWN)
def test_a_gate_is_of_a_metric_of_the_task(task: Task, metric: str) -> None:
    given: dict[str, Any] = {"at_most": 0.5}
    if "rate" in metric:
        given["cut_off"] = 0.5
    if metric.endswith("_ratio"):
        given["slice"] = "carrier"
    gate = Gate(metric, **given)
    if metric in METRICS[task.kind]:
        check_gates("model late", [gate], task, ["carrier"])
        return
    with pytest.raises(DefinitionError, match=f"model late.*{metric}.*{task.kind}"):
        check_gates("model late", [gate], task, ["carrier"])


def test_a_slice_must_be_declared() -> None:
    by_slice = Gate("brier", at_most=0.2, per_slice=True)
    with pytest.raises(DefinitionError, match="has no slices"):
        check_gates("model late", [by_slice], Binary(), [])
    ratio = Gate("selection_rate_ratio", slice="sex", cut_off=0.5, at_least=0.8)
    with pytest.raises(DefinitionError, match="'sex', which is no slice"):
        check_gates("model late", [ratio], Binary(), ["carrier"])
