"""The prediction log's near end: requests hand their predictions over and go on; one thread gets
them into the log.

The spool is bounded. While the log is away it fills up; what then still comes is counted as lost
and leaves a gap in the sequence, but no answer ever waits. A killed scorer loses what its thread
had not flushed: `linger_seconds` and one flush."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from freshet.schemas.errors import DefinitionError, LogError
from freshet.schemas.sizes import READ_BYTES
from freshet.schemas.wire.messages import Logged
from freshet.streams.log.contract import Writer
from freshet.streams.log.errors import RecordTooLarge
from freshet.streams.operators.task import Append

log = structlog.get_logger()
T = TypeVar("T")
LONGEST_LINGER_SECONDS = 0.05
SPOOL_BYTES = 4 * READ_BYTES  # rows may be small or large: the spool is bounded in both
FIRST_RETRY_SECONDS = 0.01
LAST_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Spooled(Generic[T]):
    """`n` predictions, numbered `first` to `first + n - 1`, made at `time_ms` on the app's clock;
    about `size` bytes."""

    first: int
    n: int
    time_ms: int
    rows: T
    size: int = 0


Pack = Callable[[Sequence[Spooled[T]]], Iterable[Append]]


class PredictionLog(Generic[T]):
    """Spools predictions and flushes them on a thread of its own.

    `pack` turns what was spooled, in order, into records (on that thread, so encoding never delays
    a request); `on_logged` is called there after every flush. A flush that failed may have been
    done in part: its records are written again, and readers drop what they have by origin and
    sequence."""

    def __init__(
        self,
        instance: str,
        open_writer: Callable[[], Writer],
        pack: Pack[T],
        on_logged: Callable[[Logged], None],
        capacity: int = 200_000,
        linger_seconds: float = 0.0,
    ) -> None:
        if not (capacity >= 1 and 0 <= linger_seconds <= LONGEST_LINGER_SECONDS):
            raise DefinitionError(
                f"prediction log with capacity={capacity}, linger_seconds={linger_seconds}",
                "out of range",
                f"Use at least 1 row and at most {LONGEST_LINGER_SECONDS} s.",
            )
        self._instance = instance
        self._open = open_writer
        self._pack = pack
        self._on_logged = on_logged
        self._capacity = capacity
        self._linger = linger_seconds
        self._spool: deque[Spooled[T]] = deque()
        # rows spooled or being flushed; the next number; rows lost
        self._held = self._next = self._lost = 0
        self._held_bytes = 0
        self._news = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Predictions that came while the spool was full."""
        return self._lost

    @property
    def held(self) -> int:
        """Predictions that are not in the log yet."""
        return self._held

    def append(self, rows: T, n: int, time_ms: int, size: int = 0) -> int:
        """Hand over `n` predictions, of about `size` bytes; returns the number of the first. Costs
        some microseconds and never waits for the log."""
        with self._news:
            first = self._next
            self._next += n
            full = self._held + n > self._capacity or self._held_bytes + size > SPOOL_BYTES
            if full or self._closing.is_set():
                self._lost += n
            else:
                self._held += n
                self._held_bytes += size
                self._spool.append(Spooled(first, n, time_ms, rows, size))
                self._news.notify()
        return first

    def close(self, seconds: float = 5.0) -> None:
        """Flush what is spooled, for at most `seconds`; later appends count as lost."""
        with self._news:
            self._closing.set()
            self._news.notify()
        self._thread.join(seconds)
        if self._held:
            log.warning("predictions were not logged", instance=self._instance, rows=self._held)

    def _run(self) -> None:
        writer: Writer | None = None
        while taken := self._take():
            writer = self._flush(taken, writer)
        if writer is not None:
            writer.close()

    def _take(self) -> list[Spooled[T]]:
        """Everything spooled, once there is something; nothing at the end."""
        with self._news:
            while not self._spool and not self._closing.is_set():
                self._news.wait()
        if self._linger:
            self._closing.wait(self._linger)
        with self._news:
            taken = list(self._spool)
            self._spool.clear()
        return taken

    def _flush(self, taken: list[Spooled[T]], writer: Writer | None) -> Writer | None:
        """Append and flush until it is done, or closing ran out of patience. Returns the writer, if
        it still works."""
        rows = sum(x.n for x in taken)
        wait = FIRST_RETRY_SECONDS
        try:
            records = list(self._pack(taken))
        except Exception:  # a fault of ours must not end the thread, and with it all logging
            log.exception("predictions could not be packed", instance=self._instance, rows=rows)
            self._settle(taken, rows)
            return writer
        while True:
            try:
                writer = writer or self._open()
                for r in records:
                    writer.append(r.topic, r.partition, r.values, r.time_ms)
                writer.flush()
                break
            except RecordTooLarge as error:
                # It never will be taken, and what comes after it must not wait for that.
                what = "predictions are too large for the log"
                log.error(what, instance=self._instance, rows=rows, error=str(error))
                _forget(writer)
                self._tell(taken, rows)
                return None
            except LogError as error:
                log.warning(
                    "predictions wait for the log",
                    instance=self._instance,
                    rows=rows,
                    error=str(error),
                )
                _forget(writer)
                writer = None
                if self._closing.is_set() and wait >= LAST_RETRY_SECONDS:
                    return None
                if not self._closing.wait(wait):
                    wait = min(2 * wait, LAST_RETRY_SECONDS)
                else:  # asked to end: some more tries, quickly
                    time.sleep(FIRST_RETRY_SECONDS)
                    wait *= 2
        self._tell(taken, 0)
        return writer

    def _tell(self, taken: Sequence[Spooled[T]], lost: int) -> None:
        """Up to the last of these the log has all that it will have."""
        lost_in_all = self._settle(taken, lost)
        self._on_logged(Logged(self._instance, taken[-1].first + taken[-1].n - 1, lost_in_all))

    def _settle(self, taken: Sequence[Spooled[T]], lost: int) -> int:
        """These are no longer held. Returns how many rows are lost in all."""
        with self._news:
            self._held -= sum(x.n for x in taken)
            self._held_bytes -= sum(x.size for x in taken)
            self._lost += lost
            return self._lost


def _forget(writer: Writer | None) -> None:
    """Close a writer that failed, so that it does not send what it still holds a second time."""
    if writer is not None:
        try:
            writer.close()
        except LogError as error:
            log.debug("a failed writer did not close", error=str(error))
