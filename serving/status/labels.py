"""Whether labels that come are learned from, and if not, why not: a judgement that promise and
alert share."""

from __future__ import annotations

import time
from dataclasses import dataclass

from freshet.schemas.durations import DAY_MS
from freshet.serving.status.status import Light, ModelFigures

# So many labels in a row that come to nothing are no chance, where none ever came to anything …
FIRST_LABELS = 50
# … and after that at least so many, and so many times what usually lies between two that do.
MORE_LABELS = 200
TIMES_USUAL = 20
# What has another reason than these met a question before, or says itself that it is no label.
REASONS = ("without_question", "saw_future", "late")


@dataclass(frozen=True, slots=True)
class Unlearned:
    """How many `labels` came to nothing of late, why most of them did, and what light that
    deserves."""

    light: Light
    labels: int
    why: str
    next_step: str


def unlearned(m: ModelFigures, app_ms: int | None) -> Unlearned | None:
    """None while labels are learned from, or too few came to tell."""
    of = {reason: m.labels.since_used.get(reason, 0) for reason in REASONS}
    count = sum(of.values())
    if count < _bound(m):
        return None
    reason = max(of, key=lambda name: of[name])
    if not m.asked:
        # Nothing is wrong with the labels: there are no clients yet.
        why = "nobody has asked the model anything"
        step = f"Ask it: a label is learned from where its id was asked first. {_by_replay()}"
        return Unlearned("amber", count, why, step)
    return Unlearned("red", count, _why(m, reason, app_ms), _next_step(m, reason, app_ms))


def _bound(m: ModelFigures) -> float:
    if not m.labels.used:
        return FIRST_LABELS
    before = m.labels.came - sum(m.labels.since_used.values())
    return max(MORE_LABELS, TIMES_USUAL * before / m.labels.used)


def _why(m: ModelFigures, reason: str, app_ms: int | None) -> str:
    why = {
        "without_question": "no question is known by their ids: none of them was asked, or so long "
        "ago that it is forgotten (twice label_wait)",
        "saw_future": "their events are not later than the questions that they answer",
        "late": 'they come later than label_wait, and late="drop" leaves them out',
    }[reason]
    newest = m.labels.newest_ms
    if newest is None or app_ms is None or not _is_old(m, app_ms):
        return why
    return f"{why}; the newest is of {_day(newest)}, and the app's clock stands at {_day(app_ms)}"


def _next_step(m: ModelFigures, reason: str, app_ms: int | None) -> str:
    if _is_old(m, app_ms):
        return _by_replay()
    return {
        "without_question": "Compare the ids of labels and of requests: `freshet explain ID` knows "
        "those that were asked.",
        "saw_future": f"Ask before the outcome is known, not after it. {_by_replay()}",
        "late": "Wait longer: `freshet topics set TOPIC label_wait=…`, of the topic of its labels.",
    }[reason]


def _is_old(m: ModelFigures, app_ms: int | None) -> bool:
    newest = m.labels.newest_ms
    return newest is not None and app_ms is not None and app_ms - newest > DAY_MS


def _by_replay() -> str:
    return "Old data is learned in its own time: `freshet replay APP.py DATA`."


def _day(ms: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(ms / 1000))
