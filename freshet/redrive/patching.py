"""What an operator writes to mend dead letters: expressions over the decoded record, one for each
field that is to be another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa

from freshet.dead_letters.value import readable
from freshet.redrive import elements
from freshet.redrive.chosen import Chosen
from freshet.runs.opened import OpenedRun
from freshet.schemas.avro.json_values import value_at
from freshet.schemas.errors import DefinitionError, RequestError
from freshet.schemas.evaluated import evaluated
from freshet.schemas.events.columns import REASONS, arrow_type
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.events.writer import EventWriter, Misfit
from freshet.schemas.topics.reader import require_id
from freshet.schemas.topics.topic import Topic
from freshet.streams.intake.expressions import check_row_wise

Patches = Mapping[str, pl.Expr]
UNREAD = "it cannot be decoded, so there is nothing to patch"


def parsed(given: Sequence[str]) -> Patches:
    """Patches by field, of texts such as `late = late / 60`: Polars expressions as SQL writes them.

    Raises:
        RequestError: one has no name or no expression.

    >>> list(parsed(["late = late / 60"]))
    ['late']
    """
    found = {}
    for text in given:
        name, equals, expression = text.partition("=")
        if not equals or not name.strip():
            raise RequestError(
                f"patch {text!r}", "names no field", "Write FIELD=EXPRESSION, such as late=late/60."
            )
        try:
            found[name.strip()] = pl.sql_expr(expression)
        except pl.exceptions.PolarsError as error:
            raise RequestError(
                f"patch {text!r}",
                f"is no expression: {error}",
                "Write it as in SQL, over the fields of the record.",
            ) from error
    return found


def check(topic: Topic, patches: Patches) -> None:
    """That patches are of fields of the topic, and row by row.

    Raises:
        RequestError: one is not; or whoever reads what is written could not know its schema.
    """
    require_id(
        topic,
        f"patching letters of topic {topic.name}",
    )
    for name, expression in patches.items():
        if name not in topic.events.positions:
            raise RequestError(
                f"patch of {name!r}",
                f"is of no field of topic {topic.name}",
                f"Its fields are {', '.join(topic.events.positions)}.",
            )
        try:
            check_row_wise(
                expression,
                topic.events,
                f"patch of {name!r}",
                any_type=True,
            )
        except DefinitionError as error:
            raise RequestError(
                f"patch of {name!r}", str(error.cause), "Write one of the fields of a record."
            ) from error


def patched(run: OpenedRun, topic: Topic, own: Sequence[Chosen], patches: Patches) -> list[Chosen]:
    """Letters of one topic with their values patched; those that cannot be say why not."""
    check(
        topic,
        patches,
    )
    if topic.explode is not None:
        return _patched_elements(
            run,
            topic,
            own,
            patches,
        )
    out = list(own)
    earlier = run.earlier(topic)
    rows: list[dict[str, Any]] = []
    places = []
    for at, one in enumerate(own):
        found = readable(
            one.letter,
            topic,
            earlier,
        )
        is_whole = found.form in ("json", "avro") and not found.rest
        if one.why_not:
            continue
        if not is_whole or not isinstance(found.fields, Mapping):
            out[at] = replace(
                one,
                why_not=UNREAD,
            )
            continue
        places.append(at)
        rows.append({name: value_at(found.fields, name) for name in topic.records.positions})
    if rows:
        frame = evaluated_frame(
            topic.records,
            rows,
            patches,
        )
        writer = EventWriter(topic.records)
        for at, event in zip(places, frame.iter_rows(named=True)):
            out[at] = _rewritten(
                own[at],
                writer,
                event,
            )
    return out


def _patched_elements(
    run: OpenedRun, topic: Topic, own: Sequence[Chosen], patches: Patches
) -> list[Chosen]:
    """Of records that hold several events: the one alone that a letter is about."""
    out = list(own)
    records = {}
    events = {}
    for at, one in enumerate(own):
        if one.why_not:
            continue
        record = elements.record_of(one, run.earlier(topic))
        event = None
        if record is not None:
            event = elements.event_of(
                one,
                record,
            )
        if record is None or event is None:
            out[at] = replace(
                one,
                why_not=UNREAD,
            )
            continue
        records[at] = record
        events[at] = event
    if events:
        frame = evaluated_frame(topic.events, list(events.values()), patches)
        writer = EventWriter(topic.records)
        for at, event in zip(events, frame.iter_rows(named=True)):
            whole = elements.put_back(
                own[at],
                records[at],
                event,
            )
            out[at] = _rewritten(
                own[at],
                writer,
                whole,
            )
    return out


def evaluated_frame(
    schema: EventSchema, rows: Sequence[Mapping[str, Any]], patches: Patches
) -> pl.DataFrame:
    """The records with what was patched, typed as the schema says where what they hold allows."""
    columns = []
    for field in schema.fields:
        values = [row[field.name] for row in rows]
        declared = pl.Series(pa.array([], arrow_type(field))).dtype
        try:
            columns.append(pl.Series(field.name, values, declared))
        except (TypeError, pl.exceptions.PolarsError):
            # Of another type than the schema's: what a patch is there to mend.
            columns.append(pl.Series(field.name, values, strict=False))
    frame = pl.DataFrame(columns)
    made = [expression.alias(name) for name, expression in patches.items()]
    try:
        return frame.with_columns(evaluated(frame, made))
    except pl.exceptions.PolarsError as error:
        raise RequestError(
            f"patch of {', '.join(patches)}",
            f"cannot be computed: {error}",
            "Write one for what the records hold, or choose fewer letters.",
        ) from error


def _rewritten(one: Chosen, writer: EventWriter, event: Mapping[str, Any]) -> Chosen:
    try:
        value = writer.encode(event)
    except Misfit as misfit:
        return replace(
            one,
            why_not=f"as patched it is {REASONS[misfit.reason]}",
        )
    return replace(one, letter=replace(one.letter, value=value, size=len(value)))
