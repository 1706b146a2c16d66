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
from freshet.schemas.registry.writers import as_written, writer_of

PATIENCE_SECONDS = 3.0  # for an answer, longer than an unknown id takes
# Registries of several servers learn of a new id one after the other: no is believed if it is said
# twice.
GRACE_SECONDS = 1.0
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0)


class Asked(NamedTuple):
    """An id as it stands in the records of a topic whose writers register under `subject`."""

    subject: str
    schema_id: int


class Asking:
    """Of one process; used by one thread beside its own."""

    def __init__(self, address: RegistryAddress) -> None:
        self._client = RegistryClient(address)
        self._changed = threading.Condition()
        self._wanted: set[Asked] = set()
        self._answers: dict[Asked, Mapping[str, Any] | None] = {}
        self._kept: dict[Asked, Mapping[str, Any]] = {}
        self._error: RegistryError | None = None
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
            self._wanted |= asked - self._answers.keys()
            self._start()
            self._changed.notify_all()
            while not asked <= self._answers.keys():
                left_seconds = deadline - time.monotonic()
                if self._fault is not None:
                    raise self._fault
                if self._error is not None:
                    raise self._error
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

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="registry", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            wanted, doubted = self._next()
            try:
                self._do(wanted, doubted)
                failures = 0
            except RegistryError as error:
                pause_seconds = PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS) - 1)]
                failures += 1
                # Nobody waits for what is only looked at once more.
                if wanted:
                    self._fails(error)
                self._closed.wait(pause_seconds)
            except Exception as fault:  # told to whoever waits, who would wait for ever
                self._breaks(fault)
                return

    def _next(self) -> tuple[list[Asked], tuple[Asked, Mapping[str, Any]] | None]:
        """What is to be asked now, and what to be looked at once more where nobody asks."""
        with self._changed:
            while not (self._wanted or self._kept or self._closed.is_set()):
                self._changed.wait()
            return sorted(self._wanted), next(iter(self._kept.items()), None)

    def _do(self, wanted: list[Asked], doubted: tuple[Asked, Mapping[str, Any]] | None) -> None:
        if wanted:
            found = self._ask(wanted)
            with self._changed:
                self._error = None
                self._answers |= found
                self._wanted -= found.keys()
                self._changed.notify_all()
        elif doubted is not None:
            self._look(*doubted)
            with self._changed:
                del self._kept[doubted[0]]

    def _look(self, asked: Asked, kept: Mapping[str, Any]) -> None:
        """Raises `SchemaError` where the registry says another schema by now. One that it no longer
        knows was deleted, which changes nothing."""
        found = self._schema(asked)
        # By what bytes depend on: another version of freshet may have kept more.
        if found is None or as_written(found) == as_written(kept):
            return
        raise SchemaError(
            f"{asked.schema_id} (subject {asked.subject})",
            f"is another one in the registry {self._client.name} than it was when records under it "
            "were first read: it was set up anew, or is not the same registry",
            "Name the registry that it was, or start the run in a new folder.",
        )

    def _fails(self, error: RegistryError) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def _breaks(self, fault: Exception) -> None:
        with self._changed:
            self._fault = fault
            self._changed.notify_all()

    def _ask(self, wanted: list[Asked]) -> dict[Asked, Mapping[str, Any] | None]:
        first = {asked: self._schema(asked) for asked in wanted if not self._closed.is_set()}
        doubtful = [asked for asked, found in first.items() if found is None]
        if doubtful and not self._closed.wait(GRACE_SECONDS):
            first |= {asked: self._schema(asked) for asked in doubtful}
        return first

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
