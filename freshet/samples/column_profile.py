"""What the values of one column of a sample are: counts by kind, distinct values, extremes, and
what its texts would be read as. Made a chunk at a time, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from freshet.samples import values as kinds
from freshet.samples.measures import Measures, measure
from freshet.samples.sample import ABSENT, Chunk

MOST_DISTINCT = 100_000  # values of a column that are told apart
LONGEST = 64  # characters of a text that are kept of it


@dataclass(slots=True)
class Seen:
    """Values of one kind: how many, and the first of them."""

    count: int
    first_row: int
    example: Any


@dataclass(slots=True)
class Profile:
    """A column. `rows` are those of the sample, also where they lack it.

    `values` counts distinct values, up to `MOST_DISTINCT` of them, long texts by what `_short`
    makes of them. `missing` counts the texts that
    say that there is none. `children` are the fields of objects, `items` what lists hold; `arrow`
    is the type that Parquet gives the column.
    """

    name: str
    rows: int = 0
    kinds: dict[str, Seen] = field(default_factory=dict)
    values: Counter[Any] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    measures: Measures = field(default_factory=Measures)
    all_told_apart: bool = True
    arrow: pa.DataType | None = None
    children: dict[str, Profile] = field(default_factory=dict)
    items: Profile | None = None

    def count(self, *names: str) -> int:
        return sum(self.kinds[name].count for name in names if name in self.kinds)

    @property
    def present(self) -> int:
        """How many rows have a value."""
        return sum(seen.count for kind, seen in self.kinds.items() if kind not in kinds.NOTHING)

    @property
    def distinct(self) -> int:
        return len(self.values)

    @property
    def unique(self) -> bool:
        """Whether every row has a value of its own, as far as values were told apart."""
        if not self.values or self.present < self.rows:
            return False
        return self.values.most_common(1)[0][1] == 1

    @property
    def has_cut(self) -> bool:
        """Whether a long text is among its values, which are then not as they were written."""
        return any(map(is_cut, self.values))

    @property
    def examples(self) -> list[Any]:
        """The commonest values; of nested ones the first."""
        common = [value for value, _ in self.values.most_common(3)]
        nested = [seen.example for kind, seen in self.kinds.items() if kind in kinds.NESTED]
        return common or nested


@dataclass(frozen=True, slots=True)
class Profiles:
    """Of a whole sample, by column in their order. `broken` rows are none, and lack no field;
    `why_broken` is of the first."""

    columns: dict[str, Profile]
    rows: int
    broken: int
    first_broken: str
    why_broken: str = ""


def profiles(chunks: Iterable[Chunk], as_text: bool) -> Profiles:
    """Look at a sample once."""
    found: dict[str, Profile] = {}
    rows = 0
    broken = []
    for chunk in chunks:
        not_rows = {fault.row for fault in chunk.broken}
        for name, column in chunk.columns.items():
            profile = found.setdefault(name, Profile(name))
            profile.arrow = chunk.types.get(name)
            # Earlier chunks had no such name, if it is new.
            lack(profile, rows)
            whole = column
            if not_rows:
                whole = [
                    value for at, value in enumerate(column, chunk.first_row) if at not in not_rows
                ]
            take(profile, whole, chunk.first_row, as_text)
        rows += chunk.rows - len(not_rows)
        broken += chunk.broken
        for profile in found.values():
            lack(profile, rows)
    if not broken:
        return Profiles(found, rows, 0, "")
    return Profiles(found, rows, len(broken), broken[0].text, broken[0].why)


def lack(profile: Profile, rows: int) -> None:
    """Bring a column to that many rows, of which the last had no such name."""
    lacking = rows - profile.rows
    if lacking <= 0:
        return
    _note(profile, kinds.ABSENT_KIND, lacking, profile.rows + 1, None)
    profile.rows = rows


def take(profile: Profile, column: Sequence[Any], first_row: int, as_text: bool) -> None:
    """Add some rows' values of a column."""
    of_rows = _kinds(column, as_text)
    for kind, count in Counter(of_rows).items():
        # The place is looked for in C, and only of a kind that is new.
        at = 0
        if kind not in profile.kinds:
            at = of_rows.index(kind)
        _note(profile, kind, count, first_row + at, column[at])
    profile.rows += len(column)
    values = []
    kinds_of_values = []
    for value, kind in zip(column, of_rows):
        if kind not in kinds.NOTHING:
            values.append(value)
            kinds_of_values.append(kind)
    if as_text:
        said = (v.strip() for v, kind in zip(column, of_rows) if kind == kinds.NULL and v)
        profile.missing.update(said)
    _count(profile, values, kinds_of_values)
    measure(profile.measures, values, kinds_of_values)
    if kinds.OBJECT in of_rows:
        _look_into_objects(profile, values, first_row)
    if kinds.LIST in of_rows:
        _look_into_lists(profile, values, first_row)


def _kinds(column: Sequence[Any], as_text: bool) -> list[str]:
    """The kind of each value."""
    if as_text:
        # Most values come many times, and each is looked at once.
        known = {text: kinds.kind_of_text(text) for text in set(column)}
        return [known[text] for text in column]
    return [kinds.kind_of(value) for value in column]


def _note(profile: Profile, kind: str, count: int, row: int, example: Any) -> None:
    """Add values to a kind; the first of them stays its example."""
    seen = profile.kinds.get(kind)
    if seen is None:
        profile.kinds[kind] = Seen(count, row, example)
    else:
        seen.count += count


def _count(profile: Profile, values: list[Any], of_values: list[str]) -> None:
    """Add to the distinct values, until there are too many of them."""
    plain = [_short(value) for value, kind in zip(values, of_values) if kind not in kinds.NESTED]
    for value, count in Counter(plain).items():
        if value in profile.values or profile.distinct < MOST_DISTINCT:
            profile.values[value] += count
        else:
            profile.all_told_apart = False


def _short(value: Any) -> Any:
    """A text as it is counted: a long one would cost its length for each value."""
    if is_cut(value):
        # Its beginning is for people, its hash tells it apart. No space: a text with one is no id.
        return f"{value[:LONGEST]}…{hash(value):x}"
    return value


def is_cut(value: Any) -> bool:
    """Whether a value is a long text, or stands for one: what is cut is longer than others, too."""
    return isinstance(value, str) and len(value) > LONGEST


def _look_into_objects(profile: Profile, values: list[Any], first_row: int) -> None:
    """Profiles of the fields of objects."""
    objects = [value for value in values if isinstance(value, dict)]
    before = profile.count(kinds.OBJECT) - len(objects)
    for name in dict.fromkeys(name for value in objects for name in value):
        child = profile.children.setdefault(name, Profile(name))
        lack(child, before)
        take(child, [value.get(name, ABSENT) for value in objects], first_row, as_text=False)
    for child in profile.children.values():
        lack(child, before + len(objects))


def _look_into_lists(profile: Profile, values: list[Any], first_row: int) -> None:
    """A profile of what is in lists."""
    items = [item for value in values if isinstance(value, list) for item in value]
    if profile.items is None:
        profile.items = Profile(profile.name)
    take(profile.items, items, first_row, as_text=False)
