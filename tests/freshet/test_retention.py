"""How long records stay follows from the topics' `keep`, and none is shorter than what needs
them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

import freshet as fr
from freshet.app import App
from freshet.retention import check_change
from freshet.roles import plans
from freshet.runs.archived import kept_ms, shortened
from freshet.schemas.durations import DAY_MS
from freshet.schemas.errors import DefinitionError, RequestError
from freshet.streams.archive.trimming import Rule
from freshet.streams.operators import checkpoints
from tests.toy_app import reading, toy_app


def kept(**keeps: str | None) -> App:
    """The toy app with these `keep`s, by topic."""
    app = toy_app()
    topics = {t.name: replace(t, keep=keeps.get(t.name)) for t in app.topics}
    views = [replace(v, topic=topics[v.topics[0].name]) for v in app.views]
    models = []
    for m in app.models:
        label = replace(m.label, topic=topics[m.label.topic.name])
        models.append(replace(m, on=topics[m.on.name], label=label))
    return replace(app, topics=list(topics.values()), views=views, models=models)


def test_without_keep_everything_stays() -> None:
    assert kept_ms(kept()) == {}
    assert rules_of(kept(), Own()) == []


def test_what_several_topics_made_stays_as_long_as_the_longest() -> None:
    app = kept(orders="7d", payments="2d")
    (view,) = app.views
    (model,) = app.models
    assert kept_ms(app) == {
        "toy.orders": 7 * DAY_MS,
        "toy.payments": 2 * DAY_MS,
        app.fates_log_of(app.topic("orders")): 7 * DAY_MS,
        app.fates_log_of(app.topic("payments")): 2 * DAY_MS,
        app.clean_log_of(view): 2 * DAY_MS,
        app.outcomes_log_of(model): 7 * DAY_MS,
        app.examples_log_of(model): 7 * DAY_MS,
        app.dead_log: 7 * DAY_MS,
        app.statistics_log: 7 * DAY_MS,
    }
    # One that is kept whole keeps all that it had a part in.
    half_kept = kept(payments="2d")
    half = kept_ms(half_kept)
    fates = half_kept.fates_log_of(half_kept.topic("payments"))
    assert list(half) == ["toy.payments", fates, app.clean_log_of(view)]


@pytest.mark.parametrize(
    ("topic", "changes", "what"),
    [
        ("payments", {"keep": "11h"}, "two times label_wait of model unpaid, 12h"),
        ("orders", {"keep": "11h"}, "two times label_wait of model unpaid, 12h"),
        ("payments", {"keep": "1d", "dedup": "13h"}, "two times its dedup, 1d2h"),
    ],
)
def test_a_keep_that_is_shorter_than_what_needs_the_records_is_refused(
    topic: str, changes: dict[str, Any], what: str
) -> None:
    app = kept()
    topics = {t.name: t for t in app.topics}
    changed = {**topics, topic: replace(topics[topic], **changes)}
    views = [replace(v, topic=changed[v.topics[0].name]) for v in app.views]
    model = app.models[0]
    label = replace(model.label, topic=changed["payments"])
    made = reading(replace(model, on=changed["orders"], label=label), views[0])
    with pytest.raises(DefinitionError, match=f"is shorter than {what}") as caught:
        replace(app, topics=list(changed.values()), views=views, models=[made])
    assert f"topic {topic}" in caught.value.resource
    assert caught.value.next_step.startswith('Write keep="')


def test_a_keep_shorter_than_a_window_or_lateness_is_refused() -> None:
    topic = fr.Topic(
        "visits",
        {
            "type": "record",
            "name": "visit",
            "fields": [{"name": "user", "type": "string"}, {"name": "at", "type": "long"}],
        },
        None,
        "at",
        keep="1d",
        freshness=fr.Freshness(lateness="2m"),
    )
    view = fr.View("load", topic, key="user", features={"n": fr.count(over="25h")})
    with pytest.raises(DefinitionError, match="than the longest window of view load, 1d1h"):
        fr.App("a", topics=[topic], views=[view])
    late = replace(topic, freshness=fr.Freshness(lateness="2d"))
    with pytest.raises(DefinitionError, match="shorter than its lateness, 2d"):
        fr.App("a", topics=[late])
    with pytest.raises(DefinitionError, match="is not a duration"):
        replace(topic, keep="a week")
    with pytest.raises(DefinitionError, match="keep"):
        replace(topic, keep=7)  # type: ignore[arg-type]


def rules_of(app: App, log: Any) -> list[Rule]:
    return shortened(app, log, plans.task_inputs(app), partial(plans.kept_as, app))


class Own:
    """A log that nobody else has topics in."""

    is_shared = False


class Shared:
    is_shared = True


def test_every_task_that_reads_a_log_and_can_be_saved_is_asked_first() -> None:
    app = kept(orders="7d", payments="2d")
    rules = {rule.topic: rule for rule in rules_of(app, Own())}
    (view,) = app.views
    (model,) = app.models
    assert rules["toy.orders"].readers(3) == [
        checkpoints.kept_as("intake:orders:3", app.topics[0].digest)
    ]
    assert rules[app.clean_log_of(view)].readers(0) == [
        checkpoints.kept_as(f"view:{view.name}:0", view.digest)
    ]
    trained = rules[app.examples_log_of(model)].readers(0)
    saved = [x for x in model.learners if getattr(x, "servable", True)]
    assert trained == sorted(f"train:{model.name}.{model.lineage(x)}:0" for x in saved)
    assert rules[app.dead_log].readers(0) == []


def test_nothing_is_deleted_from_a_log_of_others() -> None:
    app = kept(orders="7d", payments="2d")
    theirs = replace(app.topics[0], log="orders.v1")
    model = replace(app.models[0], on=theirs)
    changed = replace(app, topics=[theirs, app.topics[1]], models=[model])
    names = [rule.topic for rule in rules_of(changed, Shared())]
    assert "orders.v1" not in names
    # On the embedded log it is the app's own.
    names = [rule.topic for rule in rules_of(changed, Own())]
    assert "orders.v1" in names


@pytest.mark.parametrize(
    ("topic", "setting", "what"),
    [
        ("payments", {"label_wait": "8d"}, "two times label_wait of model unpaid, 16d"),
        ("orders", {"lateness": "8d"}, "its lateness, 8d"),
    ],
)
def test_a_setting_that_would_need_records_for_longer_than_keep_is_refused(
    topic: str, setting: dict[str, str], what: str
) -> None:
    app = kept(orders="7d", payments="20d")
    now = {t.name: t.freshness for t in app.topics}
    check_change(app.topics, app.models, now)
    now[topic] = replace(now[topic], **setting)
    with pytest.raises(RequestError, match=f"keep=7d would be shorter than {what}"):
        check_change(app.topics, app.models, now)
    whole = kept()
    check_change(whole.topics, whole.models, now)
