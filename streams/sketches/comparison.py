"""How far the values of a field have moved from those that they are compared with.

Both are put into the same few bins: of numbers, such that each holds about as many of the
reference; of texts, one for each that is frequent in either, and one for the rest. What is missing
is a bin of its own. Three measures of the bins' shares are told:

- the population stability index, `Σ (p - q) ln(p / q)`: by custom below .1 nothing has moved, and
  from .25 on much has (Siddiqi, Credit Risk Scorecards, 2006). Half an event is added to each bin,
  or an empty one would make it infinite. Of few events it is large by chance alone.
- the Jensen–Shannon distance, the root of the divergence to the base 2: 0 to 1 (Lin, 1991).
- the largest difference of a share, L∞: 0 to 1, as TensorFlow Data Validation compares texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from freshet.streams.sketches.sketch import Sketch, edges, of_level

BINS = 10
MISSING = "(missing)"
REST = "(other)"
_FINEST = 1_000
_ALMOST_ZERO = 1e-200


class Bin(NamedTuple):
    """How many events of either have a value like this."""

    name: str
    now: int
    reference: int


class Comparison(NamedTuple):
    """The three measures, the bins that they are of, and the events in all of these."""

    psi: float
    jensen_shannon: float
    largest: float
    now: int
    reference: int
    bins: tuple[Bin, ...]

    @property
    def most_moved(self) -> Bin:
        """The bin whose share differs most."""
        return max(self.bins, key=self._moved)

    def _moved(self, each: Bin) -> float:
        return abs(each.now / self.now - each.reference / self.reference)


def compared(now: Sketch, reference: Sketch, most: int = BINS) -> Comparison | None:
    """Compare in at most `most` bins of values; None where either has no events, or where nothing
    is known of values that are there."""
    if not now.rows or not reference.rows:
        return None
    bins = [*_binned(now, reference, most), Bin(MISSING, now.missing, reference.missing)]
    kept = tuple(each for each in bins if each.now or each.reference)
    return _measured(kept)


def unseen(now: Sketch, reference: Sketch) -> float:
    """The share of the values that none of the reference is like: of a number, none in the same
    bucket. 0 where nothing is known of either's."""
    if (now.names is None) != (reference.names is None):
        return 0.0
    level = max(now.level, reference.level)
    ours = of_level(now, level)
    theirs = of_level(reference, level)
    if not ours or not theirs:
        return 0.0
    new = sum(count for key, count in ours.items() if key not in theirs)
    return new / sum(ours.values())


def _measured(bins: tuple[Bin, ...]) -> Comparison | None:
    now = sum(each.now for each in bins)
    reference = sum(each.reference for each in bins)
    # Of texts that are sampled none may be left.
    if not now or not reference:
        return None
    psi = 0.0
    divergence = 0.0
    largest = 0.0
    for each in bins:
        share = each.now / now
        usual = each.reference / reference
        largest = max(largest, abs(share - usual))
        middle = (share + usual) / 2
        divergence += (_entropy(share, middle) + _entropy(usual, middle)) / 2
        smooth = (each.now + 0.5) / (now + len(bins) / 2)
        smooth_usual = (each.reference + 0.5) / (reference + len(bins) / 2)
        psi += (smooth - smooth_usual) * math.log(smooth / smooth_usual)
    # Rounding may leave it a little below zero, or above one.
    distance = math.sqrt(min(1.0, max(0.0, divergence)))
    return Comparison(psi, distance, largest, now, reference, bins)


def _entropy(share: float, middle: float) -> float:
    if share == 0.0:
        return 0.0
    return share * math.log2(share / middle)


def _binned(now: Sketch, reference: Sketch, most: int) -> list[Bin]:
    level = max(now.level, reference.level)
    ours = of_level(now, level)
    theirs = of_level(reference, level)
    # What was declared otherwise then is compared by presence alone.
    if (now.names is None) != (reference.names is None) and now.present and reference.present:
        return [Bin("(present)", now.present, reference.present)]
    if now.names is not None or reference.names is not None:
        return _texts(now, reference, (ours, theirs), most)
    if not ours and not theirs:
        return [Bin("(present)", now.present, reference.present)]
    return _numbers((ours, theirs), now, reference, most)


def _texts(
    now: Sketch, reference: Sketch, counts: tuple[dict[int, int], dict[int, int]], most: int
) -> list[Bin]:
    ours, theirs = counts
    names = {
        **dict(zip(now.keys, now.names or ())),
        **dict(zip(reference.keys, reference.names or ())),
    }

    def share(key: int) -> float:
        """Of both, so that one which is new has its own bin as well as one that is gone."""
        return ours.get(key, 0) / now.rows + theirs.get(key, 0) / reference.rows

    frequent = sorted({*ours, *theirs}, key=lambda key: (-share(key), key))[: most - 1]
    found = [Bin(names[key], ours.get(key, 0), theirs.get(key, 0)) for key in frequent]
    rest = now.present - sum(each.now for each in found)
    rest_of_reference = reference.present - sum(each.reference for each in found)
    return [*found, Bin(REST, rest, rest_of_reference)]


def _numbers(
    counts: tuple[dict[int, int], dict[int, int]], now: Sketch, reference: Sketch, most: int
) -> list[Bin]:
    ours, theirs = counts
    keys = sorted({*ours, *theirs})
    both = _joined(now, reference)
    found = []
    for part in _cut(keys, [theirs.get(key, 0) for key in keys], most):
        low, _ = edges(both, part[0])
        _, high = edges(both, part[-1])
        found.append(
            Bin(
                _name(low, high),
                sum(ours.get(key, 0) for key in part),
                sum(theirs.get(key, 0) for key in part),
            )
        )
    return found


def _name(low: float, high: float) -> str:
    """Of what one bucket of the finest holds the number itself: it is whole, most often."""
    if high - low <= low / _FINEST or (low == 0.0 and high < _ALMOST_ZERO):
        return f"{low:.6g}"
    return f"{low:.4g} to {high:.4g}"


def _joined(now: Sketch, reference: Sketch) -> Sketch:
    """What the edges of both are known by."""
    lowest = [each.lowest for each in (now, reference) if each.lowest is not None]
    highest = [each.highest for each in (now, reference) if each.highest is not None]
    level = max(now.level, reference.level)
    return Sketch(lowest=min(lowest), highest=max(highest), level=level)


def _cut(keys: Sequence[int], weights: Sequence[int], most: int) -> list[list[int]]:
    """Neighbours together, such that each part has about as much of the weight: a heavy one stands
    alone, and so does all that lies before or behind the weight."""
    total = sum(weights)
    found: list[list[int]] = []
    part = None
    for key, through, own in zip(keys, accumulate(weights), weights):
        if not own and through in (0, total):
            at = -1 if not through else most
        else:
            # By where its middle lies.
            at = min(most - 1, int((through - own / 2) * most / max(1, total)))
        if at != part:
            found.append([])
            part = at
        found[-1].append(key)
    return found
