"""`/docs`: the OpenAPI document as one page that needs no other host and no script.

Written once from the document; what it says is decided there (`api.openapi` and the routes).
"""

import json
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_METHODS = ("get", "post", "put", "patch", "delete")

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--link:#2563eb}
*{box-sizing:border-box}
body{font:15px/1.55 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:2rem 1rem 6rem}
h1{margin:0}h2{margin:3rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{display:flex;gap:.75rem;align-items:center;margin:2.5rem 0 .25rem;flex-wrap:wrap}
h4{margin:1.25rem 0 .25rem}
a{color:var(--link)}h3 a{color:inherit;text-decoration:none}
code,pre{font:13px/1.5 ui-monospace,monospace}
pre{background:var(--soft);padding:.75rem;border-radius:6px;overflow:auto;margin:.5rem 0}
table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid var(--line);padding:.35rem .5rem;text-align:left;vertical-align:top}
.method{font:600 12px ui-monospace,monospace;padding:.15rem .5rem;border-radius:4px;color:#fff}
.get{background:#2563eb}.post{background:#15803d}.put,.patch{background:#b45309}
.delete{background:#b91c1c}
details{border:1px solid var(--line);border-radius:6px;margin:.35rem 0;padding:.35rem .75rem}
summary{cursor:pointer}.status{font-weight:600;margin-right:.5rem}.soft{opacity:.75}
"""


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """The page."""
    return HTMLResponse(_page(request.app.openapi()), headers=_HEADERS)


def _page(document: dict[str, Any]) -> str:
    info = document["info"]
    parts = [
        f"<h1>{escape(info['title'])}</h1><p class=soft>Version {escape(info['version'])} · "
        "<a href='/openapi.json'>openapi.json</a></p>",
        f"<pre>{escape(info.get('description', '').strip())}</pre>",
    ]
    for tag in document.get("tags", ()):
        parts.append(f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>")
        for path, operations in document["paths"].items():
            parts.extend(
                _operation(document, method, path, operations[method])
                for method in _METHODS
                if tag["name"] in operations.get(method, {}).get("tags", ())
            )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    anchor = escape(operation["operationId"])
    token = "Needs a bearer token." if operation.get("security") else "Needs no token."
    return "".join(
        (
            f"<h3 id={anchor}><span class='method {method}'>{method.upper()}</span>"
            f"<a href='#{anchor}'><code>{escape(path)}</code></a></h3>",
            f"<p><b>{escape(operation.get('summary', ''))}.</b> "
            f"{escape(operation.get('description', ''))} <span class=soft>{token}</span></p>",
            _parameters(operation.get("parameters", [])),
            _body(document, operation.get("requestBody")),
            "<h4>Answers</h4>",
            *(
                _answer(code, operation["responses"][code])
                for code in sorted(operation["responses"])
            ),
        )
    )


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"{parameter['name']} ({parameter['in']})",
            _kind(parameter["schema"]),
            parameter.get("required", False),
            parameter.get("description", ""),
        )
        for parameter in parameters
    ]
    return f"<h4>Parameters</h4>{_table(rows)}" if rows else ""


def _body(document: dict[str, Any], body: dict[str, Any] | None) -> str:
    if body is None:
        return ""
    schema = _resolved(document, body["content"]["application/json"]["schema"])
    required = schema.get("required", ())
    rows = [
        (name, _kind(part), name in required, part.get("description", ""))
        for name, part in schema.get("properties", {}).items()
    ]
    return (
        f"<h4>Body</h4><p>{escape(schema.get('description', ''))}</p>{_table(rows)}"
        f"{''.join(_json(example) for example in schema.get('examples', ()))}"
    )


def _answer(code: str, response: dict[str, Any]) -> str:
    content = response.get("content", {}).get("application/json", {})
    named = content.get("examples") or {"": {"value": content.get("example")}}
    examples = "".join(
        (f"<p class=soft>{escape(name)}</p>" if name else "") + _json(example["value"])
        for name, example in named.items()
    )
    headers = [
        (name, _kind(header.get("schema", {})), False, header.get("description", ""))
        for name, header in response.get("headers", {}).items()
    ]
    return (
        f"<details><summary><span class=status>{escape(code)}</span>"
        f"{escape(response['description'])}</summary>{examples}{_table(headers)}</details>"
    )


def _table(rows: list[tuple[str, str, bool, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code>{' <b>required</b>' if required else ''}</td>"
        f"<td>{escape(kind)}</td><td>{escape(text)}</td></tr>"
        for name, kind, required, text in rows
    )
    return f"<table>{cells}</table>"


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: dict[str, Any] = document["components"]["schemas"][reference.rsplit("/", 1)[1]]
    return found


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words: `integer, 1 to 100`."""
    if "anyOf" in schema:
        kinds = [_kind(part) for part in schema["anyOf"] if part.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    words = [str(schema.get("type", "any"))]
    if schema.get("type") == "array":
        words = [f"list of {_kind(schema.get('items', {}))}"]
    low = schema.get("minimum", schema.get("minLength", schema.get("minItems")))
    high = schema.get("maximum", schema.get("maxLength", schema.get("maxItems")))
    if low is not None and high is not None:
        words.append(f"{low} to {high}")
    elif high is not None:
        words.append(f"at most {high}")
    if "pattern" in schema:
        words.append(schema["pattern"])
    return ", ".join(words)
