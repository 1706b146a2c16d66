"""Which events of a topic are to be taken out of the views that folded them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from freshet.past.events import PLACE, lazy_frame_of
from freshet.redrive.state import SentAgain
from freshet.roles import plans
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import DefinitionError, RequestError
from freshet.schemas.topics.topic import Topic
from freshet.streams.archive.events import EVENT
from freshet.streams.intake.expressions import fields_of, refuse_others
from freshet.streams.operators.checkpoints import positions

SOURCE = "source"
APPLIED = "applied"
DEDUPLICATED = "deduplicated"
# A repeat would be taken in place of what it repeats.
FOLDED = (APPLIED, DEDUPLICATED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Events of this `topic` that were appended from `since` on and before `until` (ms), of a
    `source`, in a `partition`, at `offsets` from the first to the last one, of which `where` is
    true, of these `ids`; None and empty: any."""

    topic: str
    since: int | None = None
    until: int | None = None
    where: str = ""
    source: str = ""
    partition: int | None = None
    offsets: tuple[int, int] | None = None
    ids: tuple[str, ...] = ()

    @property
    def told(self) -> dict[str, str]:
        """In words, for whoever asks later."""
        named = {
            "from": self.since,
            "to": self.until,
            "where": self.where or None,
            "source": self.source or None,
            "partition": self.partition,
            "offsets": self.offsets and f"{self.offsets[0]}-{self.offsets[1]}",
            "ids": len(self.ids) or None,
        }
        return {name: str(value) for name, value in named.items() if value is not None}


