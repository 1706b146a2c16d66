"""The errors that every log raises in the same words."""

from __future__ import annotations

from freshet.schemas.errors import LogError


class RecordTooLarge(LogError):
    """A record that its topic takes neither now nor later. No outage: whoever made it must make a
    smaller one."""

    @property
    def limit(self) -> int | None:
        """The largest that it takes, in bytes; None where brokers refused it and did not say."""
        limit = self.facts.get("limit")
        if limit is None:
            return None
        return int(str(limit))


def too_large(topic: str, size: int, limit: int) -> RecordTooLarge:
    return RecordTooLarge(
        f"topic {topic}",
        f"a record of {size} bytes is larger than its limit of {limit}",
        "Write smaller records, or raise max.message.bytes of the topic (up to 16 MB).",
        topic=topic,
        size=size,
        limit=limit,
    )


def frozen(topic: str, found: int, wanted: int) -> LogError:
    """A topic that has another partition count."""
    return LogError(
        f"topic {topic}",
        f"has {found} partition{'' if found == 1 else 's'}, the app declares {wanted}",
        "The counts of freshet's own topics are frozen when they are made: declare the old count "
        "(a source topic may have more), or name another topic.",
        topic=topic,
        found=found,
        wanted=wanted,
    )


class NoSuchTopic(LogError):
    """There is no topic of this name, or no longer."""


def missing(topic: str, where: str, what: str = "does not exist") -> NoSuchTopic:
    next_step = "Start the app that owns it, or check the name."
    return NoSuchTopic(f"topic {topic}", f"{what} ({where})", next_step, topic=topic)


def recreated(topic: str, before: str, now: str) -> LogError:
    """A topic whose identity is not the one that this process knows."""
    return LogError(
        f"topic {topic}",
        f"was recreated: this process knows {before}, now it is {now}",
        "Offsets and checkpoints of the old topic mean nothing in the new one. "
        "Remove them and start anew.",
        topic=topic,
        before=before,
        now=now,
    )


class OutOfRange(LogError):
    """A wanted offset that a partition does not have: not any more, or not yet."""

    @property
    def part(self) -> tuple[str, int]:
        """Topic and partition."""
        return str(self.facts["topic"]), int(str(self.facts["partition"]))

    @property
    def is_before(self) -> bool:
        """Whether the partition starts after it: its record was there once."""
        return int(str(self.facts["offset"])) < int(str(self.facts["first"]))


def outside(topic: str, partition: int, offset: int, first: int, after: int) -> OutOfRange:
    """A wanted offset that the log does not have (any more, or yet)."""
    where = f"starts at {first}, after" if offset < first else f"ends at {after}, before"
    return OutOfRange(
        f"topic {topic} partition {partition}",
        f"{where} the wanted offset {offset}",
        "A checkpoint and its log no longer fit: "
        "restore the log, or remove the checkpoint and start anew.",
        topic=topic,
        partition=partition,
        offset=offset,
        first=first,
        after=after,
    )


def no_partition(topic: str, partition: int, partitions: int) -> LogError:
    return LogError(
        f"topic {topic}",
        f"has no partition {partition}, only {partitions}",
        "Partition with freshet's own hash.",
        topic=topic,
        partition=partition,
    )


def not_assigned(topic: str, partition: int) -> LogError:
    return LogError(
        f"topic {topic} partition {partition}",
        "is not assigned to this reader",
        "Seek and pause only what on_assign handed out.",
        topic=topic,
        partition=partition,
    )
