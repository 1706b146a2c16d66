"""What a scorer answers over HTTP beside predictions: features, pushes, and what the app is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import NamedTuple

from freshet.app import App
from freshet.features.reading.api import FeatureReader
from freshet.roles import plans
from freshet.schemas.topics.topic import Freshness
from freshet.serving.docs import routes as http_docs
from freshet.serving.docs.catalogue import Catalogue, catalogue
from freshet.serving.docs.routes import Routes
from freshet.serving.scoring.reach import Reach
from freshet.serving.web import features as http_features
from freshet.serving.web import push as http_push
from freshet.streams.clock import Clock
from freshet.streams.intake import task as intake_task
from freshet.streams.intake.push import Pusher
from freshet.streams.log.contract import Log

VERSION = version("freshet")


@dataclass(frozen=True, slots=True)
class Interface:
    """`routes` for a scorer's app; `pusher` is closed when no request is answered any more."""

    routes: Routes
    pusher: Pusher


class Known(NamedTuple):
    """What a role knows beside the declarations: a topic's settings as they are now (else as
    declared), and until when features are missing, as `FeatureReader` has it."""

    freshness: Callable[[str], Freshness] | None = None
    incomplete: Mapping[str, int] | None = None


def interface(
    app: App,
    reach: Reach,
    log: Log,
    clock: Clock,
    more: Routes = (),
    known: Known | None = None,
) -> Interface:
    """The interface of an app; `more` are routes of others, which its documentation then
    describes."""
    now = known or Known()
    topics = [(t, app.log_of(t.name)) for t in app.topics]
    closed = {topic.name: str(topic.log) for topic in plans.of_others(app, log)}
    pusher = Pusher(topics, log.writer, clock, now.freshness, keys_of(app), closed)
    routes = [
        *http_features.routes(feature_reader(app, now.incomplete), reach, clock),
        *http_push.routes(pusher),
        *more,
    ]
    return Interface([*routes, *http_docs.routes(VERSION, catalogue_of(app), routes)], pusher)


def keys_of(app: App) -> dict[str, set[tuple[str, ...]]]:
    """The fields of the keys and ids that are made of each topic's events, by its name."""
    return {t.name: intake_task.keys_of(plans.intake_plan(app, t)) for t in app.topics}


def feature_reader(app: App, incomplete: Mapping[str, int] | None = None) -> FeatureReader:
    services = {model.name: model.view_features for model in app.models}
    views = [(v, app.stored_as(v)) for v in app.views]
    return FeatureReader(views, services, incomplete=incomplete)


def catalogue_of(app: App) -> Catalogue:
    return catalogue(app.name, [(t, app.log_of(t.name)) for t in app.topics], app.views, app.models)
