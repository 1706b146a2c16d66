"""Arrays into events: of a record that holds an array, an event for each of its elements.

An event has the record's fields, and in place of the array one element of it: the fields of a
record by their paths (`lines.sku`), a value under the array's own name, and of a map `lines.key`
and `lines.value`, as a map is a list of such records everywhere. A record of which the array is
empty or missing has no event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from freshet.schemas.avro.leaves import alone_in, leaves
from freshet.schemas.avro.tree import (
    NO_DEFAULT,
    Array,
    Map,
    Record,
    RecordField,
    Type,
    Union,
    joined,
    record_of_item,
)
from freshet.schemas.avro.walker_kernels import NO_SYMBOL, Decoded
from freshet.schemas.errors import DefinitionError
from freshet.schemas.events import lists
from freshet.schemas.events.columns import OK, OUT_OF_RANGE, Columns
from freshet.schemas.events.field import LISTS
from freshet.schemas.events.schema import EventSchema

Rows = npt.NDArray[np.intp]
I32 = npt.NDArray[np.int32]
EXAMPLE = 'Write explode="lines": the path of one array or map.'
# What an element's field has of the array's: other rules and the default are about the whole.
_KEPT = ("doc", "unit", "required")
# At fault is the array as a whole, which is no column of events; and not -1, which is no field.
_ARRAY = -2


@dataclass(frozen=True, slots=True)
class Exploding:
    """How records become events: by the array at `path`, column `at` of a record. `events` is the
    schema of an event; of its columns `own` are those that it has of the record, and `elements`
    those that it has of an element, both as (column of events, column there), int64 `[2, n]`."""

    path: str
    at: int
    events: EventSchema
    own: npt.NDArray[np.int64]
    elements: npt.NDArray[np.int64]


def exploding(records: EventSchema, path: str, where: str) -> Exploding:
    """How records of a schema become events of one of their arrays.

    Raises:
        DefinitionError: there is no array at the path; the text says what is, and which there are.
    """
    _check(records, path, where)
    at = records.position(path)
    array = records.fields[at].node
    assert isinstance(array, Array | Map)
    tree = _event_tree(records.tree, path)
    if tree is None:
        cause = f"explode={path!r} is an array in a union of several types"
        next_step = "Give the array a field of its own, of null and that array at most."
        raise DefinitionError(where, cause, next_step)
    # Of the same name and id as the records', and yet another schema: rules are kept by digests.
    told = f"{records.digest} explode {path}"
    events = replace(
        EventSchema.of_tree(tree, records.name),
        schema_id=records.schema_id,
        version=records.version,
        digest=hashlib.sha256(told.encode()).hexdigest()[:16],
        aliases=records.aliases,
        description=records.description,
    )
    elements = [_path_of(leaf.path, path, array) for leaf in leaves(record_of_item(array))]
    found = {name: i for i, name in enumerate(elements)}
    own = [
        (i, records.position(f.name)) for i, f in enumerate(events.fields) if f.name not in found
    ]
    of_elements = [(events.position(name), i) for name, i in found.items()]
    return Exploding(path, at, events, _pairs(own), _pairs(of_elements))


def _pairs(pairs: list[tuple[int, int]]) -> npt.NDArray[np.int64]:
    return np.array(pairs, np.int64).reshape(-1, 2).T


def _check(records: EventSchema, path: str, where: str) -> None:
    lists_of = [field.name for field in records.fields if field.type in LISTS]
    known = "There is neither an array nor a map in it: leave explode out."
    if lists_of:
        known = f"Its arrays and maps are {', '.join(lists_of)}."
    if path in records.positions:
        kind = records[path].type
        if kind not in LISTS:
            raise DefinitionError(where, f"explode={path!r} is of type {kind}, no array", known)
        return
    if any(field.name.startswith(f"{path}.") for field in records.fields):
        raise DefinitionError(where, f"explode={path!r} is made of fields, and no array", known)
    raise DefinitionError(where, f"explode={path!r} is not in its schema", known)


def _path_of(leaf: str, path: str, array: Array | Map) -> str:
    """What a column of an element is called in an event: an array's are all within `item`."""
    if isinstance(array, Map):
        return joined(path, f".{leaf}")
    return path + leaf.removeprefix("item")


def _event_tree(record: Record, path: str) -> Record | None:
    """A record with an element in place of the array; None where no chain of records leads to it.
    Whatever is on the way is there, else there would be no element."""
    for i, own in enumerate(record.fields):
        if own.name != path and not path.startswith(f"{own.name}."):
            continue
        type_ = _there(own.type)
        opened: RecordField | None = None
        if own.name == path and isinstance(type_, Array | Map):
            opened = _element(own, type_)
        elif isinstance(type_, Record):
            inner = _event_tree(type_, path.removeprefix(f"{own.name}."))
            if inner is not None:
                opened = replace(own, type=inner)
        if opened is not None:
            fields = (*record.fields[:i], opened, *record.fields[i + 1 :])
            return Record(record.name, record.aliases, fields)
    return None


def _there(type_: Type) -> Type | None:
    """What a type is where it is not missing; None of several types."""
    if isinstance(type_, Union):
        return alone_in(type_)
    return type_


def _element(own: RecordField, array: Array | Map) -> RecordField:
    type_: Type = record_of_item(array)
    if isinstance(array, Array):
        type_ = array.items
    kept = {name: own.attributes[name] for name in _KEPT if name in own.attributes}
    # Of several types each is missing where another stands.
    if isinstance(type_, Union) and alone_in(type_) is None:
        kept.pop("required", None)
    return replace(own, type=type_, default=NO_DEFAULT, attributes=kept)


