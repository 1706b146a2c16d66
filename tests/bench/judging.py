"""How soon the judge halts and passes, and how often it errs, on a year of flights.

Everything goes through the judge's own evidence and verdicts; labels are looked at one by one, in
the order asked, as they come of age. A halt is a failed gate "no worse than the champion".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import product

import numpy as np

from freshet.schemas.models.gates import Gate
from freshet.schemas.models.tasks import Binary
from freshet.schemas.models.vectors import F64
from freshet.serving.judging.betting_kernels import HOLDS, STAKES, WORSE, bet
from freshet.serving.judging.evidence import Evidence
from freshet.serving.judging.measured import Labelled
from freshet.serving.judging.policy import REACH, Policy
from freshet.serving.judging.ripening import Ripening
from freshet.serving.judging.verdict import judge
from tests.bench.harness import Bar, Row
from tests.bench.judged_flights import I64, flights, of_learner

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


def policy(margin: float, min_labels: int = 1) -> Policy:
    gate = Gate("brier", no_worse_by=margin, min_labels=min_labels)
    return Policy(Binary(), [gate], ["carrier"])


def labelled(own: F64, other: F64, which: I64) -> Labelled:
    year = flights()
    slices = {"carrier": year.carriers[which]}
    return Labelled(year.labels[which], own[which], {"champion": other[which]}, slices)


def part(rows: Labelled, first: int, end: int) -> Labelled:
    kept = np.zeros(len(rows.labels), np.bool_)
    kept[first:end] = True
    return rows.where(kept)


def labels_until(given: Policy, rows: Labelled, direction: int) -> tuple[int, Evidence]:
    """The label at which a test first reaches 1 / α, found by halving cuts; one more than there are
    where it does not."""
    wanted = 1 / given.alpha
    evidence = Evidence(given)
    count = len(rows.labels)
    for first in range(0, count, 100):
        before = evidence.checkpoint()
        evidence.update(part(rows, first, first + 100))
        if evidence.peak(direction, 0, 0) < wanted:
            continue
        evidence = Evidence.restored(given, before)
        for i in range(first, count):
            evidence.update(part(rows, i, i + 1))
            if evidence.peak(direction, 0, 0) >= wanted:
                return i + 1, evidence
    return count + 1, evidence


def starts(rng: np.random.Generator, count: int, length: int) -> list[int]:
    return rng.integers(20_000, len(flights().labels) - length - 1_000, count).tolist()


def halted(rows: Labelled, margin: float = 0.0) -> bool:
    given = policy(margin)
    evidence = Evidence(given)
    evidence.update(rows)
    return judge(given, evidence).outcome == "fail"


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
        named += judge(given, evidence).gates[0].worst == f"carrier={largest}"
    name = f"{share:.0%} of {'one carrier' if of_carrier else 'all'} flipped, margin {margin}"
    bar = 5_800.0 if of_carrier else 1_700.0
    yield row(f"{name}: labels to a halt, median", float(np.median(counts)), "labels")
    yield row(f"{name}: labels to a halt, p90", float(np.quantile(counts, 0.9)), "labels", bar)
    yield row(f"{name}: largest carrier named", float(named), "of 20")


def equal(live: F64, twin: F64) -> Iterable[Row]:
    counts = []
    for start in np.linspace(FIRST, len(live) - FIRST, 20).astype(int).tolist():
        rows = labelled(twin, live, np.arange(start, start + LONGEST))
        counts.append(labels_until(policy(MARGIN), rows, HOLDS)[0])
    yield row("an equal one passes .002: labels, median", float(np.median(counts)), "labels")
    yield row(
        "an equal one passes .002: labels, p90", float(np.quantile(counts, 0.9)), "labels", 700
    )


def planted(live: F64) -> Iterable[Row]:
    """Two lineages, one of which stopped learning a fortnight ago; which of them is the candidate
    is tossed, and the judge is not told. A worse one is refused where it never passes."""
    rng = np.random.default_rng(4)
    year = flights()
    found = {("better", outcome): 0 for outcome in ("pass", "fail", "inconclusive")}
    found |= {("worse", outcome): 0 for outcome in ("pass", "fail", "inconclusive")}
    for start in starts(rng, 100, LONGEST):
        end = start + LONGEST
        stale = of_learner(0, None, year.asked[start] - 14 * 24 * HOUR, end)
        truth = ("better", "worse")[int(rng.integers(2))]
        sides = {"better": (live[:end], stale), "worse": (stale, live[:end])}[truth]
        rows = labelled(*sides, np.arange(start, end))
        found[truth, decided(policy(MARGIN, 1_000), rows)] += 1
    for (truth, outcome), count in found.items():
        yield row(f"planted {truth}: {outcome}", count, "runs")


def decided(given: Policy, rows: Labelled) -> str:
    """The first verdict that is one, looked for every 250 labels."""
    evidence = Evidence(given)
    for first in range(0, len(rows.labels), 250):
        evidence.update(part(rows, first, first + 250))
        outcome = judge(given, evidence).outcome
        if outcome != "inconclusive":
            return outcome
    return "inconclusive"


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
