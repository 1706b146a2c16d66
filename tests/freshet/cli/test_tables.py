"""Tables of the command, as a person reads them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from freshet.cli.tables import show_models
from freshet.serving.status.status import (
    Clock,
    LineageFigures,
    ModelFigures,
    Quality,
    References,
    SliceFigures,
    Status,
)

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
