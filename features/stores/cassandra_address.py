"""Addresses of Cassandra: `cassandra://[user:password@]host[,host…][:port]/keyspace?option=…`.

`consistency` is that of reads and writes: LOCAL_QUORUM where it is not said. `local_dc` is the data
centre whose servers are asked; where it is not said, that of the first host which answers.
`ssl=true` asks for TLS, which `ssl_ca_certs` (a file of authorities; the system's where it is not
given), `ssl_certfile` and `ssl_keyfile` (of the client) ask for, too. `ssl_check_hostname=false`
takes a certificate of any name.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from freshet.schemas.addresses import authority, split
from freshet.schemas.errors import StoreError
from freshet.schemas.shown_text import address

USUAL_PORT = 9042
USUAL_CONSISTENCY = "LOCAL_QUORUM"
# Those that hold for reads and for writes. (ANY is of writes, the serial ones are of transactions.)
CONSISTENCIES = ("ONE", "LOCAL_ONE", "TWO", "THREE", "QUORUM", USUAL_CONSISTENCY, "ALL")
_TLS = ("ssl", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
_OPTIONS = ("consistency", "local_dc", *_TLS)
_TRUTHS = {"true": True, "false": False}
_FORM = "Write cassandra://HOST:PORT/KEYSPACE (a keyspace has lower-case letters, digits and _)."


@dataclass(frozen=True)
class CassandraPlace:
    """An address, read. `shown` is without user, password and options."""

    hosts: list[str]
    port: int
    keyspace: str
    login: tuple[str, str] | None
    consistency: str = USUAL_CONSISTENCY
    local_dc: str | None = None
    tls: ssl.SSLContext | None = None

    @property
    def shown(self) -> str:
        return f"{authority(','.join(self.hosts), self.port)}/{self.keyspace}"


def place_of(url: str) -> CassandraPlace:
    """Read an address.

    Raises:
        StoreError: it is none, has an option that there is not, or names a file that is no
            certificate.
    """
    parts = urlsplit(url)
    login, _, place = parts.netloc.rpartition("@")
    servers = [split(server) for server in place.split(",")]
    known = [server for server in servers if server is not None]
    ports = {port for _, port in known if port is not None} or {USUAL_PORT}
    keyspace = parts.path.strip("/")
    is_keyspace = re.fullmatch("[a-z][a-z0-9_]{0,47}", keyspace)
    # The driver takes one port for all servers.
    if not is_keyspace or len(known) < len(servers) or len(ports) > 1 or parts.fragment:
        _refuse(url, "is not one of a Cassandra", _FORM)
    options = _options(url, parts)
    consistency = options.get("consistency", USUAL_CONSISTENCY).upper()
    if consistency not in CONSISTENCIES:
        cause = f"has consistency={consistency}, which reads and writes do not both know"
        _refuse(url, cause, f"Use one of {', '.join(CONSISTENCIES)}.")
    user, _, password = login.partition(":")
    credentials = None
    if login:
        credentials = (unquote(user), unquote(password))
    return CassandraPlace(
        hosts=[host for host, _ in known],
        port=ports.pop(),
        keyspace=keyspace,
        login=credentials,
        consistency=consistency,
        local_dc=options.get("local_dc"),
        tls=_tls(url, options),
    )


def _options(url: str, parts: SplitResult) -> dict[str, str]:
    try:
        found = dict(
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        )
    except ValueError:
        _refuse(url, "has options that are not NAME=VALUE", "Write ?consistency=QUORUM&ssl=true.")
    for name, value in found.items():
        if name not in _OPTIONS:
            _refuse(url, f"has an option {name!r}", f"There are {', '.join(_OPTIONS)}.")
        if not value:
            _refuse(url, f"says nothing by {name}", "Give it a value, or leave it out.")
    return found


def _tls(url: str, options: Mapping[str, str]) -> ssl.SSLContext | None:
    """What the servers are known by; None: they are spoken to in the open."""
    truths = {name: options.get(name, "true") for name in ("ssl", "ssl_check_hostname")}
    for name, value in truths.items():
        if value not in _TRUTHS:
            _refuse(url, f"has {name}={value}", "Write true or false.")
    is_wanted = any(name in options for name in _TLS)
    if not is_wanted or not _TRUTHS[truths["ssl"]]:
        return None
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        _refuse(url, "has an ssl_keyfile and no ssl_certfile", "Give the certificate of that key.")
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        context.check_hostname = _TRUTHS[truths["ssl_check_hostname"]]
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except (OSError, ssl.SSLError) as error:
        cause = f"names a certificate or key that cannot be read ({error})"
        _refuse(url, cause, "See ssl_ca_certs, ssl_certfile and ssl_keyfile: files in PEM.")
    return context


def _refuse(url: str, cause: str, next_step: str) -> NoReturn:
    raise StoreError(address(url), cause, next_step) from None