class Exploded(Columns):
    """Events of decoded records. `parents` int64 `[n]` are the records they are of, `places` int32
    `[n]` their places in the arrays of those. A record that cannot be read, or has no element, has
    one row all the same, at place 0, so that it has a fate; `empty` are the rows of those without
    an element."""

    def __init__(self, records: Columns, how: Exploding) -> None:
        found = records.found()
        # Of what is refused already nothing else is to be known.
        words = np.where(records.reason == OK, found.words[how.at], 0)
        elements = lists.elements(records.codec, found, how.at, words)
        counts = np.diff(elements.offsets)
        each = np.maximum(counts, 1)
        firsts = np.cumsum(each) - each
        self.parents: Rows = np.repeat(np.arange(records.n), each)
        self.places: I32 = (np.arange(len(self.parents)) - firsts[self.parents]).astype(np.int32)
        self.empty: Rows = firsts[(counts == 0) & (records.reason == OK)]
        self._path = how.path
        self._records = records
        self._elements = elements
        # The element of each row; of those without one any will do, since nothing is read of it.
        self._element = np.zeros(len(self.parents), np.int64)
        self._has_element = np.repeat(counts > 0, each)
        self._element[self._has_element] = np.arange(int(elements.offsets[-1]))
        self._of_records = dict(how.own.T.tolist())
        self._of_elements = dict(how.elements.T.tolist())
        super().__init__(
            records.codec,
            elements.found.data,
            self._decoded(how),
            records.start[self.parents],
            found.end,
        )
        self.schema = how.events
        self._symbols = dict(self._named_symbols(how))
        self._refuse_overlong()

    def at_fault(self, rows: Rows) -> list[str | None]:
        named = super().at_fault(rows)
        whole = self.detail_field[rows] == _ARRAY
        return [self._path if is_whole else name for is_whole, name in zip(whole.tolist(), named)]

    def _decoded(self, how: Exploding) -> Decoded:
        fields = len(how.events.fields)
        words = np.empty((fields, 2, len(self.parents)), np.int64)
        valid = np.empty((fields, len(self.parents)), np.bool_)
        for column, there in how.own.T:
            words[column] = self._records.words[there][:, self.parents]
            valid[column] = self._records.valid[there][self.parents]
        given = self._elements.found
        # Nearly always: a copy as it is takes a third of the time.
        all_there = bool(self._has_element.all())
        for column, there in how.elements.T:
            if all_there:
                words[column] = given.words[there]
                valid[column] = given.valid[there]
                continue
            words[column] = 0
            valid[column] = False
            if how.events.fields[column].type == "enum":
                # Missing is none of its symbols.
                words[column, 0] = NO_SYMBOL
            words[column][:, self._has_element] = given.words[there]
            valid[column][self._has_element] = given.valid[there]
        detail = self._records.detail_field[self.parents]
        return Decoded(
            words=words,
            floats=words.view(np.float64),
            valid=valid,
            reason=self._records.reason[self.parents],
            detail=_moved(how, detail),
        )

    def _refuse_overlong(self) -> None:
        """Elements with a decimal of more digits than it may have; of records such were refused."""
        for column, refused in self._elements.overlong:
            at = next(mine for mine, there in self._of_elements.items() if there == column)
            rows = np.flatnonzero(self._has_element)[refused]
            rows = rows[self.reason[rows] == OK]
            self.refuse(rows, OUT_OF_RANGE, self.schema.fields[at].name)

    def _named_symbols(self, how: Exploding) -> Iterator[tuple[str, lists.Symbols]]:
        for mine in self._of_records:
            name = how.events.fields[mine].name
            if name in self._records.codec.symbols:
                yield name, self._records.codec.symbols[name]
        codec = self._elements.codec
        for mine, there in self._of_elements.items():
            name = codec.schema.fields[there].name
            if name in codec.symbols:
                yield how.events.fields[mine].name, codec.symbols[name]

    def _whole_value(self, at: int, rows: Rows) -> pa.Array:
        # Arrays are read by the programs that walked over them: of the record, or of the elements.
        if at in self._of_records:
            return lists.column(
                self._records.codec,
                self._records.found(),
                self._of_records[at],
                self.parents[rows],
            )
        is_there = self._has_element[rows]
        found = lists.column(
            self._elements.codec,
            self._elements.found,
            self._of_elements[at],
            self._element[rows[is_there]],
        )
        if is_there.all():
            return found
        places = np.cumsum(is_there) - 1
        return found.take(pa.array(places, mask=~is_there))


def _moved(how: Exploding, detail: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Columns of records that were at fault, as columns of events."""
    columns = len(how.own[1]) + 1
    # The last entry is that of -1, where no field is at fault.
    table = np.full(columns + 1, -1, np.int16)
    table[how.own[1]] = how.own[0]
    table[how.at] = _ARRAY
    moved: npt.NDArray[np.int16] = table[detail]
    return moved


def explode(records: Columns, how: Exploding) -> Exploded:
    """The events of decoded records."""
    return Exploded(records, how)


def without_event(columns: Columns) -> Rows:
    """The rows of records that are no event; what rules say of them means nothing."""
    if not isinstance(columns, Exploded):
        return np.empty(0, np.intp)
    columns.reason[columns.empty] = OK
    return columns.empty
