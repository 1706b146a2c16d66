"""`freshet run`: an app on this machine, until it is stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from freshet.app import App
from freshet.processes.runtime import Runtime
from freshet.runs.page_client import PageClient
from freshet.schemas.errors import DefinitionError, FreshetError
from freshet.serving.status.status import OutageFigures, Status
from freshet.settings import Settings

TELL_SECONDS = 1.0
# alerts fire five seconds after the page's process is up: until then none of them is over
SETTLING_SECONDS = 15.0
# ends what is told of a role that is; known here, whatever the page's process knows
FAILING = " failing"


def tell_until(
    stop: threading.Event,
    run_dir: Path,
    console: Console,
    children: Callable[[], Mapping[str, Mapping[str, Any]]] = dict,
) -> None:
    """Print what an operator should know when it begins and when it is over: outages, alerts,
    processes not heard of.

    `children` is what the supervisor knows of its processes, by role name: also of the page's
    own."""
    told: dict[str, str] = {}
    while not stop.wait(TELL_SECONDS):
        now = _now(run_dir, told) | failures(children())
        for what, text in now.items():
            if what not in told:
                console.print(
                    f"{datetime.now():%H:%M:%S}  {text}",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )
        for what in told.keys() - now.keys():
            console.print(
                f"{datetime.now():%H:%M:%S}  {what}: over",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        told = now


def _now(run_dir: Path, told: Mapping[str, str]) -> dict[str, str]:
    """What the page says is wrong. While its process is being started again, or has just been,
    nothing is over."""
    try:
        with PageClient(run_dir) as page:
            status = page.status()
    except FreshetError:
        return {what: text for what, text in told.items() if not what.endswith(FAILING)}
    now = notices(status)
    if status.catching_up or status.clock.wall_seconds < SETTLING_SECONDS:
        return {what: text for what, text in told.items() if not what.endswith(FAILING)} | now
    return now


def failures(children: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The roles that end again and again, by what is told of them."""
    return {
        f"role {name}{FAILING}": f"role {name} ends again and again, "
        f"started again {facts['restarts']} times, the last time by: {facts['last_exit']}; "
        f"its log is logs/{name}.jsonl"
        for name, facts in children.items()
        if facts["failing"]
    }


def _named(outage: OutageFigures) -> str:
    """A server says itself what it is; a disk is known by its folder."""
    if outage.component == "disk":
        return f"disk {outage.resource}"
    return outage.resource


def notices(status: Status) -> dict[str, str]:
    """What is wrong at this moment, by what it is about."""
    found = {
        f"{o.component} {o.word}": f"{_named(o)} is {o.word}: {o.cause}. "
        f"Meanwhile: {o.meanwhile}. {o.next_step}"
        for o in status.outages
    }
    for a in status.alerts:
        if a.state == "firing" and a.policy != "outage":
            found[f"{a.policy.replace('_', ' ')} {a.subject}"] = (
                f"{a.policy.replace('_', ' ')} {a.subject}: {a.reason}. {a.next_step}"
            )
    for r in status.roles:
        if r.state == "lost":
            found[f"role {r.instance}"] = (
                f"role {r.instance} is not heard of; "
                f"its log is logs/{r.instance.split('/')[0]}.jsonl"
            )
    return found


def run_all(
    app: App,
    app_path: str,
    given: Settings,
    console: Console,
    then: Callable[[], None] | None = None,
) -> int:
    """Run all roles until Ctrl-C or SIGTERM; `then` is called, on a thread, once it is told where
    they listen.

    Raises:
        FreshetError: why the app cannot start.
    """
    if given.replay:
        raise DefinitionError(
            "setting replay=True",
            "makes the app's clock stand still until a replay moves it, and this is none",
            "Unset FRESHET_REPLAY. Old data goes through the app by `freshet replay APP.py DATA`.",
        )
    stop = threading.Event()
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda *_: stop.set())

    def say(sentence: str) -> None:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    with Runtime(app, app_path, given, say, versioned=True) as runtime:
        console.print(f"scorer       {runtime.address('serve')}", highlight=False)
        console.print(f"status page  {runtime.address('status')}", highlight=False)
        if then is not None:
            threading.Thread(target=then, name="then", daemon=True).start()
        tell_until(stop, runtime.settings.local_path, console, runtime.supervisor.facts)
        console.print("stopping …", highlight=False)
    return 0
