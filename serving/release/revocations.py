"""Whether anything was revoked since release looked last."""

from __future__ import annotations

import structlog

from freshet.learners.snapshots.revoked import FOLDER, Revoked
from freshet.schemas.errors import FreshetError

log = structlog.get_logger()


class Revocations:
    """Of the keys below `keys_url`; looked at as often as `Revoked` does."""

    def __init__(self, keys_url: str) -> None:
        self._revoked = Revoked(f"{keys_url}/{FOLDER}")
        # None: what was revoked before this process is acted on once, too.
        self._acted_on: frozenset[str] | None = None

    def are_new(self) -> bool:
        """Whether there are others than were acted on. While they cannot be read none are: nothing
        new is approved meanwhile either."""
        return self._known() not in (None, self._acted_on)

    def acted_on(self) -> None:
        """What is known by now was acted on."""
        self._acted_on = self._known()

    def _known(self) -> frozenset[str] | None:
        try:
            return frozenset(self._revoked.known())
        except FreshetError as error:
            log.warning("what is revoked cannot be read", error=str(error))
            return None
