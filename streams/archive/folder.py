"""The folder, or the store of objects, that an archive lies in: whole files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from freshet.schemas.errors import ComponentError
from freshet.schemas.shown_text import address
from freshet.streams.archive.layout import SUFFIX, ArchivedFile, Place, digest_of
from freshet.streams.disk import is_full
from freshet.streams.objects import opened, put
from freshet.streams.outages import Outages

T = TypeVar("T")
RETRY_SECONDS = 0.5
WAITS = "the archive waits and reads nothing; what was not written is written once it is back"


class ArchiveError(ComponentError):
    """The archive's folder cannot be written or read."""

    component = "archive"


class ArchiveFolder:
    """The archive at a `url` of fsspec's. What cannot be reached is waited for, and `outages` is
    told; once the process is to end, the error is raised."""

    def __init__(self, url: str, outages: Outages | None = None) -> None:
        self.url = url
        self._outages = outages or Outages()
        self._fs, root = opened(url)
        self._root = root.rstrip("/")

    def write(self, place: Place, file: ArchivedFile, data: bytes | memoryview) -> None:
        """Put a file; nothing counts on it before a checkpoint names it."""
        path = self._path(place, file)

        def put_it() -> None:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            put(self._fs, path, data, durable=True)

        self._until_it_is_there(put_it)

    def read(self, place: Place, file: ArchivedFile) -> bytes:
        """The bytes of a file.

        Raises:
            FileNotFoundError: it is gone: joined with others, if a newer checkpoint names none.
            ArchiveError: they are not those that were written.
        """
        path = self._path(place, file)
        data: bytes = self._until_it_is_there(lambda: self._fs.cat_file(path))
        if digest_of(data) != file.digest:
            raise ArchiveError(
                f"file {file.path(place)} in {address(self.url)}",
                "its bytes are others than were written",
                "Restore it from a copy; what the log still holds can be archived once more.",
            )
        return data

    def remove(self, place: Place, file: ArchivedFile) -> None:
        """Remove a file that no checkpoint names any more."""
        path = self._path(place, file)

        def remove_it() -> None:
            if self._fs.exists(path):
                self._fs.rm_file(path)

        self._until_it_is_there(remove_it)

    def sweep(self, place: Place, files: list[ArchivedFile], before: datetime) -> int:
        """Remove files of a place that are none of `files` and were written before a time: what was
        written and never named. How many there were."""
        mine = {self._path(place, file) for file in files}
        swept = 0
        for path in self._until_it_is_there(lambda: self._fs.glob(self._pattern(place))):
            if path not in mine and self._written_at(path) < before:
                self._fs.rm_file(path)
                swept += 1
        return swept

    def _pattern(self, place: Place) -> str:
        return f"{self._root}/{place.folder}/day=*/p{place.partition:05}-*{SUFFIX}"

    def _written_at(self, path: str) -> datetime:
        found: datetime = self._fs.modified(path)
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)

    def _path(self, place: Place, file: ArchivedFile) -> str:
        return f"{self._root}/{file.path(place)}"

    def _until_it_is_there(self, action: Callable[[], T]) -> T:
        waited = False
        while True:
            try:
                result = action()
            except FileNotFoundError:
                raise
            # Whatever the library behind the URL raises: each has errors of its own.
            except Exception as error:
                waited = True
                away = ArchiveError(
                    f"at {address(self.url)}",
                    "no space is left" if is_full(error) else f"{type(error).__name__}: {error}",
                    "Check that it is there, and may be written; or name another by --archive.",
                )
                self._outages.begin(away, WAITS)
                if self._outages.ending.wait(RETRY_SECONDS):
                    raise away from error
            else:
                if waited:
                    self._outages.over(ArchiveError.component)
                return result
