"""A plausible year of flights without running anything: for tests of page and terminal, and for
looking.

`python -m tests.serving.fake_status --days 365 --until 0.5 --steps-per-second 24` serves the page
over it.
"""

from __future__ import annotations

import argparse
import threading
import time

import numpy as np

from freshet.serving.page import app as dashboard
from freshet.serving.status.history import History
from freshet.serving.status.status import (
    Clock,
    Light,
    LineageFigures,
    ModelFigures,
    Promise,
    Quality,
    References,
    RequestFigures,
    RoleFigures,
    RunState,
    Served,
    SliceFigures,
    Status,
    TopicFigures,
    ViewFigures,
)
from tests.serving.scoring import fake_parts as parts

STEP_MS = 900_000
START_MS = 1_357_016_400_000  # 2013-01-01 05:00 UTC
MODEL = "late_arrival"
SPEED = 24.0  # steps a wall second
SNAPSHOT_STEPS = 24
TOPICS = {"departures": 9.6, "takeoffs": 9.4, "arrivals": 9.3, "weather": 0.75}
DEAD = ("unknown type", "missing field", "out of domain", "outlier", "undecodable", "far future")
VIEWS = {
    "origin_delay": ("arrivals", "origin", 3),
    "carrier_delay": ("arrivals", "carrier", 16),
    "dest_delay": ("arrivals", "dest", 104),
    "tail_delay": ("arrivals", "tailnum", 3_900),
    "origin_takeoffs": ("takeoffs", "origin", 3),
    "carrier_takeoffs": ("takeoffs", "carrier", 16),
    "origin_load": ("departures", "origin", 3),
    "origin_weather": ("weather", "origin", 3),
}
CARRIERS = {
    "UA": 0.79,
    "B6": 0.81,
    "EV": 0.82,
    "DL": 0.80,
    "AA": 0.83,
    "MQ": 0.80,
    "US": 0.84,
    "9E": 0.81,
}
# lineage: NE at the start, NE in the end, days to get there
LINEAGES = {
    "baseline": (0.96, 0.915, 20.0),
    "hashed_logistic": (0.95, 0.815, 45.0),
    "river": (0.94, 0.835, 25.0),
    "torch_ctr": (1.12, 0.795, 70.0),
}
PRIOR_LOSS = 0.547
ROLES = {"intake": 210, "view": 260, "join": 190, "release": 150, "serve": 280, "control": 120}


