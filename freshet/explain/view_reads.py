"""The feature rows that a prediction read, and the events behind them, found by the versions that
it logged."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from freshet.audit import kept as kept_by_run
from freshet.explain.explanation import SourceEvent, ViewRead, Window, WindowEvent
from freshet.explain.row_check import agrees
from freshet.explain.row_events import CleanEvent, Version, events_of, key_at, partition_of
from freshet.explain.search import LoggedPrediction
from freshet.features.aggregates import DecayedMean
from freshet.features.aggregates import Window as WindowAggregate
from freshet.features.stores.contract import VERSION_BYTES
from freshet.features.views.view import FeatureRef, View
from freshet.learners.model import Model
from freshet.runs.opened import OpenedRun
from freshet.schemas.durations import text_of
from freshet.schemas.errors import LogError
from freshet.schemas.events.writer import Misfit
from freshet.schemas.text.keys import key_of, parts_of
from freshet.schemas.topics.reader import EventReader
from freshet.streams.log.spans import PartitionSpans

HALF_LIVES = 10  # beyond them an event weighs less than a thousandth
NO_VERSION = bytes(VERSION_BYTES)


def view_reads(
    run: OpenedRun, model: Model, p: LoggedPrediction, whole_window: bool
) -> list[ViewRead]:
    """The views that the model reads, in its order."""
    out = []
    for i, view in enumerate(run.app.views_of(model)):
        version = p.versions[VERSION_BYTES * i : VERSION_BYTES * (i + 1)]
        out.append(_Reading(run, model, view, p).read(version, whole_window))
    return out


class _Reading:
    """Of one view's row by one prediction."""

    def __init__(self, run: OpenedRun, model: Model, view: View, p: LoggedPrediction) -> None:
        self._run, self._model, self._view, self._p = run, model, view, p
        self._clean = run.app.clean_log_of(view)
        self._as_of = int(p.fixed["asked_at"])

    def read(self, version: bytes, whole_window: bool) -> ViewRead:
        values = self._values()
        key = self._key()
        if version == NO_VERSION and not self._is_the_first_of_all(key, values):
            return self._told(key, values, note=self._without_row(values))
        place: Version = struct.unpack(">qq", version)
        with ExitStack() as stack:
            found = self._place(stack, key, place, values)
            if isinstance(found, str):
                return self._told(key, values, place, note=found)
            spans, key = found
            events = self._events(spans, key, place, None)
            newest = next((e for e in events if e.version == place), None)
            if newest is None:
                return self._told(key, values, place, note=self._gone())
            window = self._window(spans, key, newest, values) if whole_window else None
        age = self._as_of - max(e.t for e in events)
        note = ""
        if age < 0:
            note = "the row had seen events later than the question"
        elif 0 < self._view.max_age_ms < age:
            note = (
                f"older than max_age={self._view.max_age}, so its values were missing to the model"
            )
        return self._told(
            key, values, place, spans.partition, age, self._source(newest), window, note
        )

    def _gone(self) -> str:
        return f"{self._clean} does not hold the row's event any more"

    def _window(
        self,
        spans: PartitionSpans,
        key: str,
        newest: CleanEvent,
        values: Mapping[str, float | None],
    ) -> Window:
        since, why = self._reach()
        events = self._events(spans, key, newest.version, min(since, newest.t))
        shown = [
            WindowEvent(e.topic, e.partition, e.offset, e.t, e.fields)
            for e in events
            if e.t >= since
        ]
        return Window(since, why, agrees(self._view, events, self._as_of, values), shown)

    def _told(
        self, key: str | None, values: dict[str, float | None], place: Version | None = None, partition: int | None = None,
        age: int | None = None, newest: SourceEvent | None = None, window: Window | None = None, note: str = "",
    ) -> ViewRead:  # fmt: skip
        v = self._view
        told = {
            f: str(a)
            for f, a in v.features.items()
            if f"{v.name}.{f}" in self._model.vectors.numbers
        }
        bound = v.max_age_ms or None
        return ViewRead(
            v.name,
            list(v.keys),
            key,
            values,
            told,
            self._clean,
            partition,
            place,
            age,
            bound,
            newest,
            window,
            note,
        )

    def _values(self) -> dict[str, float | None]:
        """Its features as the vector has them."""
        numbers = dict(zip(self._model.vectors.numbers, self._p.fixed["numbers"].tolist()))
        refs = [
            f
            for f in self._model.features
            if isinstance(f, FeatureRef) and f.view == self._view.name
        ]
        return {f.feature: x if (x := numbers[f.name]) == x else None for f in refs}

    def _key(self) -> str | None:
        """The row's key, where all its fields are among the prediction's categories."""
        names = self._model.vectors.categories
        texts = dict(zip(names, parts_of(self._p.categories)))
        if not all(k in names for k in self._view.keys):
            return None
        return key_of([texts[k] for k in self._view.keys])

    def _is_the_first_of_all(self, key: str | None, values: dict[str, float | None]) -> bool:
        """Whether a version of zeros is no lack of a row, but the log's very first row."""
        if key is None or all(x is None for x in values.values()):
            return False
        with PartitionSpans(
            self._run.log, self._clean, partition_of(key, self._view.topic.partitions)
        ) as spans:
            return key_at(spans, (0, 0)) == key

    def _without_row(self, values: dict[str, float | None]) -> str:
        if any(x is not None for x in values.values()):
            return "no row was read: the request brought these values itself"
        unknown = "no row was read: nothing was known of this key then"
        return unknown if any(self._p.versions) else f"{unknown}, or the store could not be reached"

    def _place(
        self, stack: ExitStack, key: str | None, place: Version, values: Mapping[str, float | None]
    ) -> tuple[PartitionSpans, str] | str:
        """The clean partition that made the row, and its key; or why that cannot be told. A key
        that was not logged is told by the row at this version: of several partitions', by the one
        whose events make the values served."""
        n = self._view.topic.partitions
        if key is not None:
            return stack.enter_context(
                PartitionSpans(self._run.log, self._clean, partition_of(key, n))
            ), key
        opened = [
            stack.enter_context(PartitionSpans(self._run.log, self._clean, p)) for p in range(n)
        ]
        found = [(spans, its) for spans in opened if (its := key_at(spans, place)) is not None]
        if len(found) > 1:
            found = [(spans, its) for spans, its in found if self._fits(spans, its, place, values)]
        if len(found) == 1:
            return found[0]
        if not found:
            return self._gone()
        keys = ", ".join(repr(k) for _, k in found)
        return (
            f"{', '.join(self._view.keys)} is no category of the model, so the key was not logged; the rows of {keys} have "
            f"this version, each in a partition of its own, and the same values"
        )

    def _fits(
        self, spans: PartitionSpans, key: str, place: Version, values: Mapping[str, float | None]
    ) -> bool:
        newest = self._events(spans, key, place, None)[-1]
        return self._window(spans, key, newest, values).agrees is not False

    def _events(
        self, spans: PartitionSpans, key: str, place: Version, since_ms: int | None
    ) -> list[CleanEvent]:
        topic = self._view.topic
        origins = [(topic.name, p) for p in self._source_partitions()]
        return events_of(spans, key, place, since_ms, origins, self._lateness_ms())

    def _source_partitions(self) -> list[int]:
        """Also those that were added since it was declared."""
        source = self._run.app.log_of(self._view.topic.name)
        return sorted(self._run.log.bounds(source).spans)

    def _lateness_ms(self) -> int:
        """The largest that its topic has had: as declared, and as intake recorded its changes."""
        topic, url = self._view.topic, self._run.settings.checkpoints_url
        source = self._run.app.log_of(topic.name)
        had = [topic.freshness.ms("lateness")]
        for p in self._source_partitions():
            had += [
                changed[1]
                for changed in kept_by_run.settings_of(self._run.log, url, topic, source, p)
            ]
        return max(had)

    def _reach(self) -> tuple[int, str]:
        """From when on events are in the row's longest window as of the question, and which that
        is."""
        v, tile = self._view, self._view.plan.tile_ms
        windows = [a for a in v.features.values() if isinstance(a, WindowAggregate)]
        halves = [a.half_life_ms for a in v.features.values() if isinstance(a, DecayedMean)]
        if windows:
            longest = max(windows, key=lambda a: a.over_ms)
            since = (self._as_of // tile - v.plan.tiles + 1) * tile
            more = (
                "; decayed means and last values may reach further back"
                if len(windows) < len(v.features)
                else ""
            )
            return (
                since,
                f"the longest window, {text_of(longest.over_ms)} in tiles of {text_of(tile)}{more}",
            )
        if halves:
            return self._as_of - HALF_LIVES * max(
                halves
            ), f"{HALF_LIVES} half-lives of {text_of(max(halves))}"
        return self._as_of - (v.max_age_ms or 0), "the view has no window" + (
            ", but a max_age" if v.max_age_ms else ""
        )

    def _source(self, e: CleanEvent) -> SourceEvent:
        """The record that the event was published as."""
        topic = self._view.topic
        name = self._run.app.log_of(topic.name)
        try:
            with PartitionSpans(self._run.log, name, e.partition) as spans:
                found = spans.record(e.offset)
                value = bytes(found.value) if found is not None else b""
        except LogError:
            found = None
        if found is None:
            return SourceEvent(e.topic, e.partition, e.offset, e.t, None, None, e.fields)
        try:
            fields: dict[str, Any] | None = EventReader(topic, self._run.earlier(topic)).read(
                value, found.time_ms
            )
        except Misfit:  # its rules have changed since
            fields = None
        return SourceEvent(e.topic, e.partition, e.offset, e.t, found.time_ms, fields, e.fields)
