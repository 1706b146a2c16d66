"""From a request to vectors: read the rows of every view in one round trip, finish them, put the
columns together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.features.reading.on_demand import OnDemandFeatures
from freshet.features.reading.refused_rows import check_given
from freshet.features.reading.request_derived import RequestDerivations
from freshet.features.reading.request_texts import TextColumn, distinct_keys, texts_of
from freshet.features.reading.row_texts import RowTextColumns
from freshet.features.rows.finish import Answers, Part, finish_into, tables_of
from freshet.features.stores.contract import VERSION_BYTES, RowKeys, RowReader
from freshet.features.stores.memory_store import MemoryStore
from freshet.features.views.view import FeatureRef, View
from freshet.schemas.errors import RequestError, StoreError
from freshet.schemas.models.vectors import Vectors, VectorSchema
from freshet.schemas.text.columns import Texts
from freshet.schemas.text.keys import UUID, escaped, keys_of
from freshet.schemas.topics.derivations import Derivation
from freshet.schemas.topics.topic import FieldRef, Topic

I64 = npt.NDArray[np.int64]
VERSION_WORDS = VERSION_BYTES // 8
_NOT_READ = -1  # by the model: the place of a view's other features
# What no request brings: no name of a feature is empty.
_UNSENT = frozenset([""])
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

    `features` and `views` are what it reads of requests and views; `stored_as` names the views in
    the store; `topic` is the one that it is asked on, whose imputes are constants for request
    fields that may be missing, and whose derived fields are computed of the others; `computed` are
    its on-demand features. A feature of a view that is not in the vector is read for those.
    `incomplete` may be told of some of them, as `view.feature`: until when (ms) they are missing,
    since too little is known of what they are made of.
    """

    def __init__(
        self,
        schema: VectorSchema,
        features: Sequence[FieldRef | FeatureRef],
        views: Sequence[View],
        stored_as: Sequence[str],
        topic: Topic,
        computed: Sequence[Derivation] = (),
    ) -> None:
        self.schema = schema
        self.views = tuple(views)
        self.stored_as = tuple(stored_as)
        self._impute = topic.impute
        self._uuids = {f.name for f in topic.events.fields if f.key_kind == UUID}
        self._features = [f for f in features if isinstance(f, FeatureRef)]
        # Behind the vector's own stand those that only on-demand features read.
        read_of_views = [f.name for f in self._features if not f.is_text]
        columns = dict.fromkeys([*schema.numbers, *read_of_views])
        at = {name: i for i, name in enumerate(columns)}
        self._width = len(columns)
        self._own = [
            (at[f.field], f.field)
            for f in features
            if isinstance(f, FieldRef) and not f.categorical
        ]
        self._given = {name: at[name] for name in read_of_views}
        self._row_texts = RowTextColumns(self._features, self.views)
        # What a question needs of these is the same each time.
        self._keys = [view.keys for view in self.views]
        self._key_fields = [frozenset(keys) for keys in self._keys]
        self._without_key = {
            i: frozenset(f.name for f in self._features if f.view == view.name)
            for i, view in enumerate(self.views)
            if not view.keys
        }
        of_rows = self._row_texts.names
        self._on_demand = OnDemandFeatures(computed, schema, self._given, of_rows)
        made = {*self._on_demand.categories, *of_rows}
        self._own_categories = tuple(name for name in schema.categories if name not in made)
        self._text_fields = tuple(dict.fromkeys((*self._own_categories, *chain(*self._keys))))
        read_of_requests = {*self._text_fields, *(name for _, name in self._own)}
        self._derived = RequestDerivations(topic, read_of_requests, self._on_demand.fields)
        plans = [view.plan for view in self.views]
        self._tables = tables_of(plans, [view.max_age_ms for view in self.views])
        read = [f"{view.name}.{name}" for view in self.views for name in view.plan.names]
        places = [self._given.get(name, _NOT_READ) for name in read]
        self._to = np.array(places, np.int64)
        self.incomplete: Mapping[str, int] = {}

    @property
    def reads_views(self) -> bool:
        """Whether vectors hold features of views."""
        return bool(self.views)

    @property
    def given(self) -> tuple[str, ...]:
        """The features of views that it reads, any of which a request may bring."""
        return tuple(f.name for f in self._features)

    @property
    def given_texts(self) -> frozenset[str]:
        """Those of them that are texts."""
        return frozenset(self._row_texts.names)

    @property
    def fields(self) -> tuple[str, ...]:
        """The request fields that it needs: categories, own numbers, what on-demand features are
        made of, and the keys of its views; of those that are derived what they are made of."""
        keys = [k for v in self.views for k in v.keys]
        read = (*self._own_fields, *keys)
        return tuple(dict.fromkeys(chain.from_iterable(map(self._derived.made_of, read))))

    def given_instead(self, field: str) -> tuple[str, ...]:
        """The features that may be sent instead of a field that is but a key of views: all that are
        read by it."""
        own = self._own_fields
        if field in chain.from_iterable(map(self._derived.made_of, own)):
            return ()
        made_of = self._derived.made_of
        keyed = {v.name for v in self.views if field in chain.from_iterable(map(made_of, v.keys))}
        return tuple(f.name for f in self._features if f.view in keyed)

    @property
    def _own_fields(self) -> tuple[str, ...]:
        """Those that it reads for themselves."""
        return (*self._own_categories, *(name for _, name in self._own), *self._on_demand.fields)

    def read(self, store: RowReader | None, columns: Columns, n: int, as_of_ms: int) -> Read:
        """Vectors of `n` requests. A view whose key was not sent is not read; a feature that was
        sent is taken as sent.

        `store` None reads nothing: every view feature that was not sent is missing.

        Raises:
            StoreError: the store cannot be read.
            RequestError: values of a wrong type, or a key whose row the store refuses.
        """
        asked = self._asked(columns)
        frame = None
        if self._derived:
            frame = self._derived.frame(columns, n)
            columns = self._derived.with_derived(columns, frame)
        texts = {name: self._texts(name, columns.get(name), n) for name in self._text_fields}
        keyed = {name: escaped(column) for name, column in texts.items()}
        answers = self._nothing_read(n)
        numbers = answers.numbers
        parts: Sequence[Part] = ()
        if store is not None and asked:
            parts = self._parts(store, asked, keyed, n)
            finish_into(self._tables, self._row_texts.cut(parts), as_of_ms, self._to, answers)
        missing = [name for name, until in self.incomplete.items() if as_of_ms < until]
        for name in missing:
            if name in self._given:
                numbers[:, self._given[name]] = np.nan
        if self._row_texts:
            found = self._row_texts.read(parts, columns, n, as_of_ms)
            for name in missing:
                if name in found and name not in columns:
                    found[name] = [None] * n
            texts |= found
            keyed |= {name: escaped(column) for name, column in found.items()}
        for to_column, name in self._own:
            numbers[:, to_column] = self._numbers(name, columns.get(name), n)
        # After what was read, which it replaces.
        for name, values in columns.items():
            if name in self._given:
                numbers[:, self._given[name]] = self._numbers(name, values, n)
        if self._on_demand:
            # Last: they are made of all the others.
            made = self._on_demand.compute(frame, numbers, texts)
            found = self._on_demand.texts(made)
            texts |= found
            keyed |= {name: escaped(column) for name, column in found.items()}
            numbers = self._on_demand.rounded(made, numbers)
        vectors = Vectors(self._hashed(texts, n), numbers)
        versions = answers.versions.view(np.uint8)
        return Read(vectors, versions, answers.age_ms, self._joined_categories(keyed, n))

    def _nothing_read(self, n: int) -> Answers:
        """Room for what is read. On-demand features are made of values before they are rounded."""
        kind: type[np.floating[Any]] = np.float32
        if self._on_demand:
            kind = np.float64
        return Answers(
            numbers=np.full((n, self._width), np.nan, kind),
            versions=np.zeros((n, VERSION_WORDS * len(self.views)), np.int64),
            age_ms=np.full(n, -1, np.int64),
        )

    def warm(self) -> Read:
        """Load every kernel that a question calls, by one that finds no rows. Else the first one
        waits for that, and its wait looks as if the store did not answer."""
        return self.read(MemoryStore(), {name: [None] for name in self.fields}, 1, 0)

    def asks_store(self, columns: Columns) -> bool:
        """Whether a request with these columns reads any view."""
        return bool(self._asked(columns))

    def _asked(self, columns: Columns) -> list[int]:
        sent: Set[str] = columns.keys()
        if self._derived:
            sent = self._derived.known_of(sent)
        asked = [i for i, fields in enumerate(self._key_fields) if fields <= sent]
        if not self._without_key:
            return asked
        # No key says that these are to be read: only that some of their features were not sent.
        brought = columns.keys()
        return [i for i in asked if not self._without_key.get(i, _UNSENT) <= brought]

    def _parts(
        self, store: RowReader, asked: Sequence[int], keyed: Mapping[str, Sequence[str]], n: int
    ) -> list[Part]:
        """The rows of every view, read in one round trip."""
        by_fields = dict.fromkeys(self._keys[i] for i in asked)
        found = {fields: distinct_keys(keyed, fields, n) for fields in by_fields}
        wanted = [RowKeys(self.stored_as[i], found[self._keys[i]][0]) for i in asked]
        parts = []
        for i, rows in zip(asked, store.read(wanted)):
            keys, place = found[self._keys[i]]
            # A kernel would read on behind the rows, wherever that leads.
            if len(rows.packed) != len(keys):
                raise StoreError(
                    f"view {self.views[i].name}",
                    f"{len(keys)} keys were answered with {len(rows.packed)} rows",
                    "A store answers each key once, in order, with no bytes where it is absent.",
                )
            check_given(self.views[i].name, keys, rows)
            parts.append(Part(i, rows.packed, place))
        return parts

    def _texts(self, name: str, values: Sequence[Any] | None, n: int) -> TextColumn:
        """A column of canonical texts; fractions are refused, a missing value is its constant."""
        texts: TextColumn = [None] * n
        if values is not None:
            texts = texts_of(name, values, name in self._uuids)
        if len(texts) != n:
            cause = f"has {len(texts)} values, and there are {n} rows"
            raise RequestError(f"input {name!r}", cause, "Send one text a row.")
        how = self._impute.get(name)
        if how is not None and None in texts:
            constant = _written(how.value)
            return [constant if text is None else text for text in texts]
        return texts

    def _numbers(self, name: str, values: Sequence[Any] | None, n: int) -> npt.NDArray[np.float64]:
        """A column of numbers, NaN or their constant where missing."""
        how = self._impute.get(name)
        missing = np.nan if how is None else float(how.value)
        if values is None:
            return np.full(n, missing)
        try:
            out = np.array([np.nan if v is None else v for v in values], np.float64)
        except (TypeError, ValueError) as error:
            raise RequestError(
                f"input {name!r}", f"its values are no numbers: {error}", "Send one number a row."
            ) from error
        return np.where(np.isnan(out), missing, out)

    def _hashed(self, texts: Mapping[str, TextColumn], n: int) -> npt.NDArray[np.uint64]:
        """All categories at once, one after the other."""
        names = self.schema.categories
        every = Texts.of(list(chain.from_iterable(texts[name] for name in names)))
        return np.ascontiguousarray(every.hashes().reshape(len(names), n).T)

    def _joined_categories(self, keyed: Mapping[str, Sequence[str]], n: int) -> Texts:
        names = self.schema.categories
        # `keys_of` knows the number of rows by its columns alone.
        if not names:
            return Texts.of([""] * n)
        return Texts.of(keys_of([keyed[name] for name in names]))


def _written(constant: float | str) -> str:
    """A constant as a category: a whole number as requests' whole numbers are written, whatever
    type it has."""
    if isinstance(constant, float) and constant.is_integer():
        return str(int(constant))
    return str(constant)
