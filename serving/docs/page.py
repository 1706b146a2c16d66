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
    info = document["info"]
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(info['title'])}: HTTP interface</title>",
            f"<style>\n{STYLE.read_text()}</style>\n</head>\n<body>",
            f'<header class="bar"><div class="wide"><svg class="mark" viewBox="0 0 24 24" aria-hidden="true">'
            f'<path d="{_WAVES}"/></svg><span class="brand">freshet</span><h1>{escape(info["title"])}</h1>'
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
            (method, path, o)
            for path, methods in document["paths"].items()
            for method, o in methods.items()
            if tag["name"] in o["tags"]
        ]
        yield tag, mine


def _contents(document: Document) -> Iterator[str]:
    yield '<nav aria-label="Contents">'
    for tag, operations in _tagged(document):
        yield f"<section><h3>{escape(tag['name'])}</h3><ul>"
        for method, path, o in operations:
            yield f'<li><a href="#{o["operationId"]}">{_address(method, path)} <span>{escape(o["summary"])}</span></a></li>'
        yield "</ul></section>"
    yield "</nav>"


def _operations(document: Document) -> Iterator[str]:
    for tag, operations in _tagged(document):
        yield f"<h2>{escape(tag['name'])}</h2><p class='quiet'>{_text(tag['description'])}</p>"
        for method, path, o in operations:
            yield f'<article id="{o["operationId"]}"><h3>{_address(method, path)}</h3>'
            yield f"<p><b>{escape(o['summary'])}.</b> {_text(o.get('description', ''))}</p>"
            yield from _parameters(o)
            yield from _request(o)
            yield from _answers(o)
            yield "</article>"


def _address(method: str, path: str) -> str:
    """Method and path, which may break after a slash."""
    return f'<b class="method {method}">{method.upper()}</b> <code>{escape(path).replace("/", "/<wbr>")}</code>'


def _parameters(o: Document) -> Iterator[str]:
    if "parameters" in o:
        yield "<h4>In the path</h4><dl>"
        for p in o["parameters"]:
            yield f"<dt><code>{escape(p['name'])}</code></dt><dd>{_text(p['description'])} {_known(p)}</dd>"
        yield "</dl>"


def _known(parameter: Document) -> str:
    """The values that a parameter may have, if they are known."""
    return ", ".join(f"<code>{escape(v)}</code>" for v in parameter["schema"].get("enum", ()))


def _request(o: Document) -> Iterator[str]:
    if "requestBody" in o:
        ((media, content),) = o["requestBody"]["content"].items()
        schema = _type(content["schema"])
        yield f"<h4>Send</h4><p>{schema}, as <code>{media}</code></p>"
        if "example" in content:
            yield f"<pre tabindex=0>{escape(_short(content['example']))}</pre>"


def _short(example: Any) -> str:
    """JSON with what is innermost on one line."""
    text = json.dumps(example, indent=2, ensure_ascii=False)
    return re.sub(
        r"\[\n\s+([^\[\]{}]*?)\n\s+\]", lambda m: "[" + re.sub(r"\n\s+", " ", m[1]) + "]", text
    )


def _answers(o: Document) -> Iterator[str]:
    yield "<h4>Get</h4><dl>"
    for status, answer in o["responses"].items():
        ((media, content),) = answer["content"].items()
        what = _type(content["schema"]) if "schema" in content else f"<code>{media}</code>"
        kind = "good" if status < "300" else "bad"
        yield f'<dt><b class="{kind}">{status}</b></dt><dd>{_text(answer["description"])} {what}</dd>'
    yield "</dl>"


def _schemas(document: Document) -> Iterator[str]:
    yield "<h2>Shapes</h2><p class='quiet'>JSON objects that are sent and answered.</p>"
    for name, schema in document["components"]["schemas"].items():
        yield f'<article id="{name}"><h3><code>{name}</code></h3><p>{_text(schema.get("description", ""))}</p><dl>'
        yield from _properties(schema)
        yield "</dl></article>"


def _properties(schema: Document) -> Iterator[str]:
    for name, of in schema.get("properties", {}).items():
        need = "" if name in schema.get("required", ()) else " <small>optional</small>"
        text = f": {_text(of['description'])}" if "description" in of else ""
        yield f"<dt><code>{escape(name)}</code></dt><dd>{_type(of)}{need}{text}"
        if "properties" in of:
            yield "<dl>"
            yield from _properties({**of, "required": list(of["properties"])})
            yield "</dl>"
        yield "</dd>"


def _type(schema: Document) -> str:
    """A schema in a few words, with links to the shapes that it names."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(s) for s in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(v))}</code>" for v in schema["enum"])
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"list of {len(schema['prefixItems'])}: {', '.join(map(_type, schema['prefixItems']))}"
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"by name: {_type(schema['additionalProperties'])}"
    return escape(str(schema.get("type", "any value")))


def _text(text: str) -> str:
    """Plain text, with `code` in it."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
