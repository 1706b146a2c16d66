"""Structured logs: one JSON object a line in the run's folder, what libraries log too."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import structlog

CHATTY = {"httpx": logging.WARNING, "uvicorn": logging.WARNING, "cassandra": logging.ERROR}


def configure(role: str, directory: Path | None, level: str = "INFO") -> None:
    """Logs of this process go to `directory/{role}.jsonl`, or to stderr when it is None."""

    def with_role(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "role": role}

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        with_role,
        structlog.processors.format_exc_info,
    ]
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = logging.FileHandler(directory / f"{role.replace(':', '.')}.jsonl", encoding="utf-8")
    else:
        handler = logging.StreamHandler(sys.stderr)
    as_json = structlog.processors.JSONRenderer(ensure_ascii=False)
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, as_json]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=shared))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, least in CHATTY.items():
        logging.getLogger(name).setLevel(least)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
