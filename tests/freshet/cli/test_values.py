"""`freshet statistics`: what it prints of a report."""

from __future__ import annotations

import io

import msgspec
from rich.console import Console

from freshet.cli.values import show_report, show_skew
from freshet.serving.status.status import DriftFigures, SkewFigures
from freshet.serving.values.report import Asked, Report, report
from freshet.serving.values.skew_report import SkewReport
from freshet.serving.values.topic import TopicStatistics
from tests.serving.values.pieces_of import FIRST_HOUR, SALES, Told


def said(found: Report) -> str:
    out = io.StringIO()
    show_report(found, Console(file=out, width=140))
    return out.getvalue()


def weeks(count: int) -> TopicStatistics:
    statistics = TopicStatistics(SALES)
    told = Told()
    for week in range(count):
        hour = FIRST_HOUR + week * 168
        for shop in "ab":
            for block in told.sell(hour, shop, [0.0, 2.0, 4.0, None] * 5):
                statistics.take(block)
        for block in told.tick(hour + 1.5):
            statistics.take(block)
    return statistics


def test_fields_sources_and_what_is_not_known_yet_are_told() -> None:
    text = said(report(weeks(1), Asked()))
    assert "sales  all sources, Sun 18 May 1997 01:00 to" in text
    (price,) = [line for line in text.splitlines() if line.startswith("price")]
    assert price.split() == ["price", "40", "25.0%", "2", "1.633", "0", "2.001", "4", "–", "3"]
    (own,) = [line for line in text.splitlines() if line.startswith("id ")]
    assert own.split() == ["id", "40", "0.0%", *"––––––", "only", "counted"]
    (item,) = [line for line in text.splitlines() if line.startswith("item")]
    assert "1: tea 40" in item
    assert "a       " in text
    unknown = "Drift is not watched yet: nothing is known of the same hours of the weeks before."
    assert unknown in text


def test_of_one_field_its_bins_are_told() -> None:
    text = said(report(weeks(2), Asked("price", "a")))
    assert "source a" in text
    (missing,) = [line for line in text.splitlines() if line.startswith("(missing)")]
    assert missing.split() == ["(missing)", "25.0%", "25.0%"]
    assert "Drift is watched once 8 more weeks are known." in text


def test_hours_that_were_unlike_others_are_told() -> None:
    drift = DriftFigures(field="price", source="b", hour_ms=FIRST_HOUR * 3_600_000, distance=0.9)
    unseen = msgspec.structs.replace(drift, measure="unseen", bound=0.8)
    drifts = [drift, unseen]
    found = msgspec.structs.replace(report(weeks(1), Asked()), drifts=drifts, weeks_missing=0)
    text = said(found)
    assert "price of b: 0.90 apart, bound 0.00" in text
    assert "price of b: 90% of values unseen, bound 80%" in text
    assert "Drift is watched:" in text
    assert "“distance” is that of Jensen–Shannon" in text
    assert "from the same hours of the weeks before." in text


def test_before_anything_came_it_says_so() -> None:
    assert "No event of this span is known yet." in said(report(TopicStatistics(SALES), Asked()))


def skew_said(found: SkewReport) -> str:
    out = io.StringIO()
    show_skew(found, Console(file=out, width=140))
    return out.getvalue()


def test_skew_is_told_by_feature_the_farthest_first() -> None:
    shop = SkewFigures(feature="shop", jensen_shannon=0.02, asked=100, learned=200, weeks_missing=3)
    price = SkewFigures(feature="price", jensen_shannon=0.91, asked=1_000, learned=5_000, bound=0.3)
    beyond = DriftFigures(field="price", hour_ms=FIRST_HOUR * 3_600_000, distance=0.91, bound=0.3)
    text = skew_said(SkewReport("late", [shop, price], [beyond]))
    lines = [line.split() for line in text.splitlines()]
    assert ["price", "0.91", "0.30", "0.00", "0.00", "1,000", "5,000"] in lines
    assert ["shop", "0.02", "–", "0.00", "0.00", "100", "200"] in lines
    assert text.index("price") < text.index("shop")
    assert "price: 0.91 apart, bound 0.30" in text
    assert "Skew is watched once 3 more weeks are known." in text
    assert "Not a hundred vectors" in skew_said(SkewReport("late", [], []))
