"""Users' own agents: a Faust app over an app's topics."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from freshet.app import App
from freshet.roles import plans
from freshet.roles.names import elsewhere
from freshet.schemas.errors import DefinitionError
from freshet.schemas.topics.topic import check_name
from freshet.settings import settings
from freshet.streams.catalog import open_log
from freshet.streams.intake import known_schemas

if TYPE_CHECKING:
    from freshet.streams.agents.faust_app import FaustApp


def faust_app(app: App, name: str = "agents", **conf: Any) -> FaustApp:
    """A Faust app over an app's topics, for agents of your own. Needs the extra `faust`, and Kafka.

    `of("weather")` of what is returned is the Faust topic of one of the app's topics: agents read
    events from it as dicts, and send events to it. `docs/faust.md` says what is guaranteed.

    ```python
    agents = fr.faust_app(app)

    @agents.agent(agents.of("weather"))
    async def enrich(events):
        async for event in events:
            await agents.of("enriched").send(value={**event, "source": "station"})
    ```

    Source: Faust, in its maintained fork faust-streaming.

    Args:
        app: The app whose topics agents read and send to.
        name: The Faust app is called `<app>.<name>`, which is also its consumer group. Files whose
            agents are workers of their own need a name of their own.
        **conf: Settings of Faust's, such as `web_port`. Brokers and logins are those of the
            setting `log` (`FRESHET_LOG`) unless given here.

    Returns:
        A `faust.App` with the method `of`.

    Raises:
        DefinitionError: the log is not on Kafka or has a setting that Faust has no counterpart of,
            the extra `faust` is not installed, or `name` is no usable name.
    """
    check_name("faust app", name)
    try:
        from freshet.streams.agents.faust_app import faust_app as made
    except ModuleNotFoundError as error:
        # A module that is missing from within ours is a fault of ours.
        if error.name not in ("faust", "mode", "aiokafka"):
            raise
        raise DefinitionError(
            f"faust app {app.name}.{name}",
            "faust-streaming is not installed",
            "Install it: pip install freshet[faust].",
        ) from error
    given = settings()

    # Called by a worker when it starts: a file of agents may be imported where no broker is.
    def ensure() -> None:
        with closing(open_log(given.log_url)) as log:
            plans.ensure_topics(app, log, elsewhere(app, name))

    # A worker has one cluster: it reads none of another.
    topics = {app.log_of(topic.name): topic for topic in app.topics if topic.cluster is None}
    return made(
        f"{app.name}.{name}",
        topics,
        given.log_url,
        ensure,
        lambda topic: known_schemas.earlier_of(
            given.checkpoints_url, app.log_of(topic.name), topic
        ),
        **conf,
    )
