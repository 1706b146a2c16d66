"""The page of an OpenAPI document: plain HTML without scripts, readable on a phone, in light and
dark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

STYLE = Path(__file__).parent / "docs.css"
_WAVES = "M2 8c3.3-3 6.7-3 10 0s6.7 3 10 0M2 16c3.3-3 6.7-3 10 0s6.7 3 10 0"
Document = Mapping[str, Any]


def render(document: Document) -> str:
    """The whole page, with its style in it."""
    # One file, so that it can be kept and sent on; the header of the route allows no other source.
    info = document["info"]
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(info['title'])}: HTTP interface</title>",
            f"<style>\n{STYLE.read_text()}</style>\n</head>\n<body>",
            '<header class="bar"><div class="wide">'
            '<svg class="mark" viewBox="0 0 24 24" aria-hidden="true">'
            f'<path d="{_WAVES}"/></svg><span class="brand">freshet</span>'
            f"<h1>{escape(info['title'])}</h1>"
            '<a class="pill" href="openapi.json">openapi.json</a></div></header>',
            '<main class="wide">',
            f'<p class="lead">{_text(info["summary"])}.</p>',
            *_contents(document),
            *_operations(document),
            *_schemas(document),
            "</main>\n</body>\n</html>\n",
        )
    )


def _tagged(
    document: Document,
) -> Iterator[tuple[Mapping[str, str], list[tuple[str, str, Document]]]]:
    """Every tag with its operations: method, path and what it is."""
    for tag in document["tags"]:
        mine = [
            (method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if tag["name"] in operation["tags"]
        ]
        yield tag, mine


def _contents(document: Document) -> Iterator[str]:
    yield '<nav aria-label="Contents">'
    for tag, operations in _tagged(document):
        yield f"<section><h3>{escape(tag['name'])}</h3><ul>"
        for method, path, operation in operations:
            yield f'<li><a href="#{operation["operationId"]}">{_address(method, path)} '
            yield f"<span>{escape(operation['summary'])}</span></a></li>"
        yield "</ul></section>"
    yield "</nav>"


def _operations(document: Document) -> Iterator[str]:
    for tag, operations in _tagged(document):
        yield f"<h2>{escape(tag['name'])}</h2><p class='quiet'>{_text(tag['description'])}</p>"
        for method, path, operation in operations:
            yield f'<article id="{operation["operationId"]}"><h3>{_address(method, path)}</h3>'
            more = _text(operation.get("description", ""))
            yield f"<p><b>{escape(operation['summary'])}.</b> {more}</p>"
            yield from _parameters(operation)
            yield from _request(operation)
            yield from _answers(operation)
            yield "</article>"


def _address(method: str, path: str) -> str:
    """Method and path, which may break after a slash."""
    shown = escape(path).replace("/", "/<wbr>")
    return f'<b class="method {method}">{method.upper()}</b> <code>{shown}</code>'


def _parameters(operation: Document) -> Iterator[str]:
    if "parameters" in operation:
        yield "<h4>In the path</h4><dl>"
        for parameter in operation["parameters"]:
            yield f"<dt><code>{escape(parameter['name'])}</code></dt>"
            yield f"<dd>{_text(parameter['description'])} {_known(parameter)}</dd>"
        yield "</dl>"


def _known(parameter: Document) -> str:
    """The values that a parameter may have, if they are known."""
    return ", ".join(
        f"<code>{escape(value)}</code>" for value in parameter["schema"].get("enum", ())
    )


def _request(operation: Document) -> Iterator[str]:
    if "requestBody" in operation:
        ((media, content),) = operation["requestBody"]["content"].items()
        schema = _type(content["schema"])
        yield f"<h4>Send</h4><p>{schema}, as <code>{media}</code></p>"
        if "example" in content:
            yield f"<pre tabindex=0>{escape(_short(content['example']))}</pre>"


def _short(example: object) -> str:
    """JSON with what is innermost on one line."""
    text = json.dumps(example, indent=2, ensure_ascii=False)
    # Lists without lists or objects in them: a column of values in one line reads as one.
    return re.sub(
        r"\[\n\s+([^\[\]{}]*?)\n\s+\]",
        lambda found: "[" + re.sub(r"\n\s+", " ", found[1]) + "]",
        text,
    )


def _answers(operation: Document) -> Iterator[str]:
    yield "<h4>Get</h4><dl>"
    for status, answer in operation["responses"].items():
        ((media, content),) = answer["content"].items()
        what = f"<code>{media}</code>"
        if "schema" in content:
            what = _type(content["schema"])
        kind = "bad"
        if status < "300":  # as text: all of them have three digits
            kind = "good"
        yield f'<dt><b class="{kind}">{status}</b></dt>'
        yield f"<dd>{_text(answer['description'])} {what}</dd>"
    yield "</dl>"


def _schemas(document: Document) -> Iterator[str]:
    yield "<h2>Shapes</h2><p class='quiet'>JSON objects that are sent and answered.</p>"
    for name, schema in document["components"]["schemas"].items():
        yield f'<article id="{name}"><h3><code>{name}</code></h3>'
        yield f"<p>{_text(schema.get('description', ''))}</p><dl>"
        yield from _properties(schema)
        yield "</dl></article>"


def _properties(schema: Document) -> Iterator[str]:
    for name, of in schema.get("properties", {}).items():
        need = " <small>optional</small>"
        if name in schema.get("required", ()):
            need = ""
        text = ""
        if "description" in of:
            text = f": {_text(of['description'])}"
        yield f"<dt><code>{escape(name)}</code></dt><dd>{_type(of)}{need}{text}"
        if "properties" in of:
            yield "<dl>"
            # What stands inside is always there once what holds it is.
            yield from _properties({**of, "required": list(of["properties"])})
            yield "</dl>"
        yield "</dd>"


def _type(schema: Document) -> str:
    """A schema in a few words, with links to the shapes that it names."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(kind) for kind in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            kinds = ", ".join(map(_type, schema["prefixItems"]))
            return f"list of {len(schema['prefixItems'])}: {kinds}"
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"by name: {_type(schema['additionalProperties'])}"
    return escape(str(schema.get("type", "any value")))


def _text(text: str) -> str:
    """Plain text, with `code` in it."""
    # Escaped first: the tags that are put in afterwards are the only ones.
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
