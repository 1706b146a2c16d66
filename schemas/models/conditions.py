"""Conditions under which a model is held: what users declare."""

from __future__ import annotations

from dataclasses import dataclass

from freshet.schemas.declared import brief, check_kind
from freshet.schemas.durations import milliseconds
from freshet.schemas.errors import DefinitionError

EXPIRED = "expired_share"
MISSING = "missing_input"
SILENT = "source_silent"
# What each is told, beside which of them may be left out.
_TAKES = {EXPIRED: ("above", "over"), MISSING: ("above", "over"), SILENT: ("topic", "longer_than")}
_MAY = {EXPIRED: (), MISSING: ("feature",), SILENT: ()}
_ARGUMENTS = ("above", "over", "feature", "topic", "longer_than")
# A share that went beyond its bound has to fall below so much of it: else one that lies at the
# bound would come and go.
BACK = 0.8
BY_CONDITION = "condition "  # before its text, as who held
GO_ON = "go_on"
HOLD = "hold"
FALL_BACK = "fall_back"
MISSING_INPUTS = (GO_ON, HOLD, FALL_BACK)


@dataclass(frozen=True, slots=True)
class HoldWhen:
    """A condition while which a model learns nothing: what comes is skipped, as by
    `freshet models hold`, and can be learned later. The model answers as before.

    Shares are reckoned from the examples log alone, at its ticks and by each trainer, so every
    reading of the log is held at the same examples. They count once there are 20 in `over`. A model
    that is held by a share goes on once that has fallen to four fifths of `above`; one that is held
    by a silent source, with that topic's next event.

    Args:
        measure: What is looked at. `"expired_share"`: of the questions whose wait for a label ended
            within `over`, the share that ended without one. `"missing_input"`: of the questions
            within `over`, the share that lack a feature, beyond the share that lacked it in what
            the lineage has learned at that hour of the day; a lineage is held by features that it
            reads. `"source_silent"`: no event of `topic` has come for `longer_than`.
        above: Of the two shares, the bound: more than 0, less than 1.
        over: Of the two shares, the time that they are of, a duration on the app's clock.
        feature: Of a missing input the feature's name, such as `"by_courier.late_1h"`; empty: any.
        topic: The name of the source's topic.
        longer_than: How long it is silent first, a duration on the app's clock, from 1s on.

    Raises:
        DefinitionError: there is no such measure, an argument is missing or is another measure's,
            or a value is out of its range. That topic and feature are the app's is checked by
            `fr.Model` and `fr.App`.

    Examples:
        >>> import freshet as fr
        >>> fr.HoldWhen("expired_share", above=0.3, over="1h").text
        'expired_share above 30% over 1h'
        >>> fr.HoldWhen("source_silent", topic="weather", longer_than="30m").text
        'source_silent: weather for 30m'
    """

    measure: str
    above: float | None = None
    over: str = ""
    feature: str = ""
    topic: str = ""
    longer_than: str = ""

    def __post_init__(self) -> None:
        if self.measure not in _TAKES:
            raise DefinitionError(
                f"hold when {brief(self.measure)}",
                "is no measure",
                f"Use one of {', '.join(_TAKES)}.",
            )
        takes = (*_TAKES[self.measure], *_MAY[self.measure])
        for name in _ARGUMENTS:
            given = getattr(self, name)
            if given in (None, "") and name in _TAKES[self.measure]:
                raise DefinitionError(self._where, f"has no {name}", self._instead)
            if given not in (None, "") and name not in takes:
                raise DefinitionError(
                    self._where, f"{name}={brief(given)} is not of it", self._instead
                )
        self._check_values()

    def _check_values(self) -> None:
        for name in ("over", "feature", "topic", "longer_than"):
            check_kind(self._where, name, getattr(self, name), str, self._instead)
        if self.above is not None:
            check_kind(self._where, "above", self.above, (int, float), self._instead)
            if not 0 < self.above < 1:
                raise DefinitionError(
                    self._where, f"above={self.above} is no share", "Use more than 0, less than 1."
                )
        for name in ("over", "longer_than"):
            given = getattr(self, name)
            # Time is told once a second.
            if given and milliseconds(given, name) < 1_000:
                raise DefinitionError(self._where, f"{name}={given!r}", "Use 1s or more.")

    @property
    def _where(self) -> str:
        return f"hold when {self.measure}"

    @property
    def _instead(self) -> str:
        takes = ", ".join(f"{name}=…" for name in _TAKES[self.measure])
        return f'Write fr.HoldWhen("{self.measure}", {takes}).'

    @property
    def over_ms(self) -> int:
        """Of a share: the time that it is of, in milliseconds."""
        return milliseconds(self.over, "over")

    @property
    def longer_than_ms(self) -> int:
        """Of a silent source: how long it is silent first, in milliseconds."""
        return milliseconds(self.longer_than, "longer_than")

    @property
    def bound(self) -> float:
        """Of a share."""
        return self.above or 0.0

    @property
    def text(self) -> str:
        """By which what it holds is recorded."""
        if self.measure == SILENT:
            return f"{SILENT}: {self.topic} for {self.longer_than}"
        of = ""
        if self.measure == MISSING:
            of = f" of {self.feature or 'any feature'}"
        return f"{self.measure}{of} above {100 * self.bound:.4g}% over {self.over}"
