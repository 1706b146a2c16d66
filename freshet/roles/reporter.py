"""What a role that serves tells others: its messages on the logs of the app, and the address it
listens on."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import structlog

from freshet.roles.context import Context
from freshet.schemas.errors import LogError
from freshet.schemas.whole_files import write_whole
from freshet.schemas.wire.messages import Message
from freshet.streams.clock import wall_now_ms
from freshet.streams.control.channels import send
from freshet.streams.log.contract import Writer
from freshet.streams.vitals.metrics_server import reachable

log = structlog.get_logger()


class Reporter:
    """Tells the app's logs of messages; used by the loader's, the prediction log's and the status
    thread."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._lock = threading.Lock()
        self._writer: Writer | None = None

    def tell(self, *told: Message) -> None:
        """Never raises: what cannot be sent is dropped. Figures are told again a second later; a
        swap is not, and the page shows the snapshot before it until the next one."""
        try:
            self.say(told)
        except LogError as error:
            log.warning("the log is away; this message is dropped", error=str(error))

    def say(self, told: Sequence[Message]) -> None:
        """Raises `LogError` if it cannot be sent."""
        with self._lock:
            try:
                self._writer = self._writer or self._ctx.log.writer()
                send(self._writer, self._ctx.app.channels, told, wall_now_ms())
            except LogError:
                # A writer that failed may hold what it could not send: the next message gets
                # another.
                self._writer = None
                raise


def announce(ctx: Context, what: str, address: str) -> None:
    """Where this role listens, for whoever started it."""
    log.info("listening", address=address)
    ctx.vitals.metrics = reachable(address)
    # Last: to whoever waits for this file, it says that the role listens.
    write_whole(ctx.settings.run_dir / f"{what}.address", address.encode())
