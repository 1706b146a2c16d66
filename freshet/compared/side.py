"""A run as it is compared with another: what it has left in its folder, its log and its
checkpoints, while it goes on or after it has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from freshet.audit import kept
from freshet.compared.difference import Value
from freshet.compared.rows import Rows, rows_of
from freshet.declared import definitions
from freshet.features.views.view import View
from freshet.learners.model import Model
from freshet.quality.figures import quality
from freshet.replay.report import outcomes_of
from freshet.runs.opened import OpenedRun
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION
from freshet.schemas.topics.digests import Facts
from freshet.schemas.topics.topic import Topic
from freshet.schemas.wire.messages import Message
from freshet.streams.control.channels import Follower
from freshet.streams.control.live_settings import LiveSettings
from freshet.streams.intake.fates import fates
from freshet.streams.intake.ledger import totals
from freshet.streams.log.errors import NoSuchTopic

Values = Mapping[str, Mapping[str, Value]]
# How long a look for messages waits: all that count are there already.
LOOK_SECONDS = 1.0
# How good answers were, by task: what a person calls it, and a report.
FIGURES: Mapping[str, Mapping[str, str]] = {
    BINARY: {
        "log loss": "log_loss",
        "AUC": "auc",
        "normalised entropy": "ne",
        "calibration": "calibration",
        "accuracy": "accuracy",
    },
    CLASSES: {
        "log loss": "log_loss",
        "normalised entropy": "ne",
        "calibration": "calibration",
        "calibration error": "calibration_error",
        "accuracy": "accuracy",
        "macro F1": "macro_f1",
    },
    REGRESSION: {
        "MAE": "mae",
        "RMSE": "rmse",
        "bias": "bias",
        "squared error": "squared_error",
    },
}


@dataclass(frozen=True)
class Side:
    """A run: of each thing what it declares and what is set, how many events of it ended how, and
    how good its answers were; and the rows of its views. Of the `stale` ones, which the app's file
    declares otherwise by now than they ran, nothing else is known."""

    facts: Mapping[str, Facts]
    settings: Values
    fates: Values
    rows: Mapping[str, Rows]
    quality: Values
    stale: frozenset[str]


def side_of(run: OpenedRun) -> Side:
    """A run, by all that it has left.

    Raises:
        ComponentError: its checkpoints or its definitions cannot be read.
        LogError: its log cannot be read.
    """
    app = run.app
    recorded = definitions.read(run.settings.checkpoints_url) or definitions.of(app)
    # What it left lies under digests, and those of what it declared once follow from that alone.
    stale = frozenset(
        thing for thing, found in app.facts.items() if recorded.facts.get(thing) != found
    )
    return Side(
        facts=recorded.facts,
        settings={"run": _places(run)} | _live(run),
        fates={
            f"topic {topic.name}": _fates(run, topic)
            for topic in app.topics
            if f"topic {topic.name}" not in stale
        },
        rows={
            f"view {view.name}": _rows(run, view)
            for view in app.views
            if f"view {view.name}" not in stale
        },
        quality={
            f"model {model.name}": _quality(run, model)
            for model in app.models
            if f"model {model.name}" not in stale
        },
        stale=stale,
    )


def _places(run: OpenedRun) -> dict[str, Value]:
    """The kinds of servers of a run; their addresses are no difference."""
    given = run.settings
    return {
        "log": _kind(given.log_url, "SQLite"),
        "store": _kind(given.store, "embedded Redis"),
        "archive": _kind(given.archive_url or "none", "files"),
    }


def _kind(address: str, embedded: str) -> str:
    if address == "none":
        return address
    if "://" not in address:
        return embedded
    return address.partition("://")[0]


def _live(run: OpenedRun) -> dict[str, dict[str, Value]]:
    """The settings of topics: as declared, and changed since."""
    current = LiveSettings({topic.name: topic.freshness for topic in run.app.topics})
    for message in _decisions(run):
        current.note(message)
    return {f"topic {name}": asdict(found) for name, found in current.all().items()}


def _decisions(run: OpenedRun) -> Iterator[Message]:
    """All that was said on the control log so far."""
    topic = run.app.channels.control
    end = run.log.bounds(topic).spans[0][1]
    follower = Follower(run.log, topic)
    try:
        while follower.position < end:
            found = follower.poll(LOOK_SECONDS)
            if not found:  # what ends a transaction has an offset, too
                return
            yield from found
    finally:
        follower.close()


def _fates(run: OpenedRun, topic: Topic) -> dict[str, Value]:
    """How many events of a topic ended how, by intake's own ledger, over all partitions."""
    source = run.app.settled_log_of(topic)
    names = fates(topic)
    counted = dict.fromkeys(names, 0)
    for partition in run.log.bounds(source).spans:
        url = run.settings.checkpoints_url
        _, ledger = kept.ledger(
            run.log,
            url,
            topic,
            source,
            partition,
        )
        for fate, count in totals(ledger, names).items():
            counted[fate] += count
    counted |= _fates_again(run, topic)
    return {fate: count for fate, count in counted.items() if count}


def _fates_again(run: OpenedRun, topic: Topic) -> dict[str, int]:
    """The same of dead letters that were sent again, which have a ledger of their own."""
    app = run.app
    url = run.settings.checkpoints_url
    # A run of an earlier version has no such log.
    with suppress(NoSuchTopic):
        ledger = kept.redriven_ledger(
            run.log,
            url,
            app.name,
            app.redriven_log,
            topic,
        )
        return {f"again: {fate}": count for fate, count in totals(ledger, fates(topic)).items()}
    return {}


def _rows(run: OpenedRun, view: View) -> Rows:
    with TemporaryDirectory(prefix="freshet-") as folder:
        return rows_of(run, view, Path(folder))


def _quality(run: OpenedRun, model: Model) -> dict[str, Value]:
    """What was asked and came of it, and how good the answers were that were given."""
    found = outcomes_of(run.app, run.log, model, keep_rows=False)
    figures = quality(model.task, found.p, found.y)
    values: Mapping[str, Any] = {**figures}
    counted: dict[str, Value] = {
        "asked": found.asked,
        "labelled": figures["n"],
        "expired": found.expired,
        "corrected": found.corrected,
    }
    return counted | {name: values[figure] for name, figure in FIGURES[model.task.kind].items()}
