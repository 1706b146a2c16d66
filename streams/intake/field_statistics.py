"""Running statistics of a topic: of each field over the events applied, as they were sent, and of
each source.

A source's usual rate is `3600 · N · (1 - w) / (1 - w^a)` events an hour: `N` is the number of its
events after the second of its first one, each counted `w^k` where it lies `k` seconds of append
time before its newest one, `a` the seconds from the first to the newest, and `w` halves in an hour.
So it is a mean of the events of each second in which later ones count more, and falls silent with
its source: it is as of the newest event.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from freshet.schemas.events.codec import frozen
from freshet.schemas.events.columns import Columns
from freshet.schemas.events.field import Field
from freshet.schemas.topics.topic import Topic
from freshet.streams.admission.kernels import APPLIED
from freshet.streams.admission.names import names_of
from freshet.streams.intake import field_statistics_kernels as kernels
from freshet.streams.intake.fates import first_dead
from freshet.streams.operators.task import Arrays, as_json, from_json

# Those first seen have a place each; whatever has none shares one more.
VALUES, SOURCES = 20, 64
RATE_FROM_MS = 60_000
# Below every time, so that a maximum needs no case for the first one.
_NO_TIME = -(1 << 63)
_KINDS = {
    "string": kernels.TEXT,
    "enum": kernels.SYMBOL,
    "boolean": kernels.FLAG,
    "int": kernels.WHOLE,
    "long": kernels.WHOLE,
    "float": kernels.FLOATING,
    "double": kernels.FLOATING,
    # Of these it is counted how many there are.
    "bytes": kernels.UNLISTED,
    "decimal": kernels.UNLISTED,
    "array": kernels.UNLISTED,
    "map": kernels.UNLISTED,
}


class TopicStatistics:
    """What was seen of a topic's fields and sources in one partition, in bounded memory."""

    def __init__(self, topic: Topic) -> None:
        self._topic, self._fields = topic, topic.events.fields
        self._kinds = np.array(
            [
                # Each id is another text, and sources have a table of their own.
                kernels.UNLISTED if f.name in (topic.event_id, topic.source) else _KINDS[f.type]
                for f in self._fields
            ],
            np.int64,
        )
        self._source = -1 if topic.source is None else topic.events.position(topic.source)
        # Whole numbers are told apart as symbols are: by the number itself, not by its text.
        self._symbol = self._source >= 0 and self._fields[self._source].type != "string"
        self._first_dead = first_dead(topic)
        self._of_fields = _fields(len(self._fields))
        self._of_sources = _sources()
        self._newest_applied = _NO_TIME

    def take(
        self, columns: Columns, code: npt.NDArray[np.uint8], times: npt.NDArray[np.int64]
    ) -> None:
        """Count decoded events: their fates `code` uint8 `[n]` and append times (ms) int64
        `[n]`."""
        applied = times[code == APPLIED]
        if len(applied):
            self._newest_applied = max(self._newest_applied, int(applied.max()))
        kernels.take(
            (columns.data, columns.words, columns.valid),
            (code, frozen(times)),
            self._kinds,
            # Without what it is told by, which is beside it.
            tuple(names_of(self._topic, columns)[:-1]),
            (self._source >= 0, self._symbol, self._first_dead),
            tuple(self._of_fields.values()),
            tuple(self._of_sources.values()),
        )

    def tick(self, time_ms: int) -> None:
        """All that stood in the partition at `time_ms` (app clock) was taken."""
        totals = self._of_sources["totals"]
        totals[kernels.NEWEST_RECORD_MS] = max(int(totals[kernels.NEWEST_RECORD_MS]), time_ms)

    def dump(self) -> Arrays:
        fields = {f"statistics.fields.{k}": v for k, v in self._of_fields.items()}
        sources = {f"statistics.sources.{k}": v for k, v in self._of_sources.items()}
        newest = np.array([self._newest_applied])
        return {
            "statistics.declared": as_json(self._declared()),
            "statistics.newest_applied": newest,
            **fields,
            **sources,
        }

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Fields that were declared otherwise then, or not at all, start empty; so do sources of
        another field."""
        if "statistics.declared" not in state:
            return
        if "statistics.newest_applied" in state:  # not in one of before it was told
            self._newest_applied = int(state["statistics.newest_applied"][0])
        was, declared = from_json(state["statistics.declared"]), self._declared()
        rows = {tuple(map(str, f)): i for i, f in enumerate(was["fields"])}
        for i, f in enumerate(declared["fields"]):
            at = rows.get(tuple(map(str, f)))
            for name, values in self._of_fields.items():
                if at is not None:
                    values[i] = state[f"statistics.fields.{name}"][at]
        if was["source"] == declared["source"]:
            self._of_sources = {
                name: state[f"statistics.sources.{name}"].copy() for name in self._of_sources
            }

    def _declared(self) -> dict[str, Any]:
        """What each figure is of. Values of an enum are told by their index, so its symbols belong
        here."""
        fields = [
            [f.name, int(kind), list(f.symbols)] for f, kind in zip(self._fields, self._kinds)
        ]
        return {"fields": fields, "source": fields[self._source] if self._source >= 0 else None}

    def facts(self) -> dict[str, Any]:
        """`fields` and `sources` by name, `other_sources` those without a place, `newest_ms` of any
        record's appending, `newest_applied_ms` of an applied event's."""
        totals = self._of_sources["totals"]
        names = self._source_names(int(totals[kernels.TAKEN]))
        sent = [self._source_facts(i) for i in (*range(len(names)), SOURCES)]
        newest = int(totals[kernels.NEWEST_RECORD_MS])
        applied = self._newest_applied
        return {
            "fields": {f.name: self._field_facts(i, f) for i, f in enumerate(self._fields)},
            "sources": dict(zip(names, sent)),
            "other_sources": sent[-1],
            "newest_ms": None if newest == _NO_TIME else newest,
            "newest_applied_ms": None if applied == _NO_TIME else applied,
        }

    def _field_facts(self, i: int, f: Field) -> dict[str, Any]:
        figures, kind = self._of_fields["figures"][i].tolist(), int(self._kinds[i])
        missing = figures[kernels.ROWS] - figures[kernels.THERE]
        facts = {
            "seen": figures[kernels.ROWS],
            "missing": missing,
            "imputed": missing * (f.name in self._topic.impute),
        }
        if kind in (kernels.WHOLE, kernels.FLOATING):
            return facts | _numbers(
                figures, self._of_fields["moments"][i].tolist(), kind == kernels.FLOATING
            )
        if kind == kernels.UNLISTED:
            return facts
        counts = self._of_fields["counts"][i].tolist()
        names = ["false", "true"]
        if kind != kernels.FLAG:
            names = _names(
                self._of_fields["texts"][i], self._of_fields["sizes"][i], figures[kernels.USED], f
            )
        return facts | {
            "values": {v: n for v, n in zip(names, counts) if n},
            "other": counts[VALUES],
        }

    def _source_names(self, taken: int) -> list[str]:
        return _names(
            self._of_sources["texts"], self._of_sources["sizes"], taken, self._fields[self._source]
        )

    def _source_facts(self, i: int) -> dict[str, Any]:
        s = self._of_sources["sources"][i].tolist()
        some = s[kernels.EVENTS] > 0
        return {
            "events": s[kernels.EVENTS],
            "late": s[kernels.LATE],
            "dead": s[kernels.DEAD],
            "rate_per_hour": _rate_per_hour(s, float(self._of_sources["decayed"][i]))
            if some
            else None,
            "first_ms": s[kernels.FIRST_MS] if some else None,
            "newest_ms": s[kernels.NEWEST_MS] if some else None,
        }


def _fields(n: int) -> Arrays:
    """Figures of no rows, in the order in which `kernels.take` takes them."""
    return {
        "figures": np.zeros((n, kernels.FIGURES), np.int64),
        "moments": np.zeros((n, kernels.MOMENTS)),
        **_tables(n, VALUES),
        "counts": np.zeros((n, VALUES + 1), np.int64),
    }


def _sources() -> Arrays:
    """Figures of no sources, in the order in which `kernels.take` takes them."""
    return {
        "totals": np.array([0, _NO_TIME], np.int64),
        "sources": np.zeros((SOURCES + 1, kernels.SOURCE_FIGURES), np.int64),
        "decayed": np.zeros(SOURCES + 1),
        **{name: table[0] for name, table in _tables(1, SOURCES).items()},
    }


def _tables(n: int, places: int) -> Arrays:
    # A third full at most, so that a search soon ends at an empty slot.
    capacity = 1 << (3 * places - 1).bit_length()
    return {
        "slots": np.zeros((n, capacity, 4), np.uint64),
        "texts": np.zeros((n, places, kernels.LONGEST), np.uint8),
        "sizes": np.zeros((n, places), np.int64),
    }


def _names(
    texts: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64], used: int, f: Field
) -> list[str]:
    """What stands in the places of a table, in the order of first sight."""
    known = sizes[:used].tolist()
    if f.type == "enum":
        return [f.symbols[i] for i in known]
    if f.type == "boolean":
        return [("false", "true")[i] for i in known]
    if f.type != "string":
        return [str(number) for number in known]
    return [text[:n].tobytes().decode() for text, n in zip(texts, known)]


def _numbers(figures: list[int], moments: list[float], floating: bool) -> dict[str, Any]:
    """Extremes, mean and standard deviation (of all values, not of a sample); None where there is
    none, or it is beyond a float64."""
    n, mean, squares, *block = moments
    if block[-1]:
        n, mean, squares = kernels.joined.py_func(n, mean, squares, *block)
    if not n:
        return dict.fromkeys(("min", "max", "mean", "std"))
    lowest, highest = figures[kernels.LOWEST], figures[kernels.HIGHEST]
    std = math.sqrt(squares / n)
    return {
        "min": _float(lowest) if floating else lowest,
        "max": _float(highest) if floating else highest,
        "mean": mean if math.isfinite(mean) else None,
        "std": std if math.isfinite(std) else None,
    }


def _float(ordered: int) -> float:
    """The float of bits that were brought to the order of whole numbers."""
    return float(np.int64(ordered ^ (0x7FFFFFFFFFFFFFFF if ordered < 0 else 0)).view(np.float64))


def _rate_per_hour(s: list[int], decayed: float) -> float | None:
    """Events an hour; None in a source's first minute, which tells nothing of what is usual."""
    if s[kernels.NEWEST_MS] - s[kernels.FIRST_MS] < RATE_FROM_MS:
        return None
    w = 0.5 ** (1 / kernels.HALF_LIFE_SECONDS)
    seconds = s[kernels.SECOND] - s[kernels.FIRST_MS] // 1000
    return float(
        3600 * (decayed + s[kernels.EVENTS] - s[kernels.BEFORE]) * (1 - w) / (1 - w**seconds)
    )
