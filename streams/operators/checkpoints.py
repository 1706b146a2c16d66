"""Checkpoints: a task's state and its next offset together, as immutable objects whose digest is
checked.

An object is a base (everything) or a delta (what changed since the object before it). Its name
carries the identity of the log that was read and the next offset, so a checkpoint of another log is
never taken:

    {task}/{identity}-{offset:020}.base | .delta

Its bytes are SHA-256 of the rest, then safetensors whose metadata names the object before
(`previous`), and of a base the `files` that belong to it: they lie beside it, under their digests,
and are put before it. A base without all of its files is none.

    {task}/files/{SHA-256}

Of a task that removes what its checkpoints name, several processes may have the same partition for
a moment. Each `claim`s it then, by a number that rises: its objects bear that number, and those of
the highest one count, however far others got.

    {task}/{identity}-{number:020}.claim
    {task}/{identity}-{offset:020}.{number}.base | .{number}.delta

Of a task that is gone back to, some earlier bases stay, each under the app's clock as of it; see
`freshet.streams.ladder` for which.

    {task}/ladder/{identity}-{offset:020}.{clock}.base
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from freshet.schemas.errors import CheckpointError
from freshet.schemas.parted_arrays import PartedArrays
from freshet.streams import tensors
from freshet.streams.disk import until_there_is_room
from freshet.streams.ladder import Rung, kept
from freshet.streams.object_files import NamedFile, ObjectFiles, as_facts, from_facts
from freshet.streams.objects import names as names_in
from freshet.streams.objects import opened, put, put_digested, put_new, read_whole
from freshet.streams.outages import Outages

Arrays = Mapping[str, npt.NDArray[Any]]
START_ANEW = (
    "To start anew, remove the run folder and all topics of the app that no producer writes."
)
KEPT_BASES = 2
# A base follows so many deltas, once they are as large as the base before them: what is written for
# a base is no more than what was for its deltas, however large a state is beside what changes.
DELTAS_PER_BASE = 20
# Or fewer, once they are so many times as large, and that is worth it: of a state that changes as a
# whole each delta is another copy of it.
LARGE_DELTAS = 2
LARGE_BYTES = 64 << 10
# Where little changes they never are: each is an object to read when the task is started again.
MOST_DELTAS = 200
FILES = "files"
LADDER = "ladder"
CLAIM = ".claim"
SAVED = (".base", ".delta")
_DIGEST = 32


class Checkpoints:
    """The checkpoints of one task over one log partition. While the disk is full, `save` waits, and
    `outages` is told."""

    def __init__(self, url: str, task: str, identity: str, outages: Outages | None = None) -> None:
        self._fs, root = opened(url)
        self._outages = outages or Outages()
        self._run_dir = root.rpartition("/")[0]
        self._root = f"{root.rstrip('/')}/{_folder(task)}"
        self._identity = urllib.parse.quote(identity, safe="")  # Kafka's have slashes
        self._files = ObjectFiles(self._fs, f"{self._root}/{FILES}")
        self._deltas = -1
        self._base_bytes = 0
        self._delta_bytes = 0  # of all since that base
        self._saved = -1
        self._claim = 0  # none
        self._ladder_bytes = 0  # of earlier bases that stay
        self._rungs: list[Rung] | None = None
        self._fs.makedirs(self._root, exist_ok=True)

    @property
    def wants_full(self) -> bool:
        """Whether the next save must be a base: none was saved yet, or its deltas have become
        many, and as large as it."""
        if 0 < self._deltas < DELTAS_PER_BASE:
            return self._delta_bytes >= max(LARGE_BYTES, LARGE_DELTAS * self._base_bytes)
        if not self._deltas:
            return False
        return self._delta_bytes >= self._base_bytes or self._deltas >= MOST_DELTAS

    def climb(self, most_bytes: int) -> None:
        """Keep some of the bases that are no longer needed to go on, of so many bytes."""
        self._ladder_bytes = most_bytes

    def rungs(self) -> list[Rung]:
        """Those that were kept of this log, newest first, by when they were saved (app's
        clock)."""
        folder = f"{self._root}/{LADDER}"
        found = []
        for name in names_in(self._fs, folder):
            if name.endswith(".base") and _identity(name) == self._identity:
                clock = int(name.rsplit("-", 1)[1].split(".")[1])
                found.append(Rung(clock, int(self._fs.info(f"{folder}/{name}")["size"]), name))
        return sorted(found, reverse=True)

    def bases(self) -> list[Rung]:
        """The newest ones, that a task goes on from, where they say when they were saved."""
        found = []
        for name in self._names():
            if name.endswith(".base") and _identity(name) == self._identity:
                data = read_whole(self._fs, f"{self._root}/{name}")
                clock = tensors.metadata_of(memoryview(data)[_DIGEST:]).get("clock")
                if clock is not None:
                    found.append(Rung(int(clock), len(data), name))
        return sorted(found, reverse=True)

    def claim(self) -> None:
        """Be the one whose checkpoints count from now on, until somebody else claims them. Before
        `load`: who claims them later finds all that was saved before."""
        until_there_is_room(self._take_next_claim, self._outages, self._run_dir)

    def _take_next_claim(self) -> None:
        names = [name for name in self._names() if _identity(name) == self._identity]
        claims = [_offset(name) for name in names if name.endswith(CLAIM)]
        number = max([*claims, *map(_claim_of, names)], default=0) + 1
        while True:
            try:
                put_new(self._fs, self._claim_at(number), b"")
                break
            except FileExistsError:  # somebody else was first; or we were, and were not told
                number += 1
        self._claim = number
        for earlier in claims:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(self._claim_at(earlier))

    def is_last(self) -> bool:
        """Whether nobody has claimed them since: what was saved by now, everybody who comes later
        finds."""
        names = until_there_is_room(self._names, self._outages, self._run_dir)
        return not any(
            name.endswith(CLAIM)
            and _identity(name) == self._identity
            and _offset(name) > self._claim
            for name in names
        )

    def _claim_at(self, number: int) -> str:
        return f"{self._root}/{self._identity}-{number:020}{CLAIM}"

    def save(
        self,
        offset: int,
        state: PartedArrays,
        full: bool,
        again: bool = False,
        files: Sequence[Path] = (),
        clock_ms: int | None = None,
    ) -> None:
        """Save `state` as of next offset `offset`, part by part where its arrays are made so. An
        object of that offset is not written again: it is the same; but for `again`, which says that
        something else than records changed the (full) state. `files` belong to a full state; nobody
        may write them any more. `clock_ms` is the app's clock as of it, where it may be kept for
        longer."""
        if offset == self._saved and not again:
            return
        kind = "base" if full else "delta"
        metadata = {"previous": "" if full else str(self._saved)}
        if clock_ms is not None:
            metadata["clock"] = str(clock_ms)
        if files:
            # Before what names them: whoever finds the base finds all of it.
            named = until_there_is_room(
                lambda: self._files.put(files), self._outages, self._run_dir
            )
            metadata["files"] = json.dumps(as_facts(named))
        claim = f".{self._claim}" if self._claim else ""
        name = f"{self._root}/{self._identity}-{offset:020}{claim}.{kind}"
        until_there_is_room(
            lambda: put_digested(self._fs, name, lambda: tensors.written(state, metadata)),
            self._outages,
            self._run_dir,
        )
        self._saved = offset
        if full:
            self._begin_chain(state)
            until_there_is_room(self._prune, self._outages, self._run_dir)
        else:
            self._deltas += 1
            self._delta_bytes += _bytes_of(state)

    def _begin_chain(self, base: PartedArrays, deltas: Sequence[Arrays] = ()) -> None:
        self._deltas = len(deltas)
        self._base_bytes = _bytes_of(base)
        self._delta_bytes = sum(_bytes_of(delta) for delta in deltas)

    def load(
        self, folder: Callable[[], Path] | None = None, until: int | None = None
    ) -> tuple[int, Arrays, list[Arrays]] | None:
        """The newest whole chain: next offset, base, deltas; None if there is none. `folder` makes
        an empty one for the files of a base that has some; without, they are not fetched. Of those
        `until` an offset (None: all).

        Raises:
            CheckpointError: there are checkpoints, but only of another identity of this log.
        """
        # As a save does: where the store of objects is away, it is waited for.
        return until_there_is_room(lambda: self._load(folder, until), self._outages, self._run_dir)

    def _load(
        self, folder: Callable[[], Path] | None, until: int | None
    ) -> tuple[int, Arrays, list[Arrays]] | None:
        names = self._names()
        objects = {n for n in names if n.endswith(SAVED)}
        ours = {n for n in objects if _identity(n) == self._identity}
        if objects and not ours:
            other = sorted(objects)[-1].rsplit("-", 1)[0]
            raise CheckpointError(
                self._root,
                f"its state is of log {other}, and the log now is {self._identity}: "
                "the topic was recreated",
                f"Restore the topic. {START_ANEW}",
            )
        for name in sorted(ours, key=_place, reverse=True):
            if until is not None and _offset(name) > until:
                continue
            chain = self._chain(name, ours, folder)
            if chain is not None:
                self._saved = _offset(name)
                # Nothing follows an object of another claim.
                if _claim_of(name) == self._claim:
                    self._begin_chain(chain[0], chain[1:])
                return self._saved, chain[0], chain[1:]
        if ours:
            raise CheckpointError(
                self._root,
                "no checkpoint is whole",
                "Restore the folder, or remove it to start over.",
            )
        return None

    def _names(self) -> list[str]:
        return names_in(self._fs, self._root)

    def _chain(
        self, name: str, names: set[str], folder: Callable[[], Path] | None
    ) -> list[Arrays] | None:
        """The arrays from the base to `name`, or None if any object is missing or torn."""
        found: list[Arrays] = []
        while True:
            try:
                data = memoryview(read_whole(self._fs, f"{self._root}/{name}"))
            except FileNotFoundError:  # pruned since it was listed
                return None
            state = data[_DIGEST:]
            if hashlib.sha256(state).digest() != data[:_DIGEST]:
                return None
            try:
                found.append(tensors.read(state))
            except (ValueError, KeyError):  # whole, and no such object
                return None
            metadata = tensors.metadata_of(state)
            if name.endswith(".base"):
                files = _files_of(metadata)
                if files and folder is not None and not self._fetch(files, folder()):
                    return None
                return found[::-1]
            claim = _claim_of(name)
            previous = f"{self._identity}-{int(metadata['previous']):020}"
            if claim:
                previous += f".{claim}"
            name = f"{previous}.base" if f"{previous}.base" in names else f"{previous}.delta"
            if name not in names:
                return None

    def _fetch(self, files: Sequence[NamedFile], folder: Path) -> bool:
        is_whole = False
        try:
            is_whole = self._files.fetch(files, folder)
        finally:
            if not is_whole:
                shutil.rmtree(folder)
        return is_whole

    def _prune(self) -> None:
        """Keep the newest bases and what came after the older of them."""
        names = self._names()
        saved = [n for n in names if n.endswith(SAVED) and _identity(n) == self._identity]
        ours = sorted(saved, key=_place)
        bases = [n for n in ours if n.endswith(".base")]
        self._remove_before(bases, ours)
        # After the bases that named them; of another log's none is judged.
        if FILES in names and all(_identity(n) == self._identity for n in names if n != FILES):
            self._files.keep(self._named_by(bases[-KEPT_BASES:]))

    def _named_by(self, bases: Sequence[str]) -> set[str]:
        """The digests of the files of some bases."""
        named: set[str] = set()
        for name in bases:
            with contextlib.suppress(FileNotFoundError):  # another owner's, and pruned by it
                path = f"{self._root}/{name}"
                head = self._fs.cat_file(path, start=0, end=_DIGEST + 8)
                size = int.from_bytes(head[_DIGEST:], "little")
                data = self._fs.cat_file(path, start=0, end=_DIGEST + 8 + size)
                named.update(file.digest for file in _files_of(tensors.metadata_of(data[_DIGEST:])))
        return named

    def _remove_before(self, bases: Sequence[str], ours: Sequence[str]) -> None:
        if len(bases) <= KEPT_BASES:
            return
        oldest = _reach(bases[-KEPT_BASES])
        for n in ours:
            if _reach(n) < oldest:
                if self._ladder_bytes and n.endswith(".base"):
                    self._keep_rung(n)
                with contextlib.suppress(FileNotFoundError):  # a former owner may be at it, too
                    self._fs.rm_file(f"{self._root}/{n}")

    def _keep_rung(self, name: str) -> None:
        """Copy a base that is about to be removed, if it is one to go back to; and let go of those
        that it takes the place of."""
        if self._rungs is None:
            self._rungs = self.rungs()
        try:
            data = read_whole(self._fs, f"{self._root}/{name}")
        except FileNotFoundError:  # a former owner was at it, too
            return
        clock = tensors.metadata_of(memoryview(data)[_DIGEST:]).get("clock")
        if clock is None:
            return
        stem = name.split(".", 1)[0]
        rung = Rung(int(clock), len(data), f"{stem}.{clock}.base")
        stay = kept([*self._rungs, rung], self._ladder_bytes)
        folder = f"{self._root}/{LADDER}"
        if rung in stay and rung not in self._rungs:
            self._fs.makedirs(folder, exist_ok=True)
            put(self._fs, f"{folder}/{rung.name}", memoryview(data))
        for gone in set(self._rungs) - set(stay):
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm_file(f"{folder}/{gone.name}")
        self._rungs = stay


def positions(url: str, task: str) -> list[tuple[str, int]]:
    """Log identity and next offset of each object of a task, without reading any; `[]` where there
    is none."""
    fs, root = opened(url)
    folder = f"{root.rstrip('/')}/{_folder(task)}"
    if not fs.isdir(folder):
        return []
    names = [n.rsplit("/", 1)[1] for n in fs.ls(folder, detail=False)]
    return [(urllib.parse.unquote(_identity(n)), _offset(n)) for n in names if n.endswith(SAVED)]


def kept_as(task: str, digest: str) -> str:
    """The name under which a task keeps its checkpoints, where they fit one definition only.

    >>> kept_as("view:load:0", "1a2b3c4d")
    'view:load.1a2b3c4d:0'
    """
    name, _, partition = task.rpartition(":")
    return f"{name}.{digest}:{partition}"


def _bytes_of(state: PartedArrays) -> int:
    return sum(values.nbytes for values in state.values())


def _folder(task: str) -> str:
    return task.replace(":", "/")


def _identity(name: str) -> str:
    """Of the log; it may hold dashes itself."""
    return name.rsplit("-", 1)[0]


def _offset(name: str) -> int:
    return int(name.rsplit("-", 1)[1].split(".", 1)[0])


def _claim_of(name: str) -> int:
    """The number that an object was saved under; 0 for none."""
    _, *claim, _ = name.rsplit("-", 1)[-1].split(".")
    return int(claim[0]) if claim else 0


def _reach(name: str) -> tuple[int, int]:
    return _claim_of(name), _offset(name)


def _place(name: str) -> tuple[int, int, bool]:
    """By claim, then by offset; a base of the same offset as a delta was saved after it."""
    return *_reach(name), name.endswith(".base")


def _files_of(metadata: Mapping[str, str]) -> list[NamedFile]:
    return from_facts(json.loads(metadata.get("files", "[]")))
