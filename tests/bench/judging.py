"""How soon the judge halts and passes, and how often it errs, on a year of flights.

Everything goes through the judge's own evidence and verdicts; labels are looked at one by one, in
the order asked, as they come of age. A halt is a failed gate "no worse than the champion".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import product

import numpy as np

from freshet.schemas.models.vectors import F64
from freshet.serving.judging.betting_kernels import HOLDS, STAKES, WORSE, bet
from freshet.serving.judging.measured import Labelled
from freshet.serving.judging.policy import REACH
from freshet.serving.judging.ripening import Ripening
from freshet.serving.judging.verdict import judge
from tests.bench.harness import Bar, Row
from tests.bench.judged_flights import I64, flights, of_learner
from tests.bench.judged_pairs import decided, halted, labelled, labels_until, policy, starts

WINDOW = 5_000  # labels of an A/A comparison
LONGEST = 25_000  # labels until a comparison is given up
RUNS = 1_000
MARGIN = 0.002
FIRST = 30_000  # flights that learners have answered before they are judged
HOUR = 3_600_000.0


def row(name: str, value: float, unit: str, most: float | None = None) -> Row:
    out = Row(name=name, unit=unit, ours=value, baseline=None, ratio=None, against="")
    if most is not None:
        out["bar"] = Bar(figure=value, asked=f"at most {most:g} {unit}", holds=value <= most)
    return out


def a_a(live: F64, twin: F64) -> Iterable[Row]:
    """Two equal learners, of whom each is the candidate by the toss of a coin: one a label, and one
    a day."""
    rng = np.random.default_rng(1)
    year = flights()
    found = {"label": 0, "day": 0}
    for start in starts(rng, RUNS, WINDOW):
        which = np.arange(start, start + WINDOW)
        for each in found:
            coin = rng.random(WINDOW) < 0.5
            if each == "day":
                coin = (rng.random(400) < 0.5)[year.days[which]]
            own = np.where(coin, live[which], twin[which])
            other = np.where(coin, twin[which], live[which])
            rows = Labelled(
                year.labels[which], own, {"champion": other}, {"carrier": year.carriers[which]}
            )
            found[each] += halted(rows)
    for each, count in found.items():
        yield row(f"A/A, a coin a {each}: false halts", 100 * count / RUNS, "%", 5.0)


def false_passes(live: F64, twin: F64) -> Iterable[Row]:
    """A candidate that is worse by the whole margin or more: differences of twins, signed by a
    coin, and the margin on top; with the reach of passing, and without."""
    year = flights()
    squares = (twin - year.labels) ** 2 - (live - year.labels) ** 2
    for reach, times, each in product((REACH, 1.0), (1, 2), ("label", "day")):
        rng = np.random.default_rng(2)
        passed = 0
        for start in starts(rng, RUNS, WINDOW):
            which = np.arange(start, start + WINDOW)
            sign = rng.choice([-1.0, 1.0], WINDOW)
            if each == "day":
                sign = rng.choice([-1.0, 1.0], 400)[year.days[which]]
            worse = np.clip(sign * squares[which], -reach, reach) + MARGIN * (times - 1)
            peak = np.ones((1, 1))
            wealth = STAKES[HOLDS].reshape(1, 1, -1).copy()
            gains = (-worse / (reach + MARGIN)).reshape(-1, 1)
            bet(wealth, peak, np.zeros(WINDOW, np.int64), gains)
            passed += int(peak[0, 0] >= 20)
        name = f"worse by {times} x margin, reach {reach:g}, a coin a {each}: false passes"
        yield row(name, 100 * passed / RUNS, "%")


def poison(live: F64, share: float, of_carrier: bool, margin: float) -> Iterable[Row]:
    """From a moment on the candidate learns flipped labels; it is judged by right ones."""
    rng = np.random.default_rng(3)
    year = flights()
    names, codes = np.unique(year.carriers, return_inverse=True)
    largest = names[np.bincount(codes).argmax()]
    counts = []
    harmed = []  # those where the candidate was worse at all, when it had to be halted
    named = 0
    for start in np.linspace(FIRST, len(year.labels) - FIRST, 20).astype(int).tolist():
        end = min(len(year.labels), start + LONGEST)
        flips = rng.random(len(year.labels)) < share
        if of_carrier:
            flips &= year.carriers == largest
        flips &= year.labelled >= year.asked[start]
        own = of_learner(0, flips, until=end)
        given = policy(margin)
        count, evidence = labels_until(
            given, labelled(own, live[:end], np.arange(start, end)), WORSE
        )
        counts.append(count)
        soon = slice(start, start + 1_700)
        squares = (own[soon] - year.labels[soon]) ** 2 - (live[soon] - year.labels[soon]) ** 2
        if squares.mean() > MARGIN:
            harmed.append(count)
        named += judge(given, evidence).gates[0].worst == f"carrier={largest}"
    name = f"{share:.0%} of {'one carrier' if of_carrier else 'all'} flipped, margin {margin}"
    bar = 5_800.0 if of_carrier else 1_700.0
    yield row(f"{name}: labels to a halt, median", float(np.median(counts)), "labels")
    yield row(f"{name}: labels to a halt, p90", float(np.quantile(counts, 0.9)), "labels", bar)
    told = f"p90 of the {len(harmed)} starts where it is worse by {MARGIN} in 1,700 labels"
    yield row(f"{name}: {told}", float(np.quantile(harmed, 0.9)), "labels")
    yield row(f"{name}: largest carrier named", float(named), "of 20")


def equal(live: F64, twin: F64) -> Iterable[Row]:
    """The stakes of passing were chosen among eight sets by even starts, these among them; the
    drawn ones had no part in that, and are what the bar is held to."""
    even = np.linspace(FIRST, len(live) - FIRST, 20).astype(int).tolist()
    drawn = starts(np.random.default_rng(8), 100, LONGEST)
    for name, chosen in (("100 drawn starts", drawn), ("20 even starts", even)):
        counts = []
        for start in chosen:
            rows = labelled(twin, live, np.arange(start, min(len(live), start + LONGEST)))
            counts.append(labels_until(policy(MARGIN), rows, HOLDS)[0])
        told = f"an equal one passes .002, {name}: labels"
        yield row(f"{told}, median", float(np.median(counts)), "labels")
        bar = 700.0 if chosen is drawn else None
        yield row(f"{told}, p90", float(np.quantile(counts, 0.9)), "labels", bar)


def planted(live: F64) -> Iterable[Row]:
    """Two lineages, one of them worse; which of them is the candidate is tossed, and the judge is
    not told. Worse is one whose every answer is disturbed (a logit by 0.5), or one that knows the
    base rate alone, or one that stopped learning a fortnight ago: in some weeks of a year these
    two are the better. A worse one is refused where it never passes."""
    year = flights()
    noise = np.random.default_rng(9).normal(0, 0.5, len(live))
    disturbed = 1 / (1 + np.exp(-np.log(live / (1 - live)) - noise))
    rates = np.cumsum(year.labels) / np.arange(1, len(live) + 1)
    base_rate = np.concatenate([[0.5], rates[:-1]])
    for name in ("disturbed", "base rate", "stale"):
        rng = np.random.default_rng(4)
        right = 0
        for start in starts(rng, 100, LONGEST):
            end = start + LONGEST
            worse = disturbed[:end]
            if name == "base rate":
                worse = base_rate[:end]
            if name == "stale":
                worse = of_learner(0, None, year.asked[start] - 14 * 24 * HOUR, end)
            is_better = bool(rng.integers(2))
            sides = (worse, live[:end])
            if is_better:
                sides = (live[:end], worse)
            outcome = decided(policy(MARGIN, 1_000), labelled(*sides, np.arange(start, end)))
            right += (outcome == "pass") == is_better
        yield row(f"planted, one is {name}: right of 100 runs", right, "runs")


def delays(live: F64) -> Iterable[Row]:
    """One says less than is true, one more, and both are equally good; which is the candidate is
    tossed. Outcomes are drawn, so that this is exactly so. Then labels come at random, or the false
    ones soon and the true ones late: judged as they come, or at one age."""
    rng = np.random.default_rng(5)
    year = flights()
    found = {"independent": 0, "dependent": 0, "dependent, at one age": 0}
    lean = 0.05
    for start in starts(rng, RUNS, WINDOW):
        which = np.arange(start, start + WINDOW)
        truth = np.clip(live[which], lean, 1 - lean)
        label = (rng.random(WINDOW) < truth).astype(float)
        toward = lean * rng.choice([-1.0, 1.0])
        asked = year.asked[which]
        free = asked + HOUR * rng.uniform(1, 12, WINDOW)
        bound = asked + HOUR * np.where(label > 0.5, rng.uniform(6, 12, WINDOW), 1.0)
        orders = {
            "independent": np.argsort(free, kind="stable"),
            "dependent": np.argsort(bound, kind="stable"),
            "dependent, at one age": ripened(asked, bound),
        }
        for each, order in orders.items():
            rows = Labelled(
                label[order],
                truth[order] + toward,
                {"champion": truth[order] - toward},
                {"carrier": year.carriers[which][order]},
            )
            found[each] += halted(rows)
    for each, count in found.items():
        yield row(f"delays {each}: false halts", 100 * count / RUNS, "%")


def ripened(asked: F64, came: F64) -> I64:
    held = Ripening(int(12 * HOUR))
    held.add(asked.astype(np.int64), came.astype(np.int64), np.arange(len(asked)))
    return held.ripe(int(asked[-1] + 13 * HOUR))


def slow_poison(live: F64) -> Iterable[Row]:
    """Each day .2 % more labels are flipped, so that no day is much worse than the one before. The
    frozen champion learns nothing from the start on; a comparison with it lasts, or begins anew
    every so many days."""
    rng = np.random.default_rng(6)
    year = flights()
    start = FIRST
    since = np.maximum(0, year.days - year.days[start])
    flips = rng.random(len(live)) < 0.002 * since
    own = of_learner(0, flips)
    frozen = of_learner(0, None, year.asked[start])
    which = np.arange(start, len(live))
    for name, against in (("the frozen champion", frozen), ("one that is not poisoned", live)):
        for days in (400, 28):
            day = since[which]
            caught = 400
            for first in range(0, 330, days):
                mine = which[(day >= first) & (day < first + days)]
                count, _ = labels_until(policy(0.0), labelled(own, against, mine), WORSE)
                if count <= len(mine):
                    caught = int(since[mine[count - 1]])
                    break
            yield row(f".2 % a day against {name}, anew every {days} days", caught, "days")


def run() -> list[Row]:
    live = of_learner(0)
    twin = of_learner(1)
    parts: list[Callable[[], Iterable[Row]]] = [
        lambda: a_a(live, twin),
        lambda: false_passes(live, twin),
        lambda: equal(live, twin),
        lambda: delays(live),
        lambda: planted(live),
        lambda: slow_poison(live),
        lambda: poison(live, 0.2, False, 0.0),
        lambda: poison(live, 0.2, False, MARGIN),
        lambda: poison(live, 0.3, True, 0.0),
    ]
    found: list[Row] = []
    for part_ in parts:
        began = time.monotonic()
        rows = list(part_())
        found += rows
        for each in rows:
            print(f"{each['name']}: {each['ours']:g} {each['unit']}", flush=True)
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    return found


if __name__ == "__main__":
    run()
