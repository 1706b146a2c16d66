"""The feature rows that a prediction read, and the events behind them, found by the versions that
it logged."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from freshet.audit import kept as kept_by_run
from freshet.explain.explanation import SourceEvent, ViewRead, Window, WindowEvent
from freshet.explain.row_check import Value, agrees
from freshet.explain.row_events import CleanEvent, Version, events_of, key_at, partition_of
from freshet.explain.search import LoggedPrediction
from freshet.features.aggregates import DecayedMean, DecayedTotal, spans_of
from freshet.features.keeping import FOR_EVER
from freshet.features.stores.contract import VERSION_BYTES
from freshet.features.views.view import FeatureRef, View
from freshet.learners.model import Model
from freshet.runs.opened import OpenedRun
from freshet.schemas.durations import text_of
from freshet.schemas.errors import LogError
from freshet.schemas.events.writer import Misfit
from freshet.schemas.text.keys import key_of, parts_of
from freshet.schemas.topics.digests import shown
from freshet.schemas.topics.reader import EventReader
from freshet.schemas.topics.topic import Topic
from freshet.streams.log.spans import PartitionSpans

KEEPS = 10  # so far back an event is looked for whose row was over
HALF_LIVES = 10  # beyond them an event weighs less than a thousandth
NOT_ASKED = "no row was read: the model read no such view then, or one that was declared otherwise"
NO_VERSION = bytes(VERSION_BYTES)


def view_reads(
    run: OpenedRun, model: Model, prediction: LoggedPrediction, whole_window: bool
) -> list[ViewRead]:
    """The views that the model reads, in its order."""
    out = []
    for view in run.app.views_of(model):
        version = prediction.versions.get(run.app.stored_as(view))
        out.append(_Reading(run, model, view, prediction).read(version, whole_window))
    return out


class _Reading:
    """Of one view's row by one prediction."""

    def __init__(
        self, run: OpenedRun, model: Model, view: View, prediction: LoggedPrediction
    ) -> None:
        self._run = run
        self._model = model
        self._view = view
        self._p = prediction
        self._clean = run.app.clean_log_of(view)
        self._as_of = int(prediction.fixed["asked_at"])

    def read(self, version: bytes | None, whole_window: bool) -> ViewRead:
        values = self._values()
        key = self._key()
        if version is None:
            return replace(self._unread(key, values), note=NOT_ASKED)
        # What is found is put in as it is found, so that what is missing is told with the rest.
        read = self._unread(key, values)
        if version == NO_VERSION and not self._is_the_first_of_all(key, values):
            return replace(read, note=self._without_row(key, values))
        place: Version = struct.unpack(">qq", version)
        read = replace(read, version=place)
        with ExitStack() as stack:
            found = self._place(stack, key, place, values)
            if isinstance(found, str):
                return replace(read, note=found)
            spans, key = found
            read = replace(read, key=key)
            events = self._events(spans, key, place, None)
            newest = next((event for event in events if event.version == place), None)
            if newest is None:
                return replace(read, note=self._gone())
            if whole_window:
                read = replace(read, window=self._window(spans, key, newest, values))
        # By the newest of its events, which need not be the one that came last.
        age = self._as_of - max(event.t for event in events)
        return replace(
            read,
            partition=spans.partition,
            age_ms=age,
            newest=self._source(newest),
            note=self._note(age),
        )

    def _note(self, age_ms: int) -> str:
        if age_ms < 0:
            return "the row had seen events later than the question"
        if 0 < self._view.max_age_ms < age_ms:
            return (
                f"older than max_age={self._view.max_age}, so its values were missing to the model"
            )
        return ""

    def _gone(self) -> str:
        return f"{self._clean} does not hold the row's event any more"

    def _window(
        self,
        spans: PartitionSpans,
        key: str,
        newest: CleanEvent,
        values: Mapping[str, Value],
    ) -> Window:
        since, why = self._reach()
        events = self._events(spans, key, newest.version, min(since, newest.t))
        shown = [
            WindowEvent(
                event.topic,
                event.partition,
                event.offset,
                event.t,
                _told(event),
                self._element(event),
            )
            for event in events
            if event.t >= since
        ]
        return Window(since, why, agrees(self._view, events, self._as_of, values), shown)

    def _unread(self, key: str | None, values: dict[str, Value]) -> ViewRead:
        """What is known without the row."""
        view = self._view
        vectors = self._model.vectors
        read = {*vectors.numbers, *vectors.categories}
        aggregates = {
            name: shown(str(aggregate))
            for name, aggregate in view.features.items()
            if f"{view.name}.{name}" in read
        }
        return ViewRead(
            view=view.name,
            keyed_by=list(view.keys),
            key=key,
            values=values,
            aggregates=aggregates,
            clean_log=self._clean,
            partition=None,
            version=None,
            age_ms=None,
            max_age_ms=view.max_age_ms or None,  # 0 bounds nothing
        )

    def _values(self) -> dict[str, Value]:
        """Its features as the vector has them."""
        numbers = dict(zip(self._model.vectors.numbers, self._p.fixed["numbers"].tolist()))
        refs = [
            feature
            for feature in self._model.read
            if isinstance(feature, FeatureRef) and feature.view == self._view.name
        ]
        texts = self._texts()
        out: dict[str, Value] = {}
        for feature in refs:
            if feature.is_text:
                out[feature.feature] = texts[feature.name]
                continue
            value = numbers[feature.name]
            out[feature.feature] = None
            if not math.isnan(value):
                out[feature.feature] = value
        return out

    def _texts(self) -> dict[str, str | None]:
        """The prediction's categories."""
        names = self._model.vectors.categories
        if not names:
            return {}
        return dict(zip(names, parts_of(self._p.categories)))

    def _key(self) -> str | None:
        """The row's key, where all its fields are among the prediction's categories."""
        names = self._model.vectors.categories
        texts = self._texts()
        if not all(name in names for name in self._view.keys):
            return None
        return key_of([texts[name] for name in self._view.keys])

    def _is_the_first_of_all(self, key: str | None, values: dict[str, Value]) -> bool:
        """Whether a version of zeros is no lack of a row, but the log's very first row."""
        if key is None or all(value is None for value in values.values()):
            return False
        with PartitionSpans(
            self._run.log, self._clean, partition_of(key, self._view.partitions)
        ) as spans:
            return key_at(spans, (0, 0)) == key

    def _without_row(self, key: str | None, values: dict[str, Value]) -> str:
        if any(value is not None for value in values.values()):
            return "no row was read: the request brought these values itself"
        age_ms = self._age_of_row_that_is_over(key)
        if age_ms is not None:
            kept = text_of(self._view.plan.keep_ms)
            return (
                f"no row was read: the newest event of this key was {text_of(age_ms)} old then, "
                f"and rows are kept for {kept}"
            )
        unknown = "no row was read: nothing was known of this key then"
        # One view that has a version says that the store answered.
        if any(version != NO_VERSION for version in self._p.versions.values()):
            return unknown
        return f"{unknown}, or the store could not be reached"

    def _age_of_row_that_is_over(self, key: str | None) -> int | None:
        """How old the newest event of a key was that had been forgotten; None where the log has
        none that is near enough to be looked for."""
        keep_ms = self._view.plan.keep_ms
        if key is None or keep_ms == FOR_EVER:
            return None
        partition = partition_of(key, self._view.partitions)
        with PartitionSpans(self._run.log, self._clean, partition) as spans:
            since = self._as_of - KEEPS * keep_ms
            events = self._events(spans, key, (spans.after, 0), since)
        before = [event.t for event in events if event.t <= self._as_of]
        age_ms = self._as_of - max(before, default=self._as_of)
        return age_ms if age_ms > keep_ms else None

    def _place(
        self, stack: ExitStack, key: str | None, place: Version, values: Mapping[str, Value]
    ) -> tuple[PartitionSpans, str] | str:
        """The clean partition that made the row, and its key; or why that cannot be told. A key
        that was not logged is told by the row at this version: of several partitions', by the one
        whose events make the values served."""
        count = self._view.partitions
        if key is not None:
            partition = partition_of(key, count)
            spans = PartitionSpans(self._run.log, self._clean, partition)
            return stack.enter_context(spans), key
        opened = [
            stack.enter_context(PartitionSpans(self._run.log, self._clean, number))
            for number in range(count)
        ]
        found = [(spans, its) for spans in opened if (its := key_at(spans, place)) is not None]
        # Only then: comparing values reads the whole window of each.
        if len(found) > 1:
            found = [(spans, its) for spans, its in found if self._fits(spans, its, place, values)]
        if len(found) == 1:
            return found[0]
        if not found:
            return self._gone()
        keys = ", ".join(repr(shown) for _, shown in found)
        return (
            f"{', '.join(self._view.keys)} is no category of the model, so the key was not logged; "
            f"the rows of {keys} have this version, each in a partition of its own, and the same "
            "values"
        )

    def _fits(
        self, spans: PartitionSpans, key: str, place: Version, values: Mapping[str, Value]
    ) -> bool:
        newest = self._events(spans, key, place, None)[-1]
        return self._window(spans, key, newest, values).agrees is not False

    def _events(
        self, spans: PartitionSpans, key: str, place: Version, since_ms: int | None
    ) -> list[CleanEvent]:
        origins = [
            (topic.name, partition)
            for topic in self._view.topics
            for partition in self._settled_partitions(topic)
        ]
        return events_of(spans, key, place, since_ms, origins, self._max_future_ms())

    def _settled_partitions(self, topic: Topic) -> list[int]:
        """Of the log that intake settles; also those that were added since it was declared."""
        settled = self._run.app.settled_log_of(topic)
        return sorted(self._run.log.bounds(settled).spans)

    def _max_future_ms(self) -> int:
        """The largest that its topics have had: as declared, and as intake recorded its changes."""
        url = self._run.settings.checkpoints_url
        had = []
        for topic in self._view.topics:
            settled = self._run.app.settled_log_of(topic)
            had.append(topic.freshness.ms("max_future"))
            for partition in self._settled_partitions(topic):
                taken_on = kept_by_run.taken_on(self._run.log, url, topic, settled, partition)
                had += [max_future for _, _, max_future in taken_on.settings]
        return max(had)

    def _reach(self) -> tuple[int, str]:
        """From when on events are in the row's longest window as of the question, and which that
        is."""
        view = self._view
        windows = [window for aggregate in view.features.values() for window in spans_of(aggregate)]
        halves = [
            aggregate.half_life_ms
            for aggregate in view.features.values()
            if isinstance(aggregate, DecayedMean | DecayedTotal)
        ]
        if windows:
            longest = max(windows, key=lambda aggregate: aggregate.over_ms)
            # As the row holds them: the tile of the question is one of them.
            ring = min(view.plan.spans, key=lambda ring: ring.since(self._as_of))
            since = ring.since(self._as_of)
            tile = text_of(ring.width_ms)
            why = f"the longest window, {text_of(longest.over_ms)} in tiles of {tile}"
            if not all(spans_of(aggregate) for aggregate in view.features.values()):
                why += "; decayed means and last values may reach further back"
            return since, why
        if halves:
            longest_ms = max(halves)
            since = self._as_of - HALF_LIVES * longest_ms
            return since, f"{HALF_LIVES} half-lives of {text_of(longest_ms)}"
        if view.max_age_ms:
            return self._as_of - view.max_age_ms, "the view has no window, but a max_age"
        return self._as_of, "the view has no window"

    def _source(self, event: CleanEvent) -> SourceEvent:
        """The record that the event was published as."""
        topic = self._run.app.topic(event.topic)
        name = self._run.app.log_of(topic.name)
        place = (event.topic, event.partition, event.offset, event.t)
        told = (_told(event), self._element(event))
        gone = SourceEvent(*place, None, None, *told)
        try:
            headers = list(topic.headers.values())
            with PartitionSpans(self._run.log, name, event.partition, headers) as spans:
                found = spans.record(event.offset)
                if found is None:
                    return gone
                value = bytes(found.value)  # while it is open: the memory is the reader's
        except LogError:
            return gone
        fields: dict[str, Any] | None = None
        # A record that was taken may not fit any more, once its rules have changed.
        with suppress(Misfit):
            fields = EventReader(topic, self._run.earlier(topic)).read_one(
                value, found.time_ms, found.headers, event.place
            )
        return SourceEvent(*place, found.time_ms, fields, *told)

    def _element(self, event: CleanEvent) -> int | None:
        if self._run.app.topic(event.topic).explode is None:
            return None
        return event.place


def _told(event: CleanEvent) -> dict[str, int | float | str | None]:
    """What the view took of an event, by names without the digests of conditions."""
    return {shown(name): value for name, value in event.fields.items()}
