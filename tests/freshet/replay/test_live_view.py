"""The terminal tells what the status and the report say, on a TTY and without one."""

from __future__ import annotations

import io
from typing import cast

import msgspec
import numpy as np
import pytest
from rich.console import Console

from freshet.figures import DASH
from freshet.quality.figures import quality as quality_of
from freshet.quality.figures import references
from freshet.quality.report_types import QualityReport
from freshet.replay.live_view import LiveView, line, summary
from freshet.replay.report_types import LineageReport, QuantilesReport, ReplayReport
from freshet.schemas.models.tasks import Classes, Regression, Task
from freshet.serving.status.status import Promise, Quality, References, Status
from tests.serving.status.fake_status import FakeYear


def console(width: int = 80, tty: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=tty, legacy_windows=False)


def text(out: Console) -> str:
    return cast(io.StringIO, out.file).getvalue()


@pytest.fixture(scope="module")
def year() -> FakeYear:
    return FakeYear(59).advance(2_000, observe_every=20)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_live_view_fits_its_terminal(year: FakeYear, width: int) -> None:
    out = console(width)
    out.print(LiveView(out, "http://127.0.0.1:8081").render(year.status()))
    rows = text(out).splitlines()
    assert max(map(len, rows)) <= width
    assert len(rows) <= 24
    model = year.status().models[0]
    assert model.served is not None
    for told in (
        "flights",
        "replaying",
        "takeoffs",
        f"{model.served.lineage} #{model.served.number}",
        "baseline 0.",
    ):
        assert told in text(out)


def test_a_status_of_which_nothing_is_known_yet_shows_dashes() -> None:
    out = console()
    out.print(LiveView(out).render(Status(app="flights", at_ms=0)))
    assert "starting" in text(out)
    assert DASH in text(out)
    assert "None" not in text(out)
    assert "nan" not in text(out)


NUMBERS = Quality(n=500, mae=1_234.5, rmse=2_345.678, bias=-3.0, squared_error=5.5e6)
SHARES = Quality(n=500, ne=0.412, accuracy=0.831, macro_f1=0.8, log_loss=0.7)


@pytest.mark.parametrize(
    ("task", "now", "told"),
    [
        ("regression", NUMBERS, "RMSE 2,345.7 (baseline –, prior 3,100.0, no change 2,800.0)"),
        ("classes", SHARES, "accuracy 0.831 (baseline –, prior 0.400, no change 0.200)"),
    ],
)
def test_a_status_is_told_in_the_figures_of_its_task(
    year: FakeYear, task: str, now: Quality, told: str
) -> None:
    references = References(
        prior=Quality(n=500, ne=1.01, accuracy=0.4, rmse=3_100.0, mae=2_000.0),
        no_change=Quality(n=499, accuracy=0.2, rmse=2_800.0, mae=1_000.0),
    )
    status = year.status()
    model = msgspec.structs.replace(
        status.models[0],
        task=task,
        rolling=now,
        rolling_baseline=Quality(),
        rolling_references=references,
    )
    status = msgspec.structs.replace(status, models=[model])
    assert told in line(status)
    assert "AUC" not in line(status)
    out = console(100)
    out.print(LiveView(out).render(status))
    first = "RMSE" if task == "regression" else "NE"
    assert f"{first} overall" in text(out)
    assert "prior" in text(out)
    assert "too few labels yet" not in text(out)
    assert max(map(len, text(out).splitlines())) <= 100


def test_broken_promises_are_told_with_their_reason_and_not_by_colour_alone(year: FakeYear) -> None:
    broken = Promise("Every request answered", "red", "3 failed")
    status = msgspec.structs.replace(year.status(), promises=[broken])
    out = console()
    out.print(LiveView(out).render(status))
    assert "✖ Every request answered: 3 failed" in text(out)
    assert "RED Every request answered: 3 failed" in line(status)


def test_without_a_tty_it_prints_a_plain_line_every_five_seconds_and_a_last_one() -> None:
    out, year = console(), FakeYear(1)
    with LiveView(out) as view:
        while year.state == "running":  # 96 steps are 4 s
            view.update(year.advance(4).status())
    rows = text(out).splitlines()
    assert len(rows) == 2
    assert "\x1b" not in text(out)
    assert "ended 100.0%" in rows[-1]


def test_on_a_tty_it_redraws_in_place_and_leaves_the_cursor_on() -> None:
    out, year = console(tty=True), FakeYear(1)
    with LiveView(out) as view:
        view.update(year.advance(4).status())
        view.update(year.advance(4).status())
    assert "\x1b[" in text(out)
    assert text(out).rindex("\x1b[?25h") > text(out).rindex("\x1b[?25l")


def quality(n: int, auc: float | None) -> QualityReport:
    return {
        "n": n,
        "auc": auc,
        "ne": 0.81,
        "calibration": 1.01,
        "log_loss": 0.4434,
        "accuracy": 0.802,
    }


QUANTILES: QuantilesReport = {"p50": 2.0, "p99": 6_500.0, "max": 900_000.0}


