"""An embedded registry: what may be asked of it, decided over `Subjects`, and kept in a `Journal`
before it is answered."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from freshet.schemas.avro.tree import Type
from freshet.schemas.errors import SchemaError
from freshet.schemas.registry.client import Reference, Registered
from freshet.schemas.registry.compatibility import LEVELS, Earlier, breaks
from freshet.schemas.registry.typed import identity, tree_of
from freshet.serving.registry import refusals
from freshet.serving.registry.journal import Change, Journal
from freshet.serving.registry.subjects import GLOBAL, Kept, Subject, Subjects

MOST_NAME = 1_000  # characters of a subject's name: Kafka's topics have 249
READONLY = "READONLY"
MOST_DIGITS = 10  # of a version
LATEST = ("latest", "-1")


class Found(NamedTuple):
    """A version of a subject, with its schema."""

    subject: str
    version: int
    id: int
    schema: Registered


class Registry:
    """Over one folder. Every method raises `Refusal` for what it does not grant, and `DiskError`
    where what was granted cannot be kept: then nothing changed."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder)
        try:
            self.known = Subjects.made_of(self._journal.read())
        except BaseException:
            self._journal.close()
            raise

    def close(self) -> None:
        self._journal.close()

    def _change(self, *changes: Change) -> None:
        # Kept first: who is told of an id may write records under it.
        self._journal.append(changes)
        for change in changes:
            self.known.apply(change)

    # ---------------------------------------------------------------------------------- questions

    def schema(self, schema_id: int) -> Registered:
        if schema_id not in self.known.schemas:
            raise refusals.no_schema(f"Schema {schema_id}")
        return self.known.schemas[schema_id]

    def places_of(self, schema_id: int, deleted: bool = False) -> list[tuple[str, int]]:
        """The subjects and versions that an id is."""
        self.schema(schema_id)
        return [
            (name, number)
            for name, subject in sorted(self.known.subjects.items())
            for number, kept in sorted(subject.shown(deleted).items())
            if kept.id == schema_id
        ]

    def names(self, deleted: bool = False) -> list[str]:
        return sorted(name for name, each in self.known.subjects.items() if each.shown(deleted))

    def versions(self, subject: str, deleted: bool = False) -> dict[int, Kept]:
        found = self.known.subjects.get(subject, Subject()).shown(deleted)
        if not found:
            raise refusals.no_subject(subject)
        return found

    def version(self, subject: str, text: str, deleted: bool = False) -> Found:
        """By its number, or `latest`."""
        # Before the subject: what is no number is wrong whatever subjects there are.
        number = _number(text)
        shown = self.versions(subject, deleted)
        chosen = max(shown) if number is None else number
        if chosen not in shown:
            raise refusals.no_version(chosen)
        schema_id = shown[chosen].id
        return Found(subject, chosen, schema_id, self.known.schemas[schema_id])

    def look_up(
        self, subject: str, schema: Registered, normalise: bool = False, deleted: bool = False
    ) -> Found:
        """The version that a schema is of a subject."""
        shown = self.versions(subject, deleted)
        self._tree(schema)
        wanted = identity(schema, normalise)
        for number in sorted(shown, reverse=True):
            schema_id = shown[number].id
            kept = self.known.schemas[schema_id]
            if identity(kept, normalise) == wanted:
                return Found(subject, number, schema_id, kept)
        raise refusals.no_schema("Schema")

    def incompatible(
        self, subject: str, schema: Registered, version: str | None = None
    ) -> list[str]:
        """How a schema breaks the subject's level: against one version, or those that the level
        names."""
        new = self._tree(schema)
        held_to = self.known.subjects.get(subject, Subject()).shown()
        if version is not None:
            chosen = self.version(subject, version).version
            held_to = {chosen: held_to[chosen]}
        return self._breaks(subject, held_to, new)

    def referring_to(self, subject: str, version: str) -> list[int]:
        found = self.version(subject, version)
        return self.known.referring_to(subject, found.version)

    # ------------------------------------------------------------------------------------ changes

    def register(self, subject: str, schema: Registered, normalise: bool = False) -> Found:
        """The schema as a version of the subject: as it is there, or as a new one."""
        new = self._tree(schema)
        if not subject or len(subject) > MOST_NAME:
            raise refusals.no_avro(f"subject names have 1 to {MOST_NAME} characters")
        shown = self.known.subjects.get(subject, Subject()).shown()
        if shown:
            try:
                return self.look_up(subject, schema, normalise)
            except refusals.Refusal:
                pass  # a new version, then
        self._require_writable(subject)
        why = self._breaks(subject, shown, new)
        if why:
            raise refusals.incompatible(subject, why)
        changes: list[Change] = []
        schema_id = self.known.id_of(schema)
        if schema_id is None:
            schema_id = self.known.newest_id + 1
            references = [
                {"name": each.name, "subject": each.subject, "version": each.version}
                for each in schema.references
            ]
            changes.append(
                {
                    "change": "schema",
                    "id": schema_id,
                    "schema": schema.text,
                    "references": references,
                }
            )
        number = self.known.subjects.get(subject, Subject()).newest + 1
        changes.append(
            {"change": "version", "subject": subject, "version": number, "id": schema_id}
        )
        self._change(*changes)
        return Found(subject, number, schema_id, self.known.schemas[schema_id])

    def delete_subject(self, subject: str, permanent: bool = False) -> list[int]:
        known = self.versions(subject, deleted=True)
        shown = {number: kept for number, kept in known.items() if not kept.is_deleted}
        self._require_writable(subject)
        if permanent and shown:
            raise refusals.not_deleted_first(subject)
        if not permanent and not shown:
            raise refusals.deleted_already(subject)
        going = sorted(known if permanent else shown)
        self._require_unreferred(subject, going)
        self._delete(subject, going, permanent)
        return going

    def delete_version(self, subject: str, text: str, permanent: bool = False) -> int:
        found = self.version(subject, text, deleted=True)
        is_deleted = self.known.subjects[subject].versions[found.version].is_deleted
        self._require_writable(subject)
        if permanent and not is_deleted:
            raise refusals.version_not_deleted_first(subject, found.version)
        if not permanent and is_deleted:
            raise refusals.version_deleted_already(subject, found.version)
        self._require_unreferred(subject, [found.version])
        self._delete(subject, [found.version], permanent)
        return found.version

    def set_level(self, subject: str, level: str | None) -> None:
        """None: as the global one; of the global one, as it was first."""
        if level is not None and level not in LEVELS:
            raise refusals.bad_level()
        self._change({"change": "level", "subject": subject, "level": level})

    def set_mode(self, subject: str, mode: str | None) -> None:
        if mode is not None and mode not in refusals.MODES:
            raise refusals.bad_mode()
        self._change({"change": "mode", "subject": subject, "mode": mode})

    # ---------------------------------------------------------------------------------- its rules

    def _delete(self, subject: str, versions: list[int], permanent: bool) -> None:
        self._change(
            {"change": "delete", "subject": subject, "versions": versions, "permanent": permanent}
        )

    def _require_writable(self, subject: str) -> None:
        if self.known.mode_of(subject) == READONLY:
            raise refusals.read_only(subject or GLOBAL)

    def _require_unreferred(self, subject: str, versions: list[int]) -> None:
        for number in versions:
            if self.known.referring_to(subject, number):
                raise refusals.referred_to(f"{subject} version {number}")

    def _breaks(self, subject: str, held_to: dict[int, Kept], new: Type) -> list[str]:
        earlier = [
            Earlier(number, self._tree(self.known.schemas[held_to[number].id]))
            for number in sorted(held_to)
        ]
        number = self.known.subjects.get(subject, Subject()).newest + 1
        return breaks(self.known.level_of(subject), earlier, new, number)

    def _tree(self, schema: Registered) -> Type:
        try:
            return tree_of(schema, self._referred, "schema")
        except SchemaError as error:
            raise refusals.no_avro(str(error).removeprefix("schema schema: ")) from error

    def _referred(self, reference: Reference) -> Registered:
        try:
            return self.version(reference.subject, str(reference.version), deleted=True).schema
        except refusals.Refusal as error:
            raise refusals.no_avro(
                f"it refers to {reference.name}, version {reference.version} of subject "
                f"{reference.subject}, which is not there"
            ) from error


def _number(text: str) -> int | None:
    """A version's number; None for the newest."""
    if text in LATEST:
        return None
    # Not `int` alone, which takes signs, spaces and underscores, too.
    if not (text.isascii() and text.isdigit()):
        raise refusals.bad_version(text)
    # Of thousands of digits Python would not even make a number.
    digits = text.lstrip("0")
    if not digits or len(digits) > MOST_DIGITS or int(digits) > refusals.LARGEST:
        raise refusals.bad_version(text)
    return int(digits)
