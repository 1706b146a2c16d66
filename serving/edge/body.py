"""A request's body: read whole, unpacked, never beyond a limit, and understood or refused."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from freshet.schemas.errors import RequestError
from freshet.serving.edge.failures import understanding

# Of questions and of events alike: who has more sends it in parts, and keeps no other waiting.
MAX_BODY_BYTES = 4 << 20
LONGEST_NUMBER = 12  # digits of a header's number: more than any body has bytes

Found = TypeVar("Found")


class Body(NamedTuple):
    """A whole body, unpacked; `json_bytes` is the length of its JSON if binary tensors follow
    it."""

    data: bytes
    json_bytes: int | None

    @property
    def json(self) -> bytes:
        return self.data[: self.json_bytes]

    @property
    def tail(self) -> memoryview:
        """The binary tensors, empty where none were announced."""
        return memoryview(self.data)[len(self.json) :]


async def parsed_body(
    request: Request, parse: Callable[[bytes], Found], example: str, limit: int = MAX_BODY_BYTES
) -> Found:
    """The body as `parse` understands it.

    Raises: RequestError: it cannot be read (see `read_body`) or understood; the text shows the
        example.
    """
    body = await read_body(request.scope, request.receive, limit)
    with understanding("body", f"Send JSON as {example}."):
        return parse(body.data)


async def read_body(scope: Scope, receive: Receive, limit: int) -> Body:
    """The whole body, unpacked.

    Raises: RequestError: longer than `limit` bytes (413), before or after unpacking, ended early,
        or not what its headers say.
    """
    headers = dict(scope["headers"])
    if _whole(headers.get(b"content-length"), "content-length", None) > limit:
        raise _too_large(limit)
    data = await _received(receive, limit)
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding != b"identity":
        data = _unpacked(data, encoding, limit)
    given = headers.get(b"inference-header-content-length")
    if given is None:
        return Body(data, None)
    # Held to the unpacked length: that is what it counts in.
    return Body(data, _whole(given, "inference-header-content-length", len(data)))


async def _received(receive: Receive, limit: int) -> bytes:
    message = await _part(receive)
    if not message.get("more_body"):
        whole: bytes = message.get("body", b"")
        if len(whole) > limit:
            raise _too_large(limit)
        return whole
    parts = bytearray(message.get("body", b""))
    while message.get("more_body"):
        message = await _part(receive)
        parts += message.get("body", b"")
        if len(parts) > limit:
            raise _too_large(limit)
    return bytes(parts)


async def _part(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise RequestError("body", "ended early", "Send it again.")
    return message


def _unpacked(body: bytes, encoding: bytes, limit: int) -> bytes:
    if encoding not in (b"gzip", b"deflate"):
        raise RequestError(
            f"content-encoding {encoding.decode('latin1')}",
            "is unknown",
            "Use gzip, deflate or none.",
        )
    # | 32: gzip's header or zlib's, whichever is there; clients mix the two names up.
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        # One byte more than may be: a bomb is known by it, and never unpacked.
        out = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError(
            "body", f"is not {encoding.decode()}: {error}", "Compress it again."
        ) from error
    if len(out) > limit:
        raise _too_large(limit)
    if not unpacker.eof:
        raise RequestError(
            "body", f"is not {encoding.decode()}: it ends early", "Compress it again."
        )
    return out


def _too_large(limit: int) -> RequestError:
    return RequestError(
        "body", f"is larger than {limit} bytes", "Send fewer rows a request.", status=413
    )


def _whole(value: bytes | None, header: str, most: int | None) -> int:
    """A header's whole number, 0 without the header; raises `RequestError` for anything else or
    more."""
    if value is None:
        return 0
    number = None
    # Not `int` alone, which also takes signs, spaces and underscores.
    if value.isdigit() and len(value) <= LONGEST_NUMBER:
        number = int(value)
    if number is None or (most is not None and number > most):
        expected = "Send a whole number."
        if most is not None:
            expected = f"Send a whole number up to {most}."
        shown = value[:40].decode("latin1")
        raise RequestError(f"header {header}", f"is {shown!r}", expected)
    return number
