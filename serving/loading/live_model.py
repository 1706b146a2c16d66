"""What a scorer answers from: one immutable record, replaced by one assignment."""

from __future__ import annotations

from dataclasses import dataclass

from freshet.learners.contract import Predictor
from freshet.schemas.models.manifest import Manifest
from freshet.schemas.models.vectors import F64, Places, Vectors, VectorSchema


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A warm predictor and the facts of its snapshot. A request reads it once and uses nothing else
    of the model."""

    predictor: Predictor
    manifest: Manifest

    @property
    def lineage(self) -> str:
        return self.manifest.lineage

    @property
    def number(self) -> int:
        return self.manifest.number

    @property
    def tick(self) -> int:
        """The app's clock (ms) at the cut."""
        return self.manifest.tick

    @property
    def position(self) -> int:
        """The next offset of the examples log at the cut."""
        return self.manifest.position


class TakingColumns:
    """A predictor that is asked with more columns than its own."""

    def __init__(self, predictor: Predictor, places: Places) -> None:
        self._predictor = predictor
        self._places = places

    def predict(self, vectors: Vectors) -> F64:
        return self._predictor.predict(self._places.of(vectors))


def asked_with(asked: VectorSchema, predictor: Predictor, own: VectorSchema) -> Predictor:
    """A predictor of its own vectors that is asked with others, which hold all of their columns."""
    places = own.places_in(asked)
    if places is None:
        return predictor
    return TakingColumns(predictor, places)


@dataclass(frozen=True, slots=True)
class Standing:
    """What answers now, and the last good one before it, still warm."""

    current: LiveModel | None = None
    last_good: LiveModel | None = None


class ModelSlot:
    """The place of one model's live snapshot. Written by one thread (the loader's), read by any
    without a lock.

    The typical mistake is to read `standing` twice in one request: the second time it may be
    another snapshot."""

    def __init__(self) -> None:
        self.standing = Standing()

    def current(self) -> LiveModel | None:
        return self.standing.current

    def last_good(self) -> LiveModel | None:
        return self.standing.last_good

    def swap(self, new: LiveModel) -> LiveModel | None:
        """Answer from `new` from now on. Returns the one that is kept no longer, so that the caller
        can let go of it off the request path."""
        before = self.standing
        # In one assignment: no request sees the new one beside what stood behind the old one.
        self.standing = Standing(new, before.current)
        return before.last_good
