"""Brings snapshots into the scorer: verified aside, mapped, warmed, then swapped in by one
assignment.

A thread does it. What it does with the interpreter locked is little (a header of some kilobytes,
views, a warm-up of 64 rows): the long work, reading and hashing, happens in the sidecar."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from freshet.learners import catalog
from freshet.learners.contract import Export, Predictor
from freshet.learners.snapshots import files as snapshots
from freshet.learners.snapshots.golden import golden_vectors
from freshet.schemas.errors import ObjectStoreError
from freshet.schemas.models.manifest import Identity, SnapshotName, made_for, why_not_for
from freshet.schemas.models.vectors import VectorSchema
from freshet.serving.loading.live_model import LiveModel, ModelSlot, asked_with
from freshet.serving.loading.sidecar_client import Refused, Sidecar, Unknown, Verified
from freshet.serving.release.qualify import wrong_answers
from freshet.streams.outages import Outages

log = structlog.get_logger()
RETIRE_SECONDS = 1.0
RETRY_SECONDS = 1.0
MEANWHILE = "the live snapshot goes on answering; newer ones are loaded once it is back"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model's snapshots go, and the vectors that it is asked with, which hold theirs."""

    slot: ModelSlot
    schema: VectorSchema


@dataclass(frozen=True, slots=True)
class Order:
    """Answer from this snapshot; from an earlier one of the lineage than answers now only if it
    says that it goes `back`."""

    snapshot: Identity
    back: bool = False


OnSwapped = Callable[[str, LiveModel], None]
OnRefused = Callable[[Identity, str], None]


class Loader:
    """Carries out orders, one at a time; of several for a model that wait, only the newest.

    `on_swapped(model, live)` is called after each swap (also, with the live one, for an order of
    what already answers); `on_refused(snapshot, reason)` when a snapshot must not be served, and
    the live one goes on. Both are called on the loader's thread. While the store of objects that
    snapshots are in is away, `outages` is told, and what was ordered waits."""

    def __init__(
        self,
        places: Mapping[str, Place],
        sidecar: Sidecar,
        on_swapped: OnSwapped,
        on_refused: OnRefused,
        outages: Outages | None = None,
    ) -> None:
        self._places = places
        self._sidecar = sidecar
        self._on_swapped = on_swapped
        self._on_refused = on_refused
        self._outages = outages or Outages()
        self._orders: dict[str, Order] = {}
        self._loaded: dict[str, tuple[Identity, LiveModel]] = {}
        # one a model, so that a stream of orders piles up none
        self._retired: dict[str, LiveModel | None] = {}
        self._news = threading.Condition()
        self._busy = False
        self._closing = False
        self._thread = threading.Thread(
            target=self._run,
            name="loader",
            daemon=True,
        )
        self._thread.start()

    def order(self, order: Order) -> None:
        """Load a snapshot and answer from it; returns at once."""
        with self._news:
            self._orders[order.snapshot.model] = order
            self._news.notify()

    @property
    def idle(self) -> bool:
        """Whether all orders so far are carried out, or refused."""
        with self._news:
            return not self._orders and not self._busy

    def close(self) -> None:
        """Finish the order in hand, and end the sidecar."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        self._sidecar.start()
        while (order := self._next()) is not None:
            which = order.snapshot
            try:
                self._carry_out(order)
            # a fault of ours must not end the thread: the next snapshot may be fine
            except Exception as error:
                log.exception("a snapshot could not be loaded", snapshot=str(which))
                self._on_refused(which, f"snapshot {which}: {type(error).__name__}: {error}")
        self._sidecar.close()

    def _next(self) -> Order | None:
        """The next order, None at the end. What was replaced is let go of a little later, here or
        with the model's next swap: requests that still read it have ended by then, so its memory is
        given back on this thread, not on the event loop's."""
        with self._news:
            self._busy = False
            while not self._orders and not self._closing:
                # Nothing is to be let go of: until there is an order.
                patience = None
                if self._retired:
                    patience = RETIRE_SECONDS
                if not self._news.wait(patience):
                    self._retired.clear()
            if self._closing:
                return None
            self._busy = True
            model = next(iter(self._orders))
            return self._orders.pop(model)

    def _carry_out(self, order: Order) -> None:
        which = order.snapshot
        place = self._places[which.model]
        live = place.slot.current()
        if live is None or self._loaded.get(which.model) != (which, live):
            made = self._made(order, live, place)
            if isinstance(made, Unknown):
                self._postpone(order, made)
                return
            if isinstance(made, Refused):
                self._on_refused(which, made.reason)
                return
            live = made
            self._retired[which.model] = place.slot.swap(live)
            self._loaded[which.model] = which, live
        self._on_swapped(which.model, live)

    def _postpone(self, order: Order, why: Unknown) -> None:
        """Wait a little; then it is ordered again, unless something newer is."""
        self._outages.begin(why.error, MEANWHILE)
        with self._news:
            self._orders.setdefault(order.snapshot.model, order)
            if not self._closing:
                self._news.wait(RETRY_SECONDS)

    def _made(
        self, order: Order, live: LiveModel | None, place: Place
    ) -> LiveModel | Refused | Unknown:
        which = order.snapshot
        if (
            live is not None
            and live.lineage == which.lineage
            and which.number < live.number
            and not order.back
        ):
            return Refused(
                f"snapshot {which}: {live.number} answers, "
                "and the order does not say that it goes back"
            )
        found = self._sidecar.verify(which)
        if isinstance(found, Unknown):
            return found
        self._outages.over(ObjectStoreError.component)
        return make_live(found, which, place.schema)


def make_live(
    found: Verified | Refused, which: Identity, schema: VectorSchema
) -> LiveModel | Refused:
    """A warm model of verified bytes; refused if it is another than was ordered, or does not answer
    the golden vectors."""
    if isinstance(found, Refused):
        return found
    manifest = found.manifest
    name = f"snapshot {which}"
    if manifest.name != SnapshotName(which.app, which.model, which.lineage, which.number):
        return Refused(f"{name}: is {manifest.name} of app {manifest.app}")
    why_not = why_not_for(manifest, schema)
    if why_not:
        return Refused(f"{name}: {why_not}")
    own = made_for(manifest, schema)
    try:
        export = Export(
            manifest.kind,
            manifest.meta,
            snapshots.arrays_of(found.data),
        )
        predictor = catalog.predictor(export, own)
        reasons = warm(predictor, own)
    # whatever is wrong with a snapshot is a reason to refuse it, and no error of ours
    except Exception as error:
        return Refused(f"{name}: {error}")
    if reasons:
        return Refused(f"{name}: {reasons[0]}")
    return LiveModel(asked_with(schema, predictor, own), manifest)


def warm(predictor: Predictor, schema: VectorSchema) -> list[str]:
    """Answer golden vectors, one alone and all together, so that no request pays for a first
    time."""
    golden = golden_vectors(schema)
    predictor.predict(golden_vectors(schema, 1))
    return wrong_answers(
        predictor.predict(golden),
        len(golden),
        schema.task,
    )
