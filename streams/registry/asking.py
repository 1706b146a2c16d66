"""Asks a registry what ids stand for, in a thread of its own: whoever needs an answer waits for it
a moment, and goes on with other things while the registry is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from freshet.schemas.errors import RegistryError, RequestError, SchemaError
from freshet.schemas.registry.address import RegistryAddress
from freshet.schemas.registry.client import Reference, Registered, RegistryClient
from freshet.schemas.registry.writers import CAUSE, as_written, writer_of
from freshet.streams.registry.turns import Asked, Turns

PATIENCE_SECONDS = 3.0  # for an answer, longer than an unknown id takes
# Registries of several servers learn of a new id one after the other: no is believed if it is said
# twice.
GRACE_SECONDS = 1.0
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0)


class _Failed(NamedTuple):
    """What came of asking for an id, and how often in a row."""

    times: int
    error: RegistryError


class Asking:
    """Of one process; used by one thread beside its own.

    One id is asked for at a time, and its answer is there at once: one that the registry cannot
    answer, or a thousand that it does not know, keep no other waiting."""

    def __init__(self, address: RegistryAddress) -> None:
        self._client = RegistryClient(address)
        self._changed = threading.Condition()
        self._turns = Turns()
        self._wanted: set[Asked] = set()
        self._answers: dict[Asked, Mapping[str, Any] | None] = {}
        self._failed: dict[Asked, _Failed] = {}
        self._denied: set[Asked] = set()
        self._kept: dict[Asked, Mapping[str, Any]] = {}
        self._looks_failed = 0
        self._look_due = 0.0
        self._fault: Exception | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def answers(self, subject: str, ids: Iterable[int]) -> dict[int, Mapping[str, Any] | None]:
        """The schema that each id stands for, as it is kept; None for one that the registry does
        not know.

        Raises:
            RegistryError: the registry is away, or has not answered yet; it is asked on.
        """
        asked = {Asked(subject, schema_id) for schema_id in ids}
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._changed:
            self._want(asked - self._answers.keys() - self._wanted)
            while not asked <= self._answers.keys():
                left_seconds = deadline - time.monotonic()
                if self._fault is not None:
                    raise self._fault
                failed = sorted(asked & self._failed.keys())
                if failed:
                    raise self._failed[failed[0]].error
                if left_seconds <= 0:
                    raise RegistryError(
                        self._client.name,
                        f"has not answered within {PATIENCE_SECONDS:.0f} s",
                        "Wait; if it lasts, see the registry's own log.",
                    )
                self._changed.wait(left_seconds)
            return {each.schema_id: self._answers.pop(each) for each in asked}

    def look_at(self, subject: str, kept: Mapping[int, Mapping[str, Any]]) -> None:
        """See once, when there is time, that the registry still says what is kept of ids."""
        with self._changed:
            self._kept |= {Asked(subject, number): raw for number, raw in kept.items()}
            if self._kept:
                self._start()
                self._changed.notify_all()

    def check(self) -> None:
        """Raises what was found out meanwhile that nobody can go on with: a `SchemaError` where an
        id is another schema by now."""
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """Ask no more."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._client.close()

    def _want(self, more: set[Asked]) -> None:
        self._wanted |= more
        for asked in more:
            self._turns.add(asked, due=0.0)
        self._start()
        # It may be in a pause because of others.
        self._changed.notify_all()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="registry", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                asked, kept = self._next()
                if asked is not None and kept is None:
                    self._ask(asked)
                elif asked is not None and kept is not None:
                    self._look(asked, kept)
        except Exception as fault:  # told to whoever waits, who would wait for ever
            with self._changed:
                self._fault = fault
                self._changed.notify_all()

    def _next(self) -> tuple[Asked | None, Mapping[str, Any] | None]:
        """What is to be asked now; where nothing is, what to look at once more, and what is kept of
        that. Nothing once it is closed."""
        with self._changed:
            while not self._closed.is_set():
                now = time.monotonic()
                asked = self._turns.take(now)
                if asked is not None:
                    return asked, None
                if self._kept and self._look_due <= now:
                    return next(iter(self._kept.items()))
                self._changed.wait(self._pause_seconds(now))
        return None, None

    def _pause_seconds(self, now: float) -> float | None:
        """Until something is due; None where nothing will be before more is wanted."""
        due = [moment for moment in (self._turns.next_due,) if moment is not None]
        if self._kept:
            due.append(self._look_due)
        if not due:
            return None
        return max(min(due) - now, 0.0)

    def _ask(self, asked: Asked) -> None:
        try:
            found = self._schema(asked)
        except RegistryError as error:
            self._fails(asked, error)
            return
        with self._changed:
            if found is None and asked not in self._denied:
                self._denied.add(asked)
                self._turns.add(asked, time.monotonic() + GRACE_SECONDS)
                return
            self._answers[asked] = found
            self._wanted.discard(asked)
            self._denied.discard(asked)
            self._failed.pop(asked, None)
            self._changed.notify_all()

    def _fails(self, asked: Asked, error: RegistryError) -> None:
        with self._changed:
            times = 0
            if asked in self._failed:
                times = self._failed[asked].times
            self._failed[asked] = _Failed(times + 1, error)
            self._turns.add(asked, time.monotonic() + _pause_after(times))
            self._changed.notify_all()

    def _look(self, asked: Asked, kept: Mapping[str, Any]) -> None:
        """Raises `SchemaError` where the registry says another schema by now. One that it no longer
        knows was deleted, which changes nothing."""
        try:
            found = self._schema(asked)
        except RegistryError:
            # Nobody waits for what is only looked at once more.
            self._look_due = time.monotonic() + _pause_after(self._looks_failed)
            self._looks_failed += 1
            return
        if found is not None and not _agree(found, kept):
            raise SchemaError(
                f"{asked.schema_id} (subject {asked.subject})",
                f"is another one in the registry {self._client.name} than it was when records "
                "under it were first read: it was set up anew, or is not the same registry",
                "Name the registry that it was, or start the run in a new folder.",
            )
        self._looks_failed = 0
        with self._changed:
            del self._kept[asked]

    def _schema(self, asked: Asked) -> Mapping[str, Any] | None:
        found = self._client.schema(asked.schema_id)
        if found is None:
            return None
        try:
            version = self._client.version_of(asked.schema_id, asked.subject)
        except RegistryError:
            version = None  # only told to people: older registries do not say it
        return writer_of(asked.schema_id, version, found, self._referred)

    def _referred(self, reference: Reference) -> Registered:
        try:
            return self._client.version(reference.subject, reference.version).schema
        except RequestError as error:
            raise SchemaError(
                f"reference {reference.name}",
                f"refers to version {reference.version} of subject {reference.subject}, which the "
                "registry does not have",
                "Register that.",
            ) from error


def _pause_after(failures: int) -> float:
    """In seconds."""
    return PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS) - 1)]


def _agree(found: Mapping[str, Any], kept: Mapping[str, Any]) -> bool:
    """By what bytes depend on: another version of freshet may have kept more. What could not be
    read, since a reference was not there, say, contradicts nothing."""
    return CAUSE in found or CAUSE in kept or as_written(found) == as_written(kept)
