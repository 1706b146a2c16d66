"""What a registry said of ids, kept beside the checkpoints before the first record is settled by
it: it is never asked of an id again, so what was decided stays so, whatever becomes of the
registry.

{url}/registered/{log}/{schema_id}.json        the schema that an id stands for
{url}/registered/{log}/unknown/{digest}.json   ids that stand for none
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

from freshet.schemas.errors import CheckpointError
from freshet.streams.objects import opened, put

Kept = Mapping[str, Any]


def keep(url: str, log: str, schemas: Mapping[int, Kept], unknown: Collection[int]) -> None:
    """Keep what was said of some ids.

    Raises:
        OSError: it cannot be written.
    """
    fs, folder = _folder(url, log)
    fs.makedirs(f"{folder}/unknown", exist_ok=True)
    for schema_id, schema in schemas.items():
        put(fs, f"{folder}/{schema_id}.json", json.dumps(schema).encode(), durable=True)
    if unknown:
        # All of a batch in one file: what is no Avro at all may name an id a record.
        text = json.dumps(sorted(unknown)).encode()
        name = hashlib.sha256(text).hexdigest()[:16]
        put(fs, f"{folder}/unknown/{name}.json", text, durable=True)


def schemas(url: str, log: str) -> dict[int, Kept]:
    """The schemas of a log's records, by the ids that they bear."""
    return {int(found["schema_id"]): found for found in _files(url, log, "")}


def unknown(url: str, log: str) -> set[int]:
    """Ids in a log's records that the registry said it does not know."""
    return {schema_id for ids in _files(url, log, "/unknown") for schema_id in ids}


def _files(url: str, log: str, within: str) -> list[Any]:
    fs, folder = _folder(url, log)
    if not fs.isdir(folder + within):
        return []
    names = sorted(n for n in fs.ls(folder + within, detail=False) if n.endswith(".json"))
    return [_read(fs, name) for name in names]


def _read(fs: Any, name: str) -> Any:
    try:
        return json.loads(fs.cat_file(name))
    except ValueError as error:
        raise CheckpointError(
            f"kept schema {name}",
            "is torn: it is no JSON",
            "Remove it if the registry is the one that it was: it is then asked once more.",
        ) from error


def _folder(url: str, log: str) -> tuple[Any, str]:
    fs, root = opened(url)
    return fs, f"{root.rstrip('/')}/registered/{log}"
