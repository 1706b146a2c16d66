"""Text that came from elsewhere, made fit to be shown: on a terminal, in a log, on a page.

Two dangers are in it. Control characters: an escape sequence in an id moves the cursor, sets the
title of the window or hides what follows. And secrets: an address may hold a password, and errors
of clients quote addresses.
"""

from __future__ import annotations

import json
import re
import unicodedata
from urllib.parse import urlsplit

HIDDEN = "***"
# What separates an address from the text around it. A quote inside of a password is for `address`
# to find.
_WORD = re.compile(r"[^\s\"'`<>]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+")
# As `_SCHEME`, where the slashes were forgotten or are one too few.
_SCHEME_AT_START = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:/*")
_PARAMETER = re.compile(r"([?&#;][^\s=?&#;]*=)[^\s&#;]*")
_SETTING = re.compile(r"((?:password|passwd|secret|token|api_?key)=)[^\s&,;\"']+", re.IGNORECASE)


def printable(text: str, lines: bool = False) -> str:
    r"""The text with what a terminal would obey, or show as nothing, written as Python escapes it.
    With `lines`, ends of lines and tabs stay.

    >>> printable("a\x1b[2Jb\u202ec")
    'a\\x1b[2Jb\\u202ec'
    """
    if text.isprintable():
        return text
    return "".join(char if _may_stay(char, lines) else _escaped(char) for char in text)


def _may_stay(char: str, lines: bool) -> bool:
    # Spaces of all widths are not printable in Python's sense, and do no harm.
    return char.isprintable() or (lines and char in "\n\t") or unicodedata.category(char) == "Zs"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def printable_json(text: str) -> str:
    r"""JSON that says the same, without a control character in it: encoders escape the first 32 of
    them only.

    >>> printable_json('{"id": "a\x9bb\u202e"}')
    '{"id": "a\\u009bb\\u202e"}'
    """
    return "".join(char if _may_stay(char, lines=True) else json.dumps(char)[1:-1] for char in text)


def redacted(text: str) -> str:
    """The text without the logins and parameters of the addresses in it, also of mistyped ones.

    >>> redacted("kafka://ann:secret@broker:9092 is away, by ann@laptop")
    'kafka://***@broker:9092 is away, by ann@laptop'
    >>> redacted("https://example.org/hook?token=abc")
    'https://example.org/hook?token=***'
    """
    # Most texts have neither: they cost three looks.
    if "@" not in text and "=" not in text:
        return text
    return _SETTING.sub(rf"\1{HIDDEN}", _WORD.sub(lambda word: _redacted_word(word[0]), text))


def _redacted_word(word: str) -> str:
    # The last one: a password may have others.
    at = word.rfind("@")
    if at > 0 and ":" in word[:at]:
        scheme = _SCHEME.search(word, 0, at)
        kept = word[: scheme.end()] if scheme else ""
        # A parameter with an @, or a password with a question mark: which of them cannot be known.
        if "?" in word[:at]:
            return kept + HIDDEN
        word = f"{kept}{HIDDEN}{word[at:]}"
    return _without_values(word)


def _without_values(text: str) -> str:
    """Of parameters, their names."""
    return _PARAMETER.sub(rf"\1{HIDDEN}", text)


def address(url: str) -> str:
    """A text that is meant as an address, without login and parameters, whatever else is wrong with
    it.

    >>> address("redis://:a secret@store:6379/0"), address("kafka:ann:p@broker")
    ('redis://***@store:6379/0', 'kafka:***@broker')
    >>> address("runs/log")
    'runs/log'
    """
    scheme = _SCHEME_AT_START.match(url)
    kept = ""
    if scheme:
        kept = scheme[0]
    rest = url[len(kept) :]
    at = rest.rfind("@")
    if at < 0:
        return kept + _without_values(rest)
    if "?" in rest[:at]:  # as above
        return kept + HIDDEN
    # Without slashes a "scheme" may be the user.
    if kept and "/" not in kept and ":" not in rest[:at]:
        kept = ""
    return f"{kept}{HIDDEN}@{_without_values(rest[at + 1 :])}"


def origin(url: str) -> str:
    """Scheme and host of an address whose path is a secret, too, as that of a webhook often is.

    >>> origin("https://user:pw@hooks.example.org/T0/B0/x"), origin("hooks/T0")
    ('https://hooks.example.org', '***')
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return HIDDEN
    # What follows the host is no part of it; but behind a mistyped login it is.
    if not parts.scheme or not host or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return HIDDEN
    return f"{parts.scheme}://{host}"


def shown(text: str) -> str:
    """What somebody else said, of one line or several, redacted and printable."""
    return printable(redacted(text), lines=True)
