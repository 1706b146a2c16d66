"""`freshet run`: an app on this machine, until it is stopped."""

from __future__ import annotations

import signal
import threading

from rich.console import Console

from freshet.app import App
from freshet.runtime import Runtime
from freshet.settings import Settings


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
