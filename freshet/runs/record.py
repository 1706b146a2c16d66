"""What a run is: written into its folder when it starts, so that commands find its log, store, app
and page by the folder alone.

Of a run whose folder is in a store of objects there are two: the whole one stays on this machine,
and what all machines must agree in lies in the store, without any login."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from freshet.runs import folder
from freshet.schemas.errors import ComponentError
from freshet.schemas.shown_text import address
from freshet.schemas.whole_files import PRIVATE, write_whole
from freshet.settings import NOWHERE, Settings
from freshet.streams import objects

FILE = "run.json"
# Of all that a run stores: checkpoints, rows, freshet's own logs. It rises when they are laid out
# otherwise; 1 was never written, since there was no other.
# 2: keys and categories are encoded so that each can be told from its text.
FORMAT = 2


class RunRecord(msgspec.Struct, frozen=True):
    """The app's name and file (absolute), the addresses of its log, store and archive (empty: in
    the run's folder). Addresses may hold passwords: the file is for its owner's eyes. `format` says
    how the run lays out what it stores; `shared` is the URL of what it shares with other machines,
    if it does."""

    app: str
    app_file: str
    log: str
    store: str
    format: int = 1
    archive: str = ""
    shared: str = ""


def write(app: str, app_file: str, given: Settings) -> None:
    """Raises `ComponentError` where it cannot be written."""
    path = given.local_path / FILE
    record = RunRecord(
        app,
        str(Path(app_file).resolve()),
        _absolute(given.log_url),
        given.store,
        FORMAT,
        _absolute(given.archive) if given.archive not in ("", NOWHERE) else given.archive,
        given.run_dir if given.is_shared else "",
    )
    if given.is_shared:
        _share(record)
    text = msgspec.json.format(msgspec.json.encode(record))
    try:
        write_whole(path, text, mode=PRIVATE, durable=True)
    except OSError as error:
        raise ComponentError(
            f"file {path}",
            f"cannot be written: {error.strerror or error}",
            "Make room there, or name another folder with --run-dir.",
        ) from error


def _share(record: RunRecord) -> None:
    """What others are held to. Addresses without their logins: more people read a bucket than a
    private file. Whoever is first writes it, and is agreed with."""
    kept = msgspec.structs.replace(
        record, app_file="", log=address(record.log), store=address(record.store), shared=""
    )
    fs, root = objects.opened(record.shared)
    with contextlib.suppress(FileExistsError):
        objects.put_new(
            fs, f"{root.rstrip('/')}/{FILE}", msgspec.json.format(msgspec.json.encode(kept))
        )
    _agree(record.app, record.log, record.shared, _shared(record.shared) or kept)


def _shared(url: str) -> RunRecord | None:
    try:
        text = objects.read(url, FILE)
    except FileNotFoundError:
        return None
    return _of_format(_decode(text, f"{url}/{FILE}"), url)


def check(app: str, given: Settings) -> None:
    """Raises `ComponentError` where the folder is that of a run of another app, over a log of
    another kind, or of another format: its checkpoints and snapshots fit no other."""
    if given.is_shared:
        shared = _shared(given.run_dir)
        if shared is not None:
            _agree(app, given.log_url, given.run_dir, shared)
    # A link that leads nowhere is there, too: it is told of, not written through.
    if os.path.lexists(given.local_path / FILE):
        found = read(given.local_path)
        _agree(app, given.log_url, str(given.local_path), found)
        _refuse_of_another(given, found)


def _refuse_of_another(given: Settings, found: RunRecord) -> None:
    """One folder of this machine is for one run: its keys and switches are."""
    now = given.run_dir if given.is_shared else ""
    if found.shared != now:
        raise ComponentError(
            f"run in {given.local_path}",
            f"shares {found.shared or 'nothing'} with other machines, "
            f"and cannot go on with {now or 'nothing'} shared",
            "Name another folder with --local-dir, or the URL that it has with --run-dir.",
        )


def _agree(app: str, log: str, where: str, found: RunRecord) -> None:
    if found.app != app:
        raise ComponentError(
            f"run in {where}",
            f"is of app {found.app}, and cannot go on as {app}",
            "Name another folder with --run-dir, or give the app its old name.",
        )
    before = _kind(found.log)
    now = _kind(log)
    if before != now:
        raise ComponentError(
            f"run in {where}",
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
    return _of_format(_decoded(run_dir), str(run_dir))


def _of_format(found: RunRecord, where: str) -> RunRecord:
    if found.format != FORMAT:
        raise ComponentError(
            f"run in {where}",
            "was started by another version of freshet, which lays out otherwise what a run stores "
            f"(format {found.format}, this version has {FORMAT})",
            "Go on with that version, or start anew in another folder (--run-dir), on Kafka after "
            "removing all topics of the app that no producer writes.",
        )
    return found


def _decoded(run_dir: Path) -> RunRecord:
    try:
        text = (run_dir / FILE).read_bytes()
    except OSError as error:
        raise folder.no_run(run_dir, "there is none", error) from error
    return _decode(text, str(run_dir / FILE))


def _decode(text: bytes, where: str) -> RunRecord:
    try:
        return msgspec.json.decode(text, type=RunRecord)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ComponentError(
            f"file {where}",
            f"cannot be read: {error}",
            "Remove it, and start the run again: it is written anew.",
        ) from error


def _absolute(log: str) -> str:
    """Commands that read the record may be called from another folder."""
    if "://" in log:
        return log
    return str(Path(log).resolve())
