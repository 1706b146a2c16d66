"""An app as its run has it: with views that leave out what was taken out of them. Of two versions
of a run each says itself which of the records hold of it."""

from __future__ import annotations

from freshet.app import App
from freshet.declared.exclusions import excluding
from freshet.settings import Settings
from freshet.versions.record import Versions


def as_run(app: App, given: Settings, version: int = 0) -> App:
    """An app as a version of its run has it; 0: as what runs has it, or would if it ran.

    Raises:
        ComponentError: somebody has broken a record.
    """
    return excluding(app, given.checkpoints_url, held(given, version))


def held(given: Settings, version: int = 0) -> list[int] | None:
    """The numbers of what holds of a version; None: all do, since the run has none."""
    if given.is_shared:
        return None
    versions = Versions(given.local_path)
    if not version:
        current = versions.current()
        if current is None:
            return None
        version = current.version
    return list(versions.of(version).excludes)
