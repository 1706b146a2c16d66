"""An answer in one write: uvicorn writes its head and its body apart, and each write is a call of
the system and a packet that the client wakes up for."""

from __future__ import annotations

import asyncio
from typing import Any

_HEAD = b"HTTP/1.1 "


class OneWrite(asyncio.Transport):
    """A connection's transport, which keeps the head of an answer back until its body comes, or the
    event loop's next turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._kept = b""

    def write(self, data: Any) -> None:
        if self._kept:
            data = b"".join((self._kept, data))
            self._kept = b""
        elif data.startswith(_HEAD):
            self._kept = data
            # Of a stream the first part may be long in coming, and its client waits for the head.
            self._loop.call_soon(self._let_go)
            return
        self._transport.write(data)

    def _let_go(self) -> None:
        if self._kept:
            self.write(b"")

    def close(self) -> None:
        # Before: a transport that is being closed takes no more.
        self._let_go()
        self._transport.close()

    def abort(self) -> None:
        self._kept = b""
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return len(self._kept) + self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()
