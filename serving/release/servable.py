"""Which snapshots of a model may be served: by lineage, those that were approved, one of them
chosen."""

from __future__ import annotations

from collections.abc import Callable, Collection

import structlog

from freshet.schemas.models.manifest import Identity

log = structlog.get_logger()


class Servable:
    """Of each lineage the one that is chosen stands last; in front of it those before, to go back
    to."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._approved: dict[str, list[Identity]] = {}

    def lineages(self) -> Collection[str]:
        return tuple(self._approved)

    def current(self, lineage: str) -> Identity | None:
        known = self._approved.get(lineage)
        if not known:
            return None
        return known[-1]

    def choose(self, which: Identity) -> None:
        """Of its lineage, this one is served from now on; also one from before, which a person
        chose again."""
        before = [known for known in self._approved.get(which.lineage, []) if known != which]
        # With this one they are as many as files are kept: none is gone back to without its file.
        self._approved[which.lineage] = [*before[1 - self._keep :], which]

    def only(self, which: Identity) -> None:
        """Of its lineage, which is of an earlier declaration, no other."""
        self._approved[which.lineage] = [which]

    def withdraw(self, lineage: str, number: int) -> None:
        known = self._approved.get(lineage, [])
        self._approved[lineage] = [which for which in known if which.number != number]

    def drop_missing(self, lineage: str, is_approved: Callable[[Identity], bool]) -> None:
        """Go back to the newest one that is still there, and signed."""
        known = self._approved.get(lineage, [])
        while known and not is_approved(known[-1]):
            gone = known.pop()
            log.warning(
                "an approved snapshot is not there any more, not approved, "
                "or of another definition",
                snapshot=str(gone),
            )
