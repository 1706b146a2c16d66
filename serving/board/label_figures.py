"""What became of a model's labels, and which of its questions are contested, from what its join
tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from freshet.serving.status import status as s


def label_figures(
    told: Sequence[Mapping[str, Any]],
    intake: Sequence[Mapping[str, Any]],
    model: str,
) -> s.LabelFigures:
    """Of all partitions of the join, and of the intake of its label's topic, together."""
    fates: Counter[str] = Counter()
    for facts in intake:
        fates.update(facts.get("label_fates", {}).get(model, {}))
    parts = [facts["labels"] for facts in told if "labels" in facts]
    since: Counter[str] = Counter()
    for part in parts:
        since.update(part["since_used"])
    times = [part["newest_ms"] for part in parts if part["newest_ms"] is not None]
    return s.LabelFigures(
        fates=dict(fates),
        came=sum(part["came"] for part in parts),
        used=sum(part["used"] for part in parts),
        since_used=dict(since),
        newest_ms=max(times, default=None),
    )


def conflict_figures(told: Sequence[Mapping[str, Any]]) -> s.ConflictFigures:
    """Of all partitions of the join together; the example is the newest."""
    questions = sum(facts.get("conflicting_questions", 0) for facts in told)
    newest = [facts["conflict"] for facts in told if "conflict" in facts]
    if not newest:
        return s.ConflictFigures(questions=questions)
    last = max(newest, key=lambda conflict: conflict["at_ms"])
    return s.ConflictFigures(questions=questions, example=last["id"], newest_ms=last["at_ms"])
