"""Dead letters that are sent again are taken once, slowly, and leave their originals and their
ledger as they were."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from freshet.audit import kept as kept_by_run
from freshet.audit import ledger as audit
from freshet.audit.redriven import redriven_records, taken_on
from freshet.cli.main import cli
from freshet.datasets.recorded_run import open_run
from freshet.dead_letters.letters import every, kinds
from freshet.explain.explain import explain
from freshet.redrive.chosen import Wanted
from freshet.redrive.patching import parsed
from freshet.redrive.redrive import LEAST_TAKEN, Outcome, Redrive
from freshet.redrive.state import SentAgain
from freshet.runs.opened import opened
from freshet.schemas.errors import RequestError
from freshet.streams.catalog import open_log
from freshet.streams.intake.fates import fates
from freshet.streams.log.contract import Log
from freshet.testing import LocalRun
from tests.freshet.datasets.test_recorded_run import Sent
from tests.freshet.toy_day import HOUR, toy_day

LATE = 2_000.0
MEND = parsed(["late = late / 100"])
WANTED = Wanted(reason="out_of_range")


@contextmanager
def with_letters(
    folder: Path, count: int = 3, log: Log | None = None, log_url: str = "", name: str = "toy"
) -> Iterator[tuple[LocalRun, int]]:
    """An open run in which so many payments of orders that were asked about are out of range, and
    the hour that comes next."""
    with toy_day(folder, name=name, hours=2, log=log, log_url=log_url) as (_, local):
        hour = 3
        start = hour * HOUR
        asked = [f"o{i}" for i in range(count)]
        queries: dict[str, list[Any]] = {
            "order_id": asked,
            "shop": ["north"] * count,
            "price": [1.0] * count,
        }
        paid = [
            (start + i + 1, {"order_id": order, "at": start + i + 1, "shop": "north", "late": LATE})
            for i, order in enumerate(asked)
        ]
        local.step(start, start + HOUR, queries, {"payments": Sent(paid)})
        yield local, hour + 1


def goes_on(local: LocalRun, hour: int, hours: int = 1) -> None:
    for at in range(hour, hour + hours):
        local.step(at * HOUR, (at + 1) * HOUR, {}, {})


def letters_of(folder: Path) -> dict[tuple[str, str], int]:
    with opened(folder) as run:
        return {(kind.topic, kind.reason): kind.n for kind in kinds(run)}


def sent(folder: Path, wanted: Wanted = WANTED, patches: Any = MEND, **more: Any) -> Outcome:
    with opened(folder) as run:
        return Redrive(run, wanted, patches).send(sleep=lambda seconds: None, **more)


def test_a_trial_says_what_would_happen_and_changes_nothing(tmp_path: Path) -> None:
    with with_letters(tmp_path) as (local, _), opened(tmp_path) as run:
        before = local.log.bounds(local.app.redriven_log)
        mended = Redrive(run, WANTED, MEND).trial()
        as_it_was = Redrive(run, WANTED, {}).trial()
        assert local.log.bounds(local.app.redriven_log) == before
    kind = ("payments", "out_of_range")
    # One of the three hours' bad payments is out of range, too.
    assert mended.became == {kind: Counter({"applied": 4})}
    assert as_it_was.became == {kind: Counter({"dead:out_of_range": 4})}
    assert (mended.sent, mended.stopped) == (0, "")


def test_what_is_sent_again_is_taken_as_if_it_had_come_right(tmp_path: Path) -> None:
    """By views and by the join, however late; and the letters stay."""
    with with_letters(tmp_path) as (local, hour):
        before = letters_of(tmp_path)
        goes_on(local, hour, 2)
        assert sent(tmp_path).became == {("payments", "out_of_range"): Counter({"applied": 4})}
        goes_on(local, hour + 2)
        facts = {t.name: t.facts() for o in local.operators for t in o.tasks()}
        assert facts["redrive:toy:0"]["sent_again"] == {"payments": {"applied": 4}}
        finished = {t.finished for o in local.operators for t in o.tasks()}
        assert finished == {(hour + 3) * HOUR}, "nobody waits for somebody else"
        folded = facts["view:shops:0"]["events"]
    assert letters_of(tmp_path) == before
    with open_run(tmp_path) as run:
        labelled = run.examples().filter(label=1.0).sort("id")
        assert labelled["id"].to_list() == ["o0", "o1", "o2"]
        assert run.examples(as_of="1971-01-01").equals(run.examples())
        # Nobody knew of it before it was sent.
        then = run.examples(as_of="1970-01-01T04:30").filter(label=1.0)
        assert then.is_empty()
        applied = run.events("payments").collect().filter(fate="applied").height
    assert folded == applied + 4
    with opened(tmp_path) as opened_run:
        explained = explain(opened_run, "o1")
    (label,) = explained.outcome.labels
    assert (label.topic, label.value, label.used) == ("payments", 1.0, True)


def test_sent_twice_it_is_taken_once(tmp_path: Path) -> None:
    """Also where two people send it at the same time, and where a role begins anew in between."""
    with with_letters(tmp_path) as (local, hour):
        with opened(tmp_path) as one, opened(tmp_path) as two:
            first = Redrive(one, WANTED, MEND)
            second = Redrive(two, WANTED, MEND)
            first.send(sleep=lambda seconds: None)
            second.send(sleep=lambda seconds: None)
        goes_on(local, hour)
        once = {t.name: t.facts() for o in local.operators for t in o.tasks()}
    again = sent(tmp_path)
    assert (again.sent, again.sent_before, again.became) == (0, 4, {})
    with LocalRun(local.app, tmp_path, local._store, "2h") as resumed:
        goes_on(resumed, hour + 1)
        facts = {t.name: t.facts() for o in resumed.operators for t in o.tasks()}
    assert facts["redrive:toy:0"]["sent_again"] == {"payments": {"applied": 4}}
    assert facts["view:shops:0"]["events"] == once["view:shops:0"]["events"]


def test_the_ledger_of_what_was_sent_again_is_the_one_recomputed_and_the_topic_s_stays(
    tmp_path: Path,
) -> None:
    with with_letters(tmp_path) as (local, hour):
        before = ledger_of(local, tmp_path)
        sent(tmp_path)
        sent(tmp_path, Wanted(reason="missing_required"), {})
        goes_on(local, hour)
    agree_with_the_log(tmp_path, before)


def test_on_kafka_it_is_the_same(kafka: str, tmp_path: Path) -> None:
    name = f"again_{uuid.uuid4().hex[:8]}"
    url = f"kafka://{kafka}"
    with with_letters(tmp_path, log=open_log(url), log_url=url, name=name) as (local, hour):
        before = ledger_of(local, tmp_path)
        assert sent(tmp_path).became == {("payments", "out_of_range"): Counter({"applied": 4})}
        sent(tmp_path, Wanted(reason="missing_required"), {})
        assert sent(tmp_path).sent == 0
        goes_on(local, hour)
        facts = {t.name: t.facts() for o in local.operators for t in o.tasks()}
    assert facts[f"redrive:{name}:0"]["sent_again"]["payments"]["applied"] == 4
    agree_with_the_log(tmp_path, before)
    with open_run(tmp_path) as run:
        assert run.examples().filter(label=1.0).height == 3
        assert run.examples(as_of="1971-01-01").equals(run.examples())


def ledger_of(local: LocalRun, folder: Path) -> Any:
    task = next(t for o in local.operators for t in o.tasks() if t.name == "intake:payments:0")
    return task.ledger.entries()


def agree_with_the_log(folder: Path, before: Any) -> None:
    with opened(folder) as run:
        url = run.settings.checkpoints_url
        topic = run.app.topic("payments")
        of_log = SentAgain(run).task.ledger("payments")
        of_checkpoint = kept_by_run.redriven_ledger(
            run.log, url, run.app.name, run.app.redriven_log, topic
        )
        records = redriven_records(run.log, run.app.redriven_log, topic)
        recomputed = audit.recompute(topic, records, {}, taken_on(topic))
        assert of_log == of_checkpoint == recomputed
        counts = dict(zip(fates(topic), map(sum, zip(*(e.counts for e in recomputed.values())))))
        assert counts["applied"] == 4
        _, own = kept_by_run.ledger(run.log, url, topic, run.app.log_of("payments"), 0)
        assert own == before


def test_too_few_that_are_taken_stop_it_after_the_first(tmp_path: Path) -> None:
    with with_letters(tmp_path, count=150):
        found = sent(tmp_path, patches={})
        assert found.sent == 100
        assert "only 0 were taken: 51 were not sent" in found.stopped
        # What was sent was sent: the rest can be mended and follow.
        mended = sent(tmp_path)
    assert (mended.sent, mended.sent_before, mended.stopped) == (51, 100, "")
    assert LEAST_TAKEN == 0.95


def test_it_goes_no_faster_than_it_may(tmp_path: Path) -> None:
    waited: list[float] = []
    with with_letters(tmp_path, count=150), opened(tmp_path) as run:
        found = Redrive(run, WANTED, MEND).send(rate=20.0, sleep=waited.append)
    assert found.sent == 151
    assert sum(waited) == pytest.approx(151 / 20)
    assert max(waited) <= 1.0


def test_what_was_given_up_is_never_sent(tmp_path: Path) -> None:
    with with_letters(tmp_path) as (local, hour):
        given_up = sent(tmp_path, patches={}, gives_up=True)
        assert given_up.became == {("payments", "out_of_range"): Counter({"given up": 4})}
        again = sent(tmp_path)
        assert (again.sent, again.sent_before) == (0, 4)
        goes_on(local, hour)
        facts = {t.name: t.facts() for o in local.operators for t in o.tasks()}
    assert facts["redrive:toy:0"]["sent_again"] == {"payments": {"given up": 4}}


def test_letters_are_chosen_by_what_is_asked_for(tmp_path: Path) -> None:
    def chosen(**wanted: Any) -> int:
        with opened(tmp_path) as run:
            return len(Redrive(run, Wanted(**wanted), {}).letters)

    with with_letters(tmp_path):
        pass
    assert chosen() == 7 + 3
    assert chosen(field="late", reason="out_of_range") == 4
    # One was cut off there.
    assert chosen(field="late") == 5
    assert chosen(reason="far_future", topic="payments") == 1
    assert chosen(topic="orders") == 0
    assert chosen(since_ms=3 * HOUR, until_ms=5 * HOUR) == 3
    # The topic tells no sources apart.
    assert chosen(source="north") == 0


def test_what_a_producer_has_sent_again_itself_is_not_sent(tmp_path: Path) -> None:
    with with_letters(tmp_path) as (local, hour):
        start = hour * HOUR
        paid = {"order_id": "o1", "at": start + 1, "shop": "north", "late": 1.0}
        local.step(start, start + HOUR, {}, {"payments": Sent([(start + 1, paid)])})
        found = sent(tmp_path)
    assert found.became == {
        ("payments", "out_of_range"): Counter({"applied": 3, "taken already, under the same id": 1})
    }


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ("late", "names no field"),
        ("nothing = 1", "is of no field"),
        ("late = max(late)", "late"),
        ("late = (", "is no expression"),
    ],
)
def test_what_is_no_patch_is_refused(given: str, cause: str, tmp_path: Path) -> None:
    with with_letters(tmp_path), opened(tmp_path) as run, pytest.raises(RequestError, match=cause):
        Redrive(run, WANTED, parsed([given]))


def test_what_cannot_be_decoded_is_not_patched(tmp_path: Path) -> None:
    with with_letters(tmp_path), opened(tmp_path) as run:
        found = Redrive(run, Wanted(reason="undecodable"), MEND).trial()
    assert set(found.became["payments", "undecodable"]) == {
        "it cannot be decoded, so there is nothing to patch"
    }


def test_the_commands_say_first_and_do_then(tmp_path: Path) -> None:
    def called(*given: str) -> str:
        told = CliRunner().invoke(cli, ["dlq", *given, "--run-dir", str(tmp_path)])
        assert told.exit_code == 0, (told.output, told.exception)
        return told.output

    replay = ("replay", "--reason", "out_of_range", "--patch", "late = late / 100")
    with with_letters(tmp_path):
        assert "would become" in called(*replay)
        assert "add --apply" in called(*replay)
        assert "applied" in called(*replay, "--apply")
        assert "4 were sent or given up before" in called(*replay, "--apply")
        assert "given up" in called("drop", "--reason", "unknown_type", "--apply")
        listed = called("list")
        assert "4 applied" in listed
        assert "1 given up" in listed
        assert "sent again: applied" in called("show", "--reason", "out_of_range")


BAD_LABELS = """
import freshet as fr
import polars as pl
from dataclasses import replace
from tests.toy_app import toy_app
app = replace(toy_app(), name={name!r})
(model,) = app.models
value = pl.when(pl.col("late") == 77.0).then(2).otherwise((pl.col("late") > 15).cast(pl.Int64))
app = replace(app, models=[replace(model, label=replace(model.label, value=value))])
"""


def test_a_bad_label_sent_again_is_learned_and_its_event_is_not_counted_twice(
    tmp_path: Path,
) -> None:
    """The event went into views when it came: what is sent again is its label alone."""
    wanted = Wanted(reason="bad_label")
    with toy_day(tmp_path, BAD_LABELS, hours=2) as (_, local):
        start = 3 * HOUR
        asked = {"order_id": ["o0"], "shop": ["north"], "price": [1.0]}
        event = {"order_id": "o0", "at": start + 1, "shop": "north", "late": 77.0}
        local.step(start, start + HOUR, asked, {"payments": Sent([(start + 1, event)])})
        before = {t.name: t.facts() for o in local.operators for t in o.tasks()}
        with open_run(tmp_path) as run:
            (fate,) = (
                run.events("payments")
                .collect()
                .filter(**{"event.order_id": "o0"})["fate"]
                .to_list()
            )
            assert fate == "applied"
        with opened(tmp_path) as run:
            (letter,) = [one for one in every(run) if one.reason == "bad_label"]
            assert letter.detail is not None
            assert letter.detail.startswith("model unpaid: 2 is neither true nor false")
            as_it_was = Redrive(run, wanted, {}).trial()
        kind = ("payments", "bad_label")
        assert as_it_was.became == {kind: Counter({"dead:bad_label": 1})}
        mended = sent(tmp_path, wanted, parsed(["late = late - 57"]))
        assert mended.became == {kind: Counter({"applied": 1})}
        goes_on(local, 4)
        after = {t.name: t.facts() for o in local.operators for t in o.tasks()}
        view = "view:shops:0"
        assert after[view]["events"] == before[view]["events"]
    with open_run(tmp_path) as run:
        (label,) = run.examples().filter(id="o0")["label"].to_list()
        assert label == 1.0
