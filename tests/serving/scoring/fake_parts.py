"""What goes beside the figures of `fake_status`: fields, sources, settings, outages, alerts,
switches, calibration."""

from __future__ import annotations

import math
from dataclasses import asdict

from freshet.schemas.topics.topic import Freshness
from freshet.serving.status.status import (
    Alert,
    CalibrationBin,
    FieldFigures,
    OutageFigures,
    SettingChange,
    SourceFigures,
    SwitchFigures,
)

SOURCES = {"JFK": 0.36, "EWR": 0.34, "LGA": 0.30}
NUMBERS = {  # field: unit or kind, share missing, least, mean, most, deviation
    "event_time": (
        "long",
        0.0,
        1_357_016_400_000.0,
        1_372_700_000_000.0,
        1_388_500_000_000.0,
        9.1e9,
    ),
    "dep_delay": ("double", 0.024, -43.0, 12.639, 1301.0, 40.21),
    "distance": ("int", 0.0, 17.0, 1039.9126, 4983.0, 733.233),
    "air_time": ("double", 0.028, 20.0, 150.6865, 695.0, 93.688),
}
TEXTS = {
    "origin": {"EWR": 120_835, "JFK": 111_279, "LGA": 104_662},
    "carrier": {
        "UA": 58_665,
        "B6": 54_635,
        "EV": 54_173,
        "DL": 48_110,
        "AA": 32_729,
        "MQ": 26_397,
        "US": 20_536,
    },
    "tailnum": {"N725MQ": 575, "N722MQ": 513, "N723MQ": 507},
}
DECLARED = asdict(Freshness(feature_slo="15m", model_slo="8h", snapshot_every="6h"))
FEATURES = [
    f"{kind}_{span}"
    for kind in ("mean_delay", "count", "max_delay", "share_late")
    for span in ("1h", "6h", "1d")
]
REFUSED = (
    "normalised entropy 0.951 on the newest 2,000 labels, champion's 0.902: worse by more than 0.02"
)


def fields(applied: int) -> list[FieldFigures]:
    numbers = [
        FieldFigures(
            name=name,
            kind=kind,
            seen=applied - int(applied * share),
            missing=int(applied * share),
            imputed=int(applied * share),
            min=least,
            mean=mean,
            max=most,
            deviation=deviation,
        )
        for name, (kind, share, least, mean, most, deviation) in NUMBERS.items()
    ]
    texts = [
        FieldFigures(name=name, kind="string", seen=applied, values=values)
        for name, values in TEXTS.items()
    ]
    return numbers + texts


def sources(applied: int, now_ms: int) -> list[SourceFigures]:
    return [
        SourceFigures(
            name=name,
            events=int(applied * share),
            late=int(applied * share * 0.0004),
            dead=int(applied * share * 0.005),
            newest_ms=now_ms - 180_000 * (i + 1),
            rate_per_hour=round(share * 38.2, 2),
        )
        for i, (name, share) in enumerate(SOURCES.items())
    ]


def calibration(n: int) -> list[CalibrationBin]:
    bins = []
    for i in range(10):
        share = math.exp(-((i - 2) ** 2) / 6) / 4.2
        count = int(n * share * 0.97)
        predicted = i / 10 + 0.048
        observed = predicted + 0.035 * math.sin(i * 1.9) if count > 20 else None
        known = predicted if count else None
        bins.append(
            CalibrationBin(
                low=i / 10, high=(i + 1) / 10, n=count, predicted=known, observed=observed
            )
        )
    return bins


def outages(at_ms: int) -> list[OutageFigures]:
    return [
        OutageFigures(
            component="store",
            resource="redis at redis://10.0.3.7:6379/0",
            cause="connection refused",
            meanwhile="rows are kept in the log and written when the store is back; answers use the rung last good",
            next_step="Start Redis, or look at its log; nothing else has to be done.",
            since_ms=at_ms - 194_000,
            roles=["view/0", "serve/0"],
        )
    ]


def alerts(at_ms: int, n_firing: int = 2) -> list[Alert]:
    found = [
        Alert(
            policy="feature lag",
            subject="view tail_delay",
            light="red",
            reason="lag 21m, promised 15m",
            meaning="Answers use rows of this view that are older than promised.",
            next_step="See whether a view process is down or held; add one, they share partitions.",
            since_ms=at_ms - 260_000,
        ),
        Alert(
            policy="source silent",
            subject="weather origin=LGA",
            light="amber",
            reason="nothing for 4h 10m, usually 1.0 an hour",
            meaning="Features of this source stand still and age.",
            next_step="Ask the owner of the topic whether the source still sends.",
            since_ms=at_ms - 15_000_000,
        ),
    ]
    resolved = Alert(
        policy="dead letters",
        subject="topic arrivals",
        light="amber",
        reason="3.1 % of the last 1,000 records, promised at most 2 %",
        meaning="A writer sends what the schema does not allow.",
        next_step="See freshet dlq list for the reasons.",
        since_ms=at_ms - 90_000_000,
        state="resolved",
        resolved_ms=at_ms - 86_000_000,
    )
    return [resolved, *found[:n_firing]]


def switches(at_ms: int, off: str = "") -> list[SwitchFigures]:
    return [
        SwitchFigures(
            name=name,
            on=name != off,
            by="ada" if name == off else "",
            at_ms=at_ms - 5_400_000 if name == off else 0,
        )
        for name in ("learn", "release", "answer")
    ]


def changes(at_ms: int) -> list[SettingChange]:
    told = (
        ("arrivals", "snapshot_every", "2h", "ada", 8_000_000),
        ("departures", "lateness", "5m", "page@127.0.0.1", 80_000_000),
        ("arrivals", "snapshot_every", "12h", "operations-on-call@example.org", 190_000_000),
    )
    return [
        SettingChange(topic=t, key=k, value=v, by=by, at_ms=at_ms - ago)
        for t, k, v, by, ago in reversed(told)
    ]
