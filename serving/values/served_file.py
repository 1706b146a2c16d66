"""What is known of the answers of models in the run's folder, so that whoever begins again need not
read their whole examples logs once more.

Arrays are packed as numpy packs them (NEP 1), without pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from freshet.schemas.errors import ObjectStoreError
from freshet.serving.values.skew import KeptSkew
from freshet.streams import objects

log = structlog.get_logger()
FILE = "served.msgpack"
ASIDE = "served.unreadable"
FORMAT = 2


Arrays = dict[str, npt.NDArray[Any]]


class KeptServed(msgspec.Struct, frozen=True):
    """Of one model: what came of all that stands before `position` of the examples log that has the
    `identity`. `declared` is what of the model's declaration that depends on."""

    identity: str
    position: int
    declared: str
    skew: KeptSkew
    packed: bytes


def packed(arrays: Arrays) -> bytes:
    into = BytesIO()
    np.savez_compressed(into, allow_pickle=False, **arrays)
    return into.getvalue()


def unpacked(data: bytes) -> Arrays:
    """Raises `ValueError` for what `packed` did not write."""
    try:
        with np.load(BytesIO(data), allow_pickle=False) as found:
            return dict(found)
    except (OSError, BadZipFile, EOFError) as error:
        raise ValueError("these are no arrays") from error


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    """`format` rises when what is below it changes its meaning."""

    format: int
    app: str
    models: dict[str, KeptServed]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Content)


def save(place: str | Path, app: str, models: Mapping[str, KeptServed]) -> None:
    """Write it; a process that ends meanwhile leaves the file as it was. A disk that takes nothing
    costs but what would be read again: it is logged."""
    content = _Content(format=FORMAT, app=app, models=dict(models))
    try:
        objects.write(place, FILE, _encoder.encode(content))
    except (OSError, ObjectStoreError) as error:
        log.warning("quality of answers is not saved", folder=str(place), error=str(error))


def restored(place: str | Path, app: str) -> dict[str, KeptServed]:
    """What the file has, by model. One that cannot be read, or is of another app or format, is set
    aside, and all is read again."""
    try:
        content = _decoder.decode(objects.read(place, FILE))
        if content.format != FORMAT or content.app != app:
            raise ValueError(f"it is of app {content.app}, format {content.format}")
    except FileNotFoundError:
        return {}  # the run's first start
    except (OSError, msgspec.DecodeError, ValueError) as error:
        log.warning(
            "quality of answers cannot be read; it is set aside and read from the examples",
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
        log.warning(
            "quality of answers cannot be set aside", file=f"{place}/{FILE}", error=str(error)
        )
