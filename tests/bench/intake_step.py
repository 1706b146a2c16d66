"""What does intake cost for a batch of 20 events, where fixed costs rule?

Ours does all of a step: decode, validate, deduplicate, filter, impute, route to every view and
label, ledger, statistics. Beside it stands a plain loop that only decodes (by the auditor's reader,
value by value), validates and deduplicates.
"""

from __future__ import annotations

from freshet.audit.ledger import judge, judge_time, read_event
from freshet.demo.flights.faults import Faults
from freshet.streams.intake.task import IntakeTask
from tests.bench import inputs
from tests.bench.harness import Row, in_turns, microseconds

ROWS, DAYS = 20, 10


def run() -> list[Row]:
    plan = inputs.intake_plan("arrivals")
    found = inputs.records("arrivals", DAYS, Faults())
    batches = inputs.batches(plan.source, found, ROWS)
    topic, max_future = plan.topic, plan.topic.freshness.ms("max_future")

    def ours() -> int:
        task = IntakeTask(plan, 0)
        for batch in batches:
            task.apply(batch)
        fates: dict[str, int] = task.facts()["fates"]
        return fates["deduplicated"]

    def plain() -> int:
        seen: set[str] = set()
        again = 0
        for value, time in found[: ROWS * len(batches)]:
            event, _ = read_event(value, topic.events)
            if event is None or judge(event, topic.events):
                continue
            if judge_time(event[topic.time_field], time + max_future):
                continue
            again += event[topic.event_id] in seen
            seen.add(event[topic.event_id])
        return again

    assert ours() == plain() > 0
    taken = in_turns(ours, plain, rounds=3)
    return [microseconds("intake_step", len(batches), taken, "a plain loop doing less", rows=ROWS)]
