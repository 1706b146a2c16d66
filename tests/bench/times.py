"""How much faster are dates and times of ISO 8601 read than Polars reads them, which must be told
the format?"""

from __future__ import annotations

import numpy as np
import polars as pl

from freshet.schemas.events.times import EventTime, moments_of
from freshet.schemas.text.columns import Texts
from tests.bench.harness import Row, in_turns, rates

ROWS = 100_000
START = 1_795_985_984_000
ZONED = EventTime("at", "text", "UTC")
FORMAT = "%Y-%m-%dT%H:%M:%S%.3f%z"


def run() -> list[Row]:
    times = START + 137 * np.arange(ROWS)
    written = [f"{time}+01:00" for time in times.astype("datetime64[ms]")]
    texts = Texts.of(written)
    series = pl.Series(written)

    def ours() -> np.ndarray:
        return moments_of(texts, ZONED)

    def polars() -> pl.Series:
        return series.str.to_datetime(FORMAT, time_unit="ms")

    assert ours().tolist() == polars().to_physical().to_list() == (times - 3_600_000).tolist()
    return [rates("times", "texts/s", ROWS, in_turns(ours, polars), "Polars, with the format")]
