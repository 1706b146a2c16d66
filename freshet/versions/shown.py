"""How far a change of version is, for a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from freshet.figures import count
from freshet.versions.progress import Applying, OfView, read


def sentence(now: Applying, at: datetime | None = None) -> str:
    """In one line.

    >>> view = OfView("hydrating", 1_000, 9_000, 3_000, 3)
    >>> now = Applying(2, "building", "hydrating", views={"load": view})
    >>> sentence(now, datetime(2026, 1, 31, 12, tzinfo=UTC))
    'version 2: hydrating; load: 1,000 records, 9,000 to come, 3,000 a second, done at 12:00:03 UTC'
    """
    parts = [f"version {now.version}: {now.state or now.step}"]
    for name, of in now.views.items():
        if of.state != "ready":
            parts.append(f"{name}: {_of_view(of, at or datetime.now(UTC))}")
    if now.cause:
        verb = "because" if now.state == "failing" else "waits for"
        parts.append(f"{verb} {now.cause}")
    return "; ".join(parts)


def how_far(run_dir: Path) -> str:
    """The same of a run; empty while nothing is being changed."""
    now = read(run_dir)
    return "" if now is None else sentence(now)


def _of_view(of: OfView, at: datetime) -> str:
    told = f"{count(of.records)} records"
    if of.records_left:
        told = f"{told}, {count(of.records_left)} to come, {count(of.records_a_second)} a second"
    if of.records_left and of.seconds_left is not None:
        done = at + timedelta(seconds=of.seconds_left)
        told = f"{told}, done at {done:%H:%M:%S} UTC"
    return told