class Chosen(NamedTuple):
    """Events of a topic: a frame of their fields, and, as `#partition` and so on, of what is known
    of each beside those; and how many records of the topic intake has not settled yet, of which
    none is chosen."""

    topic: Topic
    events: pl.DataFrame
    unsettled: int = 0

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Int64 `[n, 3]`: partition, offset and index."""
        own = self.events.select(pl.col(_known(name)).cast(pl.Int64) for name in PLACE)
        return own.to_numpy()

    @property
    def folded(self) -> pl.DataFrame:
        """Those that views have folded."""
        return self.events.filter(pl.col(_known("fate")) != DEDUPLICATED)

    @property
    def begins_ms(self) -> int:
        """When the first of them was appended."""
        return min(self.events[_known("appended_at")].to_physical().to_list(), default=0)

    def counts(self) -> Mapping[tuple[int, str], int]:
        """How many, by partition and fate, in order."""
        columns = (self.events[_known(name)].to_list() for name in ("partition", "fate"))
        return dict(sorted(Counter(zip(*columns)).items()))


def chosen(run: OpenedRun, wanted: Wanted) -> Chosen:
    """Those of the topic that its views have folded, or whose repeats they have.

    Raises:
        RequestError: there is no such topic, no view is over it, or what is wanted cannot be told.
        LogError: the log cannot be read.
    """
    topic = _topic(
        run,
        wanted.topic,
    )
    known = _columns(topic)
    until, unsettled = _settled(
        run,
        topic,
    )
    frame = lazy_frame_of(run, topic, until).select(
        *(pl.col(name).alias(_known(name)) for name in (*PLACE, "appended_at")),
        pl.col("fate").cast(pl.String).alias(_known("fate")),
        *(column.alias(name) for name, column in known.items()),
    )
    conditions = [_folded(run, topic), *_conditions(topic, wanted, list(known))]
    try:
        events = frame.filter(conditions).collect()
    except pl.exceptions.PolarsError as error:
        raise _refused(wanted.where, f"cannot be evaluated: {error}", list(known)) from error
    return Chosen(
        topic,
        events,
        unsettled,
    )


def _known(name: str) -> str:
    """What is known of an event, beside its fields, which may have any name."""
    return f"#{name}"


def _columns(topic: Topic) -> dict[str, pl.Expr]:
    """What an expression may read."""
    found = {name: pl.col(name) for name in (*PLACE, "appended_at", "event_at")}
    found["fate"] = pl.col("fate").cast(pl.String)
    found["day"] = pl.col("appended_at").dt.strftime("%Y-%m-%d")
    if topic.source is not None:
        found[SOURCE] = pl.col(EVENT + topic.source)
    # A field of the topic's own is what is meant by its name.
    return found | {known.name: pl.col(EVENT + known.name) for known in topic.events.fields}


def _folded(run: OpenedRun, topic: Topic) -> pl.Expr:
    """Of what was buried and sent again since, too."""
    fates = SentAgain(run).fates()
    again = [
        place[1:] for place, fate in fates.items() if (place[0], fate) == (topic.name, APPLIED)
    ]
    is_folded = pl.col(_known("fate")).is_in(FOLDED)
    if not again:
        return is_folded
    places = pl.DataFrame(again, PLACE, orient="row").cast(pl.Int64).to_struct()
    own = pl.struct(pl.col(_known(name)).cast(pl.Int64).alias(name) for name in PLACE)
    return is_folded | own.is_in(places.implode())


def _topic(run: OpenedRun, name: str) -> Topic:
    known = {topic.name: topic for topic in run.app.topics}
    if name not in known:
        raise RequestError(
            f"topic {name!r}",
            f"is none of app {run.app.name}",
            f"Its topics are {', '.join(known)}.",
        )
    if not any(view.is_over(name) for view in run.app.views):
        raise RequestError(
            f"topic {name}",
            "has no view that could leave out its events",
            "What a model learned of it is corrected by freshet retrain.",
        )
    return known[name]


def _conditions(topic: Topic, wanted: Wanted, known: list[str]) -> list[pl.Expr]:
    appended = pl.col(_known("appended_at")).to_physical()
    found = []
    if wanted.since is not None:
        found.append(appended >= wanted.since)
    if wanted.until is not None:
        found.append(appended < wanted.until)
    if wanted.partition is not None:
        found.append(pl.col(_known("partition")) == wanted.partition)
    if wanted.offsets is not None:
        found.append(pl.col(_known("offset")).is_between(*wanted.offsets))
    if wanted.source:
        found.append(_named(topic, topic.source, "a source", [wanted.source]))
    if wanted.ids:
        found.append(_named(topic, topic.event_id, "an id", wanted.ids))
    if wanted.where:
        # Null says nothing of an event, so it stays.
        found.append(_parsed(wanted.where, known).fill_null(False))
    if not found:
        raise RequestError(
            f"topic {topic.name}",
            "would lose all of its events: nothing says which",
            "Write --where, --from and --to, --source, --ids, or --partition and --offsets.",
        )
    return found


def _named(topic: Topic, field: str | None, what: str, values: Sequence[str]) -> pl.Expr:
    if field is None:
        raise RequestError(
            f"topic {topic.name}",
            f"has no field that is {what} of its events",
            "Choose them by --where, or by --partition and --offsets.",
        )
    return pl.col(field).cast(pl.String).is_in(list(values))


def _parsed(text: str, known: list[str]) -> pl.Expr:
    try:
        expression = pl.sql_expr(text)
    except pl.exceptions.PolarsError as error:
        raise _refused(text, f"is no expression: {error}", known) from error
    try:
        refuse_others(
            expression,
            "",
        )
    except DefinitionError as error:
        raise _refused(text, error.cause, known) from error
    unknown = [name for name in fields_of(expression) if name not in known]
    if unknown:
        raise _refused(
            text,
            f"reads {unknown[0]!r}, which no event has",
            known,
        )
    return expression


def _settled(run: OpenedRun, topic: Topic) -> tuple[dict[int, int], int]:
    """Of each partition, up to which offset intake has saved that it settled it: what comes later a
    view that is built meanwhile is given by it. And how many records come later."""
    log = run.app.settled_log_of(topic)
    url = run.settings.checkpoints_url
    bounds = run.log.bounds(log)
    until = {}
    later = 0
    for partition, (_, end) in bounds.spans.items():
        task = plans.kept_as(
            run.app,
            f"intake:{topic.name}:{partition}",
        )
        saved = [at for identity, at in positions(url, task) if identity == bounds.identity]
        until[partition] = max(
            saved,
            default=0,
        )
        later += max(
            0,
            end - until[partition],
        )
    return until, later


def _refused(where: str, cause: str, known: Sequence[str]) -> RequestError:
    return RequestError(
        f"--where {where!r}",
        cause,
        f"Write it as in SQL, over {', '.join(known)}.",
    )
