"""A request's body: read whole, unpacked, never beyond a limit."""

from __future__ import annotations

import zlib

from starlette.types import Receive, Scope

from freshet.schemas.errors import RequestError


async def read_body(scope: Scope, receive: Receive, limit: int) -> tuple[int | None, bytes]:
    """The JSON's length, if binary tensors follow it, and the whole body, unpacked.

    Raises:
        RequestError: longer than `limit` bytes (413), before or after unpacking, or not what its headers say.
    """
    headers = dict(scope["headers"])
    if _whole(headers.get(b"content-length"), "content-length", None) > limit:
        raise _too_large(limit)
    message = await receive()
    body = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding != b"identity":
        body = _unpacked(body, encoding, limit)
    given = headers.get(b"inference-header-content-length")
    if given is None:
        return None, body
    return _whole(given, "inference-header-content-length", len(body)), body


def _unpacked(body: bytes, encoding: bytes, limit: int) -> bytes:
    if encoding not in (b"gzip", b"deflate"):
        raise RequestError(f"content-encoding {encoding.decode('latin1')}", "is unknown", "Use gzip, deflate or none.")
    try:
        out = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError("body", f"is not {encoding.decode()}: {error}", "Compress it again.") from error
    if len(out) > limit:
        raise _too_large(limit)
    return out


def _too_large(limit: int) -> RequestError:
    return RequestError("body", f"is larger than {limit} bytes", "Send fewer rows a request.", status=413)


def _whole(value: bytes | None, header: str, most: int | None) -> int:
    """A header's whole number, 0 without the header; raises `RequestError` for anything else or more."""
    if value is None:
        return 0
    if not value.isdigit() or (most is not None and int(value) > most):
        expected = "Send a whole number." if most is None else f"Send a whole number up to {most}."
        raise RequestError(f"header {header}", f"is {value.decode('latin1')!r}", expected)
    return int(value)
