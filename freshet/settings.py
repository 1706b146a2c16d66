"""Where an app runs: addresses, folders, ports. One precedence: command line, then FRESHET_*
environment, then the TOML file, then the defaults here."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any
from urllib.parse import urlsplit

from pydantic import ByteSize, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from freshet.schemas.addresses import canonical
from freshet.schemas.durations import milliseconds
from freshet.schemas.errors import DefinitionError
from freshet.schemas.registry.address import RegistryAddress, parsed
from freshet.schemas.shown_text import HIDDEN, address, origin
from freshet.streams import objects

FILE = "freshet.toml"
ADDRESSES = ("run_dir", "log", "store", "registry")
LEAST_ROWS_MEMORY = 64_000_000
NOWHERE = "none"
SECRETS = ("registry_token",)
# Of roles that sign: trainers, and release.
SIGNERS = ("trainer", "qualifier")


class Settings(BaseSettings):
    """Settings of one run of an app. Each is also `FRESHET_<NAME>` and a key of the TOML file."""

    # A mistyped key is refused: it would be a default that nobody knows of.
    model_config = SettingsConfigDict(env_prefix="FRESHET_", extra="forbid", frozen=True)

    run_dir: str = Field(
        ".freshet/run",
        description="folder of the run: logs, keys, checkpoints, snapshots; or a URL, such as "
        "s3://bucket/run, of what several machines share of it",
    )
    local_dir: str = Field(
        "",
        description="folder for what stays on this machine of a run whose run_dir is a URL "
        "(empty: one in the user's own state, named by the URL)",
    )
    log: str = Field(
        "", description="the log: empty for SQLite in the run folder, or kafka://host:port"
    )
    clusters: dict[str, str] = Field(
        {},
        description="addresses with logins of other Kafkas, by those that topics name (JSON)",
    )
    store: str = Field(
        "",
        description="the store: empty for an embedded Redis, or redis://…, unix://…, "
        "redis+sentinel://…, redis+cluster://…, cassandra://…, tiered(redis://…, cassandra://…)",
    )
    registry: str = Field(
        "",
        description="the schema registry, http(s)://host:port, several by commas (empty: none)",
    )
    registry_token: str = Field(
        "", repr=False, description="bearer token that the registry is sent (empty: none)"
    )
    registry_ca: str = Field(
        "", description="file of certificates (PEM) that the registry's is held to (empty: usual)"
    )
    host: str = Field(
        "127.0.0.1", description="address that the scorer and the status page listen on"
    )
    allowed_hosts: str = Field(
        "", description="further names of both servers, such as a proxy's, by commas (*: any)"
    )
    port: int = Field(8080, ge=0, le=65535, description="port of the scorer (0: any free one)")
    status_port: int = Field(
        8081, ge=0, le=65535, description="port of the status page (0: any free one)"
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="port of /metrics of a role run alone (0: any free one)"
    )
    replay: bool = Field(
        False, description="the app's clock is paced by a replay, and requests may say as_of"
    )
    snapshot_every: str = Field(
        "", description="overrides every topic's snapshot_every (a duration)"
    )
    # Two at least: the one that is served, and the one before it to go back to.
    keep_snapshots: int = Field(20, ge=2, description="how many snapshots of each lineage are kept")
    keep_checkpoints: ByteSize = Field(
        ByteSize(32 << 20),
        description="how many bytes of each lineage's earlier checkpoints are kept to go back to: "
        "minutes, hours, days, weeks (0: none)",
    )
    keys: dict[str, str] = Field(
        {},
        repr=False,
        description="where private keys are that are not to lie in the run folder: of trainer and "
        "qualifier, env:NAME or command:PROGRAM ARGUMENTS (JSON)",
    )
    rows_memory: ByteSize = Field(
        ByteSize(0),
        description="memory for the rows of a process of views, such as 4GB; those used longest "
        "ago lie on disk beyond it (0: no bound)",
    )
    rows_dir: str = Field(
        "", description="folder on a disk of this machine for such rows (empty: in the run folder)"
    )
    archive: str = Field(
        "",
        description="where the past is kept as Parquet: a folder, or a URL such as "
        "s3://bucket/path (empty: in the run folder; none: nowhere)",
    )
    alert_webhook: str = Field(
        "", description="URL that every alert is posted to as JSON (empty: none)"
    )

    @field_validator("snapshot_every")
    @classmethod
    def _is_a_duration(cls, value: str) -> str:
        if value:
            milliseconds(value, "setting snapshot_every")
        return value

    @field_validator("rows_memory")
    @classmethod
    def _is_room_for_rows(cls, value: ByteSize) -> ByteSize:
        if 0 < value < LEAST_ROWS_MEMORY:
            raise PydanticCustomError(
                "rows_memory", "is less than 64MB, of which a database on disk takes most"
            )
        return value

    @field_validator("keys")
    @classmethod
    def _are_sources(cls, value: dict[str, str]) -> dict[str, str]:
        for signer, source in value.items():
            if signer not in SIGNERS:
                raise PydanticCustomError(
                    "keys", "names somebody who signs nothing; trainer and qualifier do"
                )
            kind, _, rest = source.partition(":")
            if kind not in ("env", "command") or not rest.strip():
                raise PydanticCustomError(
                    "keys", "has a source that is neither env:NAME nor command:PROGRAM ARGUMENTS"
                )
        return value

    @field_validator("host")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.strip():
            # Which a socket takes for all addresses of the machine.
            raise PydanticCustomError(
                "host", "is empty, and would be every address of this machine"
            )
        found = canonical(value)
        if found is None:
            raise PydanticCustomError(
                "host", "is no address or name such as 127.0.0.1, ::1 or 0.0.0.0 (all of IPv4)"
            )
        return found

    @field_validator("allowed_hosts")
    @classmethod
    def _are_names(cls, value: str) -> str:
        for name in value.split(","):
            if value and name.strip() != "*" and canonical(name) is None:
                raise PydanticCustomError(
                    "hosts", "is no list of names without ports, such as models.example.org"
                )
        return value

    @field_validator("alert_webhook")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not (parts.scheme in ("http", "https") and parts.hostname):
            raise PydanticCustomError("url", "is no URL such as https://example.org/hook")
        return value

    @field_validator("registry")
    @classmethod
    def _is_a_registry(cls, value: str) -> str:
        if value:
            parsed(value)
        return value

    @field_validator("run_dir", "local_dir", mode="before")
    @classmethod
    def _is_text(cls, value: object) -> object:
        if isinstance(value, Path):
            return str(value)
        return value

    @field_validator("run_dir")
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        if not value or Path(value).parts == ():
            raise PydanticCustomError("run_dir", "is empty")
        if "\0" in value:
            raise PydanticCustomError("run_dir", "has a null character in it, as no path has")
        try:
            return objects.plain(value)
        except ValueError as error:
            raise PydanticCustomError("run_dir", "{cause}", {"cause": str(error)}) from error

    @field_validator("local_dir")
    @classmethod
    def _is_of_this_machine(cls, value: str, info: ValidationInfo) -> str:
        if "\0" in value:
            raise PydanticCustomError("local_dir", "has a null character in it, as no path has")
        if "://" in value:
            raise PydanticCustomError("local_dir", "is a URL, and is to be a folder here")
        run_dir = info.data.get("run_dir", "")
        if value and not objects.is_remote(run_dir) and Path(value) != Path(run_dir):
            raise PydanticCustomError(
                "local_dir", "is of a run whose run_dir is a URL, and this one's is a folder"
            )
        return value

    @field_validator("status_port")
    @classmethod
    def _is_another_port(cls, value: int, info: ValidationInfo) -> int:
        # 0 is any free one: of those each gets another.
        if value and value == info.data.get("port"):
            raise PydanticCustomError(
                "ports", "is the port of the scorer, too, and only one can listen there"
            )
        return value

    @property
    def registry_address(self) -> RegistryAddress | None:
        """Where the schema registry is, and how it is asked; None: there is none."""
        if not self.registry:
            return None
        return parsed(self.registry, self.registry_token, self.registry_ca)

    @property
    def is_shared(self) -> bool:
        """Whether the run's folder is in a store of objects, and a part of it on this machine."""
        return objects.is_remote(self.run_dir)

    @property
    def local_path(self) -> Path:
        """What stays on this machine: logs, locks, addresses, switches, private keys, caches. The
        run's folder itself, where that is one."""
        if not self.is_shared:
            return Path(self.run_dir)
        if self.local_dir:
            return Path(self.local_dir)
        return _state_of(self.run_dir)

    @property
    def shared_url(self) -> str:
        """What every process of the run reads: checkpoints, snapshots, public keys. The run's
        folder itself, where that is one."""
        return str(Path(self.run_dir)) if not self.is_shared else self.run_dir

    @property
    def log_url(self) -> str:
        return self.log or str(self.local_path / "log")

    @property
    def checkpoints_url(self) -> str:
        return f"{self.shared_url}/checkpoints"

    @property
    def snapshots_url(self) -> str:
        return f"{self.shared_url}/snapshots"

    @property
    def rows_path(self) -> Path:
        return Path(self.rows_dir) if self.rows_dir else self.local_path / "rows"

    @property
    def archive_url(self) -> str | None:
        """None: nothing is archived."""
        if self.archive == NOWHERE:
            return None
        return self.archive or f"{self.shared_url}/archive"

    @property
    def keys_dir(self) -> Path:
        """Of the key pairs of the roles on this machine."""
        return self.local_path / "keys"

    @property
    def keys_url(self) -> str:
        """Of the public keys of all roles."""
        return f"{self.shared_url}/keys"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = os.environ.get("FRESHET_CONFIG", FILE)
        # The first one that knows a setting wins: the command line, then the environment, then the
        # file.
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)


