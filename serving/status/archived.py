"""What tasks of the archive told, as figures of logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freshet.serving.status.status import ArchivedFigures


def archive_figures(told: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[ArchivedFigures]:
    """By the names of tasks, `KIND.LOG`, the facts of each of their partitions."""
    return [_of_log(name, [facts["archive"] for facts in parts]) for name, parts in told.items()]


def _of_log(name: str, parts: Sequence[Mapping[str, Any]]) -> ArchivedFigures:
    kind, _, log = name.partition(".")
    newest = [part["archived_ms"] for part in parts if part.get("archived_ms") is not None]
    retention = [part["retention"] for part in parts if part.get("retention")]
    return ArchivedFigures(
        log=log,
        kind=kind,
        partitions=len(parts),
        archived=sum(part["archived"] for part in parts),
        files=sum(part["files"] for part in parts),
        bytes=sum(part["bytes"] for part in parts),
        newest_ms=max(newest, default=None),
        waiting_seconds=max((part["waiting_seconds"] for part in parts), default=0.0),
        retention_ms=min((int(part["retention_ms"]) for part in retention), default=None),
        spent=max((part["spent"] for part in retention), default=0.0),
        lost=sum(int(part["lost"]) for part in retention),
    )
