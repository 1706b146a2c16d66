"""A request's entities as the keys of views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from freshet.features.reading.request_texts import distinct_keys
from freshet.features.views.view import View
from freshet.schemas.errors import RequestError
from freshet.schemas.events.field import Field
from freshet.schemas.text.keys import canonical_column, escaped

Entity = str | int | bool | None
Entities = Mapping[str, Sequence[Entity]]
# The keys, and which of them each row has: int64 `[rows]`.
Distinct = tuple[list[bytes], npt.NDArray[np.int64]]


class KeyField(NamedTuple):
    """A field of a view's key: its name, of which kind its values are as keys, and the type that
    the view's topics declare."""

    name: str
    kind: str
    type: str


def key_fields(view: View) -> tuple[KeyField, ...]:
    """The fields of a view's key, in its order."""
    # Its topics have keys of one kind.
    fields = view.topics[0].all_fields
    return tuple(_key_field(fields[name]) for name in view.keys)


def _key_field(field: Field) -> KeyField:
    kind = field.key_kind
    assert kind is not None
    return KeyField(field.name, kind, field.type)


class EntityTexts:
    """Entities as canonical texts, which depend on the type that a view's topic declares, escaped
    as they stand in keys.

    They are made once for each kind.
    """

    def __init__(self, entities: Entities) -> None:
        self._entities = entities
        self._made: dict[KeyField, Sequence[str]] = {}
        self._distinct: dict[tuple[KeyField, ...], Distinct] = {}

    def distinct(self, fields: tuple[KeyField, ...], rows: int) -> Distinct:
        """Of a key of these fields; views of one key have the same."""
        found = self._distinct.get(fields)
        if found is None:
            texts = {field.name: self._column(field) for field in fields}
            keys, place = distinct_keys(texts, tuple(texts), rows)
            found = keys, np.array(place)
            self._distinct[fields] = found
        return found

    def _column(self, field: KeyField) -> Sequence[str]:
        if field not in self._made:
            self._made[field] = _escaped(field, self._entities[field.name])
        return self._made[field]


def _escaped(field: KeyField, values: Sequence[Entity]) -> Sequence[str]:
    try:
        column = escaped(canonical_column(values, field.kind))
        # All at once, and thrown away: what cannot be encoded is found here, not by the store.
        "".join(column).encode()
    except UnicodeEncodeError as error:  # a lone surrogate
        raise RequestError(
            f"entity {field.name!r}", f"is no text: {error.reason}", "Send UTF-8."
        ) from error
    except ValueError as error:
        expected = f"Its type is {field.type}."
        raise RequestError(f"entity {field.name!r}", f"cannot be: {error}", expected) from error
    return column
