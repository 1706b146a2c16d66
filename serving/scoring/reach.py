"""How requests reach the store: at once where it answers at once, else off the event loop, and not
at all while it is away.

| the store | a request |
|---|---|
| answers within `NEAR_SECONDS` | reads it from the event loop: nothing is quicker |
| takes longer, or must be connected to | reads it on a thread, until a deadline or `FAR_SECONDS` |
| failed, or has not answered in that time | is answered without it |

Meanwhile one probe at a time asks, on a thread, until the store answers.

So what hangs (a stopped server, a network that drops all) costs the event loop `NEAR_SECONDS` once,
and no request more than `FAR_SECONDS`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog

from freshet.features.stores.contract import NotAtOnce, RowKeys, RowReader, Rows, Store
from freshet.schemas.errors import StoreError
from freshet.streams.outages import Outages

log = structlog.get_logger()
NEAR_SECONDS = 0.02  # other requests, /health among them, wait as long
FAR_SECONDS = 1.0  # a machine whose cores are all busy takes half of it, and its store is not away
REST_SECONDS = 1.0
# reads on threads at the same time: of a store that hangs, each keeps its thread until it gives up
READERS = 4
MEANWHILE = "answers come from the highest declared rung that needs no features"


Found = TypeVar("Found")
Read = Callable[[RowReader], Found]


class _Near:
    """The store, for reads that must not wait."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, wanted: Sequence[RowKeys]) -> list[Rows]:
        return self._store.read_at_once(wanted, NEAR_SECONDS)


class Reach:
    """Of one store; `at_once` and `later` are for its event loop, `waiting` for runs without one. A
    read that is answered without the store gets None."""

    def __init__(self, store: Store, outages: Outages | None = None) -> None:
        self.store = store
        self._near = _Near(store)
        self._outages = outages or Outages()
        self._error: StoreError | None = None  # of the outage that lasts
        self._is_far = False
        self._probing = False
        self._readers = ThreadPoolExecutor(READERS, "store")
        self._prober = ThreadPoolExecutor(1, "store-probe")  # never behind readers that hang
        self._since: dict[asyncio.Future[Any], float] = {}
        self.rests_until = 0.0

    @property
    def error(self) -> StoreError:
        """Why the last read was answered without the store, as a new error each time."""
        found = self._error or self._unanswered()
        return StoreError(
            found.resource, found.cause, found.next_step, retry_seconds=round(REST_SECONDS)
        )

    @property
    def is_away(self) -> bool:
        return self._error is not None

    def waiting(self, read: Read[Found]) -> Found | None:
        """As long as the store itself waits; after a failure not again for `REST_SECONDS`."""
        if time.monotonic() < self.rests_until:
            return None
        try:
            found = read(self.store)
        except StoreError as error:
            self._fails(error)
            return None
        self._answers()
        return found

    def at_once(self, read: Read[Found]) -> Found | None:
        """Raises `NotAtOnce` where it must be asked for `later`."""
        if self._error is not None:
            return None
        if self._is_far:
            raise NotAtOnce(self.store.resource, "is asked on a thread", "Ask for it later.")
        try:
            found = read(self._near)
        except NotAtOnce:
            self._is_far = True
            raise
        except StoreError as error:
            self._goes(error, read)
            return None
        self._answers()
        return found

    async def later(self, read: Read[Found], deadline: float | None = None) -> Found | None:
        """On a thread; `deadline` is a moment of `time.monotonic`."""
        if self._error is not None:
            return None
        started = time.monotonic()
        seconds = FAR_SECONDS
        if deadline is not None:
            seconds = min(seconds, max(0.0, deadline - started))
        future = asyncio.get_running_loop().run_in_executor(self._readers, read, self.store)
        self._since[future] = started
        future.add_done_callback(self._ended)
        await asyncio.wait([future], timeout=seconds)
        now = time.monotonic()
        if not future.done():
            # Deadlines shorter than that do not make it look well.
            if now - min(self._since.values()) >= FAR_SECONDS:
                self._goes(self._unanswered(), read)
            return None
        try:
            found = future.result()
        except StoreError as error:
            self._goes(error, read)
            return None
        self._is_far = now - started > NEAR_SECONDS / 2
        self._answers()
        return found

    def close(self) -> None:
        """Reads that hang end by themselves, when the store's own patience does."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._prober.shutdown(wait=False, cancel_futures=True)

    def _ended(self, future: asyncio.Future[Any]) -> None:
        self._since.pop(future, None)
        if not future.cancelled():
            future.exception()  # nobody may wait for it any more

    def _unanswered(self) -> StoreError:
        return StoreError(
            self.store.resource,
            f"has not answered within {FAR_SECONDS:g} s",
            "See whether it is overloaded or stopped, and the network between.",
        )

    def _fails(self, error: StoreError) -> None:
        self.rests_until = time.monotonic() + REST_SECONDS
        self._outages.begin(error, MEANWHILE)

    def _answers(self) -> None:
        self.rests_until = 0.0
        self._error = None
        self._outages.over("store")

    def _goes(self, error: StoreError, read: Read[Found]) -> None:
        """The store is away from now on, until a probe finds it."""
        self._fails(error)
        self._error = error
        if not self._probing:
            self._probing = True
            self._probe_soon(read)

    def _probe_soon(self, read: Read[Found]) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(REST_SECONDS, lambda: loop.create_task(self._probe(read)))

    async def _probe(self, read: Read[Found]) -> None:
        """The read that failed, again."""
        started = time.monotonic()
        try:
            await asyncio.get_running_loop().run_in_executor(self._prober, read, self.store)
        except StoreError as error:
            self._error = error
        except RuntimeError:
            return  # it is closed
        except Exception as error:
            log.warning(
                "a probe of the store failed by what it asked; the store is there", error=str(error)
            )
            started = time.monotonic()
        else:
            self._error = self._error if time.monotonic() - started > FAR_SECONDS else None
        if self._error is not None:
            self._probe_soon(read)
            return
        self._probing = False
        self._is_far = True  # whether it is near again, the next read tells
        self._answers()
