"""When another lineage of a model takes over, as users declare it."""

from __future__ import annotations

from dataclasses import dataclass

from freshet.schemas.errors import DefinitionError


@dataclass(frozen=True, slots=True)
class ReleaseConfig:
    """When another lineage of a model takes over from the one that is served, the champion.

    Decided once all lineages have cut their snapshots of a tick, from the mean loss of each (log
    loss; of a regression squared error, so that all margins are shares and have no unit) over its
    newest labels (up to 5,000), each predicted before it was learned. Only lineages with
    an approved snapshot count. The first champion is the best of them, as far as is known.

    Source: prequential losses (Dawid, "Present position and potential developments: some personal
    views. Statistical theory: the prequential approach", 1984).

    Args:
        min_examples: How many labels champion and challenger need in that window, 1 or more.
        margin: By which share of the champion's loss the challenger's must be lower, at least 0
            and below 1. It must be lower in any case.
        hold_ms: How long a champion stands before another may take over, in milliseconds of the
            app's clock; 0 or more. The default is a day.
        no_worse_by: By which share of the baseline's loss the challenger's may be above it, 0 or
            more. The baseline goes on learning, so this bounds each takeover alone. Without
            an `fr.Baseline` among the learners nothing is asked.

    Raises:
        DefinitionError: a value is out of its range.

    Examples:
        >>> import freshet as fr
        >>> fr.ReleaseConfig(min_examples=100, hold_ms=5_000).margin
        0.005
    """

    min_examples: int = 1000
    margin: float = 0.005
    hold_ms: int = 24 * 3_600_000
    no_worse_by: float = 0.01

    def __post_init__(self) -> None:
        if not (
            self.min_examples >= 1
            and 0 <= self.margin < 1
            and self.hold_ms >= 0
            and self.no_worse_by >= 0
        ):
            raise DefinitionError(
                f"release {self}",
                "out of range",
                "Use min_examples >= 1, 0 <= margin < 1, hold_ms >= 0 and no_worse_by >= 0.",
            )
