"""Starts lineages beside those that train: what that would mean, and the record and the message
that do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from freshet.datasets.recorded_run import model_of
from freshet.declared import lineages as record
from freshet.learners.contract import LearnerSpec
from freshet.learners.model import Model
from freshet.learners.started import Start
from freshet.lineages.asked import Counts, exclusions_of, read
from freshet.lineages.seen import Seen, by_lineages, by_views
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import RequestError
from freshet.schemas.wire.facts import one_line
from freshet.schemas.wire.messages import NewLineage
from freshet.schemas.wire.outcomes import ASKED
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import send


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be learned anew: by all learners of a model, or one; from the questions that were
    asked from `since` on (ms; None: from the first one), but for those of `where` and `ids`."""

    model: str
    learner: str = ""
    since: int | None = None
    where: str = ""
    ids: tuple[str, ...] = ()
    by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Outline:
    """What starting these lineages means: `names` are what they are called, `left_out` and
    `learned` count examples, `seen` is who has learned or folded what is left out."""

    model: Model
    starts: list[Start]
    names: list[str]
    left_out: Counts
    learned: int
    seen: list[Seen] = field(default_factory=list)


def outlined(run: OpenedRun, wanted: Wanted) -> Outline:
    """What would be started, before anything is.

    Raises:
        RequestError: there is no such model or learner, or what is left out cannot be told.
        LogError: the log cannot be read.
    """
    model = model_of(run.app, wanted.model)
    specs = _chosen(model, wanted.learner)
    exclusions = exclusions_of(
        model,
        wanted.since,
        wanted.where,
        wanted.ids,
    )
    found = read(run, model, wanted.since)
    left_out = exclusions.of(found.rows)
    url = run.settings.checkpoints_url
    starts = []
    for spec in specs:
        lineage = model.lineage(spec)
        start = Start(
            spec.name,
            lineage,
            0,
            lineage,
            one_line(wanted.by),
            WallClock().now_ms(),
            one_line(wanted.why),
            wanted.since,
            wanted.where,
            tuple(sorted(set(wanted.ids))),
            offset=found.begins,
            cuts_from=found.finished,
        )
        starts.append(start)
    starts = numbered(url, model, starts)
    named = exclusions_of(model, None, wanted.where, wanted.ids).of(found.rows)
    asked = named & (found.rows.kind == ASKED)
    ids = found.rows.texts["id"].take(asked.nonzero()[0]).to_arrow().to_pylist()
    return Outline(
        model,
        starts,
        [name_of(model, start) for start in starts],
        found.counts(left_out),
        int((found.learned & ~left_out).sum()),
        [*by_lineages(run, model, found, named), *by_views(run, model, ids)],
    )


def _chosen(model: Model, learner: str) -> list[LearnerSpec]:
    own = record.declared(model)
    if not learner:
        # One that cannot be saved is never served, whatever it has learned.
        return [spec for spec in own if getattr(spec, "servable", True)]
    for spec in own:
        if learner in (spec.name, model.lineage(spec)):
            return [spec]
    raise RequestError(
        f"learner {learner!r}",
        f"is none of model {model.name}",
        f"Its learners are {', '.join(spec.name for spec in own)}.",
    )


def numbered(url: str, model: Model, starts: Sequence[Start]) -> list[Start]:
    """With the numbers that come next, and named; one that was asked for before, word for word, has
    those that it has."""
    known = record.starts_of(url, model.name)
    after = max((start.number for start in known), default=0) + 1
    out = []
    for start in starts:
        same = [one for one in known if _asks_for(one) == _asks_for(start)]
        if same:
            out.append(same[-1])
            continue
        made = replace(start, number=after)
        out.append(replace(made, lineage=name_of(model, made)))
        after += 1
    return out


def _asks_for(start: Start) -> Start:
    """What is asked for, whoever asks, whenever that is."""
    return replace(start, number=0, by="", at=0, why="", offset=0, cuts_from=0, lineage="")


def name_of(model: Model, start: Start) -> str:
    """What a lineage is called that is to be started."""
    from freshet.learners.started import Started

    (spec,) = (spec for spec in model.learners if model.lineage(spec) == start.of)
    return model.lineage(Started(spec, start))


def begin(
    run: OpenedRun,
    model: Model,
    starts: Sequence[Start],
    prepare: Callable[[Start], None] = lambda start: None,
) -> list[str]:
    """Start lineages, and tell all roles that run; their names. `prepare` puts what a lineage goes
    on from, before anybody can know of it. Doing it again starts nothing more.

    Raises:
        RequestError: somebody else started one at the same time.
        LogError: the log cannot be written.
    """
    url = run.settings.checkpoints_url
    known = record.starts_of(url, model.name)
    for start in starts:
        if start in known:
            continue
        prepare(start)
        if not record.put(url, model.name, start):
            raise RequestError(
                f"model {model.name}",
                f"lineage {start.number} of it was started by somebody else at the same time",
                "See freshet models, and start this one again if it is still wanted.",
            )
    names = [name_of(model, start) for start in starts]
    now_ms = WallClock().now_ms()
    told = [NewLineage(model.name, name, start.by, start.at) for name, start in zip(names, starts)]
    writer = run.log.writer()
    try:
        # After the record: whoever hears of it finds it.
        send(writer, run.app.channels, told, now_ms)
    finally:
        writer.close()
    return names


def ids_in(file: Path) -> tuple[str, ...]:
    """The ids in a file, one a line.

    Raises:
        RequestError: it cannot be read, or holds none.
    """
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise RequestError(
            f"file {file}", f"cannot be read: {why}", "Name a text file with an id a line."
        ) from error
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise RequestError(f"file {file}", "holds no id", "Write one a line.")
    return found
