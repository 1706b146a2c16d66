"""Objects that are written as a whole, in a folder of this machine or in a store of objects.

A store of objects (S3, say) has no rename, no append and no lock. What it has is enough: an object
is there as a whole or not at all, whoever lists after a write sees it, and one can be put on the
condition that none is there.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from freshet.schemas.errors import ObjectStoreError
from freshet.schemas.shown_text import address
from freshet.schemas.whole_files import DigestFirst, Part, draft_of, put_whole, write_whole
from freshet.streams.disk import is_full, no_space

# Of these fsspec would make the bucket itself, were it asked for a folder in it.
BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")
# Each starts with the scheme. One letter is a drive of Windows.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://.+")
_FILE = re.compile(r"(?:file|local)://(?=/)")
EXTRAS = {"s3": "freshet[s3]", "s3a": "freshet[s3]"}
ACCESS = "See that its credentials may list, read, write and delete there."
# Twice, seconds apart: s3fs and whoever waits for the store try again themselves.
_S3 = {
    "connect_timeout": 5,
    "read_timeout": 20,
    "retries": {"total_max_attempts": 2, "mode": "standard"},
}


def is_remote(place: str) -> bool:
    """Whether a place is in a store of objects; else it is a path of this machine.

    >>> is_remote("s3://bucket/run"), is_remote("/data/run"), is_remote("file:///data/run")
    (True, False, False)
    """
    return _URL.fullmatch(place) is not None and _FILE.match(place) is None


def plain(place: str) -> str:
    """A place as it is meant: a path of this machine, or a URL without a slash at its end.

    >>> plain("file:///data/run"), plain("s3://bucket/run/"), plain("run/")
    ('/data/run', 's3://bucket/run', 'run/')

    Raises:
        ValueError: it is a URL that no processes can share, or none that is known; the text says
            why.
    """
    if "::" in place and "://" in place:
        raise ValueError("is a chain of URLs, of which a cache would hide what others write")
    place = _FILE.sub("", place)
    if _SCHEME.match(place) is None:
        return place
    scheme, separator, rest = place.partition("://")
    if not separator or not rest.strip("/"):
        raise ValueError("is no URL such as s3://bucket/run")
    if scheme == "memory":
        raise ValueError("is the memory of one process, and a run has several")
    if scheme in ("http", "https"):
        raise ValueError("is a web server, which nothing can be written to")
    _require(scheme)
    return place.rstrip("/")


def _require(scheme: str) -> None:
    try:
        fsspec.get_filesystem_class(scheme)
    except ValueError:
        raise ValueError(f"has a scheme, {scheme}, that fsspec does not know") from None
    except ImportError:
        extra = EXTRAS.get(scheme, f"fsspec[{scheme}]")
        raise ValueError(f"needs a library that is not installed: pip install '{extra}'") from None


def opened(place: str | Path) -> tuple[Any, str]:
    """The file system of a place, and its path in it. Whatever fails in a store of objects is an
    `ObjectStoreError`, but for objects that are not there, or there already."""
    url = str(place)
    if not is_remote(url):
        local, path = fsspec.core.url_to_fs(url)
        return local, path
    scheme = url.partition("://")[0]
    options: dict[str, Any] = {}
    if scheme in EXTRAS:
        configured = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
        options["config_kwargs"] = {**_S3, **configured}
    with _translated(url):
        # A cache of listings would hide what other processes write.
        fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
    return StoreOfObjects(fs, url, scheme in BUCKETS), root


class StoreOfObjects:
    """What is asked of a store of objects, with its errors as ours. Thread-safe."""

    def __init__(self, fs: Any, url: str, has_buckets: bool) -> None:
        self._fs = fs
        self._url = url
        self._has_buckets = has_buckets

    def makedirs(self, path: str, exist_ok: bool = True) -> None:
        # Buckets have no folders.
        if self._has_buckets:
            return
        with _translated(self._url):
            self._fs.makedirs(path, exist_ok=exist_ok)

    def ls(self, path: str, detail: bool) -> list[Any]:
        """Raises `FileNotFoundError` where nothing is below `path`."""
        with _translated(self._url):
            found: list[Any] = self._fs.ls(path, detail=detail)
            return found

    def isdir(self, path: str) -> bool:
        with _translated(self._url):
            return bool(self._fs.isdir(path))

    def info(self, path: str) -> dict[str, Any]:
        """Raises `FileNotFoundError` where there is none."""
        with _translated(self._url):
            found: dict[str, Any] = self._fs.info(path)
            return found

    def exists(self, path: str) -> bool:
        with _translated(self._url):
            return bool(self._fs.exists(path))

    def glob(self, pattern: str) -> list[str]:
        with _translated(self._url):
            found: list[str] = self._fs.glob(pattern)
            return found

    def modified(self, path: str) -> datetime:
        """Raises `FileNotFoundError` where there is none."""
        with _translated(self._url):
            found: datetime = self._fs.modified(path)
            return found

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Raises `FileNotFoundError` where there is none."""
        with _translated(self._url):
            # Of what is empty S3 has no range.
            if end is not None and not self._fs.info(path)["size"]:
                return b""
            found: bytes = self._fs.cat_file(path, start=start, end=end)
            return found

    def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        """With mode `create` raises `FileExistsError` where one is."""
        with _translated(self._url, writes=True):
            self._fs.pipe_file(path, data, mode=mode)

    def put_file(self, source: str, path: str) -> None:
        with _translated(self._url, writes=True):
            self._fs.put_file(source, path)

    def get_file(self, path: str, target: str) -> None:
        with _translated(self._url):
            self._fs.get_file(path, target)

    def rm_file(self, path: str) -> None:
        with _translated(self._url):
            self._fs.rm_file(path)


