"""`freshet run`: an app on this machine, until it is stopped."""

from __future__ import annotations

import signal
import threading

from rich.console import Console

from freshet.app import App
from freshet.roles import run_role
from freshet.runtime import Runtime
from freshet.settings import Settings
from schemas.errors import ComponentError, FreshetError


def run_one(app_path: str, name: str, given: Settings, member: str = "") -> None:
    """Run one role in this process until Ctrl-C or SIGTERM.

    Raises:
        FreshetError: what ended it, which is in its log, too.
    """
    try:
        run_role(app_path, name, given, member)
    except SystemExit as end:
        if isinstance(end.__cause__, FreshetError):
            raise end.__cause__ from None
        where = given.run_dir / "logs" / (f"{name}.{member}".rstrip(".") + ".jsonl")
        raise ComponentError(f"role {name}", f"failed by a fault of ours: {end.__cause__!r}", f"See {where}.") from end


def run_all(app: App, app_path: str, given: Settings, console: Console) -> int:
    """Run all roles until Ctrl-C or SIGTERM."""
    stop = threading.Event()
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda *_: stop.set())
    with Runtime(app, app_path, given) as runtime:
        if app.models:
            console.print(f"scorer       {runtime.address('serve')}", highlight=False)
        console.print(f"status page  {runtime.address('status')}", highlight=False)
        stop.wait()
        console.print("stopping …", highlight=False)
    return 0
