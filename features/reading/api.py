"""Features for consumers, by entity key: the request and answer of Feast's feature server, over
views and a store.

Source: feast-dev/feast, `sdk/python/feast/feature_server.py` and
`protos/feast/serving/ServingService.proto`. As there, the answer is column-oriented, and the
entities come first among its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from freshet.features.reading.refused_rows import check_given
from freshet.features.reading.request_texts import distinct_keys
from freshet.features.reading.text_values import TextValues
from freshet.features.rows.finish import (
    NOT_FOUND,
    NULL_VALUE,
    OUTSIDE_MAX_AGE,
    PRESENT,
    Finished,
    finish,
)
from freshet.features.stores.contract import RowKeys, RowReader
from freshet.features.views.view import FeatureRef, View
from freshet.schemas.errors import RequestError
from freshet.schemas.events.field import Field
from freshet.schemas.text.keys import canonical, escaped

MAX_ROWS = 4096
STATUSES = {
    PRESENT: "PRESENT",
    NULL_VALUE: "NULL_VALUE",
    NOT_FOUND: "NOT_FOUND",
    OUTSIDE_MAX_AGE: "OUTSIDE_MAX_AGE",
}
NEVER = "1970-01-01T00:00:00.000Z"  # what Feast sends where there is no time
EXAMPLE = '{"features": ["view:feature"], "entities": {"key": ["…"]}}'
_NAMES = np.array([STATUSES.get(i, "INVALID") for i in range(max(STATUSES) + 1)])


Distinct = tuple[list[bytes], list[int]]
_Values = npt.NDArray[np.float64] | npt.NDArray[np.int64] | npt.NDArray[Any]
Entity = str | int | bool | None
Entities = Mapping[str, Sequence[Entity]]


class FeaturesRequest(msgspec.Struct):
    """Either `features`, each as `view:feature`, or `feature_service`, a model's name, for all that
    the model reads of views. `entities` has a list of values, all of one length, for every key
    field of the views, and nothing else; null is a key as others are, and what is not a text may be
    written as one. Views without a key need none: `{}` asks for their one row. With
    `full_feature_names`, features are called `view__feature` in the answer."""

    entities: dict[str, list[Entity]]
    features: list[str] = []
    feature_service: str | None = None
    full_feature_names: bool = False

    @property
    def rows(self) -> int:
        """How many are asked for."""
        return _rows_of(self.entities)


class FeatureNames(msgspec.Struct):
    feature_names: list[str]


class FeatureColumn(msgspec.Struct):
    """One column of the answer: a value, a status and a time for each row.

    Statuses are PRESENT, NULL_VALUE (the row is there, this value is not), NOT_FOUND (no row has
    this key) and OUTSIDE_MAX_AGE (the row's newest event is older than the view's max_age); values
    are null but for PRESENT ones. The `last`, `first`, `last_distinct` or `most_frequent` of an int
    or long field is a whole number with every digit: up to 64 bits, more than a reader that knows
    only doubles can keep; of a text or an enum it is the text. A `last_distinct` with `n` is a list
    of such values, the newest first; an empty one is null. The time is that of the newest event in
    the row (1970 where there is none)."""

    values: list[int | float | str | bool | list[int | float | str] | None]
    statuses: list[str]
    event_timestamps: list[str]


class FeaturesAnswer(msgspec.Struct):
    """`results` are columns, in the order of `metadata.feature_names`: first the entities as they
    were sent, then the features as they were asked for."""

    metadata: FeatureNames
    results: list[FeatureColumn]


_request = msgspec.json.Decoder(FeaturesRequest)


def read_request(body: bytes | memoryview) -> FeaturesRequest:
    """Raises `RequestError` for what is no request; the text says where."""
    try:
        return _request.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(
            "body", f"is no request for features: {error}", f"Send JSON as {EXAMPLE}."
        ) from error


class FeatureReader:
    """Answers consumers of features. `views` come with their names in the store, `services` are
    what models read."""

    def __init__(
        self,
        views: Sequence[tuple[View, str]],
        services: Mapping[str, Sequence[FeatureRef]],
        max_rows: int = MAX_ROWS,
    ) -> None:
        self._views = {v.name: v for v, _ in views}
        self._stored_as = {v.name: name for v, name in views}
        self._services, self._max_rows = services, max_rows
        self._texts = {view.name: TextValues(view) for view, _ in views}

    def answer(self, request: FeaturesRequest, store: RowReader, as_of_ms: int) -> FeaturesAnswer:
        """The values of the rows as of a time (app clock, ms), read in one round trip.

        Raises: RequestError: a name is unknown, a key is missing, lengths differ, or the store
            refuses the row of a key; the text says what was expected. StoreError: the store cannot
            be read.
        """
        refs = self._refs(request)
        names = _names(refs, request)
        views = [self._views[name] for name in dict.fromkeys(r.view for r in refs)]
        self._check_entities(request.entities, views)
        columns = self._read(views, request.entities, store, as_of_ms)
        entities = [_entity(values) for values in request.entities.values()]
        return FeaturesAnswer(
            FeatureNames([*request.entities, *names]),
            [*entities, *(columns[r.view][r.feature] for r in refs)],
        )

    def _refs(self, request: FeaturesRequest) -> Sequence[FeatureRef]:
        """The features asked for, each once."""
        if (request.feature_service is None) == (not request.features):
            named = (
                "are named, and left to a feature_service, too"
                if request.features
                else "are none, and no feature_service is named"
            )
            raise RequestError("features", named, f"Send one of the two: {EXAMPLE}.")
        if request.feature_service is not None:
            return self._service(request.feature_service)
        refs = [self._ref(text) for text in request.features]
        if len(set(refs)) < len(refs):
            twice = next(
                text for i, text in enumerate(request.features) if text in request.features[:i]
            )
            raise RequestError(f"feature {twice!r}", "comes twice", "Name every feature once.")
        return refs

    def _service(self, name: str) -> Sequence[FeatureRef]:
        found = self._services.get(name)
        if not found:
            cause = "is unknown" if found is None else "is a model that reads no views"
            known = [service for service, refs in self._services.items() if refs]
            raise RequestError(
                f"feature_service {name!r}",
                cause,
                f"Name a model that reads views ({', '.join(known)})."
                if known
                else "Name features instead.",
            )
        return found

    def _ref(self, text: str) -> FeatureRef:
        view, separator, feature = text.partition(":")
        if not separator:
            raise RequestError(f"feature {text!r}", "has no view", "Write it as view:feature.")
        if view not in self._views:
            raise RequestError(
                f"feature {text!r}",
                f"there is no view {view!r}",
                f"The views are {', '.join(self._views)}."
                if self._views
                else "The app declares no views.",
            )
        if feature not in self._views[view].features:
            raise RequestError(
                f"feature {text!r}",
                f"view {view} has no feature {feature!r}",
                f"It has {', '.join(self._views[view].features)}.",
            )
        return FeatureRef(view, feature)

    def _check_entities(self, entities: Entities, views: Sequence[View]) -> None:
        needed = list(dict.fromkeys(k for v in views for k in v.keys))
        missing, other = (
            [k for k in needed if k not in entities],
            [k for k in entities if k not in needed],
        )
        if missing or other:
            cause = f"lack {', '.join(missing)}" if missing else f"have {', '.join(other)}"
            keys = "; ".join(f"view {v.name} has key {' and '.join(v.keys) or '()'}" for v in views)
            wanted = " and ".join(needed) or "none: {}"
            raise RequestError("entities", cause, f"Send {wanted} ({keys}).")
        lengths = {k: len(values) for k, values in entities.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{k} has {n} rows" for k, n in lengths.items())
            raise RequestError("entities", told, "Send lists of one length.")
        n = _rows_of(entities)
        if not 1 <= n <= self._max_rows:
            raise RequestError(
                "entities", f"have {n} rows", f"Send 1 to {self._max_rows} rows a request."
            )

    def _read(
        self, views: Sequence[View], entities: Entities, store: RowReader, as_of_ms: int
    ) -> dict[str, dict[str, FeatureColumn]]:
        """All features of the views, by view and name."""
        texts = _Texts(entities)
        n = _rows_of(entities)
        keys = [texts.distinct(v, n) for v in views]
        wanted = [
            RowKeys(self._stored_as[v.name], distinct) for v, (distinct, _) in zip(views, keys)
        ]
        out: dict[str, dict[str, FeatureColumn]] = {}
        for view, rows, (distinct, place) in zip(views, store.read(wanted), keys):
            check_given(view.name, distinct, rows)
            as_of = np.full(len(rows.packed), as_of_ms)
            done = finish(view.plan, rows.packed, as_of, view.max_age_ms)
            times = _times(done.status != NOT_FOUND, as_of - done.age_ms)[place].tolist()
            out[view.name] = self._columns(view, done, place, times)
        return out

    def _columns(
        self, view: View, done: Finished, place: Sequence[int], times: list[str]
    ) -> dict[str, FeatureColumn]:
        """The features of a view by name, of the rows at each `place`."""
        # All at once: a call of numpy costs more than what it does for a row.
        values = done.values[place].T
        # An infinite value counts as missing, too: JSON has no number for it.
        there = np.isfinite(values)
        shown: npt.NDArray[Any] = values.astype(object)
        for at, name in enumerate(view.plan.names):
            found = self._otherwise(view, name, done, done.values[:, at])
            if found is None:
                continue
            shown[at] = found.astype(object)[place]
            # Of a whole number it is told by its float64.
            if found.dtype == object:
                there[at] = [one is not None for one in shown[at]]
        status = np.where((done.status[place] == PRESENT) & ~there, NULL_VALUE, done.status[place])
        shown[status != PRESENT] = None
        columns = zip(view.plan.names, shown.tolist(), _NAMES[status].tolist())
        return {name: FeatureColumn(own, told, times) for name, own, told in columns}

    def _otherwise(
        self, view: View, name: str, done: Finished, values: npt.NDArray[np.float64]
    ) -> _Values | None:
        """A feature as consumers get it, where that is no float64: as a list, a text, or a whole
        number; None where it is one."""
        texts = self._texts[view.name]
        if name in done.lists:
            return texts.lists_of(name, done)
        if name in texts.names:
            return texts.of(name, done, values)
        return done.wholes.get(name)


def _names(refs: Sequence[FeatureRef], request: FeaturesRequest) -> list[str]:
    """What the features are called in the answer. Raises `RequestError` if two columns had the same
    name."""
    names = [f"{r.view}__{r.feature}" if request.full_feature_names else r.feature for r in refs]
    taken: set[str] = set(request.entities)
    for r, name in zip(refs, names):
        if name in taken:
            raise RequestError(
                f"feature '{r.view}:{r.feature}'",
                f"{name!r} would name two columns of the answer",
                'Ask with "full_feature_names": true.',
            )
        taken.add(name)
    return names


def _rows_of(entities: Entities) -> int:
    """How many rows are asked for: one, where only views without a key are read."""
    return next(map(len, entities.values()), 1)


class _Texts:
    """Entities as canonical texts, which depend on the type that a view's topic declares, escaped
    as they stand in keys.

    They are made once for each kind.
    """

    def __init__(self, entities: Entities) -> None:
        self._entities = entities
        self._made: dict[tuple[str, str | None], Sequence[str]] = {}
        self._distinct: dict[tuple[tuple[str, str | None], ...], Distinct] = {}

    def of(self, view: View) -> dict[str, Sequence[str]]:
        """Of the view's key fields, by name."""
        # Its topics have keys of one kind.
        fields = view.topics[0].all_fields
        return {name: self._column(name, fields[name]) for name in view.keys}

    def distinct(self, view: View, rows: int) -> Distinct:
        """The view's keys, as `distinct_keys` has them; views of one key have the same."""
        fields = view.topics[0].all_fields
        kinds = tuple((name, fields[name].key_kind) for name in view.keys)
        if kinds not in self._distinct:
            self._distinct[kinds] = distinct_keys(self.of(view), view.keys, rows)
        return self._distinct[kinds]

    def _column(self, name: str, field: Field) -> Sequence[str]:
        place = name, field.key_kind
        if place not in self._made:
            self._made[place] = _column_of_texts(name, field, self._entities[name])
        return self._made[place]


def _column_of_texts(name: str, field: Field, values: Sequence[Entity]) -> Sequence[str]:
    kind = field.key_kind
    assert kind is not None
    try:
        column = escaped([canonical(value, kind) for value in values])
        # All at once, and thrown away: what cannot be encoded is found here, not by the store.
        "".join(column).encode()
    except UnicodeEncodeError as error:  # a lone surrogate
        raise RequestError(
            f"entity {name!r}", f"is no text: {error.reason}", "Send UTF-8."
        ) from error
    except ValueError as error:
        expected = f"Its type is {field.type}."
        raise RequestError(f"entity {name!r}", f"cannot be: {error}", expected) from error
    return column


def _entity(values: list[Entity]) -> FeatureColumn:
    n = len(values)
    return FeatureColumn(list(values), [STATUSES[PRESENT]] * n, [NEVER] * n)


def _times(
    present: npt.NDArray[np.bool_], newest_ms: npt.NDArray[np.int64]
) -> npt.NDArray[np.str_]:
    # 0 is written as `NEVER`.
    newest = np.where(present, newest_ms, 0).astype("datetime64[ms]")
    return np.datetime_as_string(newest, unit="ms", timezone="UTC")