def _state_of(url: str) -> Path:
    """Where this user keeps what belongs to a URL (XDG Base Directory Specification): commands
    find it from any working directory."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    # Of its place without a login; two that look alike are told apart by the digest.
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", url.partition("://")[2].rpartition("@")[2])
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    return Path(state, "freshet", f"{name[:60].strip('-')}-{digest}")


def settings(**given: Any) -> Settings:
    """Settings from all sources; `given` (the command line) wins, None means not given.

    Raises:
        DefinitionError: an unknown key, a value out of range, a file that is missing or no TOML;
            the text names it and what is allowed.
    """
    named = os.environ.get("FRESHET_CONFIG")
    if named is not None and not Path(named).is_file():
        raise DefinitionError(
            f"file {named}", "is not there, and FRESHET_CONFIG names it", "Correct or unset it."
        )
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except (TOMLDecodeError, UnicodeDecodeError) as error:
        raise DefinitionError(
            f"file {named or FILE}",
            f"is not TOML: {error}",
            'Write lines such as port = 8080 or log = "kafka://…".',
        ) from error
    except ValidationError as error:
        raise _refused(error) from error
    except SettingsError as error:
        raise DefinitionError(
            "settings", f"cannot be read: {error}", "Correct the variable that it names."
        ) from error
    except OSError as error:
        raise DefinitionError(
            f"file {named or FILE}",
            f"cannot be read: {error.strerror or error}",
            "Make it readable, or remove it.",
        ) from error


def _refused(error: ValidationError) -> DefinitionError:
    # One at a time: who mends it sees whether the next one was its consequence.
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    known = Settings.model_fields.get(name)
    if known is None:
        return DefinitionError(
            f"setting {name!r}", "is unknown", f"Known are {', '.join(Settings.model_fields)}."
        )
    cause = f"{first['msg'][0].lower()}{first['msg'][1:]}"
    given = _told(name, first.get("input"))
    return DefinitionError(f"setting {name}={given!r}", cause, f"Meant is: {known.description}.")


def _told(name: str, value: object) -> object:
    """A value that was refused, as an error may say it: addresses may hold passwords, and webhooks
    are secrets whole."""
    if not isinstance(value, str):
        return value
    if name == "alert_webhook":
        return origin(value)
    if name in SECRETS:
        return HIDDEN
    if name.startswith(("clusters", "keys")):
        return "…"
    if name in ADDRESSES:
        return address(value)
    return value