class FakeYear:
    """A run at a step of its own; `advance` moves on. `history` has seen every step."""

    def __init__(self, days: float = 365, seed: int = 7, capacity: int = 1200) -> None:
        self.steps = int(days * 96)
        self.step = 0
        self.history = History(capacity)
        self.state: RunState = "running"
        self.trouble = False  # a server away, alerts firing, a switch off
        self._random = np.random.default_rng(seed)
        self._noise = dict.fromkeys(LINEAGES, 0.0)
        self._served: tuple[str, int] | None = None  # lineage, app ms since when
        self._swaps = 0
        self._records = dict.fromkeys(TOPICS, 0)
        self._rate = 0.0

    @property
    def now_ms(self) -> int:
        return START_MS + self.step * STEP_MS

    @property
    def wall_ms(self) -> int:
        return 1_700_000_000_000 + int(self.step / SPEED * 1000)

    def advance(self, steps: int = 1, observe_every: int = 1) -> FakeYear:
        for _ in range(min(steps, self.steps - self.step)):
            self.step += 1
            self._move()
            if self.step % observe_every == 0:
                self.history.observe(self.status())
        if self.step >= self.steps:
            self.state = "ended"
        return self

    def _move(self) -> None:
        hour = (self.step / 4 + 5) % 24
        load = max(0.02, np.sin((hour - 5) / 19 * np.pi)) * 1.55
        for topic, mean in TOPICS.items():
            self._records[topic] += self._random.poisson(
                mean * (load if topic != "weather" else 1.0)
            )
        self._rate = 0.9 * self._rate + 0.1 * load * 29 * SPEED * self._random.uniform(0.8, 1.15)
        common = self._random.normal(0, 0.0009)
        for name in LINEAGES:
            kick = 0.05 if self._storm() and self._random.random() < 0.1 else 0.0
            self._noise[name] = (
                0.994 * self._noise[name] + common + self._random.normal(0, 0.0003) + kick / 4
            )
        if self.step % SNAPSHOT_STEPS == 0:
            self._release()

    def _storm(self) -> bool:
        return any(abs(self.step / 96 - day) < 0.8 for day in (39, 182, 203, 338))

    def _release(self) -> None:
        ranked = sorted(LINEAGES, key=self._ne)
        lineage, since = self._served or (ranked[0], self.now_ms)
        if self._ne(ranked[0]) < self._ne(lineage) - 0.004:
            lineage, since = ranked[0], self.now_ms
        self._served, self._swaps = (lineage, since), self._swaps + 1

    def _ne(self, lineage: str) -> float:
        first, last, days = LINEAGES[lineage]
        return last + (first - last) * float(np.exp(-self.step / 96 / days)) + self._noise[lineage]

    def _quality(self, ne: float, n: int) -> Quality:
        if n < 200:
            return Quality(n=n)
        return Quality(
            n=n,
            auc=1.155 - 0.47 * ne,
            ne=ne,
            calibration=1 + 1.8 * (ne - 0.82) ** 2 + 0.01,
            log_loss=PRIOR_LOSS * ne,
            accuracy=0.763 + 0.35 * (1 - ne),
        )

    def _references(self, n: int) -> References:
        if not n:
            return References()
        prior = Quality(
            n=n, auc=0.5, ne=1.001, calibration=1.002, log_loss=PRIOR_LOSS, accuracy=0.763
        )
        return References(prior=prior, no_change=Quality(n=n - 1, accuracy=0.688))

    def status(self) -> Status:
        return Status(
            app="flights",
            at_ms=self.wall_ms,
            clock=Clock(
                state=self.state,
                paced=True,
                app_ms=self.now_ms,
                start_ms=START_MS,
                end_ms=START_MS + self.steps * STEP_MS,
                wall_seconds=self.step / SPEED,
            ),
            events_per_second=self._rate if self.state == "running" else 0.0,
            promises=self._promises(),
            topics=[self._topic(name) for name in TOPICS],
            views=[self._view(name) for name in VIEWS],
            models=[self._model()],
            requests=RequestFigures(
                answered=self.step,
                failed=0,
                rows=self._records["departures"],
                per_second=SPEED if self.state == "running" else 0.0,
                p50_ms=2.1,
                p99_ms=6.4 + 0.3 * np.sin(self.step / 50),
                p99_swap_ms=6.8 + 0.4 * np.sin(self.step / 30),
            ),
            roles=self._roles(),
            outages=parts.outages(self.wall_ms) if self.trouble else [],
            alerts=parts.alerts(self.wall_ms, 2 if self.trouble else 0),
            switches=parts.switches(self.wall_ms, "learn" if self.trouble else ""),
            changes=parts.changes(self.wall_ms),
        )

    def _topic(self, name: str) -> TopicFigures:
        n = self._records[name]
        dead = {reason: int(n * 0.005 / 6 * (1 + 0.2 * i)) for i, reason in enumerate(DEAD)}
        dropped = {"late": int(n * 0.0004), "spam": int(n * 0.0011)} if name == "arrivals" else {}
        duplicates = int(n * 0.0099)
        share = TOPICS[name] / sum(TOPICS.values())
        return TopicFigures(
            name=name,
            records=n,
            per_second=self._rate * share,
            applied=n - duplicates - sum(dead.values()) - sum(dropped.values()),
            deduplicated=duplicates,
            dropped=dropped,
            dead={k: v for k, v in dead.items() if v},
            lag_ms=0,
            owner="flight data",
            description="one event a flight, as the airport sends it",
            newest_ms=self.now_ms,
            newest_event_ms=self.now_ms - 60_000,
            settings=parts.DECLARED | ({"snapshot_every": "2h"} if name == "arrivals" else {}),
            declared=parts.DECLARED,
            fields=parts.fields(n),
            sources=parts.sources(n, self.now_ms),
        )

    def _view(self, name: str) -> ViewFigures:
        topic, key, rows = VIEWS[name]
        lag = int(self._random.choice([0, 0, 0, 40_000, 150_000]) * self._random.random())
        if self._storm():
            lag *= 6
        seen = int(rows * (1 - np.exp(-self.step / 96 / 8))) if rows > 20 else rows
        return ViewFigures(
            name=name,
            topic=topic,
            topics=[topic],
            key=key,
            rows=seen,
            lag_ms=lag,
            slo_ms=900_000,
            max_age_ms=86_400_000,
            events=self._records[topic],
            features=parts.FEATURES[: 3 + len(name) % 9],
            owner="delays",
            description=f"how flights went lately, by {key}",
        )

    def _model(self) -> ModelFigures:
        labelled = int(self._records["arrivals"] * 0.97)
        served = self._served
        ne = self._ne(served[0] if served else "baseline")
        base = self._quality(self._ne("baseline"), min(labelled, 5_000))
        number = self.step // SNAPSHOT_STEPS
        return ModelFigures(
            name=MODEL,
            served=Served(lineage=served[0], number=number, since_ms=served[1]) if served else None,
            baseline="baseline",
            lag_ms=self.step % SNAPSHOT_STEPS * STEP_MS,
            slo_ms=8 * 3_600_000,
            asked=self._records["departures"],
            labelled=labelled,
            expired=int(labelled * 0.021),
            snapshots=number * 4,
            approvals=number * 4 - self.step // 4_000,
            refusals=self.step // 4_000,
            swaps=self._swaps,
            rolling=self._quality(ne, min(labelled, 5_000)),
            rolling_baseline=base,
            overall=self._quality(ne + 0.006, labelled),
            overall_baseline=self._quality(self._ne("baseline") + 0.004, labelled),
            rolling_references=self._references(min(labelled, 5_000)),
            overall_references=self._references(labelled),
            lineages=[self._lineage(name, number, labelled) for name in LINEAGES],
            slices=self._slices(labelled, 0.0),
            calibration=parts.calibration(labelled),
            rungs={
                "champion": self._records["departures"],
                "last_good": self.step // 700,
                "heuristic": self.step // 9_000,
            },
            owner="arrivals team",
            description="probability that a flight arrives 15 minutes late or more",
        )

    def _lineage(self, name: str, number: int, labelled: int) -> LineageFigures:
        ne = self._ne(name)
        return LineageFigures(
            name=name,
            alias="champion" if self._served and self._served[0] == name else "",
            state="held" if self._storm() and name == "torch_ctr" else "running",
            number=number or None,
            examples=labelled,
            overall=self._quality(ne + 0.008, labelled),
            rolling=self._quality(ne, min(labelled, 5_000)),
            references=self._references(labelled),
            slices=self._slices(labelled, ne - self._ne("hashed_logistic")),
            cut_ms=self.now_ms - self.step % SNAPSHOT_STEPS * STEP_MS if number else None,
            refusals=self.step // 4_000 if name == "torch_ctr" else 0,
            refused=parts.REFUSED if name == "torch_ctr" and self.step >= 4_000 else "",
        )

    def _slices(self, labelled: int, worse: float) -> list[SliceFigures]:
        carriers = [
            self._slice("carrier", x, i, labelled, ne + worse)
            for i, (x, ne) in enumerate(CARRIERS.items())
        ]
        return carriers + [
            self._slice("origin", x, i, labelled, 0.81 + worse) for i, x in enumerate(parts.SOURCES)
        ]

    def _slice(self, field: str, value: str, i: int, labelled: int, usual: float) -> SliceFigures:
        ne = usual + (self._ne("hashed_logistic") - 0.815) * 0.8
        n = labelled // (i + 5)
        return SliceFigures(
            field=field,
            value=value,
            served=self._quality(ne, n),
            baseline=self._quality(0.93 - 0.01 * i % 0.04, n),
        )

    def _roles(self) -> list[RoleFigures]:
        named = [(role, "0", mb) for role, mb in ROLES.items()] + [
            ("train", name, 310) for name in LINEAGES
        ]
        at = self.wall_ms
        return [
            RoleFigures(
                role=role,
                instance=instance,
                pid=4_100 + i,
                state="held" if instance == "torch_ctr" and self._storm() else "running",
                memory_mb=mb + 3 * np.log1p(self.step),
                seen_ms=at - 120 * i,
                restarts=1 if role == "view" and self.step > 9_000 else 0,
                cpu_seconds=self.step / SPEED / (2 + i),
                started_ms=at - int(self.step / SPEED * 1000),
                metrics=f"http://127.0.0.1:{9_400 + i}/metrics",
            )
            for i, (role, instance, mb) in enumerate(named)
        ]

    def _promises(self) -> list[Promise]:
        lag_hours = self.step % SNAPSHOT_STEPS / 4
        storm: Light = "amber" if self._storm() else "green"
        found = "calibration 1.09 over the last 5,000" if self._storm() else "calibration 1.01"
        return [
            Promise(
                "Feature freshness", "green", "all 8 views within 15m; worst 2m 30s (tail_delay)"
            ),
            Promise(
                "Model freshness",
                "green",
                f"{MODEL} lags {lag_hours:.1f} h behind its examples, bound 8 h",
            ),
            Promise("Every request answered", "green", f"{self.step:,} answered, 0 failed"),
            Promise("Nothing vanishes", "green", "ledger agrees with the log up to the last block"),
            Promise("Better than the baseline", storm, f"normalised entropy lower by .10; {found}"),
            Promise("Every role alive", "green", "10 of 10 heard of within 3 s"),
        ]


def main() -> None:
    import uvicorn

    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=float, default=365)
    parser.add_argument("--until", type=float, default=1.0, help="share that has already happened")
    parser.add_argument("--steps-per-second", type=float, default=0)
    parser.add_argument("--port", type=int, default=8400)
    args = parser.parse_args()
    year = FakeYear(args.days)
    year.advance(int(year.steps * args.until))

    def play() -> None:
        while args.steps_per_second and year.step < year.steps:
            time.sleep(0.25)
            year.advance(max(1, int(args.steps_per_second / 4)))

    threading.Thread(target=play, daemon=True).start()
    uvicorn.run(dashboard.app(year.status, year.history), port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
