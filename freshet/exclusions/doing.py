"""Takes events out of the views of a run, or puts them back: a record of that, and a version of the
app that has it. What runs builds the version beside itself and goes on as that from one moment on;
a run that has stopped begins with it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from freshet.app import App, load
from freshet.applying import asking
from freshet.declared import exclusions as record
from freshet.declared.exclusions import Exclusion, excluding, numbers_of
from freshet.exclusions.chosen import Chosen, Wanted
from freshet.processes.versioned import Taken, drafted
from freshet.runs import record as run_record
from freshet.runs.lock import RunLock, is_held
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import DefinitionError, RequestError
from freshet.schemas.wire.facts import one_line
from freshet.settings import Settings
from freshet.streams.admission.excluded import runs_of
from freshet.streams.clock import wall_now_ms
from freshet.versions.excluded import held
from freshet.versions.part import active_and_kept
from freshet.versions.record import Cutover


class Done(Enum):
    """What came of it: it is being built beside what runs, or begins with the next start: of the
    run, or of each role where they are on several machines."""

    ASKED = "asked"
    AT_START = "at start"
    AT_STARTS = "at the start of each role"


def every(run: OpenedRun) -> list[tuple[Exclusion, bool]]:
    """All that was ever asked for, in order, and whether it holds now."""
    found = record.every(run.settings.checkpoints_url)
    holding = record.in_force(found, held(run.settings))
    return [(one, one in holding) for one in found]


def exclusion_of(run: OpenedRun, chosen: Chosen, wanted: Wanted, by: str, why: str) -> Exclusion:
    """The record that takes these events out: the one that was made before of the same, where that
    came to nothing.

    Raises:
        RequestError: there are no such events, or they are taken out already.
    """
    runs = runs_of(chosen.places)
    if not runs:
        raise RequestError(
            f"topic {chosen.topic.name}",
            "has no such event that a view has folded",
            "Look for them with fr.open_run(…).events().",
        )
    known = every(run)
    for one, holds in known:
        if (one.topic, one.runs) == (chosen.topic.name, runs) and one.back is None:
            if holds:
                raise RequestError(
                    f"topic {one.topic}",
                    f"lacks these events already, by exclusion {one.told}",
                    f"Put them back with freshet topics exclude --revert {one.number}.",
                )
            if not any(other.back == one.number for other, _ in known):
                return one
    return Exclusion(
        _next_number(known),
        chosen.topic.name,
        one_line(by),
        wall_now_ms(),
        one_line(why),
        wanted.told,
        runs,
        len(chosen.places),
    )


def putting_back(run: OpenedRun, number: int, by: str, why: str) -> Exclusion:
    """The record that puts events back which another one has taken out.

    Raises:
        RequestError: no such one holds.
    """
    known = every(run)
    for one, holds in known:
        if one.back == number and not holds:
            return one
        if one.number == number and holds and one.back is None:
            undone = [other for other, _ in known if other.back == number]
            if undone:
                return undone[-1]
            return Exclusion(
                _next_number(known),
                one.topic,
                one_line(by),
                wall_now_ms(),
                one_line(why),
                back=number,
            )
    raise RequestError(
        f"exclusion {number}",
        "does not hold",
        "See freshet topics exclusions for those that do.",
    )


def _next_number(known: Iterable[tuple[Exclusion, bool]]) -> int:
    return max((one.number for one, _ in known), default=0) + 1


def carry_out(run: OpenedRun, made: Exclusion) -> Done:
    """Have the run as that says. Doing it again does nothing more.

    Raises:
        DefinitionError: the run is being changed already, or cannot be as asked.
        RequestError: somebody else asks for something at the same time.
    """
    given = run.settings
    url = given.checkpoints_url
    numbers = held(given)
    versions = Taken(given.local_path)
    if is_held(given.local_path):
        _refuse_without_versions(given, numbers)
    # Before anybody hears of it: whoever does finds it.
    if made not in record.every(url):
        record.put(
            url,
            made,
        )
    if given.is_shared:
        # Nobody here could start the processes of a version on the other machines.
        return Done.AT_STARTS
    if numbers is None:
        return Done.AT_START
    file = versions.app_file(versions.active())
    wanted = excluding(load(file), url, [*numbers, made.number])
    if not is_held(given.local_path):
        _begin_with(
            versions,
            wanted,
            given,
        )
        return Done.AT_START
    before = excluding(
        load(file),
        url,
        [n for n in numbers if n != made.back],
    )
    if made.back is not None and _is_kept(versions, before):
        # It was fed all along: there is nothing to build.
        asking.ask_back(given)
    else:
        asking.ask(wanted, str(file), given)
    return Done.ASKED


def _refuse_without_versions(given: Settings, numbers: list[int] | None) -> None:
    """Its roles would declare something else than the run, as soon as one is started again."""
    if numbers is None:
        raise DefinitionError(
            f"run in {given.local_path}",
            "goes on from its app's own folder, and cannot be changed meanwhile",
            "Stop it, take the events out, and start it again.",
        )
    asking.refuse_where_nothing_runs(given)


def _is_kept(versions: Taken, app: App) -> bool:
    """Whether the version that can be gone back to declares just that."""
    _, kept = active_and_kept(versions)
    return kept is not None and kept.digest == app.digest and kept.excludes == numbers_of(app)


def _begin_with(versions: Taken, app: App, given: Settings) -> None:
    """Make a version of it the active one of a run that has stopped. Before that its file is in
    place the run is what it was."""
    lock = RunLock(given.local_path)
    try:
        active = versions.active()
        number = versions.next_number()
        draft, made = drafted(
            versions,
            app,
            versions.app_file(active),
            number,
        )
        versions.adopt(
            draft,
            made,
        )
        versions.cut_over(Cutover(number, wall_now_ms(), active.number))
        run_record.write(
            app.name,
            str(versions.app_file(made)),
            given,
        )
        versions.prune(
            [number, active.number],
        )
    finally:
        lock.close()
