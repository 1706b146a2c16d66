"""Carries a change of version out, beside what runs: by the run's folder alone, so that whoever is
started after a kill goes on where it was.

    asked ──▶ building ──▶ (cut-over: one file) ──▶ moving ──▶ nothing
      │          │
      └──────────┴──▶ taking back ──▶ nothing, or why it failed

Until the cut-over the run is what it was before; from then on it is the new version."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog
from msgspec.structs import replace

from freshet.processes.crew import SERVE, Place, beside, scorer_of, started, whole
from freshet.processes.supervisor import RoleSpec
from freshet.schemas.errors import FreshetError
from freshet.streams.clock import wall_now_ms
from freshet.versions import progress
from freshet.versions.owners import why_not_kept
from freshet.versions.part import active_and_kept
from freshet.versions.progress import Applying, OfView
from freshet.versions.record import Cutover, Left, Version

log = structlog.get_logger()
TELL_SECONDS = 0.5
STUCK_SECONDS = 60.0  # without anything coming on, before it counts as failing
LEAVE_SECONDS = 20.0  # for the last answers of the version before
HYDRATING = "hydrating"
LAGGING = "lagging"
READY = "ready"
FAILING = "failing"


class Crew(Protocol):
    """The processes of a run."""

    def change(self, specs: Sequence[RoleSpec]) -> None:
        """Have these, and no others: those that are there as they should be are left alone."""
        ...

    def let_end(self, name: str) -> None:
        """It is not started again once it ends by itself."""
        ...

    def facts(self) -> Mapping[str, Mapping[str, Any]]: ...


class Applier:
    """Of one run; not thread-safe. `take_back` removes what was made for a version, `moved` is
    called with the file of the version that runs from then on."""

    def __init__(
        self,
        place: Place,
        crew: Crew,
        take_back: Callable[[Left, int], None],
        moved: Callable[[Path], None],
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._versions = place.versions
        self._run_dir = place.versions.folder.parent
        self._crew = crew
        self._take_back = take_back
        self._moved = moved
        self._wall = wall
        self._scorer = SERVE
        self._leaving: str | None = None
        self._left_at = 0.0
        self._begun: int | None = None
        self._told_at = float("-inf")  # never
        self._seen: bytes = b""
        self._came_on_at = wall()

    def specs(self) -> list[RoleSpec]:
        """The processes that a run starts with, by what its folder says.

        Raises:
            ComponentError: the folder does not say it.
        """
        active, kept = self._active()
        asked = progress.read(self._run_dir)
        if asked is not None and self._is_built(asked, active):
            self._begin(asked.version)
            return beside(
                self._place,
                active,
                kept,
                self._versions.of(asked.version),
                self._scorer,
            )
        return whole(
            self._place,
            active,
            kept,
            self._scorer,
        )

    def trainers(self) -> list[RoleSpec]:
        """Of lineages that were started of what the active version declares."""
        active, _ = self._active()
        return started(self._place, active)

    def _is_built(self, asked: Applying, active: Version) -> bool:
        if asked.version == active.number or progress.back_is_asked(self._run_dir):
            return False
        return asked.step == progress.BUILDING

    def _active(self) -> tuple[Version, Version | None]:
        active, kept = active_and_kept(self._versions)
        assert active is not None
        return active, kept

    @property
    def staged(self) -> str:
        """What the names of processes end with that are not the active version's."""
        asked = progress.read(self._run_dir)
        active, _ = self._active()
        if asked is None or asked.version == active.number:
            return ""
        return f".v{asked.version}"

    def step(self) -> None:
        """Do what is next, if anything is. What hinders it is told, and tried again."""
        asked = progress.read(self._run_dir)
        if asked is None or asked.step == progress.FAILED:
            if progress.back_is_asked(self._run_dir):
                self._forget()
            return
        active, kept = self._active()
        if asked.version == active.number:
            self._move(active, kept)
        elif progress.back_is_asked(self._run_dir) or asked.step == progress.TAKING_BACK:
            self._return(asked, active, kept)
        elif asked.step == progress.STAGING:
            return
        elif asked.step == progress.ASKED:
            progress.write(self._run_dir, replace(asked, step=progress.BUILDING))
        else:
            self._build(asked, active, kept)

    # ------------------------------------------------------------------------------------- steps

    def _build(self, asked: Applying, active: Version, kept: Version | None) -> None:
        target = self._versions.of(asked.version)
        if self._begun != target.number:
            try:
                wanted = beside(
                    self._place,
                    active,
                    kept,
                    target,
                    self._scorer,
                )
            except FreshetError as error:
                progress.write(
                    self._run_dir, replace(asked, step=progress.TAKING_BACK, cause=str(error))
                )
                return
            self._begin(target.number)
            log.info("a version is built", version=target.number)
            self._crew.change(wanted)
        told = self._told(asked, target)
        if told.state == READY:
            self._cut_over(asked, active, target)
        elif self._wall() - self._told_at >= TELL_SECONDS:
            self._told_at = self._wall()
            progress.write(self._run_dir, told)

    def _begin(self, number: int) -> None:
        # What was said by processes that are no more.
        progress.forget_said(self._run_dir)
        self._begun = number
        self._came_on_at = self._wall()

    def _cut_over(self, asked: Applying, active: Version, target: Version) -> None:
        because = why_not_kept(target, active)
        now = Cutover(
            target.number,
            wall_now_ms(),
            None if because else active.number,
            because,
            back=not asked.new,
        )
        # Before the scorer hears of it: else it would be started again.
        self._crew.let_end(self._scorer)
        self._versions.cut_over(now)
        log.info(
            "cut-over",
            version=target.number,
            before=active.number,
        )
        self._leaving = self._scorer
        self._left_at = self._wall()
        self._scorer = scorer_of(target)

    def _move(self, active: Version, kept: Version | None) -> None:
        """Once the last answer of the version before is given, everything is of the new one."""
        if self._leaving is not None and self._is_leaving(self._leaving):
            return
        self._leaving = None
        self._begun = None
        self._crew.change(whole(self._place, active, kept, self._scorer))
        self._moved(self._versions.app_file(active))
        self._versions.prune([each.number for each in (active, kept) if each is not None])
        progress.end(self._run_dir)
        log.info("a version runs", version=active.number)

    def _is_leaving(self, scorer: str) -> bool:
        alive = self._crew.facts().get(scorer, {}).get("alive", False)
        return bool(alive) and self._wall() - self._left_at < LEAVE_SECONDS

    def _return(self, asked: Applying, active: Version, kept: Version | None) -> None:
        """Whatever was made for the version goes, once nobody is at it any more."""
        if asked.step != progress.TAKING_BACK:
            asked = replace(
                asked,
                step=progress.TAKING_BACK,
                state="",
                cause="",
            )
            progress.write(self._run_dir, asked)
        self._crew.change(whole(self._place, active, kept, self._scorer))
        self._begun = None
        self._take_back(asked.made, asked.version)
        if asked.new:
            self._versions.remove(asked.version)
        log.info(
            "a version is taken back",
            version=asked.version,
            cause=asked.cause,
        )
        if asked.cause:
            progress.forget_said(self._run_dir)
            progress.write(self._run_dir, replace(asked, step=progress.FAILED, state=FAILING))
        else:
            progress.end(self._run_dir)

    def _forget(self) -> None:
        progress.end(self._run_dir)

    # -------------------------------------------------------------------------------- what is told

    def _told(self, asked: Applying, target: Version) -> Applying:
        """How far it is, by what its processes say."""
        member = f".v{target.number}"
        hydrated = progress.said(self._run_dir, f"hydrate{member}")
        views = msgspec.convert(hydrated.get("views", {}), dict[str, OfView])
        scorer = progress.said(self._run_dir, f"{SERVE}{member}")
        fails = self._failing(member)
        self._note_what_comes_on(views, scorer)
        state = _state(views, scorer)
        # What a view waits for tells more than that it is not there yet.
        cause = next((of.waits_for for of in views.values() if of.waits_for), "")
        known = cause or str(scorer.get("waits_for", ""))
        cause = known or _silence(views, scorer)
        if fails:
            state = FAILING
            cause = fails
        elif state != READY and self._wall() - self._came_on_at >= STUCK_SECONDS:
            state = FAILING
            cause = (
                known or f"nothing is heard of the scorer; its log is logs/{SERVE}{member}.jsonl"
            )
        return replace(
            asked,
            state=state,
            cause=cause,
            views=views,
        )

    def _note_what_comes_on(self, views: Mapping[str, OfView], scorer: Mapping[str, Any]) -> None:
        seen = repr(({name: (of.records, of.state) for name, of in views.items()}, scorer)).encode()
        if seen != self._seen:
            self._seen = seen
            self._came_on_at = self._wall()

    def _failing(self, member: str) -> str:
        """A process of the version that ends again and again."""
        for name, facts in self._crew.facts().items():
            if name.endswith(member) and facts.get("failing"):
                return f"role {name} ends again and again, the last time by: {facts['last_exit']}"
        return ""


def _state(views: Mapping[str, OfView], scorer: Mapping[str, Any]) -> str:
    if scorer.get("ready"):
        return READY
    if any(of.state == HYDRATING for of in views.values()) or not (views or scorer):
        return HYDRATING
    return LAGGING


def _silence(views: Mapping[str, OfView], scorer: Mapping[str, Any]) -> str:
    """What is waited for while processes start: they say nothing yet."""
    if scorer or any(of.state == HYDRATING for of in views.values()):
        return ""
    return "its scorer, which starts" if views else "its processes, which start"
