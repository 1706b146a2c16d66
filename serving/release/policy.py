"""Which lineage the alias should point at: a pure function from what is known to one action.

Run whenever snapshots were cut, it gives the same answer to the same standing, and nothing is kept
between calls. Losses are prequential (Dawid, 1984), over each lineage's newest examples as of its
cut: the same ones where all cut at the same tick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from freshet.learners.release_config import ReleaseConfig
from freshet.schemas.durations import HOUR_MS
from freshet.schemas.models.losses import SQUARED_ERROR


@dataclass(frozen=True, slots=True)
class LineageStanding:
    """A lineage as of now: its newest approved snapshot (None: none yet) and its loss over the
    recent window.

    `examples` are those in the window, `loss` the mean of theirs (NaN or infinite: unknown)."""

    lineage: str
    approved: int | None
    examples: int
    loss: float


@dataclass(frozen=True, slots=True)
class Reference:
    """What challengers are held to beside the champion: the mean loss over the same window of
    the baseline, which goes on learning. So it bounds each takeover, and not what many of them lose
    together."""

    name: str
    loss: float


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything that a decision rests on. `now_ms` and `since_ms` (when the champion was promoted)
    are app clock; `loss` names the loss where it is not that of a binary task. Margins are shares
    of it, so they mean the same in whatever unit it is."""

    now_ms: int
    champion: str | None
    since_ms: int
    lineages: tuple[LineageStanding, ...]
    reference: Reference | None = None
    loss: str = ""


@dataclass(frozen=True, slots=True)
class Keep:
    reason: str


@dataclass(frozen=True, slots=True)
class Promote:
    lineage: str
    reason: str


def decide(state: Standing, config: ReleaseConfig) -> Keep | Promote:
    """Keep the champion, or promote a lineage that has an approved snapshot."""
    able = [lineage for lineage in state.lineages if lineage.approved is not None]
    if not able:
        return Keep("no lineage has an approved snapshot that has learned an example")
    champion = next((lineage for lineage in able if lineage.lineage == state.champion), None)
    if champion is None:
        # Also where its snapshot was withdrawn: waiting for its next one would serve nothing.
        first = min(able, key=lambda lineage: _rank(lineage, config))
        why = "no champion yet"
        if state.champion is not None:
            why = f"{state.champion} has no approved snapshot"
        return Promote(first.lineage, f"{why}; the best approved lineage")
    others = [lineage for lineage in able if lineage is not champion]
    return _challenge(champion, others, state, config)


def _rank(lineage: LineageStanding, config: ReleaseConfig) -> tuple[bool, float, str]:
    """Measured ones first, then by loss, then by name."""
    loss = math.inf
    # NaN would leave the order to where it happens to stand.
    if math.isfinite(lineage.loss):
        loss = lineage.loss
    return lineage.examples < config.min_examples, loss, lineage.lineage


def _challenge(
    champion: LineageStanding, others: list[LineageStanding], state: Standing, config: ReleaseConfig
) -> Keep | Promote:
    measured = [
        lineage
        for lineage in others
        if lineage.examples >= config.min_examples and math.isfinite(lineage.loss)
    ]
    if not measured:
        return Keep(f"no challenger has {config.min_examples} examples")
    best = min(measured, key=lambda lineage: _rank(lineage, config))
    if not math.isfinite(champion.loss) or champion.examples < config.min_examples:
        return Keep(f"{champion.lineage} has {champion.examples} of {config.min_examples} examples")
    gain = 0.0
    # Nobody is better than a champion that is never wrong.
    if champion.loss > 0:
        gain = 1 - best.loss / champion.loss
    losses = _shown(best.loss, state.loss), _shown(champion.loss, state.loss)
    versus = f"{best.lineage} {losses[0]} against {champion.lineage} {losses[1]}"
    if state.loss:
        versus += f" in {state.loss.replace('_', ' ')}"
    # A margin of 0 asks for any gain, but for one.
    if gain <= 0 or gain < config.margin:
        return Keep(f"{versus}: {_compared(gain)}, {config.margin:.2%} better is needed")
    held_ms = state.now_ms - state.since_ms
    if held_ms < config.hold_ms:
        stood = f"{held_ms / HOUR_MS:.1f} of {config.hold_ms / HOUR_MS:.1f} h"
        return Keep(f"{versus}, but the champion has stood {stood}")
    reference = state.reference
    # A reference of unknown loss bounds nothing: comparing with NaN is false.
    if reference is not None and best.loss > reference.loss * (1 + config.no_worse_by):
        return Keep(f"{versus}, but {reference.name} has {_shown(reference.loss, state.loss)}")
    return Promote(best.lineage, f"{versus}: {_compared(gain)}")


def _shown(loss: float, name: str) -> str:
    """A squared error is as large as its unit makes it: fixed places would hide a small one."""
    if name == SQUARED_ERROR:
        return f"{loss:.5g}"
    return f"{loss:.4f}"


def _compared(gain: float) -> str:
    """A gain below zero is a loss, and is said as one."""
    word = "better"
    if gain < 0:
        word = "worse"
    return f"{abs(gain):.2%} {word}"
