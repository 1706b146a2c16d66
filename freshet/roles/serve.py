"""The `serve` role: the scorer behind HTTP, a loader that brings in what release settled, and its
reports."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Sequence
from functools import partial

import structlog

from freshet.features.stores.complete_store import CompleteStore, reflected
from freshet.hydration import beginnings
from freshet.learners.snapshots.signing import Verifier
from freshet.roles import plans
from freshet.roles.context import Context, clock_of
from freshet.roles.interface import VERSION, Known, interface
from freshet.roles.reporter import Reporter, announce
from freshet.schemas.errors import ComponentError, LogError
from freshet.schemas.models.manifest import Identity
from freshet.schemas.wire.messages import Inputs, Logged, Settled, Swapped
from freshet.serving.edge.hosts import hosts_of
from freshet.serving.edge.serving import end_with
from freshet.serving.edge.sockets import BACKLOG, bind
from freshet.serving.loading.live_model import LiveModel
from freshet.serving.loading.loader import Loader, Order, Place
from freshet.serving.loading.sidecar_client import Sidecar
from freshet.serving.scoring.lag import FeatureTicks
from freshet.serving.scoring.scorer import Logging, Policy, Scorer
from freshet.serving.web.app import ScorerApp
from freshet.serving.web.metrics import metrics_route
from freshet.serving.web.server import HttpServer
from freshet.streams.control.channels import Follower
from freshet.streams.control.live_settings import LiveSettings
from freshet.streams.control.orders import OrderBook, ordered
from freshet.versions.lags import stored_views
from freshet.versions.turn import Turn

log = structlog.get_logger()
STATUS_SECONDS = 1.0
LOOK_SECONDS = 0.5
# Then it listens all the same, and answers from what its users declared for want of a model.
FIRST_SECONDS = 10.0


def run(ctx: Context) -> None:
    """Serve until stopped."""
    reporter = Reporter(ctx)
    clock = clock_of(ctx)

    def logged(m: Logged) -> None:
        reporter.tell(m)

    live = LiveSettings(plans.declared(ctx.app, ctx.settings.snapshot_every))
    incomplete = beginnings.incomplete(ctx.settings.checkpoints_url, ctx.app)
    models = [
        (m, plans.vector_plan(ctx.app, m, incomplete), ctx.app.outcomes_log_of(m))
        for m in ctx.app.models
    ]
    stored = plans.stored_partitions(ctx.app)
    store = CompleteStore(ctx.store(), stored)
    # of its own: a request that waits for the store must not keep its age from being seen
    marks = ctx.store()
    policy = Policy(
        models_answer=lambda: ctx.switches.current.answer.on,
        freshness=live.of,
        outages=ctx.vitals.outages,
        reflected=lambda: reflected(marks, stored),
    )
    scorer = Scorer(ctx.lasting, models, store, clock, Logging(ctx.log.writer, logged), policy)
    # Before it listens, so that no request waits for kernels.
    scorer.warm()
    ctx.vitals.instance = scorer.instance
    more = [metrics_route(ctx.metrics)]
    known = Known(live.of, incomplete)
    beside = interface(ctx.app, scorer.reach, ctx.log, clock, more, known)
    hosts = hosts_of(ctx.settings.host, ctx.settings.allowed_hosts)
    app = ScorerApp(scorer, name=ctx.app.name, version=VERSION, routes=beside.routes, hosts=hosts)
    loader = _loader(ctx, scorer, app, reporter)
    followed = threading.Event()
    threads = [
        ctx.thread(_follow, ctx, scorer, loader, live, followed),
        ctx.thread(_watch, ctx, scorer.feature_ticks),
    ]

    # One that is started again answers from where it was, not from a rung below.
    _await_first(ctx, followed, loader)
    turn = Turn(ctx.settings.local_path, ctx.part.version, ctx.lasting, ctx.stop)
    if ctx.part.staged:
        lags = ctx.lags(stored_views(ctx.app))
        turn.await_own(partial(lags.behind, share=1.0, unknown=True))

    def listening(address: str) -> None:
        announce(ctx, "serve", address)
        threads.append(ctx.thread(_report, ctx, scorer, app, reporter))

    server = HttpServer(app, _listener(ctx), listening)
    end_with(ctx.stop, server.stop)
    if ctx.part.version:
        ctx.thread(turn.end_with, server.leave)
    if not ctx.stop.is_set():
        server.run()
    # Nobody asks any more; then what was asked is logged, and last the loader lets go.
    ctx.stop.set()
    beside.pusher.close()
    scorer.close()
    loader.close()
    for t in threads:
        t.join(5.0)


def _listener(ctx: Context) -> socket.socket:
    """The supervisor's socket: what waits to be accepted there does not go with a scorer."""
    if ctx.part.listener is not None:
        ctx.part.listener.listen(BACKLOG)
        return ctx.part.listener
    return bind(ctx.settings.host, ctx.settings.port)


