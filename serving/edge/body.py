"""A request's body: read whole, unpacked, never beyond a limit."""

from __future__ import annotations

import zlib

from starlette.types import Message, Receive, Scope

from freshet.schemas.errors import RequestError

LONGEST_NUMBER = 12  # digits of a header's number: more than any body has bytes


async def read_body(scope: Scope, receive: Receive, limit: int) -> tuple[int | None, bytes]:
    """The JSON's length, if binary tensors follow it, and the whole body, unpacked.

    Raises: RequestError: longer than `limit` bytes (413), before or after unpacking, ended early,
        or not what its headers say.
    """
    headers = dict(scope["headers"])
    if _whole(headers.get(b"content-length"), "content-length", None) > limit:
        raise _too_large(limit)
    body = await _received(receive, limit)
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding != b"identity":
        body = _unpacked(body, encoding, limit)
    given = headers.get(b"inference-header-content-length")
    if given is None:
        return None, body
    return _whole(given, "inference-header-content-length", len(body)), body


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
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
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
    number = int(value) if value.isdigit() and len(value) <= LONGEST_NUMBER else None
    if number is None or (most is not None and number > most):
        expected = "Send a whole number."
        if most is not None:
            expected = f"Send a whole number up to {most}."
        shown = value[:40].decode("latin1")
        raise RequestError(f"header {header}", f"is {shown!r}", expected)
    return number
