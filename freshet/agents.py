"""Users' own agents: a Faust app over an app's topics."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from freshet.app import App
from freshet.roles import plans
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.topic import check_name
from freshet.settings import settings
from freshet.streams.catalog import open_log
from freshet.streams.intake import known_schemas

if TYPE_CHECKING:
    from freshet.streams.agents.faust_app import FaustApp


def faust_app(app: App, name: str = "agents", **conf: Any) -> FaustApp:
    """A Faust app, `<app>.<name>`, whose topics speak the app's schemas and whose outputs are ordinary topics of it.

        weather = fr.faust_app(app)

        @weather.agent(weather.of("weather"))
        async def enrich(events):
            async for event in events: ...

    Files whose agents are workers of their own need a `name` of their own: it is their consumer group. The brokers and
    their logins are those of the setting `log`; `conf` are settings of Faust's, such as `web_port`.

    Raises:
        DefinitionError: the log is not on Kafka, or the extra `faust` is not installed.
    """
    check_name("faust app", name)
    try:
        from freshet.streams.agents.faust_app import faust_app as made
    except ModuleNotFoundError as error:
        if error.name not in ("faust", "mode", "aiokafka"):
            raise
        raise DefinitionError(
            f"faust app {app.name}.{name}",
            "faust-streaming is not installed",
            "Install it: pip install freshet[faust].",
        ) from error
    given = settings()

    def ensure() -> None:
        with closing(open_log(given.log_url)) as log:
            plans.ensure_topics(app, log)

    topics = {app.log_of(t.name): t for t in app.topics}
    return made(
        f"{app.name}.{name}",
        topics,
        given.log_url,
        ensure,
        lambda t: known_schemas.earlier(given.checkpoints_url, app.log_of(t.name), t.events),
        **conf,
    )
