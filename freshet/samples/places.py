"""Where samples are, and `freshet schema infer`: what is proposed for one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from freshet.datafiles.files import CUT, DataError
from freshet.samples.column_profile import Profiles, profiles
from freshet.samples.log_tail import NEWEST, of_log
from freshet.samples.proposal import Proposal, propose
from freshet.samples.roles import Roles, find_roles
from freshet.samples.sample import Sample, of_files
from freshet.samples.text import lines
from freshet.samples.values import NUMBERS, kind_of_text
from freshet.schemas.errors import ComponentError, DefinitionError
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.shown_text import printable_json
from freshet.schemas.whole_files import write_whole
from freshet.settings import settings
from freshet.streams.catalog import open_log
from freshet.terminal import say


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sample is: files, or the `last` records of a topic's log."""

    files: str = ""
    topic: str = ""
    last: int = NEWEST
    log: str | None = None
    run_dir: str | None = None


@contextmanager
def sampled(place: Place) -> Iterator[Sample]:
    """The sample at a place.

    Raises:
        DefinitionError: it is not said which, or both.
        FreshetError: it cannot be read.
    """
    if bool(place.files) == bool(place.topic):
        cause = "is not said"
        if place.files:
            cause = f"is {place.files}, and --topic {place.topic}"
        raise DefinitionError("sample", cause, "Name files, or a topic with --topic.")
    if place.files:
        yield of_files(place.files)
        return
    given = settings(log=place.log or "", run_dir=place.run_dir)
    # Before it is opened, which would make an empty one.
    if "://" not in given.log_url and not Path(given.log_url).is_dir():
        raise ComponentError(
            f"log {given.log_url}",
            "is not there",
            "Name the log with --log kafka://host:port, or a run's folder with --run-dir.",
        )
    log = open_log(given.log_url)
    try:
        yield of_log(log, place.topic, place.last)
    finally:
        log.close()


def proposed(sample: Sample, name: str, rows: int) -> tuple[Proposal, Roles]:
    """A schema for a sample, and what its fields could be.

    Raises:
        DefinitionError: no field can be told from it.
    """
    found = profiles(sample.chunks(rows), sample.as_text)
    _check_form(sample, found)
    proposal = propose(sample.name, found, sample.as_text, name)
    if not proposal.fields:
        why = "; ".join(f"{column}: {cause}" for column, cause in proposal.left_out.items())
        raise DefinitionError(
            f"sample {sample.name}",
            f"has no field that a schema could have ({why or proposal.first_broken})",
            "Give rows with named values: JSON objects one a line, CSV with a head, Parquet.",
        )
    # The proposal is held to what every other schema is held to, before anybody sees it.
    EventSchema.parse(proposal.schema, proposal.name)
    return proposal, find_roles(proposal)


def _check_form(sample: Sample, found: Profiles) -> None:
    """Raises `DataError` for what is read, and is not what it seems to be."""
    columns = list(found.columns)
    if sample.as_text and all(kind_of_text(name) in NUMBERS for name in columns):
        raise DataError(
            f"sample {sample.name}",
            f"has a first row of numbers ({', '.join(columns[:3])}), where names of columns belong",
            "Put a row of names before it.",
        )
    if columns or not found.first_broken.startswith(("[", "{")):
        return
    # A line that ends too early is a part of an object.
    if found.first_broken.startswith("{") and found.why_broken != CUT:
        raise DataError(
            f"sample {sample.name}",
            f"has no line that can be read; of {found.first_broken!r}: {found.why_broken}",
            "Mend its lines.",
        )
    how = "jq -c . does"
    if found.first_broken.startswith("["):
        how = "jq -c '.[]' does"
    raise DataError(
        f"sample {sample.name}",
        "is JSON, but not an object a line",
        f"Write each object on a line of its own: {how}.",
    )


def infer(place: Place, name: str, rows: int, out: Path | None) -> None:
    """Propose a schema: to standard output or a new file, and to standard error how it came to
    it."""
    # First: a sample may take a while to read.
    if out is not None and out.exists():
        raise ComponentError(f"file {out}", "is there already", "Name a new file with --out.")
    with sampled(place) as sample:
        proposal, roles = proposed(sample, name, rows)
    say("\n".join(lines(proposal, roles, sample.name)), sys.stderr)
    text = json.dumps(proposal.schema, indent=2, ensure_ascii=False)
    if out is None:
        say(printable_json(text))
        return
    write_whole(out, f"{text}\n".encode())
    say(f"\nwrote {out}", sys.stderr)
