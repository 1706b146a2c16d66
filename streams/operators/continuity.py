"""Whether checkpoints and logs still belong together: asked once, before any role starts, so that
one error tells it.

A topic may have been recreated, or lost its beginning or its end, since a task saved where it was.
Each task would find out for itself when it resumes, one after the other, in processes of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from freshet.schemas.errors import CheckpointError
from freshet.streams.log.contract import Bounds, Log, TopicPartition
from freshet.streams.operators.checkpoints import START_ANEW, positions


def check(
    url: str,
    log: Log,
    tasks: Mapping[str, TopicPartition],
    kept_as: Callable[[str], str] = str,
) -> None:
    """Compare the checkpoints under `url` with the log. `tasks` says what each task reads,
    `kept_as` under which name it keeps its checkpoints.

    Raises: CheckpointError: a topic is not the one that a checkpoint was made from, or lacks what
        comes after it. LogError: the log cannot be reached.
    """
    kept = {task: found for task in tasks if (found := positions(url, kept_as(task)))}
    # Each topic once, and only where a checkpoint is: the others may not be there yet.
    now = {topic: log.bounds(topic) for topic in dict.fromkeys(tasks[task][0] for task in kept)}
    for task, saved in kept.items():
        topic, partition = tasks[task]
        refusal = _refusal(task, topic, partition, saved, now[topic])
        if refusal is not None:
            raise refusal


def _refusal(
    task: str, topic: str, partition: int, saved: Sequence[tuple[str, int]], now: Bounds
) -> CheckpointError | None:
    """Why a task cannot go on from what it `saved` (log identities and next offsets), or None."""
    ours = [offset for identity, offset in saved if identity == now.identity]
    if not ours:
        return _misfit(
            task, topic, f"topic {topic} was recreated since it was saved", "Restore the topic."
        )
    # The newest: it is the one that a task goes on from.
    offset = max(ours)
    first, after = now.spans[partition]
    if offset < first:
        lost = f"the {first - offset} records from offset {offset} on are gone"
        return _misfit(
            task,
            topic,
            f"topic {topic} starts at offset {first}: {lost}",
            "Restore them, and retain records for longer.",
        )
    if offset > after:
        return _misfit(
            task,
            topic,
            f"topic {topic} ends at offset {after}, before its {offset}",
            "Restore the topic.",
        )
    return None


def _misfit(task: str, topic: str, cause: str, first_step: str) -> CheckpointError:
    return CheckpointError(
        f"of {task}", cause, f"{first_step} {START_ANEW}", task=task, topic=topic
    )
