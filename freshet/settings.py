"""Where an app runs: addresses, folders, ports. One precedence: command line, then FRESHET_* environment, then the TOML
file, then the defaults here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from schemas.errors import DefinitionError


class Settings(BaseSettings):
    """Settings of one run of an app. Each is also `FRESHET_<NAME>` and a key of the TOML file."""

    model_config = SettingsConfigDict(env_prefix="FRESHET_", extra="forbid", frozen=True)

    run_dir: Path = Field(Path(".freshet/run"), description="folder of the run: logs, keys, checkpoints, snapshots")
    log: str = Field("", description="the log: empty for SQLite in the run folder, or kafka://host:port")
    store: str = Field("", description="the store: empty for an embedded Redis, or redis://…, unix://…, cassandra://…")
    host: str = Field("127.0.0.1", description="address that the scorer and the status page listen on")
    port: int = Field(8080, ge=0, le=65535, description="port of the scorer (0: any free one)")
    status_port: int = Field(8081, ge=0, le=65535, description="port of the status page (0: any free one)")
    replay: bool = Field(False, description="the app's clock is paced by a replay, and requests may say as_of")
    snapshot_every: str = Field("", description="overrides every topic's snapshot_every (a duration)")
    keep_snapshots: int = Field(20, ge=2, description="how many snapshots of each lineage are kept")

    @property
    def log_url(self) -> str:
        return self.log or str(self.run_dir / "log")

    @property
    def checkpoints_url(self) -> str:
        return str(self.run_dir / "checkpoints")

    @property
    def snapshots_dir(self) -> Path:
        return self.run_dir / "snapshots"

    @property
    def keys_dir(self) -> Path:
        return self.run_dir / "keys"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = os.environ.get("FRESHET_CONFIG", "freshet.toml")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)


def settings(**given: Any) -> Settings:
    """Settings from all sources; `given` (the command line) wins, None means not given.

    Raises:
        DefinitionError: an unknown key or a value out of range; the text names it and what is allowed.
    """
    try:
        return Settings(**{k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise DefinitionError(
            f"setting {name!r}",
            f"{first['msg']} (given: {first.get('input')!r})",
            f"Known settings: {', '.join(Settings.model_fields)}.",
        ) from error
