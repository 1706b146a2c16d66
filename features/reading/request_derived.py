"""Derived fields of requests: the same definitions and the same code as of events, over columns
that are typed and filled as those of events are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from freshet.features.reading.request_texts import texts_of
from freshet.schemas.errors import RequestError
from freshet.schemas.events.field import BOUNDS, FLOATS, INTEGERS, TEXTS, Field
from freshet.schemas.text.keys import UUID
from freshet.schemas.topics.derivations import dtype_of, needed, roots
from freshet.schemas.topics.topic import Topic

if TYPE_CHECKING:
    import polars as pl


class RequestDerivations:
    """Of the derived fields of a topic those that requests of one model need: `names` are the
    fields that it reads; of them `typed` are read with the types that events have. False where
    nothing is needed."""

    def __init__(self, topic: Topic, names: Collection[str], typed: Collection[str] = ()) -> None:
        self._topic = topic
        self._derivations = needed(topic.derivations, [*names, *typed])
        self._roots = roots(self._derivations)
        every = [root for made_of in self._roots.values() for root in made_of]
        every += [name for name in typed if name not in self._roots]
        self._fields = [topic.events[name] for name in dict.fromkeys(every)]
        self._dtypes = {field.name: dtype_of(field) for field in self._fields}

    def __bool__(self) -> bool:
        return bool(self._fields)

    def made_of(self, name: str) -> tuple[str, ...]:
        """The fields that a request brings, of which a field is made; itself, if it is one."""
        return self._roots.get(name, (name,))

    def known_of(self, sent: Collection[str]) -> set[str]:
        """All fields that are known of a request with these: derived ones, too, of which it brings
        all that they are made of."""
        brought = {*sent}
        derived = {name for name, made_of in self._roots.items() if brought >= {*made_of}}
        return (brought - self._roots.keys()) | derived

    def frame(self, columns: Mapping[str, Any], n: int) -> pl.DataFrame:
        """The fields that something is made of, as events have them, and all that is derived. What
        was not sent counts as missing, as in an event.

        Raises:
            RequestError: a value is of a wrong type.
        """
        import polars as pl

        frame = pl.DataFrame(
            [self._column(field, columns.get(field.name), n) for field in self._fields]
        )
        for derivation in self._derivations:
            frame = frame.hstack([derivation.compute(frame)])
        return frame

    def with_derived(self, columns: Mapping[str, Any], frame: pl.DataFrame) -> dict[str, Any]:
        """The columns of a request, with lists of Python's values for its derived fields, which
        stand in its `frame`; what was sent under their names is none."""
        own = {name: values for name, values in columns.items() if name not in self._roots}
        return own | {name: frame[name].to_list() for name in self._roots}

    def _column(self, field: Field, values: Sequence[Any] | None, n: int) -> pl.Series:
        """As intake has it of an event with these values."""
        import polars as pl

        typed: Sequence[Any] = [None] * n
        if values is not None:
            typed = _typed(field, values)
        if len(typed) != n:
            cause = f"has {len(typed)} values, and there are {n} rows"
            raise RequestError(f"input {field.name!r}", cause, "Send one a row.")
        how = self._topic.impute.get(field.name)
        if how is not None and None in typed:
            constant = _constant(field, how.value)
            typed = [constant if value is None else value for value in typed]
        return pl.Series(field.name, typed, self._dtypes[field.name])


def _constant(field: Field, value: float | str) -> float | str:
    """What intake fills in."""
    if field.type not in INTEGERS or isinstance(value, str):
        return value
    lowest, highest = BOUNDS[field.type]
    return round(min(max(value, lowest), highest))


def _typed(field: Field, values: Sequence[Any]) -> Sequence[Any]:
    """Values of a request as those of the field's type, None where they are missing."""
    if field.type in TEXTS:
        return texts_of(field.name, values, field.key_kind == UUID)
    # Python's own values, whatever array they came in.
    found = values.tolist() if hasattr(values, "tolist") else values
    try:
        return [_value(field, value) for value in found]
    except (TypeError, ValueError, OverflowError) as error:
        expected = f"Send one {field.type} a row."
        raise RequestError(
            f"input {field.name!r}", f"its values are no {field.type}: {error}", expected
        ) from error


def _value(field: Field, value: Any) -> Any:
    # NaN alone is not itself: of numbers, that is the missing one.
    if value is None or value != value:
        return None
    if isinstance(value, str):
        raise ValueError(f"{value!r} is a text")
    if field.type == "boolean":
        return bool(value)
    if field.type in FLOATS:
        return float(value)
    if field.type in INTEGERS:
        whole = int(value)
        lowest, highest = BOUNDS[field.type]
        if whole != value or not lowest <= whole <= highest:
            raise ValueError(f"{value!r} is no {field.type}")
        return whole
    return _decimal(field, value)


def _decimal(field: Field, value: Any) -> Decimal | None:
    """The one of the field's scale that is nearest; None where it has too many digits."""
    exact = Decimal(repr(value))
    beyond = Decimal(1).scaleb(field.precision - field.scale)
    # First: of what is infinite nothing is nearest.
    if abs(exact) >= beyond:
        return None
    nearest = exact.quantize(
        Decimal(1).scaleb(-field.scale), context=Context(prec=field.precision + 1)
    )
    if abs(nearest) >= beyond:
        return None
    return nearest
