"""The app's file, as somebody would write it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from freshet.samples.proposal import Proposed
from freshet.scaffold.plan import Plan
from freshet.schemas.events.times import TEXT

LONGEST = 100  # columns of a line
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_]")


def app_text(plan: Plan, rows: int) -> str:
    """Python that declares the planned app."""
    lines = [
        f'"""{plan.name}: declared from a sample of {rows:,} rows. Read it before you trust it:',
        "`freshet check app.py` says what it would run.",
        '"""',
        "",
    ]
    if plan.label is not None:
        lines += ["import polars as pl", ""]
    lines += ["import freshet as fr", ""]
    lines += _topic(plan)
    if plan.key is not None:
        lines += _view(plan, plan.key)
    if plan.label is not None:
        lines += _model(plan, plan.label)
    lines += _app(plan)
    return "\n".join(lines) + "\n"


def _topic(plan: Plan) -> Iterator[str]:
    """The topic, with what its fields do not say themselves."""
    yield "events = fr.Topic("
    yield f'    "{plan.name}",'
    yield f'    schema="{plan.name}.avsc",'
    if plan.event_id is None:
        yield "    event_id=None,  # no field is unique: each record is an event of its own"
    else:
        yield f'    event_id="{plan.event_id.name}",'
    yield f"    event_time={_time(plan.event_time)}"
    if plan.source is not None:
        yield f'    source="{plan.source.name}",  # lateness is judged by each of its values'
    # Without a model none of these has an effect.
    if plan.label is not None:
        yield from _freshness(plan)
    yield ")"


def _freshness(plan: Plan) -> Iterator[str]:
    yield "    freshness=fr.Freshness("
    yield f'        snapshot_every="{plan.snapshot_every}",  # of the data\'s time'
    yield f'        model_slo="{_twice(plan.snapshot_every)}",'
    yield f'        label_wait="{plan.windows[1]}",'
    yield "    ),"


def _time(field: Proposed) -> str:
    """With what its type does not say, and a word where somebody has to say it."""
    named = f'"{field.name}"'
    if not field.zoned:
        return f'fr.time({named}, zone="UTC"),  # no zone is named: say which'
    if field.unit in (None, TEXT, "d") or isinstance(field.type, dict):
        return f"{named},"
    return f'fr.time({named}, unit="{field.unit}"),'


def _twice(duration: str) -> str:
    """A duration of one unit, doubled."""
    digits = re.match(r"\d+", duration)
    assert digits is not None
    return f"{2 * int(digits[0])}{duration[digits.end() :]}"


def feature_names(plan: Plan) -> dict[str, str]:
    """By name, the aggregate as it is written."""
    short, long = plan.windows
    features = {f"count_{over}": f'fr.count(over="{over}")' for over in (short, long)}
    averaged = [*plan.averaged]
    if plan.label is not None and plan.label.type in ("int", "long", "float", "double"):
        # What came of earlier events; that of the event in question comes after the question.
        averaged.insert(0, plan.label)
    for field in averaged:
        name = f"{_plain(field.name) or 'value'}_{long}"
        # Fields may differ by nothing but capitals, and one may be called count.
        while name in features:
            name = f"mean_{name}"
        features[name] = f'fr.mean("{field.name}", over="{long}")'
    return features


def _plain(name: str) -> str:
    """A field's name as views, features and models may be called."""
    return _NOT_IN_NAMES.sub("_", name.lower()).strip("_0123456789")[:40]


def view_name(key: Proposed) -> str:
    return f"by_{_plain(key.name) or 'key'}"


def _view(plan: Plan, key: Proposed) -> Iterator[str]:
    """The view by the likeliest key."""
    yield "by_key = fr.View("
    yield f'    "{view_name(key)}",'
    yield "    events,"
    yield f'    key="{key.name}",'
    yield "    features={"
    for name, how in feature_names(plan).items():
        yield f'        "{name}": {how},'
    yield "    },"
    yield ")"


def _model(plan: Plan, label: Proposed) -> Iterator[str]:
    """The model, and a word on what may leak into it."""
    outcome = plan.outcome
    assert plan.event_id is not None
    assert outcome is not None
    asked = [field.name for field in plan.asked]
    if plan.key is not None:
        asked.insert(0, plan.key.name)
    yield ""
    yield "# Asked with the fields of an event before its outcome is known. A field that is known"
    yield "# with the outcome alone tells it: leave such a field out."
    yield "ASKED = ["
    for name in asked:
        yield f'    "{name}",'
    yield "]"
    yield "model = fr.Model("
    yield f'    "{_model_name(label)}",'
    yield "    on=events,"
    yield f'    id="{plan.event_id.name}",'
    label_of = f'fr.Label(events, id="{plan.event_id.name}", value={outcome.value})'
    yield f"    label={label_of},{outcome.note}"
    yield from outcome.task
    yield "    features=["
    yield "        *(events[name] for name in ASKED),"
    if plan.key is not None:
        yield "        *(by_key[name] for name in by_key.features),"
    yield "    ],"
    yield f"    learners=[fr.Baseline(), {outcome.learner}],"
    yield "    release=fr.ReleaseConfig(min_examples=100),"
    yield f"    fallback=[{outcome.fallback}],"
    yield ")"


def _model_name(label: Proposed) -> str:
    """A name that files and topics take."""
    return _plain(label.name) or "outcome"


def _app(plan: Plan) -> Iterator[str]:
    """The app that lists them all."""
    parts = ["topics=[events]"]
    if plan.key is not None:
        parts.append("views=[by_key]")
    if plan.label is not None:
        parts.append("models=[model]")
    yield ""
    yield f'app = fr.App("{plan.name}", {", ".join(parts)})'
