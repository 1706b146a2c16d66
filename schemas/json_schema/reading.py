"""Keywords of a JSON Schema as they hold at one place: with its references followed, and with what
only says "or null" told apart from what says more."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, NoReturn
from urllib.parse import unquote

from freshet.schemas.avro.parse import DEEPEST
from freshet.schemas.errors import SchemaError

Keywords = dict[str, Any]
# They say nothing of which values are valid.
ANNOTATIONS = frozenset(
    {
        "$anchor",
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "$vocabulary",
        "contentEncoding",
        "contentMediaType",
        "default",
        "definitions",
        "deprecated",
        "description",
        "examples",
        "format",
        "readOnly",
        "schema_id",
        "title",
        "version",
        "writeOnly",
    }
)
_NULL = {"type": "null"}
MOST_PLACES = 10_000  # as many as an event's schema may have values


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a schema something stands: `name` is how errors call the schema, `root` the whole of
    it, `path` the property, `depth` how many it is within; `followed` are the references on the way
    there. `numbers` counts the places of a schema, each definition wherever it is named."""

    name: str
    root: Mapping[str, Any]
    path: str = ""
    depth: int = 0
    followed: tuple[str, ...] = ()
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def within(self, own: str) -> Place:
        """The place of a property, or of an array's items.

        Raises:
            SchemaError: it is too deep, or one of too many.
        """
        path = own
        if self.path:
            path = f"{self.path}.{own}"
        if self.depth >= DEEPEST:
            self.refuse("", f"is nested more than {DEEPEST} deep", "Leave levels out.")
        # Now, not once all are written out: a few definitions that name each other twice are
        # millions.
        if next(self.numbers) > MOST_PLACES:
            replace(self, path="").refuse(
                "",
                f"has more than {MOST_PLACES} properties, with definitions written out wherever "
                "they are named",
                "Use fewer.",
            )
        return replace(self, path=path, depth=self.depth + 1)

    def refuse(self, keyword: str, cause: str, next_step: str) -> NoReturn:
        """Raises `SchemaError` about a keyword (empty: about all that stands there)."""
        resource = self.name
        if self.path:
            resource = f"{self.name}, property {self.path!r}"
        told = cause
        if keyword:
            told = f"{keyword!r} {cause}"
        raise SchemaError(resource, told, next_step, field=self.path)

    def expect_only(self, keywords: Keywords, known: Collection[str]) -> None:
        """Raises `SchemaError` for a keyword that says something of values and that nothing is
        for."""
        for keyword in keywords:
            if keyword not in known and keyword not in ANNOTATIONS:
                self.refuse(
                    keyword,
                    "has no counterpart among the rules of a field",
                    "Leave it out: enum, const, minimum, maximum and required are those there are.",
                )


def own_keywords(schema: Any, place: Place, steps: int = 0) -> tuple[Keywords, Place]:
    """The keywords that hold at a place, and the place with the references that led to them, after
    so many `steps`: what is within must not name them again.

    Raises:
        SchemaError: it is no schema, or refers to what is not there, or to itself.
    """
    if steps > DEEPEST:
        place.refuse("", f"is behind more than {DEEPEST} references", "Name what is meant itself.")
    if not isinstance(schema, Mapping):
        place.refuse("", f"is {schema!r}, which says nothing of its type", 'Write {"type": …}.')
    if "$ref" in schema:
        return _referred(schema, place, steps)
    for keyword in ("allOf", "anyOf", "oneOf"):
        if keyword in schema:
            return _combined(schema, keyword, place, steps)
    return dict(schema), place


def _referred(schema: Mapping[str, Any], place: Place, steps: int) -> tuple[Keywords, Place]:
    reference = schema["$ref"]
    if not isinstance(reference, str) or not reference.startswith("#"):
        place.refuse(
            "$ref", f"is {reference!r}, in another document", "Copy what it means into $defs."
        )
    if reference in place.followed:
        place.refuse(
            "$ref", f"{reference!r} refers to itself", "Events end: leave the recursion out."
        )
    found = _at(reference, place)
    at_target = replace(place, followed=(*place.followed, reference))
    keywords, reached = own_keywords(found, at_target, steps + 1)
    return _with_annotations(schema, keywords, "$ref", place), reached


def _at(reference: str, place: Place) -> Any:
    """What a JSON Pointer (RFC 6901) in a fragment means."""
    found: Any = place.root
    for part in unquote(reference[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or key not in found:
            place.refuse("$ref", f"{reference!r} leads nowhere", "Correct it: #/$defs/NAME, say.")
        found = found[key]
    return found


def _combined(
    schema: Mapping[str, Any], keyword: str, place: Place, steps: int
) -> tuple[Keywords, Place]:
    """One schema, or one and null: as many programs write what may be missing."""
    branches = schema[keyword]
    if not isinstance(branches, list):
        place.refuse(keyword, "is no list", "List schemas.")
    others = [branch for branch in branches if branch != _NULL]
    if len(others) != 1 or (keyword == "allOf" and len(branches) > 1):
        place.refuse(
            keyword,
            f"has {len(branches)} branches",
            "One schema, or one and null, is what a field can be: write its type as a list, say.",
        )
    inner, reached = own_keywords(others[0], place, steps + 1)
    keywords = _with_annotations(schema, inner, keyword, place)
    if len(branches) > 1:
        said = keywords.get("type")
        if said is None:
            place.refuse(keyword, "has a branch without a type", 'Write "type" in it.')
        listed = [said]
        if isinstance(said, list):
            listed = said
        keywords["type"] = [*listed, "null"]
        # Of null no value is listed, and it is allowed all the same.
        values = keywords.get("enum")
        if isinstance(values, list):
            keywords["enum"] = [*values, None]
    return keywords, reached


def _with_annotations(
    schema: Mapping[str, Any], keywords: Keywords, beside: str, place: Place
) -> Keywords:
    """What describes stands beside a reference as well as in it; what constrains does so in some
    drafts, and is passed over in others."""
    siblings = {key: value for key, value in schema.items() if key != beside}
    strange = [key for key in siblings if key not in ANNOTATIONS]
    if strange:
        place.refuse(
            strange[0],
            f"stands beside {beside}, where drafts differ in what it means",
            f"Write it in what {beside} names.",
        )
    return {**keywords, **siblings}
