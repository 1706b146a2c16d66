"""A schema registry as freshet asks it.

Source: Confluent Schema Registry 8, "Schema Registry API Reference"; Apicurio Registry answers the
same paths below `/apis/ccompat/v7`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from freshet.schemas.errors import RegistryError, RequestError
from freshet.schemas.registry.address import CHECK_ADDRESS, RegistryAddress

if TYPE_CHECKING:
    from freshet.schemas.registry.calls import Answer

AVRO = "AVRO"
NO_SUBJECT = 40401
NO_VERSION = 40402
NO_SCHEMA = 40403
INCOMPATIBLE = 409


@dataclass(frozen=True, slots=True)
class Reference:
    """A type of another subject's schema, by its full `name`."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema as a registry has it: its `text` (of Avro: JSON), and what that refers to."""

    text: str
    kind: str = AVRO
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    subject: str
    version: int
    id: int
    schema: Registered


class RegistryClient:
    """Of one registry. Not for several threads at once.

    Every method raises `RegistryError` where the registry is away, or answers as none does.
    """

    def __init__(self, address: RegistryAddress) -> None:
        # Only here: most apps ask no registry, and each of their processes would wait for an HTTP
        # client when it is started again.
        from freshet.schemas.registry.calls import Caller

        self._caller = Caller(address)

    @property
    def name(self) -> str:
        """Its addresses, without logins."""
        return self._caller.name

    def close(self) -> None:
        self._caller.close()

    def schema(self, schema_id: int) -> Registered | None:
        """The schema that an id stands for; None where the registry says that it has none such."""
        answer = self._caller.call("GET", f"/schemas/ids/{schema_id}")
        if answer.code == NO_SCHEMA:
            return None
        return self._registered(self._granted(answer).body)

    def version_of(self, schema_id: int, subject: str) -> int | None:
        """Which version of a subject an id is; None where it is none, or the registry does not
        say."""
        answer = self._caller.call("GET", f"/schemas/ids/{schema_id}/versions")
        found = answer.body if isinstance(answer.body, list) else []
        for item in found:
            if isinstance(item, Mapping) and item.get("subject") == subject:
                version = item.get("version")
                return version if isinstance(version, int) else None
        return None

    def version(self, subject: str, version: int | str = "latest") -> Version:
        """A version of a subject, or the newest.

        Raises:
            RequestError: the registry has no such subject, or no such version of it.
        """
        answer = self._caller.call("GET", f"/subjects/{quote(subject, safe='')}/versions/{version}")
        if answer.code in (NO_SUBJECT, NO_VERSION):
            what = f"subject {subject}"
            cause = f"is not in the registry {self.name}"
            if answer.code == NO_VERSION:
                what = f"version {version} of {what}"
            raise RequestError(what, cause, "Name one that it has.", status=404)
        body = self._granted(answer).body
        number = body.get("version")
        schema_id = body.get("id")
        if not isinstance(number, int) or not isinstance(schema_id, int):
            raise self._strange("a version without a number or an id")
        return Version(subject, number, schema_id, self._registered(body))

    def register(self, subject: str, schema: Registered) -> int:
        """Register a schema under a subject, unless it is there; its id.

        Raises:
            RequestError: the registry refuses it; the text says why, as the registry does.
        """
        answer = self._caller.call(
            "POST", f"/subjects/{quote(subject, safe='')}/versions", _sent(schema)
        )
        if answer.code:
            raise RequestError(
                f"subject {subject}",
                f"the registry {self.name} refuses the schema ({answer.code}): {answer.message}",
                "Change the schema, or the subject's compatibility.",
                status=answer.status,
            )
        found = answer.body.get("id") if isinstance(answer.body, Mapping) else None
        if not isinstance(found, int):
            raise self._strange("a registration without an id")
        return found

    def _granted(self, answer: Answer) -> Answer:
        if answer.code or not isinstance(answer.body, Mapping):
            raise RegistryError(
                self.name,
                f"answers {answer.code or answer.status}: {answer.message}",
                CHECK_ADDRESS,
            )
        return answer

    def _registered(self, body: Mapping[str, Any]) -> Registered:
        text = body.get("schema")
        if not isinstance(text, str):
            raise self._strange("a schema without a text")
        references = body.get("references") or ()
        return Registered(text, str(body.get("schemaType") or AVRO), self._references(references))

    def _references(self, given: Sequence[Any]) -> tuple[Reference, ...]:
        try:
            return tuple(
                Reference(str(each["name"]), str(each["subject"]), int(each["version"]))
                for each in given
            )
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise self._strange("references without name, subject and version") from error

    def _strange(self, what: str) -> RegistryError:
        return RegistryError(self.name, f"answers with {what}", CHECK_ADDRESS)


def _sent(schema: Registered) -> dict[str, Any]:
    body: dict[str, Any] = {"schema": schema.text}
    # Registries of old know no other kind, and refuse the very word.
    if schema.kind != AVRO:
        body["schemaType"] = schema.kind
    if schema.references:
        body["references"] = [
            {"name": each.name, "subject": each.subject, "version": each.version}
            for each in schema.references
        ]
    return body
