"""Immutable files beside objects that name them: each is put once, under the digest of what it
holds, so whoever finds one finds all of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fsspec.implementations.local import LocalFileSystem

from freshet.schemas.whole_files import SUFFIX


class NamedFile(NamedTuple):
    """A file's name where it came from, its bytes, and their SHA-256 (hex)."""

    name: str
    size: int
    digest: str


class ObjectFiles:
    """The files in `folder`. Not thread-safe."""

    def __init__(self, fs: Any, folder: str) -> None:
        self._fs = fs
        self._folder = folder
        # Of files by what shows that they are the same: their bytes are not read once more.
        self._digests: dict[tuple[int, int, int, int], str] = {}
        self._unnamed: set[str] = set()

    def put(self, paths: Sequence[Path]) -> list[NamedFile]:
        """Put files that are not there yet; their names, sizes and digests.

        Raises:
            OSError: one cannot be read or written; those before it are there.
        """
        self._fs.makedirs(self._folder, exist_ok=True)
        there = self._there()
        known = self._digests
        self._digests = {}
        named = []
        for path in paths:
            facts = path.stat()
            mark = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
            digest = known.get(mark) or digest_of(path)
            self._digests[mark] = digest
            if digest not in there:
                self._put(path, digest)
                there[digest] = facts.st_size
            named.append(NamedFile(path.name, facts.st_size, digest))
        return named

    def fetch(self, files: Sequence[NamedFile], into: Path) -> bool:
        """Put files under their names in a folder of this machine; whether all were there, and
        whole."""
        there = self._there()
        # Before any is read: by far the most that are not whole are short or missing.
        if any(there.get(file.digest) != file.size for file in files):
            return False
        for file in files:
            path = into / file.name
            try:
                self._fetch(file.digest, path)
            except FileNotFoundError:  # removed since it was listed
                return False
            if digest_of(path) != file.digest:
                return False
        return True

    def keep(self, digests: Collection[str]) -> None:
        """Remove files that none of `digests` names.

        Not the first time that one is found: whoever else has this place now may have put it for an
        object that is not there yet.
        """
        unnamed = set(self._there()) - set(digests)
        for digest in unnamed & self._unnamed:
            with contextlib.suppress(FileNotFoundError):  # a former owner may be at it, too
                self._fs.rm_file(f"{self._folder}/{digest}")
        self._unnamed = unnamed

    def _there(self) -> dict[str, int]:
        """Sizes by digest."""
        try:
            found = self._fs.ls(self._folder, detail=True)
        except FileNotFoundError:  # nobody has put any
            return {}
        sizes = {entry["name"].rsplit("/", 1)[1]: int(entry["size"]) for entry in found}
        return {name: size for name, size in sizes.items() if not name.endswith(SUFFIX)}

    def _put(self, path: Path, digest: str) -> None:
        target = f"{self._folder}/{digest}"
        if not isinstance(self._fs, LocalFileSystem):
            # A store of objects shows one once all of it is there.
            self._fs.put_file(str(path), target)
            return
        _link_or_copy(path, target)

    def _fetch(self, digest: str, path: Path) -> None:
        source = f"{self._folder}/{digest}"
        if isinstance(self._fs, LocalFileSystem):
            _link_or_copy(Path(source), str(path))
        else:
            self._fs.get_file(source, str(path))


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def as_facts(files: Sequence[NamedFile]) -> list[list[Any]]:
    """As JSON has them."""
    return [list(file) for file in files]


def from_facts(facts: Sequence[Sequence[Any]]) -> list[NamedFile]:
    """What `as_facts` was given."""
    return [NamedFile(str(name), int(size), str(digest)) for name, size, digest in facts]


def _link_or_copy(source: Path, target: str) -> None:
    """Another name for the same bytes; a copy where these are file systems that cannot do that.
    Whole or not at all, as a link is."""
    try:
        os.link(source, target)
        return
    except FileExistsError:  # whoever had this place before was at it, too
        return
    except FileNotFoundError:
        raise
    except OSError:
        pass  # another disk, too many links, or none there: the bytes must be copied
    part = f"{target}.{os.getpid()}-{threading.get_native_id()}{SUFFIX}"
    try:
        shutil.copyfile(source, part)
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
