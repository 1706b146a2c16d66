"""What a registry knows: subjects, their versions, the schemas behind ids. Made of changes, one
after the other, and of nothing else: the same changes make the same registry."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from freshet.schemas.registry.client import Reference, Registered
from freshet.schemas.registry.compatibility import BACKWARD
from freshet.schemas.registry.typed import identity

GLOBAL = ""  # as a subject: what holds for those that say nothing of their own
READWRITE = "READWRITE"


@dataclass
class Kept:
    """A version of a subject. A deleted one is shown to nobody who does not ask for such."""

    id: int
    is_deleted: bool = False


@dataclass
class Subject:
    versions: dict[int, Kept] = field(default_factory=dict)
    newest: int = 0  # of all that it ever had

    def shown(self, deleted: bool = False) -> dict[int, Kept]:
        return {
            number: kept for number, kept in self.versions.items() if deleted or not kept.is_deleted
        }


@dataclass
class Subjects:
    """`levels` and `modes` by subject. Ids rise, and none is given twice; nor is a version's number
    while the subject is there."""

    schemas: dict[int, Registered] = field(default_factory=dict)
    subjects: dict[str, Subject] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=lambda: {GLOBAL: BACKWARD})
    modes: dict[str, str] = field(default_factory=lambda: {GLOBAL: READWRITE})
    newest_id: int = 0
    _ids: dict[str, int] = field(default_factory=dict)

    @classmethod
    def made_of(cls, changes: Iterable[dict[str, Any]]) -> Subjects:
        found = cls()
        for change in changes:
            found.apply(change)
        return found

    def apply(self, change: dict[str, Any]) -> None:
        """Take one change in."""
        getattr(self, f"_{change['change']}")(**{k: v for k, v in change.items() if k != "change"})

    def id_of(self, schema: Registered) -> int | None:
        """The id that the very same schema has, in whatever subject."""
        return self._ids.get(identity(schema))

    def level_of(self, subject: str) -> str:
        return self.levels.get(subject, self.levels[GLOBAL])

    def mode_of(self, subject: str) -> str:
        return self.modes.get(subject, self.modes[GLOBAL])

    def referring_to(self, subject: str, version: int) -> list[int]:
        """The ids of schemas that refer to a version, of those that some version still is."""
        used = self._used()
        return [
            number
            for number, schema in self.schemas.items()
            if number in used
            and any((r.subject, r.version) == (subject, version) for r in schema.references)
        ]

    def _used(self) -> set[int]:
        return {kept.id for known in self.subjects.values() for kept in known.versions.values()}

    # ------------------------------------------------------------------- changes, by their names

    def _schema(self, id: int, schema: str, references: list[dict[str, Any]]) -> None:
        made = Registered(schema, references=tuple(Reference(**each) for each in references))
        self.schemas[id] = made
        self._ids[identity(made)] = id
        self.newest_id = max(self.newest_id, id)

    def _version(self, subject: str, version: int, id: int) -> None:
        known = self.subjects.setdefault(subject, Subject())
        known.versions[version] = Kept(id)
        known.newest = max(known.newest, version)

    def _delete(self, subject: str, versions: list[int], permanent: bool) -> None:
        known = self.subjects[subject]
        for number in versions:
            if permanent:
                del known.versions[number]
            else:
                known.versions[number].is_deleted = True
        if not known.versions:
            del self.subjects[subject]
        self._forget_unused()

    def _forget_unused(self) -> None:
        """A schema that no version is any more has no id, and is registered under a new one."""
        for number in set(self.schemas) - self._used():
            del self._ids[identity(self.schemas.pop(number))]

    def _level(self, subject: str, level: str | None) -> None:
        self._set(self.levels, subject, level, BACKWARD)

    def _mode(self, subject: str, mode: str | None) -> None:
        self._set(self.modes, subject, mode, READWRITE)

    def _set(self, of: dict[str, str], subject: str, value: str | None, usual: str) -> None:
        if value is not None:
            of[subject] = value
        elif subject == GLOBAL:
            of[GLOBAL] = usual
        else:
            of.pop(subject, None)
