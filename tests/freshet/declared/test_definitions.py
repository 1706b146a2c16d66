"""What has changed since the last start, in sentences."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshet as fr
from freshet.declared import definitions
from freshet.declared.definitions import Definitions, changes
from freshet.schemas.errors import ComponentError, DefinitionError

FIELDS = [
    {"name": "id", "type": "string"},
    {"name": "at", "type": "long"},
    {"name": "user", "type": ["null", "string"]},
    {"name": "x", "type": "double"},
]
COUNT, MEAN = fr.count(over="1h"), fr.mean("x", over="1h")
ABOVE = pl.col("x") > 0.5


def made(
    drop: dict[str, pl.Expr] | None = None,
    features: dict[str, object] | None = None,
    label: pl.Expr = ABOVE,
    rate: float = 0.1,
    topic: str = "visits",
) -> fr.App:
    visits = fr.Topic(
        topic,
        {"type": "record", "name": "visit", "fields": FIELDS},
        event_id="id",
        event_time="at",
        drop=drop or {},
    )
    by_user = fr.View("by_user", visits, key="user", features=features or {"n": COUNT})  # type: ignore[arg-type]
    model = fr.Model(
        "m",
        on=visits,
        id="id",
        label=fr.Label(visits, id="id", value=label),
        features=[by_user["n"]],
        learners=[fr.Baseline(), fr.HashedLogistic(rate=rate)],
        fallback=[fr.constant(0.5)],
    )
    return fr.App("grown", topics=[visits], views=[by_user], models=[model])


def before(app: fr.App) -> Definitions:
    return Definitions(app.name).now(app, 1)


def test_the_same_declarations_are_told_nothing_of() -> None:
    assert changes(before(made()), made()) == []


def test_a_feature_more_of_a_view_changes_nothing_for_who_does_not_read_it() -> None:
    app = made(features={"n": COUNT, "mean": MEAN})
    assert changes(before(made()), app) == [
        "view by_user is declared otherwise (field x is added: number; feature mean is added: "
        "mean(x over 1h)): its rows are built of all that the log of visits holds, with its "
        "archive, and answer once that is done; what it had last is left as it is.",
    ]


def test_what_is_downstream_of_a_view_is_told_with_it() -> None:
    app = made(features={"n": fr.count(over="2h")})
    lineages = [app.models[0].lineage(x) for x in app.models[0].learners]
    names = ("baseline", "hashed_logistic")
    assert changes(before(made()), app)[1:] == [
        f"lineage m.{name} is declared otherwise (view by_user is another): {lineage} learns all "
        "examples that the log still has, of columns that were not logged what can be known of the "
        "past, and then takes part; what it had last is left as it is."
        for name, lineage in zip(names, lineages)
    ]


def test_what_is_downstream_of_a_topic_is_told_with_it() -> None:
    told = changes(before(made()), made(drop={"low": pl.col("x") < 0.1}))
    assert [sentence.partition(" is ")[0] for sentence in told] == [
        "topic visits",
        "view by_user",
        "model m",
    ]
    assert "from the first event on" in told[0]
    assert "its rows are built of all that the log of visits holds" in told[1]


def test_another_learner_alone_is_told_alone() -> None:
    app = made(rate=0.05)
    (told,) = changes(before(made()), app)
    lineage = app.models[0].lineage(app.models[0].learners[1])
    assert told.startswith(
        "lineage m.hashed_logistic is declared otherwise (declared was …rate=0.1, start=1.0"
    )
    assert f"): {lineage} learns all examples that the log still has" in told


def test_another_label_is_another_model_over_the_same_views() -> None:
    app = made(label=pl.col("x") > 0.9)
    (told,) = changes(before(made()), app)
    assert 'label was [(col("x")) > 0.5], is [(col("x")) > 0.9]' in told
    assert app.stored_as(app.views[0]) == made().stored_as(made().views[0])
    assert app.outcomes_log_of(app.models[0]) != made().outcomes_log_of(made().models[0])


def test_what_is_put_back_goes_on() -> None:
    first, other = made(), made(features={"n": fr.count(over="2h")})
    then = before(first).now(other, 2)
    told = changes(then, first)
    assert (
        "as it was once: its rows go on, without the events that were taken in meanwhile" in told[0]
    )
    assert "as it was once: it goes on from what it had learned" in told[1]
    assert changes(then.now(first, 3), first) == []


def test_what_is_gone_is_left_as_it_is() -> None:
    app = made()
    less = fr.App("grown", topics=app.topics)
    assert changes(before(app), less) == [
        "view by_user is gone: what it has kept is left as it is.",
        "model m is gone: what it has kept is left as it is.",
        "lineage m.baseline is gone: what it has learned is left as it is.",
        "lineage m.hashed_logistic is gone: what it has learned is left as it is.",
    ]


APPS = [
    made(),
    made(drop={"low": pl.col("x") < 0.1}),
    made(features={"n": COUNT, "mean": MEAN}),
    made(label=pl.col("x") > 0.9),
    made(rate=0.05),
    made(topic="calls"),
]


@given(st.lists(st.sampled_from(APPS), min_size=1, max_size=6))
def test_names_are_of_what_is_declared_whatever_was_before(apps: list[fr.App]) -> None:
    """Nothing is told twice, and nothing that is as it was; what was left is not here."""
    record = Definitions("grown")
    for at, app in enumerate(apps):
        told = changes(record, app)
        is_equal = record.facts == {thing: dict(facts) for thing, facts in app.facts.items()}
        assert (told == []) == is_equal
        record = record.now(app, at)
        assert changes(record, app) == []
        assert not {definitions._key(*item) for item in record.facts.items()} & set(record.left)


def test_the_record_is_kept_and_read(tmp_path: Path) -> None:
    url = str(tmp_path / "checkpoints")
    assert definitions.read(url) is None
    definitions.keep(url, None, made(), 1)
    assert definitions.read(url) == before(made())
    (tmp_path / "checkpoints" / definitions.FILE).write_text("{")
    with pytest.raises(ComponentError, match=r"cannot be read.*Remove it"):
        definitions.read(url)


def test_a_model_reads_the_view_that_its_app_lists() -> None:
    app = made()
    other = made(features={"n": COUNT, "mean": MEAN}).views[0]
    with pytest.raises(DefinitionError, match="reads another view 'by_user' than the one"):
        fr.App("grown", topics=app.topics, views=[other], models=app.models)
