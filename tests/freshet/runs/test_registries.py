"""What a registry is asked before a role starts: of the schema that producers write by."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import freshet as fr
from freshet.runs import registries
from freshet.schemas.errors import RequestError, SchemaError
from freshet.schemas.registry.address import parsed
from freshet.schemas.registry.client import Registered, RegistryClient
from freshet.schemas.topics.reader import require_id
from freshet.settings import Settings
from freshet.streams.registry import kept
from freshet.streams.sqlite.log import SqliteLog
from tests.serving.registry.served import served

SCHEMA = {
    "type": "record",
    "name": "order",
    "fields": [{"name": "id", "type": "string"}, {"name": "at", "type": "long"}],
}


def topic(schema_id: int | None, headers: dict[str, str]) -> fr.Topic:
    schema: dict[str, Any] = dict(SCHEMA)
    if schema_id is not None:
        schema["schema_id"] = schema_id
    return fr.Topic("orders", schema, "id", "at", registry="orders-value", headers=headers)


@pytest.mark.parametrize("headers", [{}, {"tenant": "x-tenant"}])
@pytest.mark.parametrize("schema_id", [None, 1, 7])
def test_it_is_asked_for_the_declared_id_whatever_headers_there_are(
    tmp_path: Path, headers: dict[str, str], schema_id: int | None
) -> None:
    declared = topic(schema_id, headers)
    with served(tmp_path / "registry") as url, closing(RegistryClient(parsed(url))) as client:
        client.register("orders-value", Registered(json.dumps(SCHEMA)))
        given = Settings(run_dir=tmp_path / "run", registry=url)
        app = fr.App("shop", topics=[declared])
        log = SqliteLog(str(tmp_path / "log"))
        if schema_id == 7:
            with pytest.raises(SchemaError, match="says schema_id 7, which the registry"):
                registries.check(app, declared, log, given)
        else:
            registries.check(app, declared, log, given)
            known = kept.schemas(given.checkpoints_url, app.log_of("orders"))
            assert list(known) == [schema_id] * (schema_id is not None)
        log.close()


@pytest.mark.parametrize("schema_id", [None, 1])
def test_events_with_fields_of_headers_cannot_be_written_under_an_id_of_the_registry(
    schema_id: int | None,
) -> None:
    with pytest.raises(RequestError) as refused:
        require_id(topic(schema_id, {"tenant": "x-tenant"}), "push to orders")
    assert str(refused.value).startswith(
        "request push to orders: is refused: its events have fields of headers (tenant), and no "
        "schema of the registry (subject orders-value)"
    )
    require_id(topic(1, {}), "push to orders")
