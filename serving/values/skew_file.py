"""What was judged of models' skew in the run's folder, so that whoever begins again need not judge
their whole examples logs once more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from freshet.schemas.errors import ObjectStoreError
from freshet.serving.values.skew import KeptSkew
from freshet.streams import objects

log = structlog.get_logger()
FILE = "skew.msgpack"
ASIDE = "skew.unreadable"
FORMAT = 1


class JudgedSkew(msgspec.Struct, frozen=True):
    """Of one model: all rows before `position` of the examples log that has the `identity` were
    judged."""

    identity: str
    position: int
    skew: KeptSkew


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    """`format` rises when what is below it changes its meaning."""

    format: int
    app: str
    models: dict[str, JudgedSkew]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Content)


def save(place: str | Path, app: str, models: Mapping[str, JudgedSkew]) -> None:
    """Write it; a process that ends meanwhile leaves the file as it was. A disk that takes nothing
    costs but what would be judged again: it is logged."""
    content = _Content(format=FORMAT, app=app, models=dict(models))
    try:
        objects.write(place, FILE, _encoder.encode(content))
    except (OSError, ObjectStoreError) as error:
        log.warning("skew is not saved", folder=str(place), error=str(error))


def restored(place: str | Path, app: str) -> dict[str, JudgedSkew]:
    """What the file has, by model. One that cannot be read, or is of another app or format, is set
    aside, and all is judged again."""
    try:
        content = _decoder.decode(objects.read(place, FILE))
        if content.format != FORMAT or content.app != app:
            raise ValueError(f"it is of app {content.app}, format {content.format}")
    except FileNotFoundError:
        return {}  # the run's first start
    except (OSError, msgspec.DecodeError, ValueError) as error:
        log.warning(
            "skew cannot be read; it is set aside and judged from the examples",
            file=f"{place}/{ASIDE}",
            error=str(error),
        )
        _set_aside(place)
        return {}
    return content.models


def _set_aside(place: str | Path) -> None:
    try:
        objects.set_aside(place, FILE, ASIDE)
    except (OSError, ObjectStoreError) as error:
        log.warning("skew cannot be set aside", file=f"{place}/{FILE}", error=str(error))
