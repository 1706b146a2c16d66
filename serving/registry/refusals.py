"""How a registry says no: by the statuses, codes and words that its clients know.

Source: Confluent Schema Registry, `Errors.java`.
"""

from __future__ import annotations

import json

from freshet.schemas.errors import RequestError
from freshet.schemas.registry.compatibility import LEVELS

MODES = ("READWRITE", "READONLY")
LARGEST = (1 << 31) - 1


class Refusal(Exception):
    """An answer that is no: its HTTP status is the first three digits of its code."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(code, message)

    @property
    def status(self) -> int:
        return int(str(self.code)[:3])

    def body(self) -> bytes:
        return json.dumps({"error_code": self.code, "message": self.message}).encode()


def of_request(error: RequestError) -> Refusal:
    """What the edge of a server refuses, before it is a question to a registry."""
    return Refusal(error.status, str(error).removeprefix("request "))


def no_subject(subject: str) -> Refusal:
    return Refusal(40401, f"Subject '{subject}' not found.")


def no_version(version: object) -> Refusal:
    return Refusal(40402, f"Version {version} not found.")


def no_schema(what: str) -> Refusal:
    return Refusal(40403, f"{what} not found")


def deleted_already(subject: str) -> Refusal:
    return Refusal(
        40404, f"Subject '{subject}' was soft deleted. Set permanent=true to delete permanently"
    )


def not_deleted_first(subject: str) -> Refusal:
    return Refusal(
        40405, f"Subject '{subject}' was not deleted first before being permanently deleted"
    )


def version_deleted_already(subject: str, version: int) -> Refusal:
    return Refusal(
        40406,
        f"Subject '{subject}' Version {version} was soft deleted. Set permanent=true to delete "
        "permanently",
    )


def version_not_deleted_first(subject: str, version: int) -> Refusal:
    return Refusal(
        40407,
        f"Subject '{subject}' Version {version} was not deleted first before being permanently "
        "deleted",
    )


def no_level(subject: str) -> Refusal:
    return Refusal(
        40408, f"Subject '{subject}' does not have subject-level compatibility configured"
    )


def no_mode(subject: str) -> Refusal:
    return Refusal(40409, f"Subject '{subject}' does not have subject-level mode configured")


def incompatible(subject: str, why: list[str]) -> Refusal:
    return Refusal(
        409,
        "Schema being registered is incompatible with an earlier schema for subject "
        f'"{subject}", details: [{"; ".join(why)}]',
    )


def no_avro(cause: str) -> Refusal:
    return Refusal(42201, f"Invalid schema: {cause}")


def bad_version(text: str) -> Refusal:
    return Refusal(
        42202,
        f"The specified version '{text}' is not a valid version id. Allowed values are between "
        '[1, 2^31-1] and the string "latest"',
    )


def bad_level() -> Refusal:
    known = ", ".join(level.lower() for level in LEVELS)
    return Refusal(42203, f"Invalid compatibility level. Valid values are {known}")


def bad_mode() -> Refusal:
    return Refusal(42204, f"Invalid mode. Valid values are {', '.join(MODES)}")


def read_only(subject: str) -> Refusal:
    return Refusal(42205, f"Subject {subject} is in read-only mode")


def own_id() -> Refusal:
    return Refusal(42205, "Ids and versions are given by this registry; leave them out")


def referred_to(what: str) -> Refusal:
    return Refusal(42206, f"One or more references exist to the schema {what}")
