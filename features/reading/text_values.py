"""The texts among the values of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features.reading.symbols import Symbols
from freshet.features.rows.finish import PRESENT, Finished
from freshet.features.views.view import View

Objects = npt.NDArray[Any]


class TextValues:
    """Of the features of one view that are texts, and of those that are lists."""

    def __init__(self, view: View) -> None:
        self.names = view.text_features
        self._symbols = {name: Symbols.of(texts) for name, texts in view.texts.items()}

    def of(self, name: str, done: Finished, values: npt.NDArray[np.float64]) -> Objects:
        """The text of each of `n` rows, object `[n]`; None where it is missing. `values` are those
        of the feature as numbers."""
        out = np.full(len(values), None, object)
        if name in done.texts:
            out[:] = done.texts[name].to_arrow().to_pylist()
            return out
        texts, known = self._symbols[name].texts_of(done.wholes[name])
        # One that the schema has no more is nothing.
        is_there = known & np.isfinite(values) & (done.status == PRESENT)
        out[is_there] = texts[is_there]
        return out

    def lists_of(self, name: str, done: Finished) -> Objects:
        """The list of each of `n` rows, object `[n]`; None where nothing is in it."""
        found = done.lists[name]
        columns: list[Sequence[Any]]
        if found.texts:
            columns = [texts.to_arrow().to_pylist() for texts in found.texts]
        elif name in self._symbols:
            columns = [self._known(name, codes) for codes in found.values.T]
        else:
            columns = found.values.T.tolist()
        out = np.full(len(found.counts), None, object)
        for row, count in enumerate(found.counts.tolist()):
            values = [column[row] for column in columns[:count]]
            out[row] = [value for value in values if value is not None] or None
        return out

    def _known(self, name: str, codes: npt.NDArray[np.int64]) -> list[str | None]:
        texts, known = self._symbols[name].texts_of(codes)
        return [text if is_known else None for text, is_known in zip(texts, known)]
