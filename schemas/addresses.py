"""Hosts and ports as URLs and headers write them: an IPv6 address stands in brackets, since it has
colons of its own."""

from __future__ import annotations

import ipaddress
import re

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_PORT = re.compile(r"[0-9]{1,5}")


def authority(host: str, port: int) -> str:
    """Host and port as one text.

    >>> authority("127.0.0.1", 8080), authority("::1", 8080)
    ('127.0.0.1:8080', '[::1]:8080')
    """
    if ":" in host:
        return f"[{host}]:{port}"
    return f"{host}:{port}"


def canonical(host: str) -> str | None:
    """A host in the one form that it is compared in: lower case, addresses as short as they can be;
    None for no host.

    >>> canonical("[::0:1]"), canonical("LocalHost."), canonical("::ffff:127.0.0.1")
    ('::1', 'localhost', '127.0.0.1')
    >>> canonical("a b") is None
    True
    """
    text = host.strip().lower()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if ":" in text:
        return _ip(text)
    text = text.removesuffix(".")
    if re.fullmatch(r"[0-9.]+", text):
        return _ip(text)
    if len(text) > 253 or _NAME.fullmatch(text) is None:
        return None
    return text


def _ip(text: str) -> str | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # An IPv4 address that is written as IPv6 is the same host.
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def split(text: str) -> tuple[str, int | None] | None:
    """The canonical host and the port of `host`, `host:port`, `[host]:port` or a bare IPv6 address;
    None for anything else.

    >>> split("[::1]:9042"), split("Example.org"), split("::1"), split("a:b:1")
    (('::1', 9042), ('example.org', None), ('::1', None), None)
    """
    host, colon, port = text.rpartition(":")
    # Without brackets, all colons of an IPv6 address are its own.
    if not colon or (host.count(":") and not host.endswith("]")) or text.endswith("]"):
        host = text
        port = ""
    if ":" in host and not host.startswith("[") and host != text:
        return None
    found = canonical(host)
    if found is None:
        return None
    if not port:
        return found, None
    if _PORT.fullmatch(port) is None or int(port) > 65_535:
        return None
    return found, int(port)
