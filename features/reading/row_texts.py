"""The features of a model that are texts of rows: its categories beside those of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from freshet.features.reading.request_texts import TextColumn, texts_of
from freshet.features.reading.text_values import TextValues
from freshet.features.rows.finish import Part, finish
from freshet.features.texts.sections import cut_stored
from freshet.features.views.view import FeatureRef, View
from freshet.schemas.errors import RequestError


class RowTextColumns:
    """Of one model. False where it reads none.

    `features` are those of views that it reads, `views` these views, in the order of their parts.
    """

    def __init__(self, features: Sequence[FeatureRef], views: Sequence[View]) -> None:
        self._views = views
        self._read = {
            at: [ref for ref in features if ref.is_text and ref.view == view.name]
            for at, view in enumerate(views)
        }
        self._values = {at: TextValues(views[at]) for at, refs in self._read.items() if refs}
        self.names = tuple(ref.name for refs in self._read.values() for ref in refs)
        self._have_texts = frozenset(
            at for at, view in enumerate(views) if view.plan.texts is not None
        )

    def __bool__(self) -> bool:
        return bool(self.names)

    def cut(self, parts: Sequence[Part]) -> Sequence[Part]:
        """The rows without the texts behind them, as kernels of vectors read them."""
        if not self._have_texts:
            return parts
        return [
            part._replace(rows=cut_stored(part.rows)[0]) if part.view in self._have_texts else part
            for part in parts
        ]

    def read(
        self, parts: Sequence[Part], columns: Mapping[str, Any], n: int, as_of_ms: int
    ) -> dict[str, TextColumn]:
        """A column for each, None where it is missing: as it was sent, else of the rows.

        Raises:
            RequestError: what was sent is no column of `n` texts.
        """
        out: dict[str, TextColumn] = {name: [None] * n for name in self.names}
        for part in parts:
            if part.view in self._values:
                out |= self._of_rows(part, as_of_ms)
        for name in self.names:
            if name in columns:
                out[name] = _sent(name, columns[name], n)
        return out

    def _of_rows(self, part: Part, as_of_ms: int) -> dict[str, TextColumn]:
        view = self._views[part.view]
        values = self._values[part.view]
        as_of = np.full(len(part.rows), as_of_ms)
        done = finish(view.plan, part.rows, as_of, view.max_age_ms)
        out: dict[str, TextColumn] = {}
        for ref in self._read[part.view]:
            at = view.plan.names.index(ref.feature)
            found = values.of(ref.feature, done, done.values[:, at]).tolist()
            out[ref.name] = [found[place] for place in part.place]
        return out


def _sent(name: str, values: Sequence[Any], n: int) -> TextColumn:
    texts = texts_of(name, values, False)
    if len(texts) != n:
        cause = f"has {len(texts)} values, and there are {n} rows"
        raise RequestError(f"input {name!r}", cause, "Send one text a row.")
    return texts
