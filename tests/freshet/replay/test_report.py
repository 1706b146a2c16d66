"""What the demo's report calls a failure."""

from __future__ import annotations

import pytest

from freshet.replay.report import verdict
from freshet.replay.report_types import RequestReport, TopicReport, lost

NONE = {"p50": None, "p99": None, "max": None}


def topic(records: int = 10, agrees: bool = True) -> TopicReport:
    return TopicReport(
        records=records,
        applied=6,
        deduplicated=1,
        empty=0,
        dropped={"late": 1},
        dead={"crash": 2},
        ledger_agrees=agrees,
    )


def requests(failed: int = 0, broken: int = 0) -> RequestReport:
    return RequestReport(
        attempts=9 + failed + broken,
        answered=9,
        failed=failed,
        broken=broken,
        rows=9,
        latency_ms=NONE,
        latency_near_swaps_ms=NONE,
    )


def test_a_record_of_the_log_without_a_fate_is_lost() -> None:
    assert lost(topic()) == 0
    assert lost(topic(records=12)) == 2


@pytest.mark.parametrize(
    ("of_topic", "of_requests", "restarts", "why"),
    [
        (topic(), requests(), 0, []),
        (topic(agrees=False), requests(), 0, ["the ledger of a does not agree with its log"]),
        (topic(records=12), requests(), 0, ["2 records of a ended in no fate"]),
        (topic(), requests(failed=3), 0, ["3 requests failed"]),
        (
            topic(),
            requests(broken=1),
            0,
            ["1 requests got no answer, though no scorer was restarted"],
        ),
        (topic(), requests(broken=1), 1, []),
    ],
)
def test_a_run_passes_only_without_a_failure(
    of_topic: TopicReport, of_requests: RequestReport, restarts: int, why: list[str]
) -> None:
    assert verdict({"a": of_topic}, of_requests, restarts) == why
