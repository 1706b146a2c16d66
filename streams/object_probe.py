"""Whether a store of objects does all that a run asks of one: tried before anything starts."""

from __future__ import annotations

import uuid

from freshet.schemas.errors import ObjectStoreError
from freshet.schemas.shown_text import address
from freshet.streams import objects

FOLDER = "probes"


def probe(url: str) -> None:
    """Put an object, list it, read it, be refused a second one of its name, and remove it.

    Raises:
        ObjectStoreError: the store does not answer, refuses one of these, or does not do it as a
            run needs it; nothing stays of the probe, as far as it may be removed.
    """
    fs, root = objects.opened(url)
    folder = f"{root.rstrip('/')}/{FOLDER}"
    # Of its own for each that asks: several start at the same time.
    name = uuid.uuid4().hex
    path = f"{folder}/{name}"
    fs.makedirs(folder, exist_ok=True)
    fs.pipe_file(path, b"one")
    try:
        if name not in objects.names(fs, folder):
            raise _unfit(url, "an object that was put is not listed")
        if fs.cat_file(path) != b"one":
            raise _unfit(url, "an object is read otherwise than it was put")
        if not _refuses_another(fs, path):
            raise _unfit(url, "a second object was put where only a new one may be")
    finally:
        fs.rm_file(path)
    if name in objects.names(fs, folder):
        raise _unfit(url, "an object that was removed is still listed")


def _refuses_another(fs: objects.StoreOfObjects, path: str) -> bool:
    """By this guard several processes decide once, such as where a topic starts."""
    try:
        fs.pipe_file(path, b"two", mode="create")
    except FileExistsError:
        return True
    return False


def _unfit(url: str, cause: str) -> ObjectStoreError:
    return ObjectStoreError(
        address(url),
        f"does not do what a run needs: {cause}",
        "Name a store that lists what was put, and takes If-None-Match, as S3 does.",
        away=False,
    )
