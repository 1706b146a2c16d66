"""The HTTP API of an embedded registry: Confluent's paths, codes and content type.

Source: Confluent Schema Registry 8, "Schema Registry API Reference".
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from freshet.schemas.avro.tree import PRIMITIVES
from freshet.schemas.errors import ComponentError, RequestError
from freshet.schemas.registry.calls import CONTENT_TYPE
from freshet.schemas.registry.client import AVRO, Reference, Registered
from freshet.serving.edge.body import parsed_body
from freshet.serving.edge.door import Door
from freshet.serving.edge.hosts import Hosts
from freshet.serving.registry.refusals import (
    Refusal,
    no_avro,
    no_level,
    no_mode,
    no_schema,
    of_request,
    own_id,
)
from freshet.serving.registry.registry import Found, Registry
from freshet.serving.registry.subjects import GLOBAL

Handler = Callable[[Request], Awaitable[Any]]
MOST_LISTED = 1 << 31
SAID = '{"schema": "…"}'


def app(registry: Registry, hosts: Hosts) -> Starlette:
    """An ASGI app over a registry. Its one event loop is the order of all changes."""
    return Starlette(
        routes=[*_schemas(registry), *_subjects(registry), *_rules(registry), *_beside()],
        middleware=[Middleware(Door, hosts)],
        exception_handlers={404: _no_such_path, 405: _no_such_path},
    )


async def _no_such_path(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    refusal = Refusal(status, f"HTTP {status} {getattr(error, 'detail', '')}".strip())
    return Response(refusal.body(), status, media_type=CONTENT_TYPE)


def _schemas(registry: Registry) -> list[Route]:
    async def by_id(request: Request) -> Any:
        return _schema(registry.schema(_id(request)))

    async def text(request: Request) -> Any:
        return json.loads(registry.schema(_id(request)).text)

    async def subjects(request: Request) -> Any:
        places = registry.places_of(_id(request), _asked(request, "deleted"))
        return _page(request, dict.fromkeys(subject for subject, _ in places))

    async def versions(request: Request) -> Any:
        places = registry.places_of(_id(request), _asked(request, "deleted"))
        return _page(request, [{"subject": name, "version": number} for name, number in places])

    return [
        _route("/schemas/ids/{id}", GET=by_id),
        _route("/schemas/ids/{id}/schema", GET=text),
        _route("/schemas/ids/{id}/subjects", GET=subjects),
        _route("/schemas/ids/{id}/versions", GET=versions),
    ]


def _subjects(registry: Registry) -> list[Route]:
    async def names(request: Request) -> Any:
        prefix = request.query_params.get("subjectPrefix", "")
        found = registry.names(_asked(request, "deleted") or _asked(request, "deletedOnly"))
        if _asked(request, "deletedOnly"):
            shown = registry.names()
            found = [name for name in found if name not in shown]
        return _page(request, [name for name in found if name.startswith(prefix)])

    async def look_up(request: Request) -> Any:
        schema = await _sent(request)
        asked = _asked(request, "normalize"), _asked(request, "deleted")
        return _version(registry.look_up(_subject(request), schema, *asked))

    async def delete_subject(request: Request) -> Any:
        return registry.delete_subject(_subject(request), _asked(request, "permanent"))

    async def versions(request: Request) -> Any:
        return _page(
            request, sorted(registry.versions(_subject(request), _asked(request, "deleted")))
        )

    async def register(request: Request) -> Any:
        schema = await _sent(request)
        found = registry.register(_subject(request), schema, _asked(request, "normalize"))
        return {"id": found.id, "version": found.version}

    async def version(request: Request) -> Any:
        return _version(_found(registry, request))

    async def text(request: Request) -> Any:
        return json.loads(_found(registry, request).schema.text)

    async def referring(request: Request) -> Any:
        return registry.referring_to(_subject(request), request.path_params["version"])

    async def delete_version(request: Request) -> Any:
        permanent = _asked(request, "permanent")
        return registry.delete_version(_subject(request), request.path_params["version"], permanent)

    one = "/subjects/{subject:path}/versions/{version}"
    # The longest first: a subject may have slashes in it.
    return [
        _route(f"{one}/schema", GET=text),
        _route(f"{one}/referencedby", GET=referring),
        _route(one, GET=version, DELETE=delete_version),
        _route("/subjects/{subject:path}/versions", GET=versions, POST=register),
        _route("/subjects/{subject:path}", POST=look_up, DELETE=delete_subject),
        _route("/subjects", GET=names),
    ]


def _rules(registry: Registry) -> list[Route]:
    async def compatible(request: Request) -> Any:
        schema = await _sent(request)
        version = request.path_params.get("version")
        why = registry.incompatible(_subject(request), schema, version)
        answer: dict[str, Any] = {"is_compatible": not why}
        if _asked(request, "verbose"):
            answer["messages"] = why
        return answer

    return [
        _route("/compatibility/subjects/{subject:path}/versions/{version}", POST=compatible),
        _route("/compatibility/subjects/{subject:path}/versions", POST=compatible),
        *(route for kept in _kept_rules(registry) for route in _routes_of(kept)),
    ]


class _KeptRule(NamedTuple):
    """What is set for a subject, or for all that have none of their own: where, how it is called
    in what is sent and in what is answered (which differ), and who keeps it."""

    path: str
    sent: str
    told: str
    own: Mapping[str, str]
    of: Callable[[str], str]
    set_: Callable[[str, str | None], None]
    missing: Callable[[str], Refusal]


def _kept_rules(registry: Registry) -> list[_KeptRule]:
    known = registry.known
    return [
        _KeptRule(
            "/config",
            "compatibility",
            "compatibilityLevel",
            known.levels,
            known.level_of,
            registry.set_level,
            no_level,
        ),
        _KeptRule(
            "/mode",
            "mode",
            "mode",
            known.modes,
            known.mode_of,
            registry.set_mode,
            no_mode,
        ),
    ]


def _routes_of(kept: _KeptRule) -> list[Route]:
    async def get(request: Request) -> Any:
        subject = _of_rule(request)
        if subject not in kept.own and not _asked(request, "defaultToGlobal"):
            raise kept.missing(subject)
        return {kept.told: kept.of(subject)}

    async def put(request: Request) -> Any:
        wanted = await _word(request, kept.sent)
        kept.set_(_of_rule(request), wanted)
        return {kept.sent: wanted}

    async def reset(request: Request) -> Any:
        before = await get(request)
        kept.set_(_of_rule(request), None)
        return before

    return [
        _route(path, GET=get, PUT=put, DELETE=reset)
        for path in (kept.path, f"{kept.path}/{{subject:path}}")
    ]


def _of_rule(request: Request) -> str:
    return str(request.path_params.get("subject", GLOBAL))


def _beside() -> list[Route]:
    async def root(request: Request) -> Any:
        return {}

    async def types(request: Request) -> Any:
        return [AVRO]

    async def contexts(request: Request) -> Any:
        return ["."]

    return [
        _route("/", GET=root),
        _route("/schemas/types", GET=types),
        _route("/contexts", GET=contexts),
    ]


# ------------------------------------------------------------------------- requests and answers


def _route(path: str, **handlers: Handler) -> Route:
    async def answered(request: Request) -> Response:
        try:
            body = json.dumps(await handlers[request.method](request)).encode()
            return Response(body, media_type=CONTENT_TYPE)
        except Refusal as error:
            refusal = error
        except RequestError as error:
            refusal = of_request(error)
        except ComponentError as error:
            refusal = Refusal(50001, str(error))
        return Response(refusal.body(), refusal.status, media_type=CONTENT_TYPE)

    return Route(path, answered, methods=list(handlers))


def _id(request: Request) -> int:
    text = request.path_params["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        raise no_schema(f"Schema {text}")
    return int(text)


def _subject(request: Request) -> str:
    return str(request.path_params["subject"])


def _found(registry: Registry, request: Request) -> Found:
    version = request.path_params["version"]
    return registry.version(_subject(request), version, _asked(request, "deleted"))


def _asked(request: Request, name: str) -> bool:
    """Clients write a truth as their language does."""
    return request.query_params.get(name, "").lower() == "true"


def _page(request: Request, found: Iterable[Any]) -> list[Any]:
    """Of a list what was asked for."""
    offset = _whole(request.query_params.get("offset"), 0)
    limit = _whole(request.query_params.get("limit"), MOST_LISTED)
    return list(found)[offset : offset + limit]


def _whole(text: str | None, usual: int) -> int:
    # A limit below 0 is no limit, as clients send it.
    if text is None or not (text.isascii() and text.isdigit()):
        return usual
    return min(int(text[:11]), MOST_LISTED)


async def _read(request: Request) -> Mapping[str, Any]:
    body = await parsed_body(request, json.loads, SAID)
    if not isinstance(body, Mapping):
        raise RequestError("body", "is no object", f"Send JSON as {SAID}.")
    return body


async def _word(request: Request, name: str) -> str:
    found = (await _read(request)).get(name)
    if not isinstance(found, str):
        raise RequestError("body", f"has no {name}", f'Send {{"{name}": "…"}}.')
    return found.upper()


async def _sent(request: Request) -> Registered:
    """The schema in a request."""
    body = await _read(request)
    # -1 is how clients say that they name none.
    if body.get("id", -1) not in (None, -1) or body.get("version", -1) not in (None, -1):
        raise own_id()
    text = body.get("schema")
    if not isinstance(text, str):
        raise no_avro("it is missing, or no text")
    references = body.get("references") or []
    try:
        made = tuple(
            Reference(str(each["name"]), str(each["subject"]), int(each["version"]))
            for each in references
        )
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise no_avro("each reference needs a name, a subject and a version") from error
    return Registered(_compact(text), str(body.get("schemaType") or AVRO), made)


def _compact(text: str) -> str:
    """Without white space. What is no JSON stays, for whoever reads it to say so."""
    # The shortest schemas come without quotes, too.
    if text.strip() in PRIMITIVES:
        return json.dumps(text.strip())
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return text
    try:
        return json.dumps(read, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        # Python reads them, and would write them where clients expect JSON.
        raise no_avro("it has a number that JSON has not: NaN, or one beyond a double") from error


def _schema(schema: Registered) -> dict[str, Any]:
    answer: dict[str, Any] = {"schema": schema.text}
    if schema.references:
        answer["references"] = [
            {"name": each.name, "subject": each.subject, "version": each.version}
            for each in schema.references
        ]
    return answer


def _version(found: Found) -> dict[str, Any]:
    named = {"subject": found.subject, "version": found.version, "id": found.id}
    return {**named, **_schema(found.schema)}
