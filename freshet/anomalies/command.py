"""`freshet schema check`: where a sample and a schema disagree, and the schema as it would have to
be."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freshet.anomalies.compare import Anomaly, compare
from freshet.anomalies.patches import next_version
from freshet.anomalies.text import as_json, told
from freshet.app import load
from freshet.samples.places import Place, sampled
from freshet.schemas.errors import ComponentError, DefinitionError
from freshet.schemas.events.schema import EventSchema
from freshet.schemas.json_schema.translate import is_json_schema
from freshet.schemas.shown_text import printable_json
from freshet.schemas.topics.topic import Topic
from freshet.schemas.whole_files import write_whole
from freshet.terminal import say


@dataclass(frozen=True, slots=True)
class Against:
    """What a sample is compared with: a schema, where its file is, and its topic, if known."""

    schema: EventSchema
    path: Path | None = None
    topic: Topic | None = None

    @staticmethod
    def file(path: Path) -> Against:
        """Raises `SchemaError` for a file that holds none."""
        return Against(EventSchema.load(path), path)

    @staticmethod
    def app(file: str, topic: str) -> Against:
        """Raises `DefinitionError` for a wrong file, or a topic that it lacks."""
        app = load(file)
        found = next((known for known in app.topics if known.name == topic), None)
        if found is None:
            names = ", ".join(known.name for known in app.topics)
            raise DefinitionError(f"topic {topic!r}", "is not in the app", f"Its topics: {names}.")
        path = None
        if found.records.path:
            path = Path(found.records.path)
        return Against(found.records, path, found)


def check(place: Place, against: Against, rows: int, json_text: bool, apply: bool) -> bool:
    """Tell where a sample disagrees with a schema, and with `apply` write the schema's next version
    over its file; whether it agrees."""
    when = None
    if against.topic is not None:
        when = against.topic.record_time
    with sampled(place) as sample:
        compared = compare(sample, rows, against.schema, when)
    _mark_needed(compared.anomalies, against.topic)
    if json_text:
        text = json.dumps(as_json(compared, against.schema, sample.as_text), indent=2, default=str)
        say(printable_json(text))
    else:
        say("\n".join(told(compared, against.schema, sample)))
    if apply and compared.anomalies:
        _apply(against, compared.anomalies, sample.as_text)
    return not compared.anomalies


def _mark_needed(anomalies: Sequence[Anomaly], topic: Topic | None) -> None:
    if topic is None:
        return
    for anomaly in anomalies:
        anomaly.is_needed = anomaly.field in (topic.event_id, topic.time_field)


def _apply(against: Against, anomalies: Sequence[Anomaly], as_text: bool) -> None:
    if against.path is None:
        raise ComponentError(
            f"schema {against.schema.name}",
            "is written in the app's own file, which nobody else changes",
            "Change it there, or keep it in a file of its own.",
        )
    if is_json_schema(json.loads(against.path.read_bytes())):
        raise ComponentError(
            f"file {against.path}",
            "is a JSON Schema, and what is written is an Avro record",
            "Change it by hand, as the patches say.",
        )
    avro, unread = next_version(against.schema, anomalies, as_text)
    if avro["fields"] == against.schema.avro["fields"]:
        say("\nnothing is written: no anomaly has a patch", sys.stderr)
        return
    text = json.dumps(avro, indent=2, ensure_ascii=False)
    write_whole(against.path, f"{text}\n".encode())
    says = f"wrote version {avro['version']}"
    if avro.get("schema_id", 1) != against.schema.schema_id:
        says += f" (schema_id {avro['schema_id']})"
    say(f"\n{says} to {against.path}", sys.stderr)
    for line in unread:
        say(f"  {line}", sys.stderr)
    if unread:
        say("  Update the readers first, then who writes.", sys.stderr)
