"""Kafka as Faust reaches it, with one promise added: no offset is committed before all that was
sent on the way there is acknowledged.

Faust alone waits for its producer before a commit, but looks at neither the table changes that
still wait in its buffer nor at records that were given up; either would be lost with the next
restart.
"""

from __future__ import annotations

import asyncio
from typing import Any

from faust.transport.drivers import aiokafka

FLUSH_SECONDS = 0.005


class Producer(aiokafka.Producer):  # type: ignore[misc]
    """Raises from `flush`, for ever after, once a record could not be delivered: the worker ends,
    uncommitted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._handing_over = 0
        self._lost: BaseException | None = None

    async def send(self, *args: Any, **more: Any) -> Any:
        self._handing_over += 1
        try:
            delivery = await super().send(*args, **more)
        except Exception as error:
            self._lost = error
            raise
        finally:
            self._handing_over -= 1
        delivery.add_done_callback(self._settled)
        return delivery

    def _settled(self, delivery: Any) -> None:
        if not delivery.cancelled() and delivery.exception() is not None:
            self._lost = delivery.exception()

    async def flush(self) -> None:
        while (self.buffer.size or self._handing_over) and self.buffer.state == "running":
            await asyncio.sleep(FLUSH_SECONDS)
        await super().flush()
        if self._lost is not None:
            raise self._lost


class Transport(aiokafka.Transport):  # type: ignore[misc]
    """Faust's transport with this producer."""

    Producer = Producer
