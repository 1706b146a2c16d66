"""`freshet dataset`: the examples of a model as a file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from rich.console import Console

from freshet.datasets.recorded_run import open_run
from freshet.figures import count
from freshet.schemas.errors import ComponentError, RequestError
from freshet.schemas.whole_files import write_whole
from freshet.terminal import marked

SUFFIX = ".parquet"


@dataclass(frozen=True, slots=True)
class Wanted:
    """As on the command line: `model` is a name, or FILE.py:NAME of one that need never have run;
    the others are moments (ISO 8601), empty: none."""

    model: str
    since: str = ""
    until: str = ""
    as_of: str = ""


def write_dataset(run_dir: str, wanted: Wanted, to: Path, console: Console) -> None:
    """Write the examples, and say how many there are, and what became of them.

    Raises:
        FreshetError: the run, the model or a moment is none, or the file cannot be written.
    """
    # First: what follows may take minutes.
    if to.suffix != SUFFIX:
        raise RequestError(
            f"file {to}", f"does not end in {SUFFIX}", "Datasets are Parquet: name one such file."
        )
    frame = _frame(run_dir, wanted)
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    write_file(to, buffer.getbuffer())
    fates = frame["fate"].value_counts(sort=True).iter_rows()
    told = ", ".join(f"{count(rows)} {fate}" for fate, rows in fates)
    console.print(marked("{}  {} questions{}", str(to), count(len(frame)), told and f": {told}"))


def write_file(to: Path, data: memoryview) -> None:
    """Write a file that was named with -o, whole or not at all.

    Raises:
        ComponentError: it cannot be written.
    """
    try:
        write_whole(to, data)
    except OSError as error:
        raise ComponentError(
            f"file {to}",
            f"cannot be written: {error.strerror or error}",
            "Name another with -o, or make room.",
        ) from error


def _frame(run_dir: str, wanted: Wanted) -> pl.DataFrame:
    file, colon, name = wanted.model.rpartition(":")
    # Not given is not the same as an empty text, which is no moment.
    since, until, as_of = (given or None for given in (wanted.since, wanted.until, wanted.as_of))
    with open_run(run_dir) as run:
        if colon:
            return run.reconstructed(
                file,
                name or None,
                since,
                until,
                as_of,
            )
        return run.examples(name, since, until, as_of)
