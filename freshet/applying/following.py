"""How far a change is that a run was asked for, told until it is done."""

from __future__ import annotations

import time

import msgspec

from freshet.applying import asking
from freshet.settings import Settings
from freshet.terminal import say, terminal
from freshet.versions.progress import Applying
from freshet.versions.shown import sentence

LOOK_SECONDS = 0.2
DONE = 0
FAILS = 1


def follow(given: Settings, as_json: bool) -> int:
    """Tell how far it is, until it is done or does not come on."""
    told = ""
    while True:
        now = asking.how_far(given)
        if now is None:
            break
        line = _as_json(now) if as_json else sentence(now)
        if line != told:
            told = line
            _print(line, as_json)
        if now.state == "failing":
            if not as_json:
                _print("freshet apply --abort takes it back", as_json)
            return FAILS
        time.sleep(LOOK_SECONDS)
    active = asking.active(given)
    _print(f'{{"runs":{active}}}' if as_json else f"version {active} runs", as_json)
    return DONE


def _print(line: str, as_json: bool) -> None:
    if as_json:
        say(line)
    else:
        terminal(None).print(line, highlight=False, markup=False, soft_wrap=True)


def _as_json(now: Applying) -> str:
    return msgspec.json.encode(now).decode()
