"""Anomalies, for people and for programs."""

from __future__ import annotations

import json
from typing import Any

from freshet.anomalies.compare import NO_EVENT, TFDV, Anomaly, Compared
from freshet.anomalies.patches import patch
from freshet.figures import count
from freshet.samples.proposal import percent
from freshet.samples.sample import Sample
from freshet.samples.text import table
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.shown_text import printable

HEAD = ("anomaly", "field", "rows", "", "first row", "seen")
# What to do where no change of the schema helps.
NO_PATCH = (
    "no patch: what was written before could not be read, so mend the producer, or add a field"
)
NOT_THE_SCHEMA = "no patch: whoever writes these rows has to mend them"


def told(compared: Compared, schema: EventSchema, sample: Sample) -> list[str]:
    """Lines about a sample beside a schema."""
    version = f"{schema.name} version {schema.version}"
    rows = f"{count(compared.rows)} rows"
    if not compared.anomalies:
        none = [f"{sample.name}: {rows} beside {version}: no anomalies", *_passed_over(compared)]
        return [printable(line) for line in none]
    many = f"{len(compared.anomalies)} anomalies"
    if len(compared.anomalies) == 1:
        many = "1 anomaly"
    found = [f"{sample.name}: {rows} beside {version}: {many}", ""]
    found += table([HEAD, *(_row(anomaly, compared.rows) for anomaly in compared.anomalies)])
    found.append("")
    for anomaly in compared.anomalies:
        about = f"{anomaly.kind} {anomaly.field}".strip()
        found.append(f"{about}: {_patch_text(anomaly, schema, sample.as_text)}")
    found += _passed_over(compared)
    return [printable(line) for line in found]


def _passed_over(compared: Compared) -> list[str]:
    return [f"passed over {name}: {why}" for name, why in compared.passed_over.items()]


def _row(anomaly: Anomaly, rows: int) -> tuple[str, ...]:
    return (
        anomaly.kind,
        anomaly.field or "–",
        count(anomaly.rows),
        percent(anomaly.rows, rows),
        _first_row(anomaly),
        ", ".join(map(str, anomaly.examples)) or "nothing",
    )


def _first_row(anomaly: Anomaly) -> str:
    # Of CSV it is not known where rows stand that are none.
    if not anomaly.first_row:
        return "–"
    return count(anomaly.first_row)


def _patch_text(anomaly: Anomaly, schema: EventSchema, as_text: bool) -> str:
    made = patch(schema, anomaly, as_text)
    if made is not None:
        return json.dumps(made, ensure_ascii=False)
    if anomaly.kind == NO_EVENT or anomaly.is_needed:
        return NOT_THE_SCHEMA
    return NO_PATCH


def as_json(compared: Compared, schema: EventSchema, as_text: bool) -> dict[str, Any]:
    """The same for programs. `tfdv` is the type of the anomaly there, where it has one."""
    return {
        "schema": schema.name,
        "version": schema.version,
        "rows": compared.rows,
        "passed_over": dict(compared.passed_over),
        "anomalies": [
            {
                "anomaly": anomaly.kind,
                "tfdv": TFDV[anomaly.kind],
                "field": anomaly.field,
                "rows": anomaly.rows,
                "first_row": anomaly.first_row or None,
                "examples": anomaly.examples,
                "patch": patch(schema, anomaly, as_text),
            }
            for anomaly in compared.anomalies
        ],
    }
