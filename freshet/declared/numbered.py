"""Records that are numbered in the order in which they were made, each a file of one folder beside
the checkpoints: {folder}/{number:06}.json. Of two that are made at the same time one is refused."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec

from freshet.schemas.errors import ComponentError
from freshet.streams.objects import names, opened, put_new, read_whole

SUFFIX = ".json"
Kind = TypeVar("Kind", bound=msgspec.Struct)


class Numbered(Protocol):
    @property
    def number(self) -> int: ...


def every(url: str, folder: str, kind: type[Kind], if_broken: str) -> list[Kind]:
    """All that were ever made, in order.

    Raises:
        ComponentError: somebody has broken a record; the next step is `if_broken`.
    """
    fs, root = opened(url)
    place = f"{root.rstrip('/')}/{folder}"
    if not fs.isdir(place):
        return []
    found = []
    for name in sorted(name for name in names(fs, place) if name.endswith(SUFFIX)):
        file = f"{place}/{name}"
        try:
            found.append(msgspec.json.decode(read_whole(fs, file), type=kind))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ComponentError(
                f"file {file}",
                f"cannot be read: {error}",
                if_broken,
            ) from error
    return found


def put(url: str, folder: str, made: Numbered) -> bool:
    """Whether it is there now; not where another one of its number is."""
    fs, root = opened(url)
    place = f"{root.rstrip('/')}/{folder}"
    fs.makedirs(place, exist_ok=True)
    # For people to read, too.
    text = msgspec.json.format(msgspec.json.encode(made))
    try:
        put_new(fs, f"{place}/{made.number:06}{SUFFIX}", text)
    except FileExistsError:
        return False
    return True
