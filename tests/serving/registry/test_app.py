"""The embedded registry as its clients meet it: over HTTP, by Confluent's paths and codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fastavro
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.schemas.registry.compatibility import LEVELS
from tests.schemas.avro.strategies import near, schemas
from tests.schemas.avro.test_resolution import of_fastavro
from tests.serving.registry.served import served

SENT = {"content-type": "application/vnd.schemaregistry.v1+json"}
A = {"name": "a", "type": "int"}
B = {"name": "b", "type": "int"}
OPTIONAL = {"name": "b", "type": ["null", "int"], "default": None}


class Client:
    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, headers=SENT, timeout=20.0)

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        content = json.dumps(body) if body or method in ("POST", "PUT") else None
        got = self._http.request(method, path, content=content)
        assert got.headers["content-type"] == SENT["content-type"]
        return got.status_code, got.json()

    def get(self, path: str) -> tuple[int, Any]:
        return self.ask("GET", path)

    def register(self, subject: str, schema: Any, **more: Any) -> tuple[int, Any]:
        path = f"/subjects/{quote(subject, safe='')}/versions"
        return self.ask("POST", path, schema=json.dumps(schema), **more)

    def code(self, method: str, path: str, **body: Any) -> int:
        status, answer = self.ask(method, path, **body)
        assert status == int(str(answer["error_code"])[:3])
        return int(answer["error_code"])


def record(*fields: dict[str, Any], name: str = "order", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


HUGE = {"name": "x", "subject": "one", "version": float("inf")}


def with_default(number: str) -> str:
    schema = record({"name": "x", "type": "double", "default": 0.5})
    return json.dumps(schema).replace("0.5", number)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with served(tmp_path) as url, closing(Client(url)) as made:
        yield made


def test_a_schema_has_one_id_in_all_subjects_however_it_is_written(client: Client) -> None:
    assert client.register("one", record(A)) == (200, {"id": 1, "version": 1})
    turned = {"fields": [{"type": "int", "name": "a"}], "name": "order", "type": "record"}
    assert client.register("two", turned) == (200, {"id": 1, "version": 1})
    assert client.register("one", record(A)) == (200, {"id": 1, "version": 1})
    assert client.register("one", record(A, OPTIONAL)) == (200, {"id": 2, "version": 2})
    assert client.get("/schemas/ids/1/versions") == (
        200,
        [{"subject": "one", "version": 1}, {"subject": "two", "version": 1}],
    )
    status, found = client.get("/subjects/one/versions/latest")
    assert (status, found["id"], found["version"]) == (200, 2, 2)
    assert json.loads(found["schema"]) == record(A, OPTIONAL)


def test_normalised_a_type_in_a_wrap_is_the_type(client: Client) -> None:
    wrapped = record({"name": "a", "type": {"type": "int"}})
    assert client.register("one", record(A))[1]["id"] == 1
    path = "/subjects/one?normalize=True&deleted=False"  # as confluent-kafka writes it
    assert client.ask("POST", path, schema=json.dumps(wrapped))[1]["id"] == 1
    assert client.code("POST", "/subjects/one", schema=json.dumps(wrapped)) == 40403


@pytest.mark.parametrize("subject", ["orders.v1-value", "a/b", "ü %2F?#", ":.ctx:x", "versions"])
def test_subjects_may_have_any_name(client: Client, subject: str) -> None:
    assert client.register(subject, record(A))[0] == 200
    named = quote(subject, safe="")
    assert client.get(f"/subjects/{named}/versions/1")[1]["subject"] == subject
    assert client.get("/subjects") == (200, [subject])


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/schemas/ids/7", {}, 40403),
        ("GET", "/schemas/ids/x", {}, 40403),
        ("GET", "/subjects/none/versions", {}, 40401),
        ("GET", "/subjects/none/versions/1", {}, 40401),
        ("GET", "/subjects/one/versions/9", {}, 40402),
        ("GET", "/subjects/one/versions/0", {}, 42202),
        ("GET", "/subjects/one/versions/newest", {}, 42202),
        ("GET", "/subjects/one/versions/00000000009", {}, 40402),
        ("GET", "/config/one", {}, 40408),
        ("GET", "/mode/one", {}, 40409),
        ("PUT", "/config/one", {"compatibility": "SIDEWARDS"}, 42203),
        ("PUT", "/mode/one", {"mode": "IMPORT"}, 42204),
        ("POST", "/subjects/one/versions", {"schema": "{"}, 42201),
        ("POST", "/subjects/one/versions", {"schema": '{"type": "recrod"}'}, 42201),
        ("POST", "/subjects/one/versions", {"schema": "[" * 50_000}, 42201),
        ("POST", "/subjects/one/versions", {"schema": '"int"', "schemaType": "JSON"}, 42201),
        ("POST", "/subjects/one/versions", {"schema": '"int"', "id": 9}, 42205),
        ("POST", "/subjects/one/versions", {}, 42201),
        ("POST", "/subjects/one/versions", {"schema": '"int"', "references": [1]}, 42201),
        ("POST", "/subjects/one/versions", {"schema": '"int"', "references": [HUGE]}, 42201),
        ("POST", "/subjects/one/versions", {"schema": with_default("NaN")}, 42201),
        ("POST", "/subjects/one/versions", {"schema": with_default("-Infinity")}, 42201),
        ("POST", "/subjects/one/versions", {"schema": with_default("1e999")}, 42201),
        ("POST", "/subjects/none", {"schema": '"int"'}, 40401),
        ("DELETE", "/subjects/one?permanent=true", {}, 40405),
        ("DELETE", "/subjects/one/versions/1?permanent=true", {}, 40407),
        ("GET", "/nothing", {}, 404),
        ("PUT", "/subjects", {}, 405),
    ],
)
def test_what_it_does_not_grant_has_the_code_that_clients_know(
    client: Client, method: str, path: str, body: dict[str, Any], code: int
) -> None:
    client.register("one", record(A))
    assert client.code(method, path, **body) == code


def test_a_version_of_any_number_of_digits_is_one_or_is_none(client: Client) -> None:
    client.register("one", record(A))
    path = "/subjects/one/versions/"
    assert client.get(f"{path}{'0' * 5_000}1")[1]["version"] == 1
    for digits in ("0" * 20, "0" * 10 + "1" + "9" * 6_000, "9" * 6_000):
        for method in ("GET", "DELETE"):
            assert client.code(method, path + digits) == 42202


def test_deletion_is_soft_first_and_ids_are_never_given_twice(client: Client) -> None:
    client.register("one", record(A))
    client.register("one", record(A, OPTIONAL))
    assert client.ask("DELETE", "/subjects/one/versions/2") == (200, 2)
    assert client.code("DELETE", "/subjects/one/versions/2") == 40406
    assert client.get("/subjects/one/versions") == (200, [1])
    assert client.get("/subjects/one/versions?deleted=true") == (200, [1, 2])
    assert client.get("/schemas/ids/2")[0] == 200, "records under it are there"
    assert client.ask("DELETE", "/subjects/one/versions/2?permanent=true") == (200, 2)
    assert client.code("GET", "/schemas/ids/2") == 40403
    assert client.register("one", record(A, OPTIONAL)) == (200, {"id": 3, "version": 3})
    assert client.ask("DELETE", "/subjects/one") == (200, [1, 3])
    assert client.code("DELETE", "/subjects/one") == 40404
    assert client.get("/subjects") == (200, [])
    assert client.get("/subjects?deleted=true") == (200, ["one"])
    assert client.ask("DELETE", "/subjects/one?permanent=true") == (200, [1, 3])
    assert client.register("one", record(A)) == (200, {"id": 4, "version": 1})


def test_a_read_only_subject_takes_nothing(client: Client) -> None:
    client.register("one", record(A))
    assert client.ask("PUT", "/mode/one", mode="READONLY") == (200, {"mode": "READONLY"})
    path = "/subjects/one/versions"
    assert client.code("POST", path, schema=json.dumps(record(A, OPTIONAL))) == 42205
    assert client.register("one", record(A))[0] == 200, "that is there already"
    assert client.code("DELETE", "/subjects/one") == 42205
    assert client.ask("DELETE", "/mode/one") == (200, {"mode": "READONLY"})
    assert client.register("one", record(A, OPTIONAL))[0] == 200


# ------------------------------------------------------------ compatibility
def refusal(rule: str, who: str, whose: str, why: str) -> str:
    return f"{rule}: {who} could not read what {whose} writes: {why}"


MISSING = "field 'b' is not written and has no default. Give it a default, such as null."


@pytest.mark.parametrize(
    ("level", "versions", "new", "why"),
    [
        ("BACKWARD", [record(A)], record(A, OPTIONAL), None),
        ("BACKWARD", [record(A, B)], record(A), None),
        ("FORWARD", [record(A)], record(A, B), None),
        ("FULL", [record(A)], record(A, OPTIONAL), None),
        ("NONE", [record(A)], record(B, name="other"), None),
        (
            "BACKWARD",
            [record(A)],
            record(A, B),
            refusal("BACKWARD", "version 2 (the new one)", "version 1", MISSING),
        ),
        (
            "FORWARD",
            [record(A, B)],
            record(A),
            refusal("FORWARD", "version 1", "version 2 (the new one)", MISSING),
        ),
        (
            "FULL",
            [record(A, B)],
            record(A),
            refusal("FULL", "version 1", "version 2 (the new one)", MISSING),
        ),
        # The newest alone counts, or all of them.
        ("BACKWARD", [record(A), record(A, OPTIONAL)], record(A, B), "version 2 writes"),
        ("BACKWARD", [record(A), record(A, {**B, "default": 0})], record(A, B), None),
        (
            "BACKWARD_TRANSITIVE",
            [record(A), record(A, {**B, "default": 0})],
            record(A, B),
            refusal("BACKWARD_TRANSITIVE", "version 3 (the new one)", "version 1", MISSING),
        ),
        (
            "FORWARD_TRANSITIVE",
            [record(A, B), record(A, {**B, "default": 0})],
            record(A),
            refusal("FORWARD_TRANSITIVE", "version 1", "version 3 (the new one)", MISSING),
        ),
        (
            "FULL_TRANSITIVE",
            [record(A, B), record(A, {**B, "default": 0})],
            record(A),
            refusal("FULL_TRANSITIVE", "version 1", "version 3 (the new one)", MISSING),
        ),
    ],
)
def test_a_new_version_is_held_to_the_subjects_level(
    client: Client, level: str, versions: list[Any], new: Any, why: str | None
) -> None:
    client.ask("PUT", "/config/one", compatibility="NONE")
    for schema in versions:
        client.register("one", schema)
    assert client.ask("PUT", "/config/one", compatibility=level.lower())[0] == 200
    assert client.get("/config/one") == (200, {"compatibilityLevel": level})
    path = "/compatibility/subjects/one/versions?verbose=true"
    judged = client.ask("POST", path, schema=json.dumps(new))
    status, answer = client.register("one", new)
    if why is None:
        assert judged == (200, {"is_compatible": True, "messages": []})
        assert status == 200
    else:
        assert not judged[1]["is_compatible"]
        assert why in judged[1]["messages"][0]
        assert (status, answer["error_code"]) == (409, 409)
        assert f'for subject "one", details: [{judged[1]["messages"][0]}' in answer["message"]


def test_any_one_version_may_be_compared_with(client: Client) -> None:
    client.register("one", record(A))
    client.register("one", record(A, {**B, "default": 0}))
    sent = {"schema": json.dumps(record(A, B))}
    path = "/compatibility/subjects/one/versions"
    assert client.ask("POST", f"{path}/1", **sent) == (200, {"is_compatible": False})
    assert client.ask("POST", f"{path}/latest", **sent) == (200, {"is_compatible": True})
    assert client.code("POST", f"{path}/7", **sent) == 40402


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_on_random_pairs_the_verdict_is_what_fastavro_does(
    client: Client, data: st.DataObject
) -> None:
    writer = data.draw(schemas())
    reader = data.draw(near(writer))
    try:
        fastavro.parse_schema(reader)
    except (fastavro.schema.UnknownType, fastavro.schema.SchemaParseException):
        return  # a type was renamed that is named elsewhere, or stands twice in a union
    theirs = of_fastavro(writer, reader)
    client.ask("PUT", "/config", compatibility="NONE")
    client.ask("DELETE", "/subjects/pair")
    assert client.register("pair", writer)[0] == 200
    path = "/compatibility/subjects/pair/versions/latest"
    client.ask("PUT", "/config", compatibility="BACKWARD")
    status, answer = client.ask("POST", path, schema=json.dumps(reader))
    assert status == 200
    if theirs is not None:
        assert answer["is_compatible"] == theirs


# ------------------------------------------------------------ references
ADDRESS = record({"name": "city", "type": "string"}, name="Address", namespace="com.example")
TO = {"name": "to", "type": "com.example.Address"}
REFERENCE = {"name": "com.example.Address", "subject": "address", "version": 1}


def test_types_of_other_subjects_are_referred_to_by_name(client: Client) -> None:
    client.register("address", ADDRESS)
    status, answer = client.register("one", record(A, TO), references=[REFERENCE])
    assert (status, answer["id"]) == (200, 2)
    assert client.get("/schemas/ids/2")[1]["references"] == [REFERENCE]
    assert client.get("/subjects/address/versions/1/referencedby") == (200, [2])
    assert client.code("DELETE", "/subjects/address") == 42206
    # What is in it counts as if it stood there.
    street = {"name": "street", "type": "string"}
    changed = {**ADDRESS, "fields": [*ADDRESS["fields"], street]}
    client.ask("PUT", "/config/address", compatibility="NONE")
    client.register("address", changed)
    second = {**REFERENCE, "version": 2}
    status, answer = client.register("one", record(A, TO), references=[second])
    assert status == 409
    assert "field 'to.street' is not written and has no default" in answer["message"]


def test_a_reference_to_nothing_is_refused(client: Client) -> None:
    status, answer = client.register("one", record(A, TO), references=[REFERENCE])
    assert (status, answer["error_code"]) == (422, 42201)
    assert "version 1 of subject address, which is not there" in answer["message"]
    assert client.register("one", record(A, TO))[1]["error_code"] == 42201


# ------------------------------------------------------------ what is kept
def test_all_of_it_is_there_after_a_restart(tmp_path: Path) -> None:
    asked = [
        "/subjects?deleted=true",
        "/subjects/one/versions?deleted=true",
        "/schemas/ids/1",
        "/schemas/ids/2",
        "/config",
        "/config/one",
        "/mode/one",
    ]
    with served(tmp_path) as url, closing(Client(url)) as client:
        client.register("address", ADDRESS)
        client.register("one", record(A, TO), references=[REFERENCE])
        client.ask("PUT", "/config", compatibility="FULL")
        client.ask("PUT", "/config/one", compatibility="NONE")
        client.ask("PUT", "/mode/one", mode="READONLY")
        before = [client.get(path) for path in asked]
    with served(tmp_path) as url, closing(Client(url)) as client:
        assert [client.get(path) for path in asked] == before
        assert client.register("two", record(B))[1]["id"] == 3


def test_pages_of_other_sites_cannot_register(client: Client) -> None:
    # As a form, or a script that is not asked about first, may send it.
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        sent = {"content-type": kind}
        got = client._http.post("/subjects/x/versions", content=b'{"schema":"int"}', headers=sent)
        assert got.status_code == 415
    got = client._http.get("/subjects", headers={"host": "evil.example.org"})
    assert got.status_code == 421


def test_every_level_is_known(client: Client) -> None:
    for level in LEVELS:
        assert client.ask("PUT", "/config", compatibility=level)[0] == 200
    assert client.ask("DELETE", "/config") == (200, {"compatibilityLevel": LEVELS[-1]})
    assert client.get("/config") == (200, {"compatibilityLevel": "BACKWARD"})
