"""What an app says about itself: one `Status`, gathered by `control`, read by page, terminal and CLI alike.

Every field has a default, so that a status can be told before all its parts are known. Names ending in `_ms`
are milliseconds: `at_ms` and `seen_ms` and request latencies on the wall, all other moments and lags on the
app's clock. Counts are since the run's start. A figure that is not known yet is None, never 0 and never NaN.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Light = Literal["green", "amber", "red"]
RunState = Literal["starting", "running", "draining", "ended", "stopped", "failed"]
RoleState = Literal["starting", "running", "held", "restarting", "stopped", "lost"]
OVER: frozenset[str] = frozenset(("ended", "stopped", "failed"))


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """Where the app stands. A replay (`paced`) has an end; live, `end_ms` is None and nothing is `done`."""

    state: RunState = "starting"
    paced: bool = False
    app_ms: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    wall_seconds: float = 0.0
    waits_for: str = ""

    @property
    def done(self) -> float | None:
        """Share of a replay that lies behind, 0 to 1."""
        now, start, end = self.app_ms, self.start_ms, self.end_ms
        if now is None or start is None or end is None or end <= start:
            return None
        return min(1.0, max(0.0, (now - start) / (end - start)))

    @property
    def left_seconds(self) -> float | None:
        """Wall seconds that the rest of a replay takes at its pace so far."""
        done = self.done
        return None if not done or done < 0.01 else self.wall_seconds * (1 - done) / done


class Promise(msgspec.Struct, frozen=True):
    """A promise to the operator, whether it holds, and why (not)."""

    name: str
    state: Light
    reason: str


class TopicFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A topic's records by fate. `records` counts what was read without ticks: the sum of the fates, once
    intake is idle. `dropped` is by filter (`late` among them: beyond the lateness), `dead` by reason."""

    name: str
    records: int = 0
    per_second: float = 0.0
    applied: int = 0
    deduplicated: int = 0
    dropped: dict[str, int] = {}
    dead: dict[str, int] = {}
    erased: int = 0
    expired: int = 0
    ticks: int = 0
    lag_ms: int | None = None


class ViewFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A view: feature lag on the app's clock (0: the rows reflect everything acknowledged) and its bound."""

    name: str
    topic: str = ""
    key: str = ""
    rows: int | None = None
    lag_ms: int | None = None
    slo_ms: int | None = None


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """How good `n` labelled predictions were: area under the ROC curve, normalised entropy (log loss over
    that of the base rate; He et al. 2014) and calibration (mean prediction over base rate; 1 is right)."""

    n: int = 0
    auc: float | None = None
    ne: float | None = None
    calibration: float | None = None


class LineageFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A lineage: `overall` and `rolling` are prequential (predicted before learned)."""

    name: str
    alias: str = ""
    state: RoleState = "running"
    number: int | None = None
    examples: int = 0
    overall: Quality = Quality()
    rolling: Quality = Quality()


class SliceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Served predictions of one value of a slice field, such as carrier=UA, beside the baseline on them."""

    field: str
    value: str
    served: Quality = Quality()
    baseline: Quality = Quality()


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot that answers, and the app time since when its lineage does."""

    lineage: str
    number: int
    since_ms: int | None = None


class ModelFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A model: what is served, how fresh and how good it is. `baseline` is the lineage it is held against."""

    name: str
    served: Served | None = None
    baseline: str = ""
    lag_ms: int | None = None
    slo_ms: int | None = None
    asked: int = 0
    labelled: int = 0
    expired: int = 0
    snapshots: int = 0
    approvals: int = 0
    refusals: int = 0
    swaps: int = 0
    rolling: Quality = Quality()
    rolling_baseline: Quality = Quality()
    overall: Quality = Quality()
    overall_baseline: Quality = Quality()
    lineages: list[LineageFigures] = []
    slices: list[SliceFigures] = []


class RequestFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Requests to the scorers (wall clock). `p99_swap_ms` is that of requests near a swap."""

    answered: int = 0
    failed: int = 0
    rows: int = 0
    per_second: float = 0.0
    p50_ms: float | None = None
    p99_ms: float | None = None
    p99_swap_ms: float | None = None


class RoleFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One process: `seen_ms` is when it was last heard of (wall)."""

    role: str
    instance: str = ""
    pid: int | None = None
    state: RoleState = "starting"
    memory_mb: float | None = None
    seen_ms: int | None = None
    restarts: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, at one moment (`at_ms`, wall)."""

    app: str
    at_ms: int
    clock: Clock = Clock()
    events_per_second: float = 0.0
    promises: list[Promise] = []
    topics: list[TopicFigures] = []
    views: list[ViewFigures] = []
    models: list[ModelFigures] = []
    requests: RequestFigures = RequestFigures()
    roles: list[RoleFigures] = []

    @property
    def over(self) -> bool:
        """Nothing in here will change any more."""
        return self.clock.state in OVER


_decoder = msgspec.json.Decoder(Status)


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # a numpy scalar: figures come out of arrays
        return value.item()
    raise TypeError(f"{type(value).__name__} is no figure")


encode = msgspec.json.Encoder(enc_hook=_plain).encode


def decode(data: bytes) -> Status:
    """Raises `msgspec.ValidationError` for what is no status.

    >>> decode(encode(Status(app="flights", at_ms=0))).clock.state
    'starting'
    """
    return _decoder.decode(data)
