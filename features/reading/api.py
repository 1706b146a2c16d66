"""Features for consumers, by entity key: the request and answer of Feast's feature server, over
views and a store.

Source: feast-dev/feast, `sdk/python/feast/feature_server.py` and
`protos/feast/serving/ServingService.proto`. As there, the answer is column-oriented, and the
entities come first among its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from freshet.features.reading.entity_texts import (
    Entities,
    Entity,
    EntityTexts,
    KeyField,
    key_fields,
)
from freshet.features.reading.refused_rows import check_given
from freshet.features.reading.value_columns import STATUSES, Column, ValueColumns
from freshet.features.rows.finish import PRESENT, Tables, finish_all, tables_of
from freshet.features.stores.contract import RowKeys, RowReader
from freshet.features.views.view import FeatureRef, View
from freshet.schemas.errors import RequestError

MAX_ROWS = 4096
# Ways to ask that are remembered: consumers are programs, which ask in few.
MOST_QUESTIONS = 256
NEVER = "1970-01-01T00:00:00.000Z"  # what Feast sends where there is no time
EXAMPLE = '{"features": ["view:feature"], "entities": {"key": ["…"]}}'


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


class _Asking(NamedTuple):
    """A way to ask, all but the entities' values: their names, the features, how they are named in
    the answer."""

    entities: tuple[str, ...]
    features: tuple[str, ...]
    feature_service: str | None
    full_feature_names: bool


class _Plan(NamedTuple):
    """How it is answered: the columns' names, the views read, their keys, what drives their
    kernels, of each view the features' places that are asked for, and of each feature its view and
    its place among those."""

    names: Sequence[str]
    views: Sequence[View]
    keys: Sequence[tuple[KeyField, ...]]
    tables: Tables
    asked: Sequence[Sequence[int]]
    order: Sequence[tuple[int, int]]


class FeatureReader:
    """Answers consumers of features. `views` come with their names in the store, `services` are
    what models read. `incomplete` says of some features, as `view.feature`, until when (ms) they
    are NULL_VALUE, since too little is known of what they are made of."""

    def __init__(
        self,
        views: Sequence[tuple[View, str]],
        services: Mapping[str, Sequence[FeatureRef]],
        max_rows: int = MAX_ROWS,
        incomplete: Mapping[str, int] | None = None,
    ) -> None:
        self._views = {v.name: v for v, _ in views}
        self._stored_as = {v.name: name for v, name in views}
        self._services, self._max_rows = services, max_rows
        self._columns = {view.name: ValueColumns(view, incomplete or {}) for view, _ in views}
        self._plan = lru_cache(MOST_QUESTIONS)(self._planned)

    def answer(self, request: FeaturesRequest, store: RowReader, as_of_ms: int) -> FeaturesAnswer:
        """The values of the rows as of a time (app clock, ms), read in one round trip.

        Raises: RequestError: a name is unknown, a key is missing, lengths differ, or the store
            refuses the row of a key; the text says what was expected. StoreError: the store cannot
            be read.
        """
        asking = _Asking(
            tuple(request.entities),
            tuple(request.features),
            request.feature_service,
            request.full_feature_names,
        )
        plan = self._plan(asking)
        self._check_rows(request.entities)
        found = self._read(
            plan,
            request.entities,
            store,
            as_of_ms,
        )
        entities = [_entity(values) for values in request.entities.values()]
        features = [FeatureColumn(*found[view][place]) for view, place in plan.order]
        return FeaturesAnswer(FeatureNames([*plan.names]), [*entities, *features])

    def _planned(self, asking: _Asking) -> _Plan:
        refs = self._refs(asking)
        names = _names(refs, asking)
        views = [self._views[name] for name in dict.fromkeys(ref.view for ref in refs)]
        _check_entities(asking.entities, views)
        asked: dict[str, list[int]] = {view.name: [] for view in views}
        at = {view.name: i for i, view in enumerate(views)}
        order = []
        for ref in refs:
            own = asked[ref.view]
            order.append((at[ref.view], len(own)))
            own.append(self._views[ref.view].plan.names.index(ref.feature))
        tables = tables_of([view.plan for view in views], [view.max_age_ms for view in views])
        keys = [key_fields(view) for view in views]
        return _Plan([*asking.entities, *names], views, keys, tables, [*asked.values()], order)

    def _read(
        self, plan: _Plan, entities: Entities, store: RowReader, as_of_ms: int
    ) -> list[list[Column]]:
        """The columns of each view that are asked for."""
        texts = EntityTexts(entities)
        n = _rows_of(entities)
        keys = [texts.distinct(fields, n) for fields in plan.keys]
        wanted = [
            RowKeys(self._stored_as[view.name], distinct)
            for view, (distinct, _) in zip(plan.views, keys)
        ]
        rows = store.read(wanted)
        for view, own, (distinct, _) in zip(plan.views, rows, keys):
            check_given(view.name, distinct, own)
        plans = [view.plan for view in plan.views]
        done = finish_all(plans, plan.tables, [own.packed for own in rows], as_of_ms)
        return [
            self._columns[view.name].of(finished, place, as_of_ms, asked)
            for view, finished, (_, place), asked in zip(plan.views, done, keys, plan.asked)
        ]

    def _refs(self, request: _Asking) -> Sequence[FeatureRef]:
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

    def _check_rows(self, entities: Entities) -> None:
        lengths = {k: len(values) for k, values in entities.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{k} has {n} rows" for k, n in lengths.items())
            raise RequestError("entities", told, "Send lists of one length.")
        n = _rows_of(entities)
        if not 1 <= n <= self._max_rows:
            raise RequestError(
                "entities", f"have {n} rows", f"Send 1 to {self._max_rows} rows a request."
            )


def _check_entities(entities: Sequence[str], views: Sequence[View]) -> None:
    needed = list(dict.fromkeys(k for v in views for k in v.keys))
    missing = [k for k in needed if k not in entities]
    other = [k for k in entities if k not in needed]
    if missing or other:
        cause = f"lack {', '.join(missing)}" if missing else f"have {', '.join(other)}"
        keys = "; ".join(f"view {v.name} has key {' and '.join(v.keys) or '()'}" for v in views)
        wanted = " and ".join(needed) or "none: {}"
        raise RequestError("entities", cause, f"Send {wanted} ({keys}).")


def _names(refs: Sequence[FeatureRef], request: _Asking) -> list[str]:
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


def _entity(values: list[Entity]) -> FeatureColumn:
    n = len(values)
    return FeatureColumn(list(values), [STATUSES[PRESENT]] * n, [NEVER] * n)