def _loader(ctx: Context, scorer: Scorer, app: ScorerApp, reporter: Reporter) -> Loader:
    """Brings in what it is told to, and says so."""
    live: dict[str, tuple[str, int]] = {}
    keys = ctx.settings.keys_url

    def swapped(model: str, new: LiveModel) -> None:
        if live.get(model) != (new.lineage, new.number):
            live[model] = new.lineage, new.number
            app.latency.mark_swap()
        reporter.tell(Swapped(scorer.instance, model, new.lineage, new.number, new.tick))

    def refused(which: Identity, reason: str) -> None:
        log.error(
            "snapshot refused; the live one goes on serving", model=which.model, reason=reason
        )

    places = {name: Place(s.slot, s.model.vectors) for name, s in scorer.served.items()}
    signers = [f"{keys}/trainer", f"{keys}/qualifier"]
    _say_which_keys_are_missing(signers)
    sidecar = Sidecar(ctx.settings.snapshots_url, *signers)
    return Loader(places, sidecar, swapped, refused, ctx.vitals.outages)


def _say_which_keys_are_missing(signers: Sequence[str]) -> None:
    """Those who sign may start later and make their keys then; until that no snapshot is served."""
    for folder in signers:
        try:
            Verifier.load(folder)
        except ComponentError as error:
            log.warning("no snapshot can be verified; answers come without one", error=str(error))


def _await_first(ctx: Context, followed: threading.Event, loader: Loader) -> None:
    """Until what was ordered before this process is carried out, or refused."""
    deadline = time.monotonic() + FIRST_SECONDS
    while not (followed.is_set() and loader.idle):
        if time.monotonic() > deadline:
            log.warning("what was ordered is not loaded yet; answers come without it")
            return
        if ctx.stop.wait(0.01):
            return


def _follow(
    ctx: Context, scorer: Scorer, loader: Loader, live: LiveSettings, followed: threading.Event
) -> None:
    """Take orders from the control log: of several that wait, only the newest of a model is carried
    out. `followed` is set once those of before this process are given to the loader."""
    control = ctx.app.control_log
    follower = Follower(ctx.log, control)
    book = OrderBook()
    end: int | None = None
    while not ctx.stop.is_set():
        orders: dict[str, Order] = {}
        try:
            if end is None:
                _, end = ctx.log.bounds(control).spans[0]
            if follower.position >= end:
                followed.set()
            found = follower.poll(0.2)
        except LogError as error:
            log.warning("control log is away; snapshots stay as they are", error=str(error))
            # Nobody knows what was ordered, nor when it will be known.
            followed.set()
            ctx.stop.wait(1.0)
            continue
        for m in found:
            live.note(m)
            if isinstance(m, Inputs):
                scorer.note_inputs(m)
            if isinstance(m, Settled) and m.model in scorer.served:
                if why := book.take(m):
                    log.warning("order is set aside", model=m.model, reason=why)
                elif (which := ordered(ctx.app.name, m)) is not None:
                    orders[m.model] = Order(which, m.back)
        for order in orders.values():
            loader.order(order)


def _watch(ctx: Context, ticks: FeatureTicks) -> None:
    """See how old the store's rows are; also how old they get while it does not answer."""
    while not ctx.stop.wait(LOOK_SECONDS):
        ticks.look()


def _report(ctx: Context, scorer: Scorer, app: ScorerApp, reporter: Reporter) -> None:
    """Figures about once a second."""
    before = 0
    at = time.monotonic()
    while True:
        stopped = ctx.stop.wait(STATUS_SECONDS)
        now = time.monotonic()
        latency = app.latency
        p50, p99, top = latency.quantiles_ms((0.5, 0.99, 1.0))
        near50, near99, near_top = latency.quantiles_ms((0.5, 0.99, 1.0), near_swaps=True)
        requests = {
            "answered": latency.answered,
            "failed": latency.failed,
            "refused": latency.refused,
            "in_error": latency.in_error,
            "rows": latency.rows,
            "swaps": latency.swaps,
            "per_second": (latency.requests - before) / (now - at),
            "p50_ms": p50,
            "p99_ms": p99,
            "max_ms": top,
            "p50_swap_ms": near50,
            "p99_swap_ms": near99,
            "max_swap_ms": near_top,
            "duration": latency.durations.facts(),
            "duration_near_swaps": latency.durations_near_swaps().facts(),
        }
        before = latency.requests
        at = now
        reporter.tell(
            ctx.vitals.status(json.loads(json.dumps({**scorer.facts(), "requests": requests})))
        )
        if stopped:
            return
