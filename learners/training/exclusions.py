"""Which questions a lineage leaves out: an expression over what was asked, ids, a first moment.

A question and its answers are left out together: each row of the examples log bears all that is
asked of it, so what becomes of a row hangs on that row alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from freshet.schemas.errors import DefinitionError, RequestError
from freshet.schemas.models.vectors import VectorSchema
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import taken_apart
from freshet.schemas.wire.outcomes import RUNGS, ExampleRows, Fixed
from freshet.streams.intake.expressions import fields_of, refuse_others

if TYPE_CHECKING:
    import polars as pl

Bools = npt.NDArray[np.bool_]
SOURCE = "source"
# What there is of every question beside its features.
STAMPS = ("id", "asked_at", "day", "lineage", "rung", "probability")


class Exclusions:
    """Of a model whose vectors are of `schema`, and whose events tell their source by a field of
    that name (`source`, empty: by none).

    Raises:
        RequestError: `where` is no expression, reads what no question has, or is not true or false.
    """

    def __init__(
        self,
        schema: VectorSchema,
        source: str = "",
        since: int | None = None,
        where: str = "",
        ids: Sequence[str] = (),
    ) -> None:
        self._schema = schema
        self._source = source
        self._since = since
        self._ids = frozenset(ids)
        self._hashes = np.sort(Texts.of(list(self._ids)).hashes())
        self._where: pl.Expr | None = None
        self._reads: list[str] = []
        if where:
            self._where = self._parsed(where)
            self._check(where)

    @property
    def names(self) -> list[str]:
        """What an expression may read."""
        known = [*STAMPS, *self._schema.categories, *self._schema.numbers]
        if self._source in known:
            known.append(SOURCE)
        return list(dict.fromkeys(known))

    def too_early(self, rows: ExampleRows) -> Bools:
        """Which rows are of questions that were asked before the first moment, `[n]`."""
        if self._since is None:
            return np.zeros(len(rows), np.bool_)
        found: Bools = rows.fixed["asked_at"] < self._since
        return found

    def of(self, rows: ExampleRows) -> Bools:
        """Which rows are left out, `[n]`: those, and what is excepted."""
        out = self.too_early(rows)
        if len(self._hashes):
            out |= self._named(rows)
        if self._where is not None:
            out |= self._true(rows)
        return out

    def _named(self, rows: ExampleRows) -> Bools:
        found = np.isin(rows.texts["id"].hashes(), self._hashes)
        # Two texts may have one hash: of the few that are found the text itself decides.
        at = np.flatnonzero(found)
        texts = rows.texts["id"].take(at).to_arrow().to_pylist()
        found[at] = [text in self._ids for text in texts]
        return found

    def _true(self, rows: ExampleRows) -> Bools:
        import polars as pl

        from freshet.schemas.evaluated import evaluated

        assert self._where is not None
        if not len(rows):
            return np.zeros(0, np.bool_)
        frame = pl.DataFrame({name: self._column(name, rows) for name in self._reads})
        if not self._reads:
            # A constant is as true of one question as of another.
            frame = pl.DataFrame({"id": self._column("id", rows)})
        answer = evaluated(frame, [self._where.alias("left_out")])["left_out"]
        if len(answer) != len(rows):
            answer = answer.new_from_index(0, len(rows))
        # Null says nothing of a question, so it stays.
        return answer.fill_null(False).to_numpy().astype(np.bool_)

    def _column(self, name: str, rows: ExampleRows) -> pl.Series:
        import polars as pl

        fixed = rows.fixed
        if name == SOURCE and SOURCE not in (*self._schema.categories, *self._schema.numbers):
            return self._column(self._source, rows)
        if name in self._schema.categories:
            parts = taken_apart(rows.texts["categories"], len(self._schema.categories))
            return _texts(parts[self._schema.categories.index(name)])
        if name in self._schema.numbers:
            at = self._schema.numbers.index(name)
            numbers = fixed["numbers"][:, at].astype(np.float32)
            # In a vector NaN says that there is nothing.
            return pl.Series(numbers).fill_nan(None)
        found: dict[str, Callable[[], pl.Series]] = {
            "id": lambda: _texts(rows.texts["id"]),
            "lineage": lambda: _texts(rows.texts["lineage"]),
            "asked_at": lambda: _moments(fixed["asked_at"]),
            "day": lambda: _moments(fixed["asked_at"]).dt.strftime("%Y-%m-%d"),
            "rung": lambda: pl.Series(RUNGS).gather(np.ascontiguousarray(fixed["rung"])),
            "probability": lambda: _answers(fixed),
        }
        return found[name]()

    def _parsed(self, where: str) -> pl.Expr:
        import polars as pl

        try:
            expression = pl.sql_expr(where)
        except pl.exceptions.PolarsError as error:
            raise _refused(where, f"is no expression: {error}", self.names) from error
        try:
            refuse_others(expression, "")
        except DefinitionError as error:
            raise _refused(where, error.cause, self.names) from error
        self._reads = fields_of(expression)
        unknown = [name for name in self._reads if name not in self.names]
        if unknown:
            raise _refused(where, f"reads {unknown[0]!r}, which no question has", self.names)
        return expression

    def _check(self, where: str) -> None:
        """That it fits the kinds of what it reads, by two questions of which nothing is known."""
        import polars as pl

        assert self._where is not None
        frame = pl.DataFrame({name: self._sample(name) for name in self._reads or ["id"]})
        try:
            answer = frame.select(self._where.alias("left_out"))["left_out"]
        except pl.exceptions.PolarsError as error:
            raise _refused(where, f"cannot be evaluated: {error}", self.names) from error
        if answer.dtype != pl.Boolean:
            raise _refused(where, f"is {answer.dtype} and not true or false", self.names)

    def _sample(self, name: str) -> pl.Series:
        import polars as pl

        kind: type[pl.DataType] | pl.DataType = pl.String
        if name == SOURCE and name not in (*self._schema.categories, *self._schema.numbers):
            name = self._source
        if name == "asked_at":
            kind = pl.Datetime("ms")
        elif name == "probability":
            kind = pl.Float64
        if name in self._schema.categories:
            kind = pl.String
        elif name in self._schema.numbers:
            kind = pl.Float32
        return pl.Series([None, None], dtype=kind)


def _answers(fixed: Fixed) -> pl.Series:
    """What was answered: of classes the probability of the one that was most probable, of a
    regression the number."""
    import polars as pl

    answers = np.ascontiguousarray(fixed["p"]).astype(np.float64)
    if answers.ndim > 1:
        answers = answers.max(axis=1)
    return pl.Series(answers)


def _texts(values: Texts) -> pl.Series:
    import polars as pl

    return pl.Series(values.to_arrow(), dtype=pl.String)


def _moments(values: npt.NDArray[np.int64]) -> pl.Series:
    import polars as pl

    return pl.Series(np.ascontiguousarray(values)).cast(pl.Datetime("ms"))


def _refused(where: str, cause: str, names: Sequence[str]) -> RequestError:
    return RequestError(
        f"--except {where!r}",
        cause,
        f"Write it as in SQL, over {', '.join(names)}; names with dots in double quotes.",
    )
