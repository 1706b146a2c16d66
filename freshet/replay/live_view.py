"""The run as it goes, in the terminal: a live view on a TTY, elsewhere a plain line now and
then."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from freshet.figures import DASH, count, duration, fixed, moment, signed, sparkline
from freshet.replay.summary import summary
from freshet.serving.status.status import ModelFigures, Quality, Status

__all__ = ["LiveView", "summary"]

_PLAIN_SECONDS = 5.0  # of the run: whoever reads the log later finds a line for each
# Not by colour alone: some see none, and a log has none.
_SIGNS = {"green": "✔", "amber": "▲", "red": "✖"}
_COLOURS = {"green": "green", "amber": "yellow", "red": "red"}
_STATES = {"running": "", "held": "yellow", "starting": "yellow"}  # of roles
_RUN = {"starting": "yellow", "running": "green"}
_MODEL = ("ne", "NE "), ("auc", "AUC")


class LiveView:
    """Shows one `Status` after another. A context manager: leaving it gives the terminal back.

    On a TTY it redraws in place; elsewhere it prints a line every five seconds of the run, no
    control codes.
    """

    def __init__(self, console: Console, address: str = "") -> None:
        self._console = console
        self._address = address
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal
            else None
        )
        self._trails: dict[str, list[float]] = {}
        self._trail_ms: int | None = None
        self._next_line = 0.0

    def __enter__(self) -> LiveView:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, status: Status) -> None:
        self._remember(status)
        if self._live:
            self._live.update(self.render(status), refresh=True)
        elif status.over or status.clock.wall_seconds >= self._next_line:
            self._next_line = status.clock.wall_seconds + _PLAIN_SECONDS
            self._console.print(line(status), highlight=False, markup=False, soft_wrap=True)

    def render(self, status: Status) -> RenderableType:
        """The whole view, for 80 columns or more."""
        parts: list[RenderableType] = [
            _title(status, self._address),
            _clock(status),
            _promises(status),
            "",
        ]
        parts.append(_topics(status))
        for model in status.models:
            parts += ["", _model(model), *(self._quality(model, *which) for which in _MODEL)]
        return Group(*parts, "", _pairs(status))

    def _quality(self, model: ModelFigures, kind: str, label: str) -> Text:
        now, base = (getattr(q, kind) for q in (model.rolling, model.rolling_baseline))
        text = (
            Text("  ", no_wrap=True, overflow="crop")
            .append(label, "dim")
            .append(f"  {fixed(now)}  ", "bold")
        )
        if now is not None and base is not None:
            better = now < base if kind == "ne" else now > base
            text.append(f"baseline {fixed(base)} ").append(
                signed(now - base), "green" if better else "red"
            )
        else:
            text.append("too few labels yet", "dim")
        # What stands before it takes 44 columns; a longer line tells no more.
        width = max(0, min(40, self._console.width - 44))
        return text.append("  ").append(
            sparkline(self._trails.get(f"{model.name} {kind}", []), width), "cyan"
        )

    def _remember(self, status: Status) -> None:
        # A moment that is told twice is one point all the same.
        if status.clock.app_ms == self._trail_ms:
            return
        self._trail_ms = status.clock.app_ms
        for model in status.models:
            for kind, _ in _MODEL:
                value = getattr(model.rolling, kind)
                if value is not None:
                    trail = self._trails.setdefault(f"{model.name} {kind}", [])
                    trail.append(value)
                    # Half as fine from then on: a year has no end, a terminal has a width.
                    if len(trail) > 2_000:
                        del trail[::2]


def line(status: Status) -> str:
    """A status in one line of plain text."""
    clock = status.clock
    requests = status.requests
    parts = [moment(clock.app_ms, "%Y-%m-%d %H:%M"), clock.state]
    if clock.done is not None:
        parts[1] += f" {clock.done:.1%}"
    parts.append(f"{count(status.events_per_second)} events/s")
    parts.append(f"feature lag {_worst(status)[0]}")
    for model in status.models:
        served = (
            f"{model.served.lineage} #{model.served.number}"
            if model.served
            else "nothing served yet"
        )
        parts.append(
            f"{model.name}: {served}, lag {duration(model.lag_ms)}, {count(model.swaps)} swaps"
        )
        parts.append(f"NE {_beside(model.rolling.ne, model.rolling_baseline.ne)}")
        parts.append(f"AUC {_beside(model.rolling.auc, model.rolling_baseline.auc)}")
    parts.append(f"{count(requests.failed)} of {count(requests.total)} requests failed")
    parts += [
        f"{p.state.upper()} {p.name}: {p.reason}" for p in status.promises if p.state != "green"
    ]
    return " | ".join(parts)


def _beside(now: float | None, base: float | None) -> str:
    return f"{fixed(now)} (baseline {fixed(base)})"


def _title(status: Status, address: str) -> Table:
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="right", no_wrap=True)
    state = status.clock.state
    what = "replaying" if status.clock.paced and state == "running" else state
    name = Text.assemble(
        ("≈ freshet ", "bold cyan"), (status.app, "bold"), "  ", (what, _RUN.get(state, "dim"))
    )
    grid.add_row(name, Text(address, "dim underline" if address else ""))
    return grid


def _clock(status: Status) -> Table:
    clock = status.clock
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    # In whole seconds: more would flicker.
    spent = duration(clock.wall_seconds * 1000 // 1000 * 1000)
    now = Text(f"{moment(clock.app_ms)} UTC", "bold")
    if clock.done is None:
        grid.add_row(now, "", f"up for {spent}")
        return grid
    # While it starts or ends, the pace says nothing of what is left.
    left = clock.left_seconds if clock.state == "running" else None
    eta = "" if left is None else f", about {duration(round(left) * 1000)} left"
    bar = ProgressBar(total=1.0, completed=clock.done, complete_style="cyan", finished_style="cyan")
    grid.add_row(now, bar, f"{clock.done:.1%}  {spent}{eta}")
    return grid


def _promises(status: Status) -> Text:
    wrong = [p for p in status.promises if p.state != "green"]
    text = Text(overflow="ellipsis", no_wrap=True)
    if not wrong:
        return (
            text.append(f"✔ all {len(status.promises)} promises hold", "green")
            if status.promises
            else text
        )
    for promise in wrong:
        text.append(f"{_SIGNS[promise.state]} {promise.name}: ", f"bold {_COLOURS[promise.state]}")
        text.append(f"{promise.reason}  ", _COLOURS[promise.state])
    return text


def _topics(status: Status) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("topic", no_wrap=True)
    for title in ("records", "per s", "applied", "duplicates", "dropped", "dead"):
        table.add_column(title, justify="right", no_wrap=True)
    for t in status.topics:
        dropped = sum(t.dropped.values())
        dead = sum(t.dead.values())
        table.add_row(
            t.name, *map(count, (t.records, t.per_second, t.applied, t.deduplicated, dropped, dead))
        )
    return table


def _model(model: ModelFigures) -> Text:
    text = (
        Text(no_wrap=True, overflow="ellipsis")
        .append(model.name, "bold")
        .append("  served ", "dim")
    )
    if model.served is None:
        text.append("nothing yet")
    else:
        text.append(f"{model.served.lineage} #{model.served.number}", "bold cyan")
        text.append(f" since {moment(model.served.since_ms, '%-d %b %H:%M')}", "dim")
    snapshots = f"  {count(model.snapshots)} snapshots, {count(model.refusals)} refused"
    text.append(f"  {count(model.swaps)} swaps").append(snapshots, "dim")
    return text


def _pairs(status: Status) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    r = status.requests
    worst, of = _worst(status)
    lags = [f"features {worst}{of}"]
    lags += [f"{m.name} {duration(m.lag_ms)} of {duration(m.slo_ms)}" for m in status.models]
    grid.add_row("lags", "  ".join(lags))
    failed = Text(f"{count(r.failed)} failed", "bold red" if r.failed else "")
    latency = f", p50 {fixed(r.p50_ms, 1)} ms, p99 {fixed(r.p99_ms, 1)} ms"
    latency += f", near swaps {fixed(r.p99_swap_ms, 1)} ms"
    refused = f", {count(r.refused)} refused on purpose" if r.refused else ""
    in_error = ""
    if r.in_error:
        in_error = f", {count(r.in_error)} in error"
    told = Text.assemble(f"{count(r.answered)} answered, ", failed, refused, in_error, latency)
    grid.add_row("requests", told)
    qualities = "  ".join(_lineages(m) for m in status.models)
    grid.add_row("NE overall", qualities or DASH)
    grid.add_row("roles", _roles(status))
    return grid


def _lineages(model: ModelFigures) -> str:
    def told(q: Quality) -> str:
        return f"{fixed(q.ne)}" if q.n else DASH

    return "  ".join(f"{x.name} {told(x.overall)}" for x in model.lineages)


def _worst(status: Status) -> tuple[str, str]:
    known = [v for v in status.views if v.lag_ms is not None]
    if not known:
        return DASH, ""
    # Of several views the one that is furthest behind speaks for all.
    view = max(known, key=lambda v: v.lag_ms or 0)
    return duration(view.lag_ms), f" of {duration(view.slo_ms)} ({view.name})"


def _roles(status: Status) -> Text:
    text = Text()
    for role in status.roles:
        # Trainers share a role: by their instance alone they are told apart.
        name = role.instance if role.role == "train" and role.instance else role.role
        style = _STATES.get(role.state, "red")
        text.append(name, style)
        text.append(f" {role.state}" if role.state != "running" else "", style)
        text.append(f" {count(role.memory_mb)}", "dim")
        text.append(f" ({role.restarts}×)" if role.restarts else "", "yellow").append("  ")
    return text.append("MB", "dim") if status.roles else text.append(DASH)
