"""Tables of the command, as a person reads them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from freshet.serving.status.status import (
    ClassCounts,
    Clock,
    LabelFigures,
    LineageFigures,
    ModelFigures,
    Quality,
    References,
    SliceFigures,
    Status,
)
from freshet.tables.run_status import show_models, show_status

NUMBERS = Quality(n=10, mae=1.5, rmse=2.5, bias=-0.25, squared_error=6.25)
CLASSES = Quality(n=10, accuracy=0.75, macro_f1=0.5, ne=0.875, log_loss=0.625, calibration=1.125)


@pytest.mark.parametrize(
    ("task", "quality", "heads", "figures"),
    [
        ("regression", NUMBERS, ["MAE", "RMSE", "bias"], ["1.5000", "2.5000", "-0.2500"]),
        ("classes", CLASSES, ["accuracy", "macro F1"], ["0.750", "0.5000", "0.6250"]),
    ],
)
def test_a_model_shows_the_figures_of_its_task(
    task: str, quality: Quality, heads: list[str], figures: list[str]
) -> None:
    lineage = LineageFigures(
        name="linear-1",
        overall=quality,
        references=References(prior=quality, no_change=quality),
        slices=[SliceFigures(field="day", value="Mon", served=quality)],
    )
    model = ModelFigures(name="price", task=task, lineages=[lineage])
    clock = Clock(state="running", paced=False, app_ms=1)
    out = io.StringIO()
    show_models(Status(app="a", at_ms=1, clock=clock, models=[model]), Console(file=out, width=200))
    shown = out.getvalue()
    assert "AUC" not in shown
    for word in (*heads, *figures, "(prior)", "(no change)"):
        assert word in shown, word


def test_the_status_tells_what_became_of_each_model_s_labels() -> None:
    told = LabelFigures(fates={"used": 1_900, "null": 12, "bad": 5})
    models = [ModelFigures(name="kind", labels=told), ModelFigures(name="new")]
    out = io.StringIO()
    show_status(Status(app="a", at_ms=1, models=models), Console(file=out, width=200))
    (head, row) = out.getvalue().splitlines()[-2:]
    assert head.split() == ["labels", "of", "model", "used", "no", "value", "bad", "no", "id"]
    assert row.split() == ["kind", "1,900", "12", "5", "0"]


def test_before_a_label_came_the_status_says_nothing_of_labels() -> None:
    out = io.StringIO()
    status = Status(app="a", at_ms=1, models=[ModelFigures(name="new")])
    show_status(status, Console(file=out, width=200))
    assert "labels of model" not in out.getvalue()


def test_models_of_classes_show_counts_by_class() -> None:
    counts = [
        ClassCounts(name="sky", labelled=300, answered=320, right=290),
        ClassCounts(name="[b]grass", labelled=600, answered=580, right=570),
    ]
    model = ModelFigures(name="kind", task="classes", classes=counts)
    out = io.StringIO()
    show_models(Status(app="a", at_ms=1, models=[model]), Console(file=out, width=200))
    shown = [line.split() for line in out.getvalue().splitlines()]
    assert ["class", "labels", "answered", "right"] in shown
    assert ["sky", "300", "320", "290"] in shown
    assert ["[b]grass", "600", "580", "570"] in shown
