"""How far the views are that are served, for whoever is to be in nobody's way: what is built stands
still while one of them comes near what its lag may be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from freshet.app import App
from freshet.features.stores.complete_store import reflected
from freshet.features.stores.contract import Store
from freshet.schemas.durations import text_of
from freshet.schemas.errors import LogError, StoreError
from freshet.schemas.topics.topic import Freshness
from freshet.schemas.wire.blocks import NO_TICK
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import Follower
from freshet.streams.control.live_settings import LiveSettings
from freshet.streams.log.contract import Log
from freshet.versions.record import StoredView

LOOK_SECONDS = 0.5  # between two looks
SHARE_OF_SLO = 0.8


def stored_views(app: App) -> dict[str, StoredView]:
    """The views, by their names in the store."""
    return {
        app.stored_as(view): StoredView(
            view.name, view.partitions, [topic.name for topic in view.topics]
        )
        for view in app.views
    }


@dataclass
class Lags:
    """Of the views that are `served`, as the store says; asked now and then. What their lag may be
    is as `declared` until it is set on the control log."""

    store: Store
    served: Mapping[str, StoredView]
    declared: Mapping[str, Freshness]
    log: Log
    control: str

    def __post_init__(self) -> None:
        self._clock = WallClock()
        self._asked_at = float("-inf")  # never
        self._late = ""
        self._follower = Follower(self.log, self.control)
        self._settings = LiveSettings(self.declared)

    def late(self) -> str:
        """Whose lag is near what it may be, in a sentence; empty where none is."""
        if time.monotonic() - self._asked_at < LOOK_SECONDS:
            return self._late
        self._asked_at = time.monotonic()
        try:
            # One that has told nothing yet waits for its own past.
            self._late = self.behind()
        except (StoreError, LogError) as error:
            self._late = str(error)  # nobody is served meanwhile
        return self._late

    def behind(self, share: float = SHARE_OF_SLO, unknown: bool = False) -> str:
        """A view that is behind by more than a `share` of what it may be, in words; `unknown`: also
        one that has told nothing yet."""
        for message in self._follower.poll(0.0):
            self._settings.note(message)
        ticks = reflected(
            self.store, {name: stored.partitions for name, stored in self.served.items()}
        )
        now_ms = self._clock.now_ms()
        for name, stored in self.served.items():
            tick = ticks[name]
            slo_ms = self._slo_ms(stored)
            if tick == NO_TICK and unknown:
                return f"view {stored.view}, whose rows are not all there yet"
            if tick != NO_TICK and now_ms - tick > share * slo_ms:
                lag = text_of(now_ms - tick)
                return f"view {stored.view}, whose lag is {lag} of {text_of(slo_ms)} that it may be"
        return ""

    def _slo_ms(self, stored: StoredView) -> int:
        """Of a topic that this version has no more nothing is known."""
        known = self._settings.all()
        found = [known[topic].ms("feature_slo") for topic in stored.topics if topic in known]
        return min(found, default=1 << 62)
