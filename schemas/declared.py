"""What a declaration was given, held to what it takes: told where it is written, not where it is
first used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from freshet.schemas.errors import DefinitionError

_PLACE = re.compile(r" at 0x[0-9A-Fa-f]+")
SHOWN_CHARACTERS = 80  # of a value that is none


def check_kind(
    where: str, argument: str, value: object, kind: type | tuple[type, ...], instead: str
) -> None:
    """Raises `DefinitionError` where a value is of no such kind; `instead` says what to write."""
    if not isinstance(value, kind):
        raise DefinitionError(
            where, f"{argument}={brief(value)} is of type {type(value).__name__}", instead
        )


def check_each(
    where: str, argument: str, values: object, kind: type | tuple[type, ...], instead: str
) -> None:
    """As `check_kind`, of a list; a text is no list of texts."""
    if isinstance(values, str | bytes | Mapping) or not _is_sequence(values):
        raise DefinitionError(
            where, f"{argument}={brief(values)} is no list", f"Write {argument}=[…]. {instead}"
        )
    for i, value in enumerate(values):
        check_kind(where, f"{argument}[{i}]", value, kind, instead)


def brief(value: object) -> str:
    """A value as it would be written, on one line and not at length; whatever its own `repr` does.

    >>> brief("late"), brief(list(range(99)))[-1]
    ("'late'", '…')
    """
    try:
        # Where it lies in memory says nothing, and is another one each time.
        text = _PLACE.sub("", " ".join(repr(value).split()))
    except Exception:  # of somebody else's class
        text = object.__repr__(value)
    if len(text) > SHOWN_CHARACTERS:
        return f"{text[: SHOWN_CHARACTERS - 1]}…"
    return text


def _is_sequence(values: object) -> TypeGuard[Sequence[object]]:
    # By what it can do: numpy's arrays and others' lists are no `Sequence` to Python.
    return hasattr(values, "__len__") and hasattr(values, "__getitem__")
