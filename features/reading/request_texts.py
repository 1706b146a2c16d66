"""A request's columns as canonical texts, and as the keys of views.

Requests are a few rows of Python values, so this is plain Python: for one row each call into Arrow
or numba costs more than all that is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any

from freshet.schemas.errors import RequestError
from freshet.schemas.sizes import KEY_BYTES
from freshet.schemas.text.keys import NO_KEY, UUID, canonical, keys_of

TextColumn = Sequence[str | None]
_TEXTS = {str}
_TRUTHS = {bool}
_NUMBERS = {int, float}
_LOWEST = -(1 << 63)
_BEYOND = 1 << 63  # what the widest whole number of a request has not


def texts_of(name: str, values: Sequence[Any], is_uuid: bool) -> TextColumn:
    """Canonical texts of what was sent for a field; None where it is missing.

    Raises:
        RequestError: values that are neither texts nor whole numbers nor truths, or UUIDs that are
            none.
    """
    # Python's own values, whatever array they came in.
    found = values
    if hasattr(values, "tolist"):
        found = values.tolist()
    try:
        texts = _written(found)
        # A lone surrogate is no text, which only shows when it is encoded.
        "".join(filter(None, texts)).encode()
    except (ValueError, OverflowError) as error:
        raise RequestError(
            f"input {name!r}", f"its values are no texts: {error}", "Send one text a row."
        ) from error
    if is_uuid:
        return _lower(name, texts)
    return texts


def _written(values: Sequence[Any]) -> TextColumn:
    kinds = set(map(type, values))
    if kinds == _TEXTS:
        return values
    if float in kinds:
        # NaN alone is not itself: of numbers, that is the missing one.
        values = [_unless_nan(value) for value in values]
        kinds = set(map(type, values))
    kinds.discard(NoneType)
    if kinds <= _TEXTS:
        return values
    if kinds <= _TRUTHS:
        return _each(values, _truth)
    if kinds <= _NUMBERS:
        return _each(values, _whole)
    names = " and ".join(sorted(kind.__name__ for kind in kinds))
    raise ValueError(f"they are of type {names}")


def _unless_nan(value: Any) -> Any:
    if value != value:
        return None
    return value


def _each(values: Sequence[Any], text_of: Callable[[Any], str]) -> TextColumn:
    """The text of each value that is there."""
    out: list[str | None] = []
    for value in values:
        if value is None:
            out.append(None)
        else:
            out.append(text_of(value))
    return out


def _truth(value: bool) -> str:
    return str(value).lower()


def _whole(value: float) -> str:
    whole = int(value)
    if whole != value or not _LOWEST <= whole < _BEYOND:
        raise ValueError(f"{value!r} is no whole number of 64 bits")
    return str(whole)


def _lower(name: str, texts: TextColumn) -> TextColumn:
    """UUIDs in the case that intake has them in."""
    out: list[str | None] = []
    for row, text in enumerate(texts):
        try:
            out.append(canonical(text, UUID))
        except ValueError as error:
            expected = "Send hexadecimal digits in five groups."
            raise RequestError(f"input {name!r}", f"is no UUID in row {row}", expected) from error
    return out


def distinct_keys(
    escaped: Mapping[str, Sequence[str]], fields: tuple[str, ...], n: int
) -> tuple[list[bytes], list[int]]:
    """The distinct keys of `n` rows, of the columns `fields` (as `keys.escaped` has them), in order
    of first sight; and which of them each row has.

    Raises:
        RequestError: a key is longer than every store takes. It is the request's fault: no store is
        away for it.
    """
    if not fields:
        return [NO_KEY.encode()], [0] * n
    texts = keys_of([escaped[name] for name in fields])
    if len(texts) == 1:
        keys = [texts[0].encode()]
        place = [0]
    else:
        order: dict[str, int] = {}
        place = [order.setdefault(text, len(order)) for text in texts]
        keys = [text.encode() for text in order]
    longest = max(map(len, keys), default=0)
    if longest > KEY_BYTES:
        cause = f"is a key of {longest} bytes"
        named = " and ".join(map(repr, fields))
        raise RequestError(f"input {named}", cause, f"A key may have {KEY_BYTES} bytes.")
    return keys, place
