"""Old data of the toy app, and what needs no features on it, computed the slow way."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

MINUTE_MS = 60_000
YEAR_1905, YEAR_1996 = (
    int(datetime(y, 5, 7, tzinfo=UTC).timestamp() * 1_000) for y in (1905, 1996)
)


def orders(start: int, n: int = 240) -> list[dict[str, Any]]:
    """One every ten minutes."""
    rng = random.Random(0)
    return [
        {
            "order_id": f"o{i}",
            "at": start + 10 * i * MINUTE_MS,
            "shop": rng.choice(["north", "south"]),
            "price": rng.random(),
            "hour": i // 6 % 24,
        }
        for i in range(n)
    ]


def payments(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Half an hour to two hours later, in the order of the orders; north pays late more often."""
    rng = random.Random(1)
    return [
        {
            "order_id": order["order_id"],
            "at": order["at"] + rng.randint(30, 120) * MINUTE_MS,
            "shop": order["shop"],
            "late": rng.uniform(0, 40 if order["shop"] == "north" else 13),
        }
        for order in asked
    ]


def write(folder: Path, start: int, n: int = 240) -> list[str]:
    """Orders as CSV with ISO times, payments as Parquet with dates of its own."""
    asked = orders(start, n)
    moment = pl.from_epoch("at", time_unit="ms")
    text = moment.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    pl.DataFrame(asked).with_columns(at=text).write_csv(folder / "orders.csv")
    paid = pl.DataFrame(payments(asked)).with_columns(at=moment)
    paid.write_parquet(folder / "payments.parquet")
    return [str(folder / "orders.csv"), str(folder / "payments.parquet")]


def slow_references(paid: list[dict[str, Any]]) -> tuple[float, float]:
    """The log loss of the share of positives so far, and the accuracy of the label before."""
    labels = [p["late"] > 10 for p in sorted(paid, key=lambda p: p["at"])]
    positives, loss, same = 0, 0.0, 0
    for i, label in enumerate(labels):
        rate = (positives + 0.5) / (i + 1)
        loss -= math.log(rate if label else 1 - rate)
        positives += label
        same += i > 0 and label == labels[i - 1]
    return loss / len(labels), same / (len(labels) - 1)
