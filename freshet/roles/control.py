"""The `control` role: gathers the status from what everybody says, and serves its page. Nobody
waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import structlog
import uvicorn

from freshet.declared.lineages import Lineages
from freshet.retention import check_change
from freshet.roles import plans
from freshet.roles.context import Context
from freshet.roles.gathering import Gathering
from freshet.roles.interface import VERSION, catalogue_of
from freshet.roles.names import Members
from freshet.roles.reporter import Reporter, announce
from freshet.runs import children
from freshet.schemas.errors import LogError
from freshet.schemas.topics.settings import changed
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire import messages
from freshet.serving.alerts.alerts import Alerts
from freshet.serving.board.board import Board
from freshet.serving.docs import routes as http_docs
from freshet.serving.edge.hosts import hosts_of
from freshet.serving.edge.serving import configured, end_with
from freshet.serving.edge.sockets import address_of, bind
from freshet.serving.inputs.decisions import Decisions
from freshet.serving.page import api as operator_api
from freshet.serving.page import app as dashboard
from freshet.serving.page import values as http_values
from freshet.serving.status import history_file, reports_file
from freshet.serving.status import metrics as status_metrics
from freshet.serving.status.history import History
from freshet.serving.status.reports_file import KeptReports
from freshet.serving.values import served_file
from freshet.serving.values.book import Book
from freshet.serving.web.metrics import metrics_route, targets_route
from freshet.streams.clock import wall_now_ms
from freshet.streams.control.channels import shorten
from freshet.streams.control.switches import Switches, turn
from freshet.streams.log.errors import OutOfRange
from freshet.streams.vitals.metrics import families, text_of
from freshet.versions.shown import how_far

log = structlog.get_logger()
OBSERVE_SECONDS = 1.0
GATHER_SECONDS = 0.25
SAVE_SECONDS = 30.0
# They are larger, and what is not saved is read again.
SAVE_STATISTICS_SECONDS = 300.0


def run(ctx: Context) -> None:
    """Serve the page until stopped."""
    app = ctx.app
    history = History()
    history_file.restore(ctx.settings.shared_url, app.name, history)
    declared = plans.declared(app, ctx.settings.snapshot_every)
    topics = [replace(t, freshness=declared[t.name]) for t in app.topics]
    board = Board(app.name, topics, app.views, app.models, history, ctx.settings.replay)
    lineages = Lineages(app, ctx.settings.checkpoints_url)
    board.own_outages = ctx.vitals.outages.current
    board.switches = lambda: ctx.switches.current
    board.children = lambda: children.read(ctx.settings.local_path)
    is_member = Members(lambda: lineages.app)
    board.belongs = lambda name: is_member(name) and not children.made_room(name, board.children())
    board.applying = partial(how_far, ctx.settings.local_path)
    reporter = Reporter(ctx)
    decisions = Decisions(app.models)
    alerts = Alerts(app.name, ctx.settings.alert_webhook)
    board.alerts = alerts.observe
    book = Book(app.name, topics)
    book.restore(ctx.settings.shared_url)
    board.statistics = book.figures
    board.served_before = served_file.restored(ctx.settings.shared_url, app.name)
    board.reports_before = reports_file.restored(ctx.settings.shared_url, app.name)

    def set_topic(topic: str, changes: Mapping[str, str], by: str) -> None:
        for outage in ctx.vitals.outages.current():
            if outage.component in ("log", "disk"):  # it would wait for as long as the outage lasts
                raise LogError(
                    outage.resource,
                    f"is away: {outage.cause}",
                    "Set it again once the log is back.",
                )
        found = {t.name: Freshness(**(t.declared | t.settings)) for t in board.status().topics}
        for key, value in changes.items():
            found[topic] = changed(found[topic], key, value)
        check_change(app.topics, app.models, found)
        now = wall_now_ms()
        reporter.say(
            [messages.Setting(topic, key, value, by, now) for key, value in changes.items()]
        )
        log.info("settings changed", topic=topic, by=by, **changes)

    def turned(name: str, on: bool, by: str) -> Switches:
        log.warning("switch turned", switch=name, on=on, by=by)
        return turn(ctx.settings.local_path, name, on, by)

    def metrics() -> bytes:
        own = ctx.vitals.status()
        of_app = board.status()
        return text_of([*families(app.name, own), *status_metrics.families(of_app)])

    beside = [
        *operator_api.routes(board.status, set_topic, turned),
        *http_values.routes(book, board.status),
        metrics_route(metrics),
        targets_route(board.status),
    ]
    described = http_docs.routes(VERSION, catalogue_of(app), beside, protocol=False)
    threads = [
        ctx.thread(_gather, ctx, Gathering(ctx.log, app, board, lineages, decisions), reporter),
        ctx.thread(_save_history, ctx, history, board),
        ctx.thread(_read_statistics, ctx, book),
        ctx.thread(_save_served, ctx, board),
        ctx.thread(_report, ctx, reporter),
    ]
    sock = bind(ctx.settings.host, ctx.settings.status_port)
    hosts = hosts_of(ctx.settings.host, ctx.settings.allowed_hosts)
    page = dashboard.app(board.status, history, [*beside, *described], hosts)
    server = uvicorn.Server(configured(page))

    def end() -> None:
        server.should_exit = True

    end_with(ctx.stop, end)
    announce(ctx, "status", address_of(sock))
    asyncio.run(server._serve([sock]))
    for t in threads:
        t.join(5.0)
    alerts.close()


def _report(ctx: Context, reporter: Reporter) -> None:
    """Apart from who gathers: what is told waits while the log's disk is full, and the page must
    say so."""
    while not ctx.stop.wait(OBSERVE_SECONDS):
        reporter.tell(ctx.vitals.status({}))


def _read_statistics(ctx: Context, book: Book) -> None:
    """Apart from who gathers: what hours are compared with takes its time, and a status does not
    wait for it."""
    saved_at = time.monotonic()
    while not ctx.stop.is_set():
        try:
            if not book.take(ctx.log, ctx.app.statistics_log):
                ctx.stop.wait(OBSERVE_SECONDS)
        except LogError as error:
            log.warning("log is away; statistics stand still", error=str(error))
            ctx.stop.wait(1.0)
        if time.monotonic() - saved_at >= SAVE_STATISTICS_SECONDS:
            saved_at = time.monotonic()
            book.save(ctx.settings.shared_url)
    book.save(ctx.settings.shared_url)


def _save_served(ctx: Context, board: Board) -> None:
    """Now and then, and in the end."""
    while not ctx.stop.wait(SAVE_STATISTICS_SECONDS):
        served_file.save(ctx.settings.shared_url, ctx.app.name, board.served())
    served_file.save(ctx.settings.shared_url, ctx.app.name, board.served())


def _save_history(ctx: Context, history: History, board: Board) -> None:
    """Now and then, and in the end. Apart from who gathers: a store of objects that is away takes
    its time to be so."""
    while not ctx.stop.wait(SAVE_SECONDS):
        saved = save_gathered(ctx.settings.shared_url, ctx.app.name, history, board)
        if saved is None:
            continue
        try:
            shorten(
                ctx.log,
                ctx.app.reports_log,
                saved.identity,
                saved.position,
                saved.held,
            )
        except LogError as error:
            log.warning("the log of reports is not shortened", error=str(error))
    save_gathered(ctx.settings.shared_url, ctx.app.name, history, board)


def save_gathered(place: str, app: str, history: History, board: Board) -> KeptReports | None:
    """Save what was gathered of reports; None where it is not: then nothing of the log may go."""
    # In this order: of a swap that no log has any more, the history that is saved has the mark.
    reports = board.reports()
    if not history_file.save(place, app, history) or reports is None:
        return None
    if not reports_file.save(place, app, reports):
        return None
    return reports


def _gather(ctx: Context, gathering: Gathering, reporter: Reporter) -> None:
    """Follow what is said; once a second observe, and say what follows of that."""
    observed_at = 0.0
    while not ctx.stop.is_set():
        try:
            ctx.stop.wait(GATHER_SECONDS)  # what came meanwhile is taken in together
            gathering.take()
        except OutOfRange:
            # It stood still while another one read on, and shortened the log: begun again, it goes
            # on with what that one saved.
            raise
        except LogError as error:
            log.warning("log is away; the status stands still", error=str(error))
            ctx.stop.wait(1.0)
        if time.monotonic() - observed_at >= OBSERVE_SECONDS:
            observed_at = time.monotonic()
            reporter.tell(*gathering.observe())
