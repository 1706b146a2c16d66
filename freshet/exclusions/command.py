"""`freshet topics exclude`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console

from freshet.applying.following import follow
from freshet.exclusions.chosen import Wanted, chosen
from freshet.exclusions.doing import Done, carry_out, exclusion_of, putting_back
from freshet.exclusions.outline import Outline, outlined
from freshet.exclusions.text import as_json, show_outline
from freshet.lineages.start import ids_in
from freshet.past.moments import ms_of
from freshet.runs.opened import opened
from freshet.runs.page_client import user
from freshet.schemas.errors import RequestError
from freshet.terminal import say

OFFSETS = re.compile(r"(\d{1,18})-(\d{1,18})")


class Options(Protocol):
    """As the command line has them."""

    @property
    def since(self) -> str: ...
    @property
    def until(self) -> str: ...
    @property
    def where(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def partition(self) -> int | None: ...
    @property
    def offsets(self) -> str: ...
    @property
    def ids(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """Events of a `topic` are to be taken out, or what number `revert` took out is to be put
    back; without `apply` it is only said what that means, `as_json` as lines of JSON."""

    topic: str | None
    events: Options
    why: str
    revert: int | None = None
    apply: bool = False
    as_json: bool = False


def take_out(run_dir: str, asked: Asked, console: Console) -> int:
    """The status that the command ends with.

    Raises:
        FreshetError: it cannot be told what is wanted, or done.
    """
    is_told_of = (asked.topic is not None, asked.revert is not None)
    if sum(is_told_of) != 1:
        raise RequestError(
            "topics exclude",
            "is told of no one thing to do",
            "Name a topic and its events, or write --revert NUMBER.",
        )
    with opened(run_dir) as run:
        if asked.revert is not None:
            made = putting_back(
                run,
                asked.revert,
                user(),
                asked.why,
            )
        else:
            wanted = _wanted(
                asked.topic or "",
                asked.events,
            )
            found = chosen(
                run,
                wanted,
            )
            _tell(outlined(run, found), asked, console)
            made = exclusion_of(
                run,
                found,
                wanted,
                user(),
                asked.why,
            )
        if not asked.apply:
            if not asked.as_json:
                console.print("nothing was done; with --apply it is")
            return 0
        done = carry_out(
            run,
            made,
        )
        given = run.settings
    if asked.as_json:
        say(f'{{"exclusion":{made.number},"done":"{done.value}"}}')
    else:
        console.print(
            f"exclusion {made.number} {SAID[done]}",
            highlight=False,
            soft_wrap=True,
        )
    if done is Done.ASKED:
        return follow(
            given,
            asked.as_json,
        )
    return 0


SAID = {
    Done.ASKED: "is asked for; it goes on where this command is interrupted",
    Done.AT_START: "holds from the next start of the run on",
    Done.AT_STARTS: "holds of each role from its next start on, since they are on several "
    "machines: what runs answers as it did until all of them are started again, intake first",
}


def _tell(outline: Outline, asked: Asked, console: Console) -> None:
    if asked.as_json:
        say(as_json(outline))
    else:
        show_outline(outline, console)


def _wanted(topic: str, events: Options) -> Wanted:
    offsets = None
    if events.offsets:
        found = OFFSETS.fullmatch(events.offsets)
        if found is None:
            raise RequestError(
                f"--offsets {events.offsets!r}",
                "is no range",
                "Write the first and the last one, such as 100-199.",
            )
        offsets = (int(found[1]), int(found[2]))
    return Wanted(
        topic,
        ms_of("--from", events.since) if events.since else None,
        ms_of("--to", events.until) if events.until else None,
        events.where,
        events.source,
        events.partition,
        offsets,
        ids_in(Path(events.ids)) if events.ids else (),
    )
