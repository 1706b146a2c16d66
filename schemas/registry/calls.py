"""Calls to a schema registry: bounded in time and size, and never led elsewhere.

This file alone knows the HTTP client; its errors are translated here.
"""

from __future__ import annotations

import json
import ssl
import time
from typing import Any, NamedTuple

import httpx

from freshet.schemas.errors import DefinitionError, RegistryError
from freshet.schemas.registry.address import CHECK_ADDRESS, Place, RegistryAddress

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
WAIT_SECONDS = 5.0  # for a connection, and for the next bytes of an answer
ANSWER_SECONDS = 15.0  # for a whole answer: one that drips would never end else
MOST_BYTES = 8 << 20  # of an answer; the largest schemas that people have are some hundred kB
# They speak of the moment or of the server, not of what was asked.
PASSING = frozenset((408, 425, 429))
NO_LOGIN = (401, 403)


class Answer(NamedTuple):
    """`code` is the registry's own error code, such as 40403; 0 where it gave none. `body` is the
    JSON."""

    status: int
    code: int
    message: str
    body: Any


class Caller:
    """Asks the servers of one registry, the next where one does not answer. Used by one thread at a
    time."""

    def __init__(self, address: RegistryAddress) -> None:
        self._places = address.places
        headers = {"accept": CONTENT_TYPE, "user-agent": "freshet"}
        if address.token:
            headers["authorization"] = f"Bearer {address.token}"
        # Not led elsewhere by an answer: what it was sent as a login would go there, too.
        self._http = httpx.Client(
            headers=headers,
            timeout=WAIT_SECONDS,
            follow_redirects=False,
            verify=_certificates(address.certificates),
        )

    @property
    def name(self) -> str:
        return ", ".join(place.url for place in self._places)

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, sent: Any = None) -> Answer:
        """What it answers, a refusal too.

        Raises:
            RegistryError: no server answers as a registry does; with the cause of the last one.
        """
        for place in self._places[:-1]:
            try:
                return self._call(place, method, path, sent)
            except RegistryError:
                continue  # another server may know more
        return self._call(self._places[-1], method, path, sent)

    def _call(self, place: Place, method: str, path: str, sent: Any) -> Answer:
        try:
            status, data = self._answer(place, method, path, sent)
        except httpx.TimeoutException as error:
            raise RegistryError(
                place.url,
                f"does not answer within {WAIT_SECONDS:.0f} s",
                "See whether it runs, and whether this machine reaches it.",
            ) from error
        # Most specific first: a protocol error is a transport error, too.
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise RegistryError(
                place.url,
                f"cannot be reached: {error or type(error).__name__}",
                "See whether it runs, and whether this machine reaches it.",
            ) from error
        return _understood(place, status, data)

    def _answer(self, place: Place, method: str, path: str, sent: Any) -> tuple[int, bytes]:
        content = None if sent is None else json.dumps(sent).encode()
        headers = {} if sent is None else {"content-type": CONTENT_TYPE}
        auth = httpx.USE_CLIENT_DEFAULT if place.login is None else httpx.BasicAuth(*place.login)
        deadline = time.monotonic() + ANSWER_SECONDS
        with self._http.stream(
            method, f"{place.url}{path}", content=content, headers=headers, auth=auth
        ) as answer:
            data = bytearray()
            for part in answer.iter_bytes():
                data += part
                if len(data) > MOST_BYTES:
                    raise RegistryError(
                        place.url,
                        f"answers {path} with more than {MOST_BYTES >> 20} MB",
                        CHECK_ADDRESS,
                    )
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("an answer without an end")
            return answer.status_code, bytes(data)


def _understood(place: Place, status: int, data: bytes) -> Answer:
    """Of what came back, what a registry says. Raises `RegistryError` where that is none."""
    if status in NO_LOGIN:
        raise RegistryError(
            place.url,
            f"answers {status}: it does not let this login in",
            "Give a login in its address, before the host, or FRESHET_REGISTRY_TOKEN.",
        )
    if status >= 500 or status in PASSING:
        raise RegistryError(place.url, f"answers {status}", "See the registry's own log.")
    if 300 <= status < 400:
        raise RegistryError(
            place.url,
            f"answers {status}: it is to be asked elsewhere",
            "Give the address that it has by now; redirects are not followed, as logins would be.",
        )
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RegistryError(
            place.url, f"answers {status} with what is no JSON", CHECK_ADDRESS
        ) from error
    if status < 300:
        return Answer(status, 0, "", body)
    code = body.get("error_code") if isinstance(body, dict) else None
    # Any web server answers 404; only a registry says of what.
    if not isinstance(code, int):
        raise RegistryError(
            place.url, f"answers {status}, and not as a registry does", CHECK_ADDRESS
        )
    return Answer(status, code, str(body.get("message", "")), body)


def _certificates(file: str) -> ssl.SSLContext | bool:
    if not file:
        return True
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise DefinitionError(
            f"registry_ca {file}",
            f"cannot be used: {error.strerror or error}",
            "Name a file of certificates in PEM.",
        ) from error