@contextlib.contextmanager
def _translated(url: str, writes: bool = False) -> Iterator[None]:
    """Errors of a file system's library, which are of many kinds, as ours."""
    try:
        yield
    except FileExistsError:
        raise
    except FileNotFoundError as error:
        # Of an object that is written: its bucket.
        if not writes:
            raise
        raise _error(url, f"is not there: {error}", "Make the bucket, or name another.") from error
    except Exception as error:
        if _is_of_access(error):
            raise _error(url, f"refuses access: {_text(error)}", ACCESS, away=False) from error
        # Whatever else it is, a store that is mended takes the same again.
        raise _error(
            url, f"does not answer: {_text(error)}", "Start it, or look after the way to it."
        ) from error


def _is_of_access(error: BaseException) -> bool:
    if isinstance(error, PermissionError):
        return True
    # Those of botocore, whose module need not be there.
    kinds = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError")
    return type(error).__name__ in kinds


def _text(error: BaseException) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _error(url: str, cause: str, next_step: str, away: bool = True) -> ObjectStoreError:
    return ObjectStoreError(address(url), cause, next_step, away=away)


def put(fs: Any, path: str, *parts: Part, durable: bool = False) -> None:
    """Put `parts`, one after the other, at `path`, whole or not at all; `durable` is that of
    `write_whole`.

    Raises:
        OSError: it cannot be written.
        ObjectStoreError: the store of objects is away, or refuses it.
    """
    if isinstance(fs, LocalFileSystem):
        write_whole(Path(path), *parts, durable=durable)
    else:
        # A store of objects shows one once all of it is there.
        fs.pipe_file(path, b"".join(parts))


def put_digested(fs: Any, path: str, parts: Callable[[], Iterable[Part]]) -> None:
    """As `put`, of parts that are made one by one, behind the SHA-256 of all of them: no more than
    one of them is in memory."""
    if isinstance(fs, LocalFileSystem):
        _write_digested(Path(path), parts())
        return
    # Nothing may be written to the front of what is there, and a part of it may not be: all of it
    # lies on this machine first.
    with tempfile.TemporaryDirectory(prefix="freshet-") as folder:
        draft = Path(folder, "object")
        try:
            _write_digested(draft, parts())
        except OSError as error:
            # Not that of the run, which whoever waits would name.
            raise (no_space(folder) if is_full(error) else error) from error
        fs.put_file(str(draft), path)


def _write_digested(path: Path, parts: Iterable[Part]) -> None:
    put_whole(str(path), draft_of(path), DigestFirst(parts))


def put_new(fs: Any, path: str, data: bytes) -> None:
    """Put `data` at `path`, whole, where nothing is.

    Raises:
        FileExistsError: something is there, or came there at the same time; also this very object,
            where the answer to its first try was lost.
        OSError: it cannot be written.
        ObjectStoreError: the store of objects is away, or refuses it.
    """
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, data, mode="create")
        return
    draft = Path(f"{path}.{uuid.uuid4().hex}.draft")
    try:
        write_whole(draft, data, durable=True)
        # Not renamed: a link fails where somebody else was first.
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def names(fs: Any, folder: str) -> list[str]:
    """Of what is in a folder, sorted; none where there is no folder."""
    try:
        found = fs.ls(folder, detail=False)
    except FileNotFoundError:
        return []
    # Some stores list the folder's own marker in it.
    paths = {path.rstrip("/") for path in found} - {folder.rstrip("/")}
    return sorted(path.rpartition("/")[2] for path in paths)


def anything_at(place: str) -> bool:
    """Whether there is any object at a place."""
    fs, root = opened(place)
    return bool(names(fs, root))


def read(place: str | Path, name: str) -> bytes:
    """The object of that name at a place. Raises `FileNotFoundError` where there is none."""
    fs, root = opened(place)
    found: bytes = fs.cat_file(f"{root.rstrip('/')}/{name}")
    return found


def read_whole(fs: Any, path: str) -> bytearray:
    """The bytes of an object, for whoever makes something of them in their place. Raises
    `FileNotFoundError` where there is none."""
    if not isinstance(fs, LocalFileSystem):
        return bytearray(fs.cat_file(path))
    with open(path, "rb", buffering=0) as file:
        data = bytearray(os.fstat(file.fileno()).st_size)
        room = memoryview(data)
        # One call reads two gigabytes at most.
        while room and (count := file.readinto(room)):
            room = room[count:]
    return data


def write(place: str | Path, name: str, data: bytes) -> None:
    """Put an object of that name at a place, as `put` does."""
    fs, root = opened(place)
    # On this machine whoever owns the folder makes it: one that is gone is told of.
    if not isinstance(fs, LocalFileSystem):
        fs.makedirs(root, exist_ok=True)
    put(fs, f"{root.rstrip('/')}/{name}", data)


def set_aside(place: str | Path, name: str, aside: str) -> None:
    """Give an object another name, so that the next one of its own takes nothing away."""
    fs, root = opened(place)
    folder = root.rstrip("/")
    if isinstance(fs, LocalFileSystem):
        Path(folder, name).replace(Path(folder, aside))
        return
    # No store of objects has a rename: whoever ends in between leaves both.
    put(fs, f"{folder}/{aside}", fs.cat_file(f"{folder}/{name}"))
    fs.rm_file(f"{folder}/{name}")
