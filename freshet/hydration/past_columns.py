"""Columns that a model came to read only later, as of each question that was asked before: which
are to be computed, and what was, in files beside the checkpoints.

    {url}/columns/{model}.{digest}/{decided}/record.json
                                             {first ask}-{last ask}-{offset after}.safetensors
                                             rows/…  of views, as of moments, until all is there

Whoever computes them writes one file after the other, and never changes one: where the newest ends,
it goes on after a kill. Trainers wait for what they need of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from freshet.app import App
from freshet.declared.definitions import Definitions
from freshet.hydration.kept import encoded, put_first, read
from freshet.learners.model import Model
from freshet.learners.training.past_columns import Reconstructed
from freshet.schemas.errors import LogError, ObjectStoreError
from freshet.schemas.models.manifest import Columns
from freshet.schemas.models.vectors import Vectors, VectorSchema
from freshet.streams.log.contract import Log
from freshet.streams.objects import names, opened, put

FOLDER = "columns"
RECORD = "record.json"
ROWS = "rows"
SUFFIX = ".safetensors"
HELD_FILES = 64  # of a trainer: answers come some time after their questions
I64 = npt.NDArray[np.int64]


class Filling(msgspec.Struct, frozen=True):
    """Of a model of this `digest`: which columns are to be known of what was asked before offset
    `asked_until` of its outcomes log, since when (ms), and when all were."""

    model: str
    digest: str
    columns: Columns
    decided_ms: int
    asked_until: int
    finished_ms: int | None = None


class Part(NamedTuple):
    """One file: of questions `first` to `last`, up to offset `after` of the examples log."""

    first: int
    last: int
    after: int

    @property
    def name(self) -> str:
        return f"{self.first:020}-{self.last:020}-{self.after:020}{SUFFIX}"


def decide(url: str, before: Definitions | None, app: App, log: Log, now_ms: int) -> None:
    """Write down of which models columns are to be computed: those that have been asked, and of
    which a lineage was never declared before as it is now."""
    if before is None:
        return
    for model in app.models:
        is_known = before.knew(f"model {model.name}", model.facts)
        learners = {f"lineage {model.name}.{x.name}": model.facts_of(x) for x in model.learners}
        if not is_known or all(before.facts.get(name) == own for name, own in learners.items()):
            continue
        with contextlib.suppress(LogError):  # it has none: it was never asked
            _, end = log.bounds(app.outcomes_log_of(model)).spans[0]
            if end:
                columns = Columns.of(model.vectors)
                add(
                    url,
                    Filling(
                        model.name,
                        model.digest,
                        columns,
                        now_ms,
                        end,
                    ),
                )


def add(url: str, made: Filling) -> None:
    """Write down what was decided, unless somebody else has."""
    fs, folder = _folder(url, made)
    put_first(fs, f"{folder}/{RECORD}", made)


def fillings(url: str, model: Model) -> list[Filling]:
    """All that was decided of a model, in order.

    Raises:
        CheckpointError: a file is not what was written.
    """
    fs, root = opened(url)
    folder = f"{root.rstrip('/')}/{FOLDER}/{model.name}.{model.digest}"
    found = []
    for name in names(fs, folder):
        path = f"{folder}/{name}/{RECORD}"
        filling = read(fs, path, Filling)
        if filling is not None:
            found.append(filling)
    return found


def unfinished(url: str, app: App) -> list[tuple[Model, Filling]]:
    """What is still to be computed."""
    return [
        (model, filling)
        for model in app.models
        for filling in fillings(url, model)
        if filling.finished_ms is None
    ]


def finish(url: str, done: Filling) -> Filling:
    """All of it is there."""
    fs, folder = _folder(url, done)
    put(fs, f"{folder}/{RECORD}", encoded(done), durable=True)
    # Nobody goes on from them.
    if fs.exists(f"{folder}/{ROWS}"):
        fs.rm(f"{folder}/{ROWS}", recursive=True)
    return done


def rows_kept_as(of: Filling) -> str:
    """The name under which the rows are kept that columns are read of."""
    return f"{FOLDER}:{of.model}.{of.digest}:{of.decided_ms:020}:{ROWS}"


def parts(url: str, of: Filling) -> list[Part]:
    """The files that are there, in order."""
    fs, folder = _folder(url, of)
    return [
        Part(*map(int, name.removesuffix(SUFFIX).split("-")))
        for name in names(fs, folder)
        if name.endswith(SUFFIX)
    ]


def keep(
    url: str,
    of: Filling,
    part: Part,
    asks: I64,
    vectors: Vectors,
) -> None:
    """Put what is known of questions by their rising numbers."""
    fs, folder = _folder(url, of)
    state = {"ask": asks, "categories": vectors.categories, "numbers": vectors.numbers}
    data = save({name: np.ascontiguousarray(array) for name, array in state.items()})
    put(fs, f"{folder}/{part.name}", data, durable=True)


def _folder(url: str, of: Filling) -> tuple[Any, str]:
    fs, root = opened(url)
    model = f"{of.model}.{of.digest}"
    return fs, f"{root.rstrip('/')}/{FOLDER}/{model}/{of.decided_ms:020}"


class _Kept:
    """What is there of one filling, for the columns of one lineage."""

    def __init__(self, url: str, of: Filling, own: VectorSchema) -> None:
        self._url = url
        self.of = of
        self._places = own.places_in(of.columns.schema)
        self.parts = parts(url, of)
        self._firsts = np.array([part.first for part in self.parts], np.int64)
        self._read = lru_cache(maxsize=HELD_FILES)(self._file)

    @property
    def is_whole(self) -> bool:
        return self.of.finished_ms is not None

    @property
    def after(self) -> int:
        return max((part.after for part in self.parts), default=0)

    def _file(self, part: Part) -> tuple[I64, Vectors]:
        fs, folder = _folder(self._url, self.of)
        state = load(fs.cat_file(f"{folder}/{part.name}"))
        vectors = Vectors(state["categories"], state["numbers"])
        if self._places is not None:
            vectors = self._places.of(vectors)
        return state["ask"], vectors

    def put_into(self, out: Reconstructed, asks: I64) -> None:
        """What it knows of these questions and is not known yet."""
        which = np.searchsorted(self._firsts, asks, side="right") - 1
        for at in np.unique(which[(which >= 0) & ~out.known]).tolist():
            numbers, vectors = self._read(self.parts[at])
            rows = np.flatnonzero((which == at) & ~out.known)
            places = np.minimum(np.searchsorted(numbers, asks[rows]), len(numbers) - 1)
            is_there = numbers[places] == asks[rows]
            rows = rows[is_there]
            out.vectors.categories[rows] = vectors.categories[places[is_there]]
            out.vectors.numbers[rows] = vectors.numbers[places[is_there]]
            out.known[rows] = True


class ColumnsOfLineage:
    """See `freshet.learners.training.past_columns.PastColumns`."""

    def __init__(self, url: str, model: Model, own: VectorSchema) -> None:
        self._url = url
        self._model = model
        self._own = own
        self._kept: list[_Kept] = []
        self._has_looked = False

    def covers(self, after: int) -> bool:
        if self._has_looked and self._reaches(after):
            return True
        try:
            # What is to be computed is decided before a process starts: where that is nothing, or
            # all is there, nobody looks again.
            self._kept = list(self._found())
        except ObjectStoreError as error:
            if not error.facts.get("away"):
                raise
            return False
        self._has_looked = True
        return self._reaches(after)

    def _reaches(self, after: int) -> bool:
        return all(kept.is_whole or kept.after >= after for kept in self._kept)

    def _found(self) -> Iterator[_Kept]:
        for filling in fillings(self._url, self._model):
            if not self._own.lacking(filling.columns.schema):
                yield _Kept(self._url, filling, self._own)

    def of(self, asks: I64) -> Reconstructed:
        count = len(asks)
        out = Reconstructed(
            Vectors(
                np.zeros((count, len(self._own.categories)), np.uint64),
                np.full((count, len(self._own.numbers)), np.nan, np.float32),
            ),
            np.zeros(count, np.bool_),
        )
        for kept in self._kept:
            kept.put_into(out, asks)
        return out
