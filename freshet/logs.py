"""Structured logs: one JSON object a line in the run's folder, warnings on the terminal too."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import structlog


def configure(role: str, directory: Path | None, level: str = "INFO") -> None:
    """Logs of this process go to `directory/{role}.jsonl`, or to stderr when it is None."""
    handlers: list[logging.Handler] = []
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(directory / f"{role.replace(':', '.')}.jsonl"))
    else:
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(level=level, handlers=handlers, format="%(message)s", force=True)
    for chatty in ("httpx", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(role=role)
