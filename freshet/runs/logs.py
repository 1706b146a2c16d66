"""Structured logs: one JSON object a line in the run's folder, what libraries log too."""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from freshet.schemas.errors import ComponentError
from freshet.schemas.shown_text import shown

log = structlog.get_logger()
CHATTY = {"httpx": logging.WARNING, "uvicorn": logging.WARNING, "cassandra": logging.ERROR}


def configure(role: str, directory: Path | None, level: str = "INFO") -> None:
    """Logs of this process go to `directory/{role}.jsonl`, or to stderr when it is None.

    Raises:
        ComponentError: there can be no such file.
    """

    def with_role(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        return {**event, "role": role}

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        with_role,
        structlog.processors.format_exc_info,
    ]
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if directory is not None:
        handler = _file(directory, f"{role.replace(':', '.')}.jsonl")
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    # What is shown is all that was said, so it is looked at last: texts of errors and of libraries
    # too.
    last: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        shown_values,
        as_json,
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=shared)
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, least in CHATTY.items():
        logging.getLogger(name).setLevel(least)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # loggers of modules are older than this call
    )


def use_stderr() -> None:
    """What a command that is no role has to say beside what it was asked: in lines for people, on
    stderr."""
    structlog.reset_defaults()  # of a program that has run an app in this process before
    *before, _ = structlog.get_config()["processors"]
    # Not as structlog draws a failure by itself: with the variables of every frame, which hold
    # logins and data.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[*before, shown_values, plain],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def shown_values(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """What is logged quotes data and addresses: without control characters, logins and
    parameters."""
    return {shown(str(name)): _shown_value(value) for name, value in event.items()}


def _shown_value(value: object) -> object:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {shown(str(name)): _shown_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown_value(inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return shown(str(value))


def _file(directory: Path, name: str) -> logging.Handler:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return _LogFile(directory / name, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ComponentError(
            f"log {directory / name}",
            f"cannot be written: {error.strerror or error}",
            "Name another folder with --run-dir, or make this one writable.",
        ) from error


class _LogFile(logging.FileHandler):
    """A line that the disk does not take is lost, and counted; the program that wrote it goes
    on."""

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(path, **options)
        self._lost = 0
        self._torn = False  # whether the last line has no end

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            self._write(text)
            if self._lost:
                lost = self._lost
                # Before it is told: telling it comes here again.
                self._lost = 0
                log.warning("lines of this log are lost: its disk was full", lines=lost)
        except OSError:
            self._lost += 1
        except Exception:
            self.handleError(record)

    def _write(self, text: str) -> None:
        """A line of its own, not through a buffer: what a full disk did not take would come later,
        between others."""
        if self.stream is None:
            self.stream = self._open()
        line = f"{text}\n".encode(errors="backslashreplace")
        if self._torn:
            line = b"\n" + line
        written = os.write(self.stream.fileno(), line)
        self._torn = written < len(line)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
