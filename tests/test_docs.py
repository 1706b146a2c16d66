"""The pages of `docs/` are held to the code: settings, switches, alerts, outages, dead letters,
metrics, rungs, commands, links."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from freshet.cli.main import cli
from freshet.features.reading.api import STATUSES
from freshet.learners.training.task import ROLLING_EXAMPLES
from freshet.roles.control import SAVE_SECONDS
from freshet.schemas.durations import text_of
from freshet.schemas.events.columns import REASONS
from freshet.schemas.topics.settings import DECIDING, KEYS, RANGES_MS
from freshet.schemas.topics.topic import ON_VIOLATION, Freshness
from freshet.schemas.wire.outcomes import RUNGS
from freshet.serving.alerts.bounds import AlertBounds
from freshet.serving.alerts.policy import POLICIES
from freshet.serving.board.roll_call import GRACE_MS, LOST_MS
from freshet.serving.board.served_quality import CALIBRATED, ROLLING
from freshet.serving.loading import loader
from freshet.serving.page.api import MEANING
from freshet.serving.scoring import reach
from freshet.serving.status.metrics import APP_METRICS
from freshet.streams import disk
from freshet.streams.control.switches import NAMES
from freshet.streams.kafka import health as kafka_health
from freshet.streams.operators import loop as operator
from freshet.streams.vitals.metric_table import Figure
from freshet.streams.vitals.metrics import ROLE_METRICS

ROOT = Path(__file__).parent.parent
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "howto").glob("*.md")),
    ROOT / "compose" / "README.md",
]
_LABELS = re.compile(r"\{(\w+)(?::[^}]+)?\}|\[([\w,]+)\]")
_LINKS = [
    (page, target) for page in PAGES for target in re.findall(r"\]\(([^)]+)\)", page.read_text())
]


@cache
def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@cache
def table(name: str, head: str) -> list[list[str]]:
    """The cells of the only table whose head begins with `head`, without its head."""
    (body,) = re.findall(
        rf"^\| {re.escape(head)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page(name), re.MULTILINE
    )
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()]


def first_cells(name: str, head: str) -> list[str]:
    return [row[0].strip("`") for row in table(name, head)]


def test_settings_of_a_topic_are_those_that_can_be_set() -> None:
    rows = {row[0].strip("`"): row[1:] for row in table("operating.md", "setting")}
    assert list(rows) == list(KEYS)
    for key, (default, allowed, effect, meaning) in rows.items():
        assert default == getattr(Freshness(), key)
        assert allowed == (
            " to ".join(map(text_of, RANGES_MS[key]))
            if key in RANGES_MS
            else ", ".join(ON_VIOLATION)
        )
        assert effect == ("at a checkpoint" if key in DECIDING else "at once")
        assert meaning == MEANING[key]


def test_switches_are_those_of_a_run() -> None:
    assert first_cells("operating.md", "switch") == list(NAMES)


def test_alerts_are_the_policies_in_their_order() -> None:
    assert first_cells("operating.md", "policy") == [policy.__name__ for policy in POLICIES]


@pytest.mark.parametrize(
    ("policy", "figures"),
    [
        ("role_down", ["{restarts} times", "{restarts_ms}"]),
        ("feature_lag", ["{red_lag} times"]),
        ("model_lag", ["{red_lag} times"]),
        ("source_silent", ["{silent_intervals} of", "{silent_ms}", "{silent_missed} events"]),
        ("topic_silent", ["{topic_silent_ms}", "{silent_intervals} usual"]),
        ("dead_letters", ["{dead_share} of", "{dead_window} records", "{red_dead_share}"]),
        ("calibration", ["{calibration}", "{red_calibration}", "{labelled} labels"]),
    ],
)
def test_the_bounds_of_alerts_are_those_that_hold(policy: str, figures: list[str]) -> None:
    bounds = AlertBounds()
    told = {name: _told(name, getattr(bounds, name)) for name in AlertBounds.__dataclass_fields__}
    row = " ".join(next(r for r in table("operating.md", "policy") if r[0] == f"`{policy}`"))
    for figure in figures:
        assert figure.format(**told) in row


def _told(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(f"{x:g}" for x in value)
    if name.endswith("_ms"):
        return "24h" if value == 86_400_000 else text_of(value)
    return f"{value:.0%}" if name.endswith("share") else f"{value:,g}"


def test_other_bounds_in_the_text_are_those_that_hold() -> None:
    assert f"at least {AlertBounds().silent_events} events" in page("operating.md")
    assert f"newest {ROLLING:,}" in page("operating.md")
    assert f"newest {CALIBRATED:,} labelled answers" in page("operating.md")
    assert ROLLING == ROLLING_EXAMPLES
    assert LOST_MS == 5_000
    assert GRACE_MS == 60_000
    assert SAVE_SECONDS == 30
    assert "not heard of for five seconds" in page("operating.md")


def test_what_happens_meanwhile_is_what_processes_say() -> None:
    told = " ".join(row[1] for row in table("operating.md", "away"))
    for text in (
        operator.WAITS,
        disk.WAITS,
        loader.MEANWHILE,
        reach.MEANWHILE,
        kafka_health.MEANWHILE,
    ):
        assert text in told


def test_reasons_of_dead_letters_are_those_that_there_are() -> None:
    assert first_cells("operating.md", "reason") == list(REASONS[1:])


@pytest.mark.parametrize(("n", "metrics"), [(0, ROLE_METRICS), (1, APP_METRICS)])
def test_metrics_are_those_that_are_exported(n: int, metrics: tuple[Figure, ...]) -> None:
    rows = re.findall(
        r"^\| (`freshet_.*) \|$", page("metrics.md").split("\n## ")[n + 1], re.MULTILINE
    )
    assert rows == [f"`{m.name}` | {m.kind} | {', '.join(_labels(m))} | {m.help}" for m in metrics]


def _labels(m: Figure) -> list[str]:
    return [f"`{x}`" for a, b in _LABELS.findall(m.path) for x in (a or b).split(",")]


def test_rungs_and_statuses_are_those_that_answers_tell() -> None:
    assert first_cells("serving.md", "rung") == list(RUNGS)
    assert sorted(first_cells("serving.md", "status")) == sorted(STATUSES.values())


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_are_those_of_the_program(path: Path) -> None:
    text = path.read_text()
    lines = [
        line
        for block in re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    lines += [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    for line in [*lines, *re.findall(r"`(freshet [^`]+)`", text)]:
        words = (
            shlex.split(line.split("#")[0].replace("…", "")) if line.startswith("freshet ") else []
        )
        if words:
            known = _options(words[1:])
            assert {w for w in words if w.startswith("--")} <= known, line


def _options(words: list[str]) -> set[str]:
    """Options of the command that these words begin with; fails if there is none."""
    command: Any = typer.main.get_command(cli)
    assert words[0] in command.commands, (
        f"there is no command {words[0]!r}: {', '.join(command.commands)}"
    )
    found: set[str] = set()
    for word in words:
        if word not in getattr(command, "commands", {}):
            break
        command = command.commands[word]
        found |= {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    return found


@pytest.mark.parametrize(
    ("path", "target"), _LINKS, ids=lambda x: x.name if isinstance(x, Path) else x
)
def test_links_lead_somewhere(path: Path, target: str) -> None:
    if target.startswith("https://"):
        return
    file, _, anchor = target.partition("#")
    found = (path.parent / file).resolve() if file else path
    assert found.exists()
    if anchor:
        heads = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
        assert anchor in [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads]


# Whatever else a block calls is not found: nothing of it happens.
_ONLY_CURL = """
date() { DATE "$@"; }
curl() { printf '%s\\0' "$@"; printf '\\n\\0'; }
"""
_CURLED = [
    (path.relative_to(ROOT), block)
    for path in (ROOT / "README.md", *PAGES)
    for block in re.findall(r"^```sh\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
    if "curl " in block
]


@pytest.mark.parametrize(("path", "block"), _CURLED)
def test_what_is_sent_by_curl_is_json_and_says_so(path: Path, block: str) -> None:
    """As a shell reads it: anything else than `--json` is answered with 415."""
    script = _ONLY_CURL.replace("DATE", shutil.which("date") or "date") + block
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    calls = [call.strip("\0").split("\0") for call in done.stdout.split("\n\0") if call]
    assert calls, done.stderr
    for arguments in calls:
        assert not {"-d", "--data", "--data-binary"} & set(arguments), arguments
        if "--json" in arguments:
            json.loads(arguments[arguments.index("--json") + 1])
