"""Records that crash a role, and records of nobody in freshet's own logs: each is a dead letter
that says where it came from, and everything else is as if it had never been."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from freshet.audit import kept as kept_by_run
from freshet.features.stores.memory_store import MemoryStore
from freshet.replay.report import outcomes_of, topic_report
from freshet.schemas.errors import SchemaError
from freshet.schemas.wire import blocks
from freshet.schemas.wire.blocks import MAGIC, Block
from freshet.schemas.wire.messages import Cut
from freshet.serving.board.served_quality import ServedQuality
from freshet.testing import LocalRun
from tests.freshet.toy_day import toy_day

CRASHING = """
from dataclasses import replace
import polars as pl
import freshet as fr
from tests.toy_app import reading, toy_app

def number_of(bad):
    order = pl.col("order_id")
    return pl.when(order == bad).then(order).otherwise(pl.lit("7")).str.to_integer(strict=True)

orders, payments = toy_app().topics
payments = replace(payments, drop={{"odd": number_of("4.north.2") == 1}})
label = fr.Label(payments, "order_id", (pl.col("late") > 10) & (number_of("6.south.1") == 7))
shops = replace(toy_app().views[0], topic=payments)
model = replace(reading(toy_app().models[0], shops), label=label)
app = replace(toy_app(), name={name!r}, topics=[orders, payments], views=[shops], models=[model])
"""
Letter = dict[str, Any]
Before = Callable[[int, LocalRun], None]


def letters_of(local: LocalRun) -> list[Letter]:
    out: list[Letter] = []
    for r in kept_by_run.records(local.log, local.app.dead_log, 0):
        try:
            block = blocks.decode(r.value)
        except SchemaError:
            continue
        if block.kind != blocks.DEAD:
            continue
        assert block.rows is not None
        out += [
            {**row, "origin": (block.origin, block.partition)} for row in block.rows.to_pylist()
        ]
    return [x for x in out if x["reason"] == "crash"]


def rows_of(store: MemoryStore) -> dict[Any, bytes]:
    """Without their versions, which are places in a log that may have more records."""
    return {key: row[16:] for key, row in store.rows.items()}


def examples_of(local: LocalRun) -> list[str]:
    (model,) = local.app.models
    out: list[str] = []
    for r in kept_by_run.records(local.log, local.app.examples_log_of(model), 0):
        try:
            block = blocks.decode(r.value)
        except SchemaError:
            continue
        if block.kind == blocks.EXAMPLES and block.rows is not None:
            out += [
                repr([row[k] for k in ("id", "kind", "t", "label")])
                for row in block.rows.to_pylist()
            ]
    return out


def cuts_of(local: LocalRun) -> list[Any]:
    return [
        (m.lineage, m.number, m.tick, m.stats["learned"])
        for m in local.messages
        if isinstance(m, Cut)
    ]


def test_an_event_on_which_an_expression_fails_is_a_dead_letter_and_its_neighbours_are_applied(
    tmp_path: Path,
) -> None:
    with toy_day(tmp_path / "plain", hours=8) as (_, plain):
        for op in plain.operators:
            op.checkpoint()
        usual = topic_report(
            plain.app, plain.log, str(tmp_path / "plain" / "checkpoints"), "payments"
        )
    with toy_day(tmp_path / "crashing", CRASHING, hours=8) as (app, local):
        for op in local.operators:
            op.checkpoint()
        report = topic_report(
            app, local.log, str(tmp_path / "crashing" / "checkpoints"), "payments"
        )
        letters = letters_of(local)
        sent = {
            r.offset: r.value for r in kept_by_run.records(local.log, app.log_of("payments"), 0)
        }
    assert report["ledger_agrees"]
    assert report["dead"].pop("crash") == 2
    assert (report["dead"], report["applied"]) == (usual["dead"], usual["applied"] - 2)
    assert [x["origin"] for x in letters] == [("payments", 0)] * 2
    assert [b"4.north.2" in x["value"] for x in letters] == [True, False]
    assert b"6.south.1" in letters[1]["value"]
    for x in letters:
        assert x["value"] == sent[x["_offset"]]
        assert "InvalidOperationError" in x["detail"] or "ComputeError" in x["detail"]
        assert "to_integer" in x["detail"] or "conversion" in x["detail"]


def no_block() -> bytes:
    return os.urandom(200)


def torn_block() -> bytes:
    rows = pa.RecordBatch.from_pydict({"_offset": [1], "_index": pa.array([0], pa.int32())})
    return blocks.encode(Block(blocks.CLEAN, "payments", 0, rows))[:-100]


def garbage_after_a_good_head() -> bytes:
    return MAGIC + struct.pack("<iqii", blocks.CLEAN, blocks.NO_TICK, 0, 0) + os.urandom(400)


def other_columns() -> bytes:
    rows = pa.RecordBatch.from_pydict(
        {"_offset": [1], "_index": pa.array([0], pa.int32()), "x": ["y"]}
    )
    return blocks.encode(Block(blocks.LABELS, "somebody", 0, rows))


@pytest.mark.parametrize(
    "foreign", [no_block, torn_block, garbage_after_a_good_head, other_columns]
)
def test_a_foreign_record_in_a_log_of_freshets_own_stops_nobody(
    foreign: Callable[[], bytes], tmp_path: Path
) -> None:
    value = foreign()

    def sneak_in(hour: int, local: LocalRun) -> None:
        if hour == 3:
            # What is read again after a crash would stand in logs twice.
            for operator in local.operators:
                operator.checkpoint()
            writer = local.log.writer()
            for name in (*own_logs(local), local.app.dead_log, *local.app.channels):
                writer.append(name, 0, [value], 1)
            writer.flush()
            writer.close()

    plain_store, store = MemoryStore(), MemoryStore()
    with toy_day(tmp_path / "plain", store=plain_store, hours=6) as (_, plain):
        usual = examples_of(plain), cuts_of(plain), seen_by_the_board(plain)
    with toy_day(tmp_path / "foreign", store=store, before=sneak_in, hours=6) as (_, local):
        letters, left = (
            letters_of(local),
            (examples_of(local), cuts_of(local), seen_by_the_board(local)),
        )
        for operator in local.operators:
            operator.checkpoint()
        checkpoints_url = str(tmp_path / "foreign" / "checkpoints")
        assert topic_report(local.app, local.log, checkpoints_url, "payments")["ledger_agrees"]
    assert left == usual
    assert rows_of(store) == rows_of(plain_store)
    readers = len(local.app.models[0].learners)
    clean, outcomes, examples = own_logs(local)
    assert sorted(x["origin"][0] for x in letters) == sorted(
        [clean, outcomes, *[examples] * readers]
    )
    assert {bytes(x["value"]) for x in letters} == {value}


def seen_by_the_board(local: LocalRun) -> tuple[int, int, int]:
    """What the board counts of the examples log, and the report."""
    (model,) = local.app.models
    quality = ServedQuality(model)
    reader = local.log.reader([local.app.examples_log_of(model)], None)
    while batches := reader.poll(100, 0.0):
        for b in batches:
            quality.learn(b)
    reader.close()
    return quality.asked, quality.labelled, outcomes_of(local.app, local.log, model).asked


def own_logs(local: LocalRun) -> tuple[str, str, str]:
    (model,), (view,) = local.app.models, local.app.views
    return (
        local.app.clean_log_of(view),
        local.app.outcomes_log_of(model),
        local.app.examples_log_of(model),
    )
