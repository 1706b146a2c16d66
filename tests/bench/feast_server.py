"""Feast's feature server on a Redis, as its documentation has it; runs where Feast is installed.

    python feast_server.py DIRECTORY REDIS PORT

DIRECTORY holds `rows.json`: by view, columns of values, `user` among them.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path

CONFIG = """project: bench
provider: local
registry: data/registry.db
online_store:
  type: redis
  connection_string: "{redis}"
offline_store:
  type: file
entity_key_serialization_version: 3
"""


def main(directory: str, redis: str, port: str) -> None:
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource
    from feast.types import Float64
    from feast.value_type import ValueType

    folder = Path(directory)
    (folder / "data").mkdir(exist_ok=True)
    (folder / "feature_store.yaml").write_text(CONFIG.format(redis=redis))
    rows = json.loads((folder / "rows.json").read_text())
    user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING)
    store = FeatureStore(repo_path=directory)
    source = FileSource(name="rows", path=f"{directory}/rows.parquet", timestamp_field="at")
    views = [
        FeatureView(
            name=name,
            entities=[user],
            schema=[Field(name=f, dtype=Float64) for f in columns if f != "user"],
            source=source,
            online=True,
        )
        for name, columns in rows.items()
    ]
    now = datetime.now(timezone.utc)  # noqa: UP017 - Feast's environment may have an older Python
    tables = {name: pd.DataFrame({**columns, "at": now}) for name, columns in rows.items()}
    next(iter(tables.values())).to_parquet(f"{directory}/rows.parquet")
    store.apply([user, *views])
    for name, table in tables.items():
        store.write_to_online_store(name, table)
    feast = Path(sys.executable).with_name("feast")
    command = [str(feast), "-c", directory, "serve", "--port", port, "--no-access-log"]
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
