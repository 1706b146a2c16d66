"""Keywords of a JSON Schema as they hold at one place: with its references followed, and with what
only says "or null" told apart from what says more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from urllib.parse import unquote

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a schema something stands: `name` is how errors call the schema, `root` the whole of
    it, `path` the property; `followed` are the references on the way there."""

    name: str
    root: Mapping[str, Any]
    path: str = ""
    followed: tuple[str, ...] = ()

    def within(self, own: str) -> Place:
        """The place of a property, or of an array's items."""
        if not self.path:
            return replace(self, path=own)
        return replace(self, path=f"{self.path}.{own}")

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


def own_keywords(schema: Any, place: Place) -> Keywords:
    """The keywords that hold at a place.

    Raises:
        SchemaError: it is no schema, or refers to what is not there, or to itself.
    """
    if not isinstance(schema, Mapping):
        place.refuse("", f"is {schema!r}, which says nothing of its type", 'Write {"type": …}.')
    if "$ref" in schema:
        return _referred(schema, place)
    for keyword in ("allOf", "anyOf", "oneOf"):
        if keyword in schema:
            return _combined(schema, keyword, place)
    return dict(schema)


def _referred(schema: Mapping[str, Any], place: Place) -> Keywords:
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
    return _with_annotations(schema, own_keywords(found, at_target), "$ref", place)


def _at(reference: str, place: Place) -> Any:
    """What a JSON Pointer (RFC 6901) in a fragment means."""
    found: Any = place.root
    for part in unquote(reference[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or key not in found:
            place.refuse("$ref", f"{reference!r} leads nowhere", "Correct it: #/$defs/NAME, say.")
        found = found[key]
    return found


def _combined(schema: Mapping[str, Any], keyword: str, place: Place) -> Keywords:
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
    keywords = _with_annotations(schema, own_keywords(others[0], place), keyword, place)
    if len(branches) > 1:
        said = keywords.get("type")
        if said is None:
            place.refuse(keyword, "has a branch without a type", 'Write "type" in it.')
        listed = [said]
        if isinstance(said, list):
            listed = said
        keywords["type"] = [*listed, "null"]
        # Of null no value is listed, and it is allowed all the same.
        if "enum" in keywords:
            keywords["enum"] = [*keywords["enum"], None]
    return keywords


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
