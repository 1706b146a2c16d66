"""On-demand features of requests: computed of their fields and of features of views together, once
both are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from freshet.features.reading.request_texts import TextColumn, texts_of
from freshet.schemas.models.vectors import VectorSchema
from freshet.schemas.topics.derivations import Derivation, compute_together, levels

if TYPE_CHECKING:
    import polars as pl

F64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
NO_TEXTS: Mapping[str, TextColumn] = {}


class OnDemandFeatures:
    """Those of one model, in the order in which they are computed. False where there are none.

    `schema` is that of its vectors; `of_views` are the names of all features of views that it
    reads, each with its column among the numbers that are read; those of the vector come first.
    `texts_of_views` are those that are texts.
    """

    def __init__(
        self,
        computed: Sequence[Derivation],
        schema: VectorSchema,
        of_views: Mapping[str, int],
        texts_of_views: Sequence[str] = (),
    ) -> None:
        self._levels = levels(computed)
        made = [one.field.name for one in computed]
        read = {name for one in computed for name in one.reads}
        self._of_views = {name: at for name, at in of_views.items() if name in read}
        self._texts_of_views = [name for name in texts_of_views if name in read]
        # The rest are fields of requests.
        of_rows = {*self._of_views, *self._texts_of_views}
        self.fields = tuple(sorted(read - {*made} - of_rows))
        self.categories = [name for name in schema.categories if name in made]
        self._numbers = [(at, name) for at, name in enumerate(schema.numbers) if name in made]
        self._width = len(schema.numbers)

    def __bool__(self) -> bool:
        return bool(self._levels)

    def compute(
        self,
        frame: pl.DataFrame | None,
        numbers: Floats,
        texts: Mapping[str, TextColumn] = NO_TEXTS,
    ) -> pl.DataFrame:
        """A frame with a column for each, by name. `frame` has the fields that they read, as events
        have them (None: they read none); `numbers` float64 `[n, columns]` the features of views,
        NaN where missing; `texts` those that are texts, None where missing."""
        import polars as pl

        of_views = [
            pl.Series(name, numbers[:, at], nan_to_null=True) for name, at in self._of_views.items()
        ]
        for name in self._texts_of_views:
            of_views.append(pl.Series(name, texts[name], pl.String))
        found = pl.DataFrame(of_views)
        if frame is not None:
            found = frame.hstack(of_views)
        for level in self._levels:
            found = compute_together(level, found)
        return found

    def texts(self, made: pl.DataFrame) -> dict[str, TextColumn]:
        """The categories among them: canonical texts as of fields of a request, None where
        missing."""
        return {name: texts_of(name, made[name].to_list(), False) for name in self.categories}

    def rounded(self, made: pl.DataFrame, numbers: Floats) -> npt.NDArray[np.float32]:
        """The numbers of vectors, float32 `[n, N]`: of what was read, and of what was made. Of the
        latter one that is too large is missing."""
        # Not a warning for whoever runs the scorer: it is how such numbers are served.
        with np.errstate(over="ignore"):
            out = numbers[:, : self._width].astype(np.float32)
            for at, name in self._numbers:
                single = _floats(made[name]).astype(np.float32)
                out[:, at] = np.where(np.isinf(single), np.nan, single)
        return out


def _floats(column: pl.Series) -> F64:
    """NaN where missing."""
    # By way of float64 in any case: whole numbers are given as such where none is missing beside
    # them, and would be rounded once where others are rounded twice.
    return np.asarray(column.to_numpy(), np.float64)
