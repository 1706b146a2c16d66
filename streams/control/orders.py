"""Which orders count: those that rise, and go back only where they say so.

Everybody who follows the control log judges alike: scorers that carry orders out, release that
gives them, and whoever shows what was ordered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from freshet.schemas.models.manifest import Identity
from freshet.schemas.wire.messages import Settled

# Release counts by one. Beyond this an order was made up; else a single one could use up all
# numbers.
MOST_AHEAD = 1_000_000


@dataclass
class _Ordered:
    """Of one model: the newest order's number, and the newest snapshot that was ordered of each
    lineage."""

    order: int = 0
    newest: dict[str, int] = field(default_factory=dict)


def ordered(app: str, order: Settled) -> Identity | None:
    """Which snapshot an order of the app names; None: none."""
    if order.lineage is None or order.number is None or order.digest is None:
        return None
    return Identity(app, order.model, order.lineage, order.number, order.digest)


class OrderBook:
    """Fed with the orders of the control log, in their order, from its start."""

    def __init__(self) -> None:
        self._models: dict[str, _Ordered] = {}

    def take(self, order: Settled) -> str:
        """Empty if the order counts; else why it is set aside."""
        of_model = self._models.setdefault(order.model, _Ordered())
        # Where the log was cut off in front, the first order that is left has any number.
        if order.order <= of_model.order:
            return f"order {order.order} is no newer than order {of_model.order}"
        if of_model.order and order.order > of_model.order + MOST_AHEAD:
            return f"order {order.order} runs ahead of order {of_model.order}"
        if order.lineage is not None and order.number is not None:
            if not order.back and self.goes_back(order.model, order.lineage, order.number):
                newest = of_model.newest[order.lineage]
                told = f"order {order.order} goes back from snapshot {newest} to {order.number}"
                return f"{told} of {order.lineage}, and does not say so"
            of_model.newest[order.lineage] = order.number
        of_model.order = order.order
        return ""

    def last(self, model: str) -> int:
        """The number of the newest order that counts; 0: none."""
        return self._models.setdefault(model, _Ordered()).order

    def goes_back(self, model: str, lineage: str, number: int) -> bool:
        """Whether a later snapshot of the lineage was ordered last."""
        of_model = self._models.get(model)
        return of_model is not None and number < of_model.newest.get(lineage, number)
