"""Which process of intake reads which topics."""

from __future__ import annotations

from collections.abc import Iterable

from freshet.schemas.topics.topic import Topic

INTAKE = "intake"
ARCHIVE = "archive"
DEDUP = "dedup"  # which settles what intake has brought together by ids


def intakes(topics: Iterable[Topic]) -> dict[str, list[Topic]]:
    """The topics of each process of intake: one for the app's own log, also where none of them is
    there, since it reads what is sent again of dead letters, and for each other cluster one that is
    called by the first of its topics."""
    names: dict[str | None, str] = {None: INTAKE}
    found: dict[str, list[Topic]] = {INTAKE: []}
    for topic in topics:
        name = names.setdefault(topic.cluster, f"{INTAKE}.{topic.name}")
        found.setdefault(name, []).append(topic)
    return found
