"""What a run is: written into its folder when it starts, so that commands find its log, store, app
and page by the folder alone."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from freshet.runs import folder
from freshet.schemas.errors import ComponentError
from freshet.schemas.whole_files import PRIVATE, write_whole
from freshet.settings import NOWHERE, Settings

FILE = "run.json"
# Of all that a run stores: checkpoints, rows, freshet's own logs. It rises when they are laid out
# otherwise; 1 was never written, since there was no other.
# 2: keys and categories are encoded so that each can be told from its text.
FORMAT = 2


class RunRecord(msgspec.Struct, frozen=True):
    """The app's name and file (absolute), the addresses of its log, store and archive (empty: in the
    run's folder). Addresses may hold
    passwords: the file is for its owner's eyes. `format` says how the run lays out what it
    stores."""

    app: str
    app_file: str
    log: str
    store: str
    format: int = 1
    archive: str = ""


def write(app: str, app_file: str, given: Settings) -> None:
    """Raises `ComponentError` where it cannot be written."""
    path = given.run_dir / FILE
    record = RunRecord(
        app,
        str(Path(app_file).resolve()),
        _absolute(given.log_url),
        given.store,
        FORMAT,
        _absolute(given.archive) if given.archive not in ("", NOWHERE) else given.archive,
    )
    text = msgspec.json.format(msgspec.json.encode(record))
    try:
        write_whole(path, text, mode=PRIVATE, durable=True)
    except OSError as error:
        raise ComponentError(
            f"file {path}",
            f"cannot be written: {error.strerror or error}",
            "Make room there, or name another folder with --run-dir.",
        ) from error


def check(app: str, given: Settings) -> None:
    """Raises `ComponentError` where the folder is that of a run of another app, over a log of
    another kind, or of another format: its checkpoints and snapshots fit no other."""
    # A link that leads nowhere is there, too: it is told of, not written through.
    if not os.path.lexists(given.run_dir / FILE):
        return
    found = read(given.run_dir)
    if found.app != app:
        raise ComponentError(
            f"run in {given.run_dir}",
            f"is of app {found.app}, and cannot go on as {app}",
            "Name another folder with --run-dir, or give the app its old name.",
        )
    before = _kind(found.log)
    now = _kind(given.log_url)
    if before != now:
        raise ComponentError(
            f"run in {given.run_dir}",
            f"has its log in {before}, and cannot go on in {now}",
            "Name another folder with --run-dir, or the log that it has with --log.",
        )


def _kind(log: str) -> str:
    """Where a log lies, not at which address: brokers and folders may move."""
    if log.startswith("kafka://"):
        return "Kafka"
    return "SQLite"


def read(run_dir: Path) -> RunRecord:
    """Raises `ComponentError` where no run was ever started in the folder, or only one of a version
    of freshet that lays out otherwise what a run stores."""
    found = _decoded(run_dir)
    if found.format != FORMAT:
        raise ComponentError(
            f"run in {run_dir}",
            "was started by another version of freshet, which lays out otherwise what a run stores "
            f"(format {found.format}, this version has {FORMAT})",
            "Go on with that version, or start anew in another folder (--run-dir), on Kafka after "
            "removing all topics of the app that no producer writes.",
        )
    return found


def _decoded(run_dir: Path) -> RunRecord:
    try:
        return msgspec.json.decode((run_dir / FILE).read_bytes(), type=RunRecord)
    except OSError as error:
        raise folder.no_run(run_dir, "there is none", error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ComponentError(
            f"file {run_dir / FILE}",
            f"cannot be read: {error}",
            "Remove it, and start the run again: it is written anew.",
        ) from error


def _absolute(log: str) -> str:
    """Commands that read the record may be called from another folder."""
    if "://" in log:
        return log
    return str(Path(log).resolve())
