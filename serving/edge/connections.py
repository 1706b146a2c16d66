"""A server's connections: what each waits for, and for how long it may.

A connection is at one of five points. Of a new or an idle one nothing is expected; a head or a body
must be there in time; while a request is answered, it is the server that takes its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from freshet.serving.edge.failures import said
from freshet.serving.edge.limits import Limits
from freshet.serving.edge.one_write import OneWrite

SWEEP_SECONDS = 1.0
_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
}


class Point(Enum):
    """What is expected next on a connection."""

    NEW = "its first request"
    IDLE = "another request"
    HEAD = "the rest of the headers"
    BODY = "the rest of the body"
    ANSWER = "the answer"


QUIET = (Point.NEW, Point.IDLE)
HEADS = (*QUIET, Point.HEAD)


class Held(Protocol):
    """What the register asks of a connection."""

    point: Point
    since: float

    def unsent(self) -> int:
        """Bytes of answers that the client has not taken."""
        ...

    def refuse(self, status: int, text: str) -> None:
        """Answer, if nothing is being answered, and close."""
        ...

    def abort(self) -> None: ...


class Connections:
    """The register of one server's connections, used from its event loop; `now` is the loop's
    clock. `turned_away` is called for each request that is refused before an app hears of it."""

    def __init__(self, limits: Limits, turned_away: Callable[[], None] = lambda: None) -> None:
        self.limits = limits
        self.turned_away = turned_away
        self._open: dict[Held, None] = {}
        # Without a whole request, in the order in which they began to wait.
        self._waiting: dict[Held, None] = {}
        self._stuck: dict[Held, tuple[int, float]] = {}
        self._watched = False

    def __len__(self) -> int:
        return len(self._open)

    def came(self, connection: Held) -> None:
        """There is room for it: whoever has waited longest without a whole request goes, be it the
        new one itself."""
        self._open[connection] = None
        self._waiting[connection] = None
        if len(self._open) > self.limits.connections:
            oldest = next(iter(self._waiting))
            self.went(oldest)
            oldest.abort()

    def waits(self, connection: Held) -> None:
        """Anew: as the last of those that wait."""
        self._waiting.pop(connection, None)
        if connection in self._open:
            self._waiting[connection] = None

    def asks(self, connection: Held) -> None:
        """A whole request is there."""
        self._waiting.pop(connection, None)

    def went(self, connection: Held) -> None:
        for register in (self._open, self._waiting, self._stuck):
            register.pop(connection, None)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sweep once a second, for as long as there is a connection."""
        if not self._watched:
            self._watched = True
            loop.call_later(SWEEP_SECONDS, self._watch_on, loop)

    def _watch_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watched = False
        self.sweep(loop.time())
        if self._open:
            self.watch(loop)

    def sweep(self, now: float) -> None:
        """End what is too slow."""
        for connection in list(self._waiting):
            patience = self._patience(connection.point)
            if now - connection.since <= patience:
                continue
            if connection.point in QUIET:
                # of which nothing was begun: an answer would be taken for that of the next request
                connection.abort()
            else:
                text = f"{connection.point.value} did not come within {patience:g} s"
                connection.refuse(408, f"request: {text}. Send it in one go.")
        for connection in list(self._open):
            if self._takes_nothing(connection, now):
                self.went(connection)
                connection.abort()

    def _patience(self, point: Point) -> float:
        if point is Point.IDLE:
            return self.limits.idle_seconds
        if point is Point.BODY:
            return self.limits.body_seconds
        return self.limits.head_seconds

    def _takes_nothing(self, connection: Held, now: float) -> bool:
        unsent = connection.unsent()
        before, since = self._stuck.get(connection, (0, now))
        if not unsent:
            self._stuck.pop(connection, None)
            return False
        if unsent != before:
            since = now
        self._stuck[connection] = unsent, since
        return now - since > self.limits.stuck_seconds


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, held to the limits of its register."""

    def __init__(self, register: Connections, **given: Any) -> None:
        super().__init__(**given)
        self._register = register
        self._head_bytes = 0
        self._message_bytes = 0
        self._refused = False
        self._answered: RequestResponseCycle | None = None
        self.point = Point.NEW
        self.since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(OneWrite(transport, self.loop))
        self._register.came(self)
        self._register.watch(self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        self._register.went(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # it is being closed; what still comes is not read
        self._message_bytes += len(data)
        super().data_received(data)
        # The parser keeps a header until it is whole, so its parts are counted here.
        if self.point in HEADS and self._message_bytes > self._register.limits.head_bytes:
            self._refuse_head()
        elif self.point is Point.BODY and self._message_bytes > self._register.limits.message_bytes:
            self.refuse(413, "body: is larger than any request's. Send fewer rows a request.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._message_bytes = 0
        self._move(Point.HEAD)
        self._register.waits(self)

    def on_headers_complete(self) -> None:
        """Raising here ends parsing; uvicorn then answers by `send_400_response`."""
        self._head_bytes = len(self.url) + sum(
            len(name) + len(value) for name, value in self.headers
        )
        if self._head_bytes > self._register.limits.head_bytes:
            raise ValueError("headers beyond the limit")
        self._move(Point.BODY)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self.cycle.response_complete:
            self._rest()
        else:
            self._move(Point.ANSWER)
            self._register.asks(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Else it was answered before all of it was here, or the next one has come already.
        if self.point is Point.ANSWER and self.cycle.response_complete:
            self._rest()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP at all, or has headers beyond the limit: that was found while they were
        parsed."""
        if self._head_bytes > self._register.limits.head_bytes:
            self._refuse_head()
        else:
            self.refuse(400, f"request: is no HTTP/1.1 ({msg}) Send what the standard says.")

    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def refuse(self, status: int, text: str) -> None:
        if self._refused:
            return  # once is enough: the parser has found it already
        self._refused = True
        self._register.asks(self)  # it waits for nothing more
        cycle: RequestResponseCycle | None = self.cycle
        answering = cycle is not None and cycle.response_started and not cycle.response_complete
        # Of a request whose body was on its way the app has heard, and counts it itself.
        if cycle is None or cycle.response_complete:
            self._register.turned_away()
        self._let_go()
        if not answering:
            self.transport.write(_whole(status, said(text)))
        self.transport.close()

    def abort(self) -> None:
        self._refused = True
        self._let_go()
        self.transport.abort()

    def _let_go(self) -> None:
        """Who is answering is told now that nobody listens, not when the socket is closed: until
        then it would write."""
        for cycle in (self._answered, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.flow.resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Of several requests that came at once the one that is answered is not the newest."""
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse_head(self) -> None:
        most = self._register.limits.head_bytes
        self.refuse(431, f"headers: are larger than {most} bytes. Send fewer or shorter ones.")

    def _rest(self) -> None:
        self._move(Point.IDLE)
        self._message_bytes = 0
        self._register.waits(self)

    def _move(self, point: Point) -> None:
        self.point = point
        self.since = self.loop.time()


def _whole(status: int, body: bytes) -> bytes:
    head = (
        b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\nconnection: close\r\n\r\n"
    )
    return head % (status, _REASONS[status], len(body)) + body
