"""By which names a server may be asked. A web page whose own name is made to point here (DNS
rebinding) asks by that name, as one of the same site: so names are taken from a list, and nothing
that a request says of itself can add to it."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from freshet.schemas.addresses import canonical, split

EVERY = "*"


@dataclass(frozen=True, slots=True)
class Hosts:
    """`own` are the server's names; `listed` those that its operator named, such as a proxy's,
    which origins may bear, too."""

    own: frozenset[str]
    listed: frozenset[str] = frozenset()
    every: bool = False

    def allows(self, host: str, reached: str | None) -> bool:
        """Whether a request that came in at the address `reached` may name this (canonical)
        host."""
        if self.every or host in self.own or host in self.listed:
            return True
        # The address that the client connected to is nobody else's name: it needs no entry.
        return _is_loopback(host) or (reached is not None and host == canonical(reached))

    def trusts(self, origin: str, host: tuple[str, int | None]) -> bool:
        """Whether a page of this origin may ask the server that it calls `host`: its own pages, or
        those of a listed name."""
        scheme, separator, place = origin.partition("://")
        # `null`, which a sandboxed page sends, has no place.
        if not separator or scheme.lower() not in ("http", "https"):
            return False
        found = split(place)
        if found is None:
            return False
        if found[0] in self.listed:
            return True
        # Browsers leave a scheme's own port out, in the origin as in the host.
        usual = 80
        if scheme.lower() == "https":
            usual = 443
        return (found[0], found[1] or usual) == (host[0], host[1] or usual)


def hosts_of(listening: str, allowed: str = "") -> Hosts:
    """Of a server that listens on an address or name, with the setting `allowed_hosts`: names
    separated by commas, or `*`."""
    own = {"localhost", canonical(listening), canonical(socket.gethostname())}
    names = {canonical(name) for name in allowed.split(",") if name.strip() != EVERY}
    every = EVERY in [name.strip() for name in allowed.split(",")]
    return Hosts(_known(own), _known(names), every)


def _known(names: set[str | None]) -> frozenset[str]:
    return frozenset(name for name in names if name)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
