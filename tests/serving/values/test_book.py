"""The book of statistics: read from a log, kept over restarts, told over HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from starlette.applications import Starlette

from freshet.schemas.errors import RequestError
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire import blocks
from freshet.serving.page.values import routes
from freshet.serving.status.status import DriftFigures, ModelFigures, SkewFigures, Status
from freshet.serving.values.book import ASIDE, FILE, Book
from freshet.serving.values.report import Asked
from freshet.streams.sqlite.log import SqliteLog
from tests.serving.values.pieces_of import FIRST_HOUR, SALES, TO, Told, schema_of, topic_of

HOUR_MS = 3_600_000


@pytest.fixture
def log(tmp_path: Path) -> Any:
    opened = SqliteLog(tmp_path / "log")
    opened.ensure(TO, 1)
    yield opened
    opened.close()


def append(log: Any, *told: list[blocks.Block]) -> None:
    writer = log.writer()
    values = [blocks.encode(block) for some in told for block in some]
    writer.append(TO, 0, values, 1)
    writer.flush()
    writer.close()


def two_hours(told: Told) -> list[list[blocks.Block]]:
    return [
        told.sell(FIRST_HOUR, "a", [1.0, 2.0, None]),
        told.sell(FIRST_HOUR, "b", [9.0]),
        told.sell(FIRST_HOUR + 1, "a", [3.0], "cocoa"),
        told.tick(FIRST_HOUR + 1.5),
    ]


def read(log: Any, folder: Path | None = None, topic: Topic = SALES) -> Book:
    book = Book("shop", [topic])
    if folder is not None:
        book.restore(folder)
    while book.take(log, TO):
        pass
    return book


def ask(book: Book, query: str, of: str = "topics", **status: Any) -> httpx.Response:
    known = Status(app="shop", at_ms=0, **status)

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=routes(book, lambda: known)))
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            return await client.get(f"/v1/{of}/{query}")

    return asyncio.run(asked())


def test_a_report_says_what_values_are_like(log: Any) -> None:
    append(log, *two_hours(Told()))
    told = ask(read(log), "sales/statistics").json()
    assert told["from_ms"] == (FIRST_HOUR + 1 - 23) * HOUR_MS
    assert told["to_ms"] == (FIRST_HOUR + 2) * HOUR_MS
    assert told["sources"] == [{"name": "a", "events": 4}, {"name": "b", "events": 1}]
    fields = {field["name"]: field for field in told["fields"]}
    price = fields["price"]
    assert (price["events"], price["present"], price["missing"]) == (5, 4, 1)
    assert (price["min"], price["max"], price["mean"]) == (1.0, 9.0, 3.75)
    assert price["quantiles"]["0.5"] == pytest.approx(2.0, rel=1e-3)
    assert fields["item"]["top"] == [["tea", 4], ["cocoa", 1]]
    assert fields["item"]["distinct"] == 2.0
    assert fields["id"]["kind"] == "presence"
    assert told["weeks_missing"] is None


def test_skew_of_a_model_has_an_address_of_its_own(log: Any) -> None:
    price = SkewFigures(feature="price", jensen_shannon=0.9, asked=100, learned=200, bound=0.3)
    beyond = DriftFigures(field="price", hour_ms=HOUR_MS, distance=0.9, bound=0.3)
    models = [ModelFigures(name="late", skew=[price], skewed=[beyond])]
    told = ask(read(log), "late/skew", "models", models=models).json()
    assert told["model"] == "late"
    assert (told["features"][0]["feature"], told["features"][0]["bound"]) == ("price", 0.3)
    assert told["skewed"][0]["distance"] == 0.9
    unknown = ask(read(log), "laet/skew", "models", models=models)
    assert unknown.status_code == 404
    assert "model 'laet': is unknown. The models are late." in unknown.json()["error"]
    assert ask(read(log), "late/skew?field=x", "models", models=models).status_code == 400


def test_quantiles_of_whole_numbers_are_whole(log: Any) -> None:
    whole = topic_of(schema_of("long"))
    told = Told(topic=whole)
    append(log, told.sell(FIRST_HOUR, "a", [*range(13, 24)]), told.tick(FIRST_HOUR + 1.5))
    (price,) = ask(read(log, topic=whole), "sales/statistics?field=price").json()["fields"]
    assert price["quantiles"]["0.01"] == 13.0
    assert price["quantiles"]["0.5"] == 18.0
    assert price["quantiles"]["0.99"] == 23.0


def test_one_source_field_and_span_can_be_asked_for(log: Any) -> None:
    append(log, *two_hours(Told()))
    book = read(log)
    first = FIRST_HOUR * HOUR_MS
    query = f"sales/statistics?source=b&field=price&from={first}&to={first + HOUR_MS}"
    (price,) = ask(book, query).json()["fields"]
    assert (price["name"], price["events"], price["max"]) == ("price", 1, 9.0)
    day = ask(book, "sales/statistics?from=1997-05-19&to=1997-05-20").json()
    assert [field["events"] for field in day["fields"]] == [5] * 5


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("tea/statistics", 404, "The topics are sales."),
        ("sales/statistics?field=colour", 404, "Its fields are id, at, shop, item, price."),
        ("sales/statistics?source=c", 404, "Its sources are a, b."),
        ("sales/statistics?from=noon", 400, "from=noon: is no moment"),
        ("sales/statistics?from=2200-01-01&to=2199-01-01", 400, "ends before it begins"),
        ("sales/statistics?hour=3", 400, "There are field, source, from, to."),
    ],
)
def test_what_there_is_not_is_named(log: Any, query: str, status: int, text: str) -> None:
    append(log, *two_hours(Told()))
    answer = ask(read(log), query)
    assert answer.status_code == status
    assert text in answer.json()["error"]


def test_it_is_compared_with_the_weeks_before(log: Any) -> None:
    told = Told()
    for week in range(3):
        append(log, told.sell(FIRST_HOUR + week * 168, "a", [1.0 + week // 2 * 50] * 20))
    append(log, told.tick(FIRST_HOUR + 2 * 168 + 1.5))
    answer = ask(read(log), "sales/statistics?field=price").json()
    compared = answer["fields"][0]["compared"]
    assert (compared["events"], compared["reference_events"]) == (20, 40)
    assert compared["jensen_shannon"] == compared["largest"] == 1.0


def test_a_restart_goes_on_where_the_file_ends(log: Any, tmp_path: Path) -> None:
    told = Told()
    append(log, *two_hours(told))
    read(log).save(tmp_path)
    append(log, told.sell(FIRST_HOUR + 2, "a", [5.0]), told.tick(FIRST_HOUR + 2.5))
    resumed = read(log, tmp_path)
    assert resumed.report("sales", Asked()) == read(log).report("sales", Asked())
    assert resumed.figures("sales") == read(log).figures("sales")


def test_another_log_is_read_from_its_first_record(log: Any, tmp_path: Path) -> None:
    append(log, *two_hours(Told()))
    read(log).save(tmp_path)
    other = SqliteLog(tmp_path / "other")
    other.ensure(TO, 1)
    told = Told()
    append(other, told.sell(FIRST_HOUR + 5, "a", [5.0]), told.tick(FIRST_HOUR + 5.5))
    book = read(other, tmp_path)
    (price,) = book.report("sales", Asked("price")).fields
    # Four of the hour that was at its end there, and one of here.
    assert price.events == 5
    other.close()


@pytest.mark.parametrize("content", [b"", b"\x80", b"not it"])
def test_a_file_that_cannot_be_read_is_set_aside(log: Any, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    append(log, *two_hours(Told()))
    (price,) = read(log, tmp_path).report("sales", Asked("price")).fields
    assert price.events == 5
    assert (tmp_path / ASIDE).exists()


def test_a_record_that_is_no_statistics_is_passed_over(log: Any) -> None:
    writer = log.writer()
    gone = blocks.encode(blocks.Block(blocks.STATISTICS, "gone", 0, None, 5))
    rows = pa.RecordBatch.from_pydict({"first": [0]})
    told = Told()
    (piece, *_) = [*told.sell(FIRST_HOUR, "a", [1.0]), *told.tick(FIRST_HOUR + 1)]
    assert piece.rows is not None
    at = piece.rows.schema.get_field_index("sketch")
    wrong = piece.rows.set_column(at, "sketch", pa.array([b"?"] * piece.rows.num_rows))
    forged = [blocks.encode(replace(piece, rows=each)) for each in (rows, wrong)]
    writer.append(TO, 0, [b"something else", gone, *forged], 1)
    writer.flush()
    writer.close()
    append(log, *two_hours(Told()))
    (price,) = read(log).report("sales", Asked("price")).fields
    assert price.events == 5


def test_nothing_is_known_before_anything_came(log: Any) -> None:
    found = read(log).report("sales", Asked())
    assert found.fields == []
    assert found.sources == []


def test_of_a_topic_that_keeps_none_it_is_said_why() -> None:
    book = Book("shop", [replace(SALES, statistics=None)])
    assert book.figures("sales").drifts == []
    with pytest.raises(RequestError, match="statistics=None"):
        book.report("sales", Asked())
