"""Live settings of a topic: one field of its `Freshness`, changed while the app runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

from freshet.schemas.durations import DAY_MS, milliseconds, text_of
from freshet.schemas.errors import DefinitionError, RequestError
from freshet.schemas.topics.topic import ON_VIOLATION, Freshness
from freshet.schemas.wire.messages import Setting

KEYS = tuple(f.name for f in fields(Freshness))
# Those that decide what becomes of a record or an example: they take effect at a checkpoint, which
# records them.
DECIDING = ("lateness", "max_future", "label_wait", "snapshot_every")
TICK_MS = 1_000  # how often intake tells the time: no lag below that can be seen
_YEAR_MS = 366 * DAY_MS
# What each may be set to while the app runs, both inclusive.
RANGES_MS = {
    "feature_slo": (TICK_MS, _YEAR_MS),
    "model_slo": (TICK_MS, _YEAR_MS),
    "batch_wait": (0, 60_000),
    "snapshot_every": (100, _YEAR_MS),
    "lateness": (0, 31 * DAY_MS),
    "label_wait": (1, _YEAR_MS),
    "max_future": (0, _YEAR_MS),
    "model_limit": (0, _YEAR_MS),
    "feature_limit": (0, _YEAR_MS),
}


def changed(freshness: Freshness, key: str, value: str) -> Freshness:
    """`freshness` with one field set.

    Raises:
        RequestError: no such setting, no duration, or out of range; the text names what is allowed.

    >>> changed(Freshness(), "snapshot_every", "2h").snapshot_every
    '2h'
    """
    if key not in KEYS:
        raise RequestError(
            f"setting {key!r}", "is unknown", f"Settings of a topic are {', '.join(KEYS)}."
        )
    if key == "on_violation":
        if value not in ON_VIOLATION:
            raise RequestError(
                f"{key}={value!r}", "is unknown", f"Use one of {', '.join(ON_VIOLATION)}."
            )
        return replace(freshness, on_violation=value)
    try:
        ms = milliseconds(value, key)
    except DefinitionError as error:
        raise RequestError(error.resource, error.cause, error.next_step) from error
    least, most = RANGES_MS[key]
    if not least <= ms <= most:
        raise RequestError(
            f"{key}={value}", "is out of range", f"Use {text_of(least)} to {text_of(most)}."
        )
    return replace(freshness, **{key: value})


def least_slos_ms(freshness: Freshness) -> dict[str, int]:
    """The least that `feature_slo` and `model_slo` can be held to: as long as a tick takes to come,
    and events may wait for a fuller batch; for a model as long as its next snapshot takes,
    besides."""
    shown = TICK_MS + freshness.ms("batch_wait")
    return {"feature_slo": shown, "model_slo": shown + freshness.ms("snapshot_every")}


def parsed(assignment: str) -> tuple[str, str]:
    """Key and value of `key=value`.

    Raises:
        RequestError: it is written otherwise.
    """
    key, equals, value = assignment.partition("=")
    if not (key and equals and value):
        raise RequestError(
            f"{assignment!r}", "is no setting", "Write KEY=VALUE, such as snapshot_every=2h."
        )
    return key.strip(), value.strip()


def effective(
    declared: Mapping[str, Freshness], settings: Iterable[Setting]
) -> dict[str, Freshness]:
    """Freshness by topic after all settings, in order. What is no setting of these topics changes
    nothing."""
    out = dict(declared)
    for setting in settings:
        topics = list(out) if setting.topic == "*" else [setting.topic]
        for topic in topics:
            if topic not in out:
                continue
            # Whoever may write the log may have written it; an earlier version may have allowed it.
            with contextlib.suppress(RequestError):
                out[topic] = changed(out[topic], setting.key, setting.value)
    return out
