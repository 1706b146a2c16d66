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
from freshet.quality.columns import in_unit
from freshet.replay.summary import summary
from freshet.schemas.models.tasks import BINARY, CLASSES, REGRESSION
from freshet.serving.status.status import ModelFigures, Quality, Status

__all__ = ["LiveView", "summary"]

_PLAIN_SECONDS = 5.0  # of the run: whoever reads the log later finds a line for each
# Not by colour alone: some see none, and a log has none.
_SIGNS = {"green": "✔", "amber": "▲", "red": "✖"}
_COLOURS = {"green": "green", "amber": "yellow", "red": "red"}
_STATES = {"running": "", "held": "yellow", "starting": "yellow"}  # of roles
_RUN = {"starting": "yellow", "running": "green"}
# By task, the figures that are shown: the first of them tells how a lineage does over all.
_SHOWN = {
    BINARY: (("ne", "NE"), ("auc", "AUC")),
    CLASSES: (("ne", "NE"), ("accuracy", "accuracy")),
    REGRESSION: (("rmse", "RMSE"), ("mae", "MAE")),
}
_FALLING = ("ne", "rmse", "mae")  # the less of it, the better


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
            parts += ["", _model(model)]
            parts += [self._quality(model, *which) for which in _SHOWN[model.task]]
        return Group(*parts, "", _pairs(status))

    def _quality(self, model: ModelFigures, kind: str, label: str) -> Text:
        now = getattr(model.rolling, kind)
        name, base = _held_against(model, kind)
        text = (
            Text("  ", no_wrap=True, overflow="crop")
            .append(f"{label:<3}", "dim")
            .append(f"  {_figure(model, now)}  ", "bold")
        )
        if now is not None and base is not None:
            better = now < base if kind in _FALLING else now > base
            text.append(f"{name} {_figure(model, base)} ").append(
                _away(model, now - base), "green" if better else "red"
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
            for kind, _ in _SHOWN[model.task]:
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
        parts += [f"{label} {_beside(model, kind)}" for kind, label in _SHOWN[model.task]]
    parts.append(f"{count(requests.failed)} of {count(requests.total)} requests failed")
    parts += [
        f"{p.state.upper()} {p.name}: {p.reason}" for p in status.promises if p.state != "green"
    ]
    return " | ".join(parts)


def _beside(model: ModelFigures, kind: str) -> str:
    now = getattr(model.rolling, kind)
    base = getattr(model.rolling_baseline, kind)
    told = f"baseline {_figure(model, base)}"
    # A binary line is as it was: whoever reads it knows its places.
    if model.task != BINARY:
        plain = model.rolling_references
        prior = getattr(plain.prior, kind)
        before = getattr(plain.no_change, kind)
        told += f", prior {_figure(model, prior)}"
        told += f", no change {_figure(model, before)}"
    return f"{_figure(model, now)} ({told})"


def _held_against(model: ModelFigures, kind: str) -> tuple[str, float | None]:
    """The baseline; where none is declared, what the labels alone would have said."""
    base = getattr(model.rolling_baseline, kind)
    if base is None and model.task != BINARY:
        return "prior", getattr(model.rolling_references.prior, kind)
    return "baseline", base


def _figure(model: ModelFigures, value: float | None) -> str:
    if model.task == REGRESSION and value is not None:
        return in_unit(value)
    return fixed(value)


def _away(model: ModelFigures, value: float) -> str:
    if model.task != REGRESSION:
        return signed(value)
    sign = "+" if value > 0 else ""
    return f"{sign}{in_unit(value)}"


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
    first = {_SHOWN[model.task][0][1]: None for model in status.models}
    grid.add_row(f"{', '.join(first) or 'NE'} overall", qualities or DASH)
    grid.add_row("roles", _roles(status))
    return grid


def _lineages(model: ModelFigures) -> str:
    kind, _ = _SHOWN[model.task][0]

    def told(q: Quality) -> str:
        if not q.n:
            return DASH
        return _figure(model, getattr(q, kind))

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
