"""Asks a scorer for features through Feast's own client; runs where Feast is installed.

    python ask_feast.py ADDRESS DIRECTORY

prints what Feast made of the answers, as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any


def store_of(address: str, directory: str) -> Any:
    """A feature repository whose online store is the scorer."""
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource
    from feast.repo_config import RepoConfig
    from feast.types import Float64
    from feast.value_type import ValueType

    config = RepoConfig(
        project="depot",
        provider="local",
        registry=f"{directory}/registry.db",
        online_store={"type": "remote", "path": address},
        entity_key_serialization_version=3,
    )
    courier, city = (
        Entity(name=n, join_keys=[n], value_type=ValueType.STRING) for n in ("courier", "city")
    )
    source = FileSource(name="parcels", path=f"{directory}/parcels.parquet", timestamp_field="at")
    views = [
        FeatureView(
            name=name,
            entities=keys,
            schema=[Field(name=f, dtype=Float64) for f in features],
            source=source,
        )
        for name, keys, features in (
            ("by_courier", [courier], ("n", "late", "last")),
            ("by_leg", [courier, city], ("n", "ewm", "ago")),
        )
    ]
    service = FeatureService(name="late", features=[views[0][["late"]], views[1][["ewm"]]])
    store = FeatureStore(config=config)
    store.apply([courier, city, *views, service])
    return store


def asked(
    store: Any, features: Any, full_feature_names: bool = False, **entities: list[str]
) -> Any:
    """The answer as Feast's dictionary, with its statuses; or the text of Feast's error."""
    n = len(next(iter(entities.values())))
    rows = [{name: values[i] for name, values in entities.items()} for i in range(n)]
    try:
        got = store.get_online_features(features, rows, full_feature_names=full_feature_names)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    names = got.proto.metadata.feature_names.val
    statuses = {name: list(got.proto.results[i].statuses) for i, name in enumerate(names)}
    return {"values": got.to_dict(), "statuses": statuses}


def read(store: Any, view: str, features: list[str], courier: str) -> Any:
    """What `RemoteOnlineStore.online_read` makes of one key: the older way in, which the provider
    still uses."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    key = EntityKey(join_keys=["courier"], entity_values=[Value(string_val=courier)])
    online = store._get_provider().online_store
    ((time, values),) = online.online_read(
        store.config, store.get_feature_view(view), [key], features
    )
    return time.isoformat(), {
        name: v.double_val if v.WhichOneof("val") else None for name, v in values.items()
    }


def main(address: str, directory: str) -> None:
    store = store_of(address, directory)
    couriers = {"courier": ["ann", "nobody", "old", "bob"]}
    legs = {"courier": ["ann", "bob"], "city": ["Lyon", "Porto"]}
    found = {
        "columns": asked(store, ["by_courier:n", "by_courier:late"], **couriers),
        "full": asked(store, ["by_courier:n", "by_leg:n"], True, **legs),
        "two_keys": asked(store, ["by_leg:n"], **legs),
        "service": asked(store, store.get_feature_service("late"), **legs),
        "online_read": read(store, "by_courier", ["n", "late"], "ann"),
        "wrong": asked(store, ["by_courier:lat"], **couriers),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
