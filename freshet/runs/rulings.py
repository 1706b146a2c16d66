"""A person's word on a snapshot, on the control log of a run: release carries it out, and says what
became of it."""

from __future__ import annotations

from freshet.learners.snapshots.files import is_there
from freshet.runs.opened import OpenedRun
from freshet.schemas.errors import RequestError
from freshet.schemas.models.manifest import SnapshotName
from freshet.schemas.wire.facts import one_line
from freshet.schemas.wire.messages import Ruling
from freshet.streams.clock import WallClock
from freshet.streams.control.channels import send


def rule(run: OpenedRun, model: str, lineage: str, number: int, approved: bool, by: str) -> None:
    """Let a snapshot be served, or not; also while nothing runs: it is carried out once release
    does.

    Raises:
        RequestError: the app has no such model, the model no such lineage, or there is no such
            snapshot.
        LogError: the log cannot be written.
    """
    models = {model.name: model for model in run.app.models}
    if model not in models:
        known = ", ".join(models) or "none"
        raise RequestError(
            f"model {model!r}", f"is none of app {run.app.name}", f"Its models are {known}."
        )
    lineages = [models[model].lineage(spec) for spec in models[model].learners]
    if lineage not in lineages:
        raise RequestError(
            f"lineage {lineage!r}",
            f"is none of model {model}",
            f"Its own are {', '.join(lineages)}.",
        )
    snapshots_url = run.settings.snapshots_url
    if not is_there(snapshots_url, SnapshotName(run.app.name, model, lineage, number)):
        raise RequestError(
            f"snapshot {number} of {model} {lineage}",
            f"is not in {snapshots_url}: it was never cut, has nothing to serve, or is pruned",
            "See freshet models for the newest one.",
        )
    now_ms = WallClock().now_ms()
    writer = run.log.writer()
    try:
        send(
            writer,
            run.app.channels,
            [Ruling(model, lineage, number, approved, one_line(by), now_ms)],
            now_ms,
        )
    finally:
        writer.close()
