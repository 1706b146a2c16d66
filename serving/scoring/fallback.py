"""Which rung answers: champion → last good → what users declared, in their order. A pure choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from freshet.learners.rungs import Heuristic, Need, Rung

_MODEL: frozenset[Need] = frozenset(("fresh_model", "inputs", "time"))
_MODEL_OF_VIEWS: frozenset[Need] = frozenset((*_MODEL, "features"))


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is there for this request.

    `champion`, `last_good`: a warm model. `models`: the switch "answer from models". `fresh_model`:
    the model lag is within its hard limit, or `on_violation` is "serve". `features`: the store
    answered. `missing`: features that a model falls back for, while they are missing. `time`: the
    deadline has not passed."""

    champion: bool = True
    last_good: bool = False
    models: bool = True
    fresh_model: bool = True
    features: bool = True
    time: bool = True
    missing: frozenset[str] = frozenset()

    def has(self) -> frozenset[Need]:
        there: list[tuple[Need, bool]] = [
            ("champion", self.champion and self.models),
            ("last_good", self.last_good and self.models),
            ("fresh_model", self.fresh_model),
            ("features", self.features),
            ("inputs", not self.missing),
            ("time", self.time),
        ]
        return frozenset(name for name, yes in there if yes)


@dataclass(frozen=True, slots=True)
class Choice:
    """The rung (one of `freshet.schemas.wire.outcomes.RUNGS`) and, below the models, the
    declaration that answers."""

    rung: str
    declared: Rung | None = None


def choose(
    conditions: Conditions, fallback: Sequence[Rung] = (), reads_views: bool = True
) -> Choice | None:
    """The highest rung that has all it needs; None if there is none, and the request cannot be
    answered.

    `reads_views` says whether the model's vector holds features of views.
    """
    there = conditions.has()
    model = _MODEL_OF_VIEWS if reads_views else _MODEL
    if model | {"champion"} <= there:
        return Choice("champion")
    # It needs a fresh model, too: it is older than the one whose lag was judged.
    if model | {"last_good"} <= there:
        return Choice("last_good")
    return next(
        (
            Choice(rung.rung, rung)
            for rung in fallback
            if rung.needs <= there and not (conditions.missing & _read_by(rung))
        ),
        None,
    )


def _read_by(rung: Rung) -> frozenset[str]:
    return frozenset(rung.fields) if isinstance(rung, Heuristic) else frozenset()
