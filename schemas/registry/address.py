"""Where a schema registry is, and how it is told who asks: addresses as settings say them."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from freshet.schemas.errors import DefinitionError
from freshet.schemas.shown_text import address

NEXT_STEP = (
    "Write http://host:8081, a login before the host (user:password, then @); several by commas."
)
CHECK_ADDRESS = "Check the registry's address; one of Apicurio ends with /apis/ccompat/v7."


@dataclass(frozen=True, slots=True)
class Place:
    """One server of a registry: `url` without a login and without a slash at its end. The login is
    shown nowhere."""

    url: str
    login: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RegistryAddress:
    """The servers of one registry, asked in their order; a bearer `token` for all of them (empty:
    none), and the file of certificates that theirs are held to (empty: the usual ones)."""

    places: tuple[Place, ...]
    token: str = field(default="", repr=False)
    certificates: str = ""


def parsed(text: str, token: str = "", certificates: str = "") -> RegistryAddress:
    """Addresses by commas, each with or without a login.

    Raises:
        DefinitionError: one of them is no address of HTTP; the text has no login in it.

    >>> parsed("http://ann:s%40@one:8081/, https://two/apis/ccompat/v7").places[0]
    Place(url='http://one:8081')
    """
    return RegistryAddress(
        tuple(_place(part.strip()) for part in text.split(",")), token, certificates
    )


def _place(text: str) -> Place:
    try:
        parts = urlsplit(text)
        host = parts.hostname
        port = parts.port
    except ValueError:
        host = None
        port = None
    if not host or parts.scheme not in ("http", "https"):
        raise DefinitionError(f"registry {address(text)!r}", "is no address of HTTP", NEXT_STEP)
    if parts.query or parts.fragment:
        raise DefinitionError(
            f"registry {address(text)!r}",
            "has parameters, which a registry's address has not",
            NEXT_STEP,
        )
    login = None
    if parts.username is not None:
        # A password with a colon or an at sign is written with their codes.
        login = unquote(parts.username), unquote(parts.password or "")
    # Of an IPv6 address the brackets belong to it.
    shown = f"[{host}]" if ":" in host else host
    where = shown if port is None else f"{shown}:{port}"
    return Place(f"{parts.scheme}://{where}{parts.path.rstrip('/')}", login)