def lineage(auc: float) -> LineageReport:
    """On other labels than those of what was served."""
    prior: QualityReport = {**quality(50_699, 0.5), "log_loss": 0.5491}
    no_change: QualityReport = {**quality(50_698, None), "accuracy": 0.677}
    return {
        "learned": 50_699,
        "prequential": quality(50_699, auc),
        "prior": prior,
        "no_change": no_change,
    }


def report(verdict: list[str], agrees: bool = True) -> ReplayReport:
    return {
        "app": "flights",
        "app_from_ms": 1_357_016_400_000,
        "app_to_ms": 1_362_114_000_000,
        "steps": 5_664,
        "wall_seconds": 231.4,
        "topics": {
            "arrivals": {
                "records": 1_000,
                "applied": 980,
                "deduplicated": 10,
                "empty": 0,
                "dropped": {"late": 4},
                "dead": {"outlier": 6},
                "ledger_agrees": agrees,
            }
        },
        "ledger_agrees": agrees,
        "views": {"origin_delay": QUANTILES},
        "models": {
            "late_arrival": {
                "asked": 51_955,
                "examples": 51_900,
                "labelled": 50_700,
                "expired": 1_200,
                "corrections": 3,
                "snapshots": 1_888,
                "approvals": 1_887,
                "refusals": 1,
                "swaps": 470,
                "served_lineage": "torch_ctr",
                "baseline_lineage": "baseline",
                "after": 5_000,
                "served": quality(45_700, 0.7311),
                "baseline": quality(45_700, 0.6912),
                "without_features": None,
                "prior": {**quality(45_700, 0.5), "log_loss": 0.5478, "accuracy": 0.763},
                "no_change": {
                    **quality(45_699, None),
                    "ne": None,
                    "log_loss": None,
                    "accuracy": 0.681,
                },
                "lineages": {"river": lineage(0.72), "torch_ctr": lineage(0.73)},
                "slices": {"carrier": {"UA": quality(9_000, 0.74), "HA": quality(12, None)}},
                "lag_ms": QUANTILES,
                "label_delay_ms": {"p50": 9_900_000.0, "p99": 26_700_000.0, "max": 30_000_000.0},
                "not_learned": {"labels that belong to no question": 77},
            }
        },
        "requests": {
            "attempts": 5_664,
            "answered": 5_664,
            "failed": 0,
            "refused": 0,
            "broken": 0,
            "rows": 51_955,
            "latency_ms": QUANTILES,
            "latency_near_swaps_ms": QUANTILES,
        },
        "peak_memory_mb": {"serve": 280.4, "view": 260.0},
        "restarts": {"view": 1, "serve": 0},
        "verdict": verdict,
        "exit_code": 1 if verdict else 0,
    }


def test_the_summary_tells_every_part_of_the_report() -> None:
    out = console(100)
    summary(report([]), out)
    for told in (
        "51,955",
        "agrees",
        "0.7311",
        "0.6912",
        "carrier=UA",
        "prequential",
        "0.4434",  # log loss
        "0.802",  # accuracy
        "prior (positives so far)",
        "0.5478",
        "no change (label before)",
        "0.681",
        "0.5491",
        "0.677",
        "torch_ctr 50,699",
        "77 labels that belong to no question",
        "2h 45m",
        "470 swaps",
        "280",
        "view 1×",
        "3m 51s",
    ):
        assert told in text(out), told
    assert "✔ Passed" in text(out)
    assert max(map(len, text(out).splitlines())) <= 100


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (Regression(), ("MAE", "RMSE", "bias", "prior (mean so far)", "10.833", "−2.500")),
        (Classes(["a", "b", "c"]), ("macro F1", "cal. error", "prior (shares so far)", "0.333")),
    ],
)
def test_the_summary_tells_each_task_in_its_figures_beside_its_references(
    task: Task, told: tuple[str, ...]
) -> None:
    labels = np.array([0.0, 2.0, 1.0])
    answers = labels + np.array([-10.0, -10.0, 12.5])
    if task.kind == "classes":
        answers = np.full((3, 3), 1 / 3)
    whole = report([])
    plain = references(task, labels)
    served = quality_of(task, answers, labels)
    own = LineageReport(learned=3, prequential=served, **plain)
    model = whole["models"]["late_arrival"]
    model["served"] = served
    model["prior"] = plain["prior"]
    model["no_change"] = plain["no_change"]
    model["lineages"] = {"river": own}
    model["slices"] = {}
    model["baseline"] = None
    out = console(110)
    summary(whole, out)
    for one in (*told, "no change (label before)"):
        assert one in text(out), one
    assert "AUC" not in text(out)


def test_the_summary_is_honest_about_a_failure() -> None:
    out = console(100)
    bad = report(["arrivals: the ledger differs from the log"], agrees=False)
    bad["topics"]["arrivals"]["records"] += 7
    summary(bad, out)
    for told in (
        "DIFFERS, 7 without a fate",
        "✖ Failed (exit code 1)",
        "arrivals: the ledger differs from the log",
    ):
        assert told in text(out), told
    assert "Passed" not in text(out)
