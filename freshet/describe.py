"""`freshet check`: what an app would run, in words."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from freshet.app import App
from freshet.roles import role_names


def describe(app: App, console: Console) -> None:
    """Print topics, views, models and processes."""
    topics = Table(
        "topic", "event id", "event time", "fields", "filters", "imputed", title=f"app {app.name}", title_justify="left"
    )
    for t in app.topics:
        row = (
            t.name,
            t.event_id,
            t.event_time,
            str(len(t.events.fields)),
            ", ".join(t.drop) or "–",
            ", ".join(t.impute) or "–",
        )
        topics.add_row(*row)
    views = Table("view", "over", "key", "features", "row bytes", "tile")
    for v in app.views:
        views.add_row(
            v.name, v.topic.name, "|".join(v.keys), ", ".join(v.features), str(v.plan.width), f"{v.tile_ms // 1000} s"
        )
    console.print(topics, views)
    for m in app.models:
        console.print(
            f"model {m.name} on {m.on.name}: {len(m.vectors.categories)} categories, {len(m.vectors.numbers)} numbers, "
            f"label from {m.label.topic.name}; lineages {', '.join(m.lineage(x) for x in m.learners)}",
            highlight=False,
        )
    console.print(f"processes: {', '.join(role_names(app))}\nok", highlight=False)
