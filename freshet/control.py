"""The `control` role: gathers the status from what everybody says, serves its page, and ticks quiet logs when live."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import structlog
import uvicorn

from freshet.roles import Context
from freshet.serve import Reporter, announce
from schemas import messages
from schemas.blocks import tick_record
from schemas.errors import LogError
from serving import dashboard
from serving.board import Board
from serving.history import History
from serving.http_server import address_of, bind
from streams.follower import Follower
from streams.operator import own_facts

log = structlog.get_logger()
OBSERVE_SECONDS = 1.0
TICK_SECONDS = 1.0
GATHER_SECONDS = 0.25


def run(ctx: Context) -> None:
    """Serve the page until stopped."""
    app = ctx.app
    history = History()
    board = Board(app.name, app.topics, app.views, app.models, history, ctx.settings.replay)
    threads = [threading.Thread(target=_gather, args=(ctx, board), daemon=True)]
    if not ctx.settings.replay:
        threads.append(threading.Thread(target=_tick, args=(ctx,), daemon=True))
    for t in threads:
        t.start()
    sock = bind(ctx.settings.host, ctx.settings.status_port)
    config = uvicorn.Config(
        dashboard.app(board.status, history), log_config=None, access_log=False, lifespan="off", ws="none"
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_end_with, args=(ctx, server), daemon=True).start()
    announce(ctx, "status", address_of(sock))
    asyncio.run(server._serve([sock]))
    for t in threads:
        t.join(5.0)


def _end_with(ctx: Context, server: uvicorn.Server) -> None:
    ctx.stop.wait()
    server.should_exit = True


def _gather(ctx: Context, board: Board) -> None:
    """Follow the control log and the examples logs; observe once a second."""
    follower = Follower(ctx.log, *ctx.app.channels)
    logs = {ctx.app.examples_log_of(m): m.name for m in ctx.app.models}
    examples = ctx.log.reader(list(logs), None) if logs else None
    reporter, observed_at = Reporter(ctx), 0.0
    while not ctx.stop.is_set():
        try:
            ctx.stop.wait(GATHER_SECONDS)  # what came meanwhile is taken in together
            for m in follower.poll(0.0):
                board.note(m)
            for batch in examples.poll(10_000, 0.0) if examples is not None else ():
                board.learn_outcomes(logs[batch.topic], batch)
        except LogError as error:
            log.warning("log is away; the status stands still", error=str(error))
            ctx.stop.wait(1.0)
        if time.monotonic() - observed_at >= OBSERVE_SECONDS:
            observed_at = time.monotonic()
            board.observe()
            now = time.time_ns() // 1_000_000
            reporter.tell(messages.Status("control", f"{ctx.name}/0", os.getpid(), now, own_facts()))


def _tick(ctx: Context) -> None:
    """Live: one tick a second into every source partition, so that quiet ones move on."""
    writer = ctx.log.writer()
    while not ctx.stop.wait(TICK_SECONDS):
        now = time.time_ns() // 1_000_000
        try:
            for topic in ctx.app.topics:
                for p in range(topic.partitions):
                    writer.append(ctx.app.log_of(topic.name), p, [tick_record(now)], now)
            writer.flush()
        except LogError as error:
            log.warning("log is away; no ticks meanwhile", error=str(error))
