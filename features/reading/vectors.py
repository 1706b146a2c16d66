"""From a request to vectors: read the rows of every view in one round trip, finish them, put the
columns together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from freshet.features.rows.finish import finish
from freshet.features.stores.contract import VERSION_BYTES, RowKeys, RowReader
from freshet.features.views.view import FeatureRef, View
from freshet.schemas.errors import RequestError
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.models.vectors import Vectors, VectorSchema
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import UUID, UUID_PATTERN, joined
from freshet.schemas.topics.impute import Impute
from freshet.schemas.topics.topic import FieldRef

I64 = npt.NDArray[np.int64]
_UUID = rf"\A{UUID_PATTERN}\z"
Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Read:
    """Vectors of `n` requests, and where they came from.

    `versions` uint8 `[n, 16 × views]` (zeros: no row), `value_age_ms` int64 `[n]` the oldest row's
    age (-1: no row), `categories` the texts of the categories of each request, joined as keys are.
    """

    vectors: Vectors
    versions: npt.NDArray[np.uint8]
    value_age_ms: I64
    categories: Texts


class VectorPlan:
    """How the requests of one model become vectors.

    `features` and `views` are the model's; `stored_as` names the views in the store; `request` is
    the schema of the topic that it is asked on, `impute` holds the constants for request fields
    that may be missing.
    """

    def __init__(
        self,
        schema: VectorSchema,
        features: Sequence[FieldRef | FeatureRef],
        views: Sequence[View],
        stored_as: Sequence[str],
        request: EventSchema,
        impute: Mapping[str, Impute],
    ) -> None:
        self.schema = schema
        self.views = tuple(views)
        self.stored_as = tuple(stored_as)
        self._impute = impute
        self._uuids = {f.name for f in request.fields if f.key_kind == UUID}
        at = {name: i for i, name in enumerate(schema.numbers)}
        self._own = [
            (at[f.field], f.field)
            for f in features
            if isinstance(f, FieldRef) and not f.categorical
        ]
        self._features = [f for f in features if isinstance(f, FeatureRef)]
        self._given = [(at[f.name], f.name) for f in features if isinstance(f, FeatureRef)]
        self._read_columns = []
        for v in self.views:
            pairs = [
                (at[f.name], v.plan.names.index(f.feature))
                for f in features
                if isinstance(f, FeatureRef) and f.view == v.name
            ]
            self._read_columns.append(
                (np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
            )

    @property
    def reads_views(self) -> bool:
        """Whether vectors hold features of views."""
        return bool(self.views)

    @property
    def fields(self) -> tuple[str, ...]:
        """The request fields that it needs: categories, own numbers, and the keys of its views."""
        keys = [k for v in self.views for k in v.keys]
        return tuple(dict.fromkeys((*self.schema.categories, *(f for _, f in self._own), *keys)))

    def given_instead(self, field: str) -> tuple[str, ...]:
        """The features that may be sent instead of a field that is but a key of views: all that are
        read by it."""
        if field in self.schema.categories or field in [name for _, name in self._own]:
            return ()
        keyed = {v.name for v in self.views if field in v.keys}
        return tuple(f.name for f in self._features if f.view in keyed)

    def read(self, store: RowReader | None, columns: Columns, n: int, as_of_ms: int) -> Read:
        """Vectors of `n` requests. A view whose key was not sent is not read; a feature that was
        sent is taken as sent.

        `store` None reads nothing: every view feature that was not sent is missing.

        Raises:
            StoreError: the store cannot be read.
            RequestError: values of a wrong type.
        """
        texts = {name: self._texts(name, columns.get(name), n) for name in self._text_fields()}
        numbers = np.full((n, len(self.schema.numbers)), np.nan, np.float32)
        versions = np.zeros((n, VERSION_BYTES * len(self.views)), np.uint8)
        age = np.full(n, -1, np.int64)
        if store is not None:
            self._read_views(store, columns, texts, as_of_ms, numbers, versions, age)
        for to_column, name in self._own:
            numbers[:, to_column] = self._numbers(name, columns.get(name), n)
        for to_column, name in self._given:
            if name in columns:
                numbers[:, to_column] = self._numbers(name, columns[name], n)
        return Read(
            Vectors(self._hashed(texts, n), numbers),
            versions,
            age,
            self._joined_categories(texts, n),
        )

    def asks_store(self, columns: Columns) -> bool:
        """Whether a request with these columns reads any view."""
        return bool(self._asked(columns))

    def _asked(self, columns: Columns) -> list[int]:
        return [i for i, v in enumerate(self.views) if all(k in columns for k in v.keys)]

    def _read_views(
        self,
        store: RowReader,
        columns: Columns,
        texts: Mapping[str, Texts],
        as_of_ms: int,
        numbers: npt.NDArray[np.float32],
        versions: npt.NDArray[np.uint8],
        age: I64,
    ) -> None:
        """Read the rows of every view in one round trip, and put their values in place."""
        asked = self._asked(columns)
        places, wanted = [], []
        for i in asked:
            keys, place = distinct_keys(texts, self.views[i].keys)
            wanted.append(RowKeys(self.stored_as[i], keys, self.views[i].plan.width))
            places.append(place)
        for i, rows, place in zip(asked, store.read(wanted) if wanted else [], places):
            view = self.views[i]
            as_of = np.full(len(rows.present), as_of_ms)
            done = finish(view.plan, rows.data, rows.present, as_of, view.max_age_ms)
            to, of = self._read_columns[i]
            numbers[:, to] = done.values[place[:, None], of]
            versions[:, VERSION_BYTES * i : VERSION_BYTES * (i + 1)] = rows.data[
                place, :VERSION_BYTES
            ]
            np.maximum(age, done.age_ms[place], out=age)

    def _text_fields(self) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys((*self.schema.categories, *(k for v in self.views for k in v.keys)))
        )

    def _texts(self, name: str, values: Sequence[Any] | None, n: int) -> Texts:
        """A column of canonical texts; fractions are refused, a missing value is its constant."""
        try:
            array = pa.array([None] * n if values is None else values, from_pandas=True)
            if pa.types.is_floating(array.type):
                array = array.cast(pa.int64())
            array = array.cast(pa.string())
        except (pa.ArrowException, UnicodeEncodeError, OverflowError) as error:
            raise RequestError(
                f"input {name!r}", f"its values are no texts: {error}", "Send one text a row."
            ) from error
        how = self._impute.get(name)
        if how is not None and array.null_count:
            array = array.fill_null(_written(how.value))
        if name in self._uuids:
            array = _lower(name, array)
        return Texts.from_arrow(array)

    def _numbers(self, name: str, values: Sequence[Any] | None, n: int) -> npt.NDArray[np.float32]:
        """A column of numbers, NaN or their constant where missing."""
        how = self._impute.get(name)
        missing = np.nan if how is None else float(how.value)
        if values is None:
            return np.full(n, missing, np.float32)
        try:
            out = np.array([np.nan if v is None else v for v in values], np.float64)
        except (TypeError, ValueError) as error:
            raise RequestError(
                f"input {name!r}", f"its values are no numbers: {error}", "Send one number a row."
            ) from error
        return np.where(np.isnan(out), missing, out).astype(np.float32)

    def _hashed(self, texts: Mapping[str, Texts], n: int) -> npt.NDArray[np.uint64]:
        out = np.empty((n, len(self.schema.categories)), np.uint64)
        for i, name in enumerate(self.schema.categories):
            out[:, i] = texts[name].hashes()
        return out

    def _joined_categories(self, texts: Mapping[str, Texts], n: int) -> Texts:
        names = self.schema.categories
        if not names:
            return Texts.of([""] * n)
        return joined([texts[c] for c in names])


def _lower(name: str, array: pa.Array) -> pa.Array:
    """UUIDs in the case that intake has them in."""
    wrong = pc.invert(pc.match_substring_regex(array, _UUID))
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        expected = "Send hexadecimal digits in five groups."
        raise RequestError(f"input {name!r}", f"is no UUID in row {row}", expected)
    return pc.ascii_lower(array)


def _written(constant: float | str) -> str:
    """A constant as a category: a whole number as requests' whole numbers are written, whatever
    type it has."""
    if isinstance(constant, float) and constant.is_integer():
        return str(int(constant))
    return str(constant)


def distinct_keys(texts: Mapping[str, Texts], fields: tuple[str, ...]) -> tuple[list[bytes], I64]:
    """The distinct keys (`fields` joined) of rows, and which of them each row has, int64 `[n]`.

    Raises:
        RequestError: a key is longer than every store takes. It is the request's fault: no store is
        away for it.
    """
    encoded = joined([texts[f] for f in fields]).to_arrow().dictionary_encode()
    keys = [k.encode() for k in encoded.dictionary.to_pylist()]
    longest = max(map(len, keys), default=0)
    if longest > KEY_BYTES:
        cause = f"is a key of {longest} bytes"
        named = " and ".join(map(repr, fields))
        raise RequestError(f"input {named}", cause, f"A key may have {KEY_BYTES} bytes.")
    return keys, encoded.indices.to_numpy().astype(np.int64)
