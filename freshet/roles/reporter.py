"""What a role that serves tells others: its messages on the logs of the app, and the address it
listens on."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from freshet.roles.context import Context
from freshet.schemas.errors import DiskError, LogError
from freshet.schemas.whole_files import write_whole
from freshet.schemas.wire.messages import Message
from freshet.streams.clock import wall_now_ms
from freshet.streams.control.channels import send
from freshet.streams.disk import is_full, until_there_is_room
from freshet.streams.log.contract import Writer
from freshet.streams.vitals.metrics_server import reachable

log = structlog.get_logger()
UNTOLD = "this role serves, and {} does not say yet where"


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
                send(self._writer, self._ctx.channels, told, wall_now_ms())
            except LogError:
                # A writer that failed may hold what it could not send: the next message gets
                # another.
                self._writer = None
                raise


def announce(ctx: Context, what: str, address: str) -> None:
    """Where this role listens, for whoever started it: told by a thread of its own where the disk
    is full, since the role serves meanwhile."""
    log.info("listening", address=address)
    ctx.vitals.metrics = reachable(address)
    # Last: to whoever waits for this file, it says that the role listens.
    file = ctx.settings.local_path / f"{what}.address"
    try:
        write_whole(file, address.encode())
    except OSError as error:
        if not is_full(error):
            raise
        ctx.thread(_announce_once_there_is_room, ctx, file, address)


def _announce_once_there_is_room(ctx: Context, file: Path, address: str) -> None:
    folder = str(file.parent.absolute())
    # It ends before there is room: nobody is waiting for its address any more.
    with contextlib.suppress(DiskError):
        until_there_is_room(
            lambda: write_whole(file, address.encode()),
            ctx.vitals.outages,
            folder,
            UNTOLD.format(file.name),
        )
