"""A registry is asked within bounds, and believed only where it answers as one does; freshet's own
gives what was put in."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from freshet.schemas.errors import DefinitionError, RegistryError, RequestError
from freshet.schemas.registry import calls
from freshet.schemas.registry.address import parsed
from freshet.schemas.registry.client import Reference, Registered, RegistryClient
from tests.schemas.registry.canned import (
    Handler,
    bytes_answer,
    canned,
    json_answer,
    own_certificate,
)
from tests.serving.registry.served import served

SCHEMA = {"schema": '"int"'}
NOBODY = "http://127.0.0.1:9"


def asked(url: str, token: str = "") -> Registered | None:
    with closing(RegistryClient(parsed(url, token))) as client:
        return client.schema(7)


def test_what_is_registered_is_found(tmp_path: Path) -> None:
    with served(tmp_path) as url, closing(RegistryClient(parsed(url))) as client:
        inner = {"type": "record", "name": "x.City", "fields": [{"name": "n", "type": "string"}]}
        outer = {"type": "record", "name": "o", "fields": [{"name": "c", "type": "x.City"}]}
        assert client.register("city/x", Registered(json.dumps(inner))) == 1
        refers = (Reference("x.City", "city/x", 1),)
        assert client.register("o", Registered(json.dumps(outer), references=refers)) == 2
        found = client.schema(2)
        assert found is not None
        assert (json.loads(found.text), found.kind, found.references) == (outer, "AVRO", refers)
        assert client.schema(3) is None
        newest = client.version("o")
        assert (newest.version, newest.id, newest.schema) == (1, 2, found)
        assert client.version("city/x", 1).id == 1
        assert (client.version_of(2, "o"), client.version_of(2, "city/x")) == (1, None)
        for subject, version, cause in [
            ("p", 1, "subject p: is not in the registry"),
            ("o", 2, "version 2 of subject o: is not in the registry"),
        ]:
            with pytest.raises(RequestError, match=cause):
                client.version(subject, version)
        with pytest.raises(RequestError, match=r"refuses the schema \(42201\): Invalid schema"):
            client.register("o", Registered("{}"))


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (json_answer(404, {"error_code": 404, "message": "no"}), "answers 404: no"),
        (bytes_answer(404, b"<html>"), "answers 404 with what is no JSON"),
        (json_answer(404, {"detail": "no"}), "answers 404, and not as a registry does"),
        (bytes_answer(200, b"<html>"), "answers 200 with what is no JSON"),
        (bytes_answer(200, b"[" * 100_000), "answers 200 with what is no JSON"),
        (json_answer(200, []), "answers 200"),
        (json_answer(200, {"schema": 1}), "answers with a schema without a text"),
        (json_answer(200, {**SCHEMA, "references": [{}]}), "answers with references without"),
        (
            bytes_answer(
                200,
                b'{"schema": "x", "references": [{"name": "a", "subject": "b", "version": 1e400}]}',
            ),
            "answers with references without",
        ),
        (json_answer(401, {"error_code": 401, "message": "x"}), "does not let this login in"),
        (json_answer(500, {"error_code": 50001, "message": "x"}), "answers 500"),
        (json_answer(429, {}), "answers 429"),
        (bytes_answer(200, b"x" * (calls.MOST_BYTES + 1)), "with more than 8 MB"),
    ],
)
def test_what_is_no_answer_of_a_registry_is_an_outage_not_an_unknown_id(
    answer: Handler, cause: str
) -> None:
    with canned(answer) as server, pytest.raises(RegistryError, match=cause) as told:
        asked(server.url)
    assert told.value.resource == server.url


def test_a_login_goes_to_its_own_server_and_is_not_led_elsewhere() -> None:
    with canned(json_answer(200, SCHEMA)) as other:
        with canned(bytes_answer(307, b"", location=f"{other.url}/schemas/ids/7")) as server:
            secret = server.url.replace("//", "//ann:s%40crt@")
            with pytest.raises(RegistryError, match="it is to be asked elsewhere") as told:
                asked(secret)
            expected = base64.b64encode(b"ann:s@crt").decode()
            assert server.authorizations == [f"Basic {expected}"]
        assert "crt" not in str(told.value)
        assert other.paths == []
        assert asked(other.url, "t0ken") == Registered('"int"')
        assert other.authorizations == ["Bearer t0ken"]


def test_where_one_server_does_not_answer_the_next_is_asked() -> None:
    with canned(json_answer(200, SCHEMA)) as good, canned(json_answer(503, {})) as bad:
        assert asked(f"{NOBODY},{bad.url},{good.url}/") == Registered('"int"')
        with pytest.raises(RegistryError, match="answers 503"):
            asked(f"{NOBODY},{bad.url}")


def test_a_drip_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "ANSWER_SECONDS", 0.0)
    with (
        canned(json_answer(200, SCHEMA)) as server,
        pytest.raises(RegistryError, match="does not answer within"),
    ):
        asked(server.url)


def test_its_certificate_is_held_to_those_that_are_named(tmp_path: Path) -> None:
    file = own_certificate(tmp_path)
    with canned(json_answer(200, SCHEMA), certificate=file) as server:
        with pytest.raises(RegistryError, match=r"cannot be reached: .*CERTIFICATE_VERIFY_FAILED"):
            asked(server.url)
        with closing(RegistryClient(parsed(server.url, certificates=str(file)))) as client:
            assert client.schema(7) == Registered('"int"')
    for wrong in ("nowhere.pem", __file__):
        with pytest.raises(DefinitionError, match=r"registry_ca .*: cannot be used"):
            RegistryClient(parsed(server.url, certificates=wrong))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("localhost:8081", "is no address of HTTP"),
        ("ftp://x", "is no address of HTTP"),
        ("http://a,", "is no address of HTTP"),
        ("http://a:port", "is no address of HTTP"),
        ("http://ann:secret@a?b=c", "has parameters"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_login(text: str, cause: str) -> None:
    with pytest.raises(DefinitionError, match=cause) as told:
        parsed(text)
    assert "secret" not in str(told.value)


def test_nothing_that_is_printed_of_an_address_has_a_login_in_it() -> None:
    address: Any = parsed("https://ann:secret@a:1/x/", "t0ken")
    assert repr(address).count("secret") + repr(address).count("t0ken") == 0
    assert (address.places[0].url, address.places[0].login) == ("https://a:1/x", ("ann", "secret"))
    assert parsed("http://[::1]:8081").places[0].url == "http://[::1]:8081"
