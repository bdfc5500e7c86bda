"""docs/events.md: the same as the AsyncAPI document, for people."""

import json
from collections.abc import Iterator
from typing import Any

from dev.event_docs import asyncapi
from dev.event_docs.catalog import DEAD_LETTER_HEADERS, EVENTS, Documented
from models.events import DEAD_LETTERS

_TITLES = {"send": "Published", "receive": "Consumed"}
_HEAD = """\
# Events

<!-- Made by `make docs` from models/events.py; changes made here are lost. -->

{description}

The same as an AsyncAPI 3 document: [asyncapi.json](asyncapi.json). A new version of it that would
break a consumer is refused by `make docs`, and by a test.
"""


def page() -> str:
    """The page, in Markdown."""
    document = asyncapi.document()
    parts = [_HEAD.format(description=document["info"]["description"])]
    for action, title in _TITLES.items():
        chosen = [event for event in EVENTS if event.action == action]
        parts.append(f"## {title}\n")
        parts += [_event(event, document) for event in chosen]
    parts.append(_dead_letters())
    return "\n".join(parts)


def _dead_letters() -> str:
    rows = [f"| `{name}` | {text} |" for name, text in DEAD_LETTER_HEADERS.items()]
    head = f"## Dead letters\n\n### {DEAD_LETTERS}\n\n{asyncapi.DEAD_LETTER}\n"
    return "\n".join([head, "| header | |", "|---|---|", *rows, ""])


def _event(event: Documented, document: dict[str, Any]) -> str:
    schemas = document["components"]["schemas"]
    lines = [
        f"### {event.topic}\n",
        f"{asyncapi.summary(event)}\n",
        "| field | type | |",
        "|---|---|---|",
        *_rows(schemas[event.name], schemas),
        "",
    ]
    if event.action == "send":
        headers = asyncapi.example_headers(event)
        shown = "\n".join(f"{name}: {value}" for name, value in headers.items())
        lines += [f"Key `{event.example['cartId']}`, headers:\n", f"```text\n{shown}\n```\n"]
    lines.append(f"```json\n{json.dumps(event.example, indent=2)}\n```\n")
    return "\n".join(lines)


def _rows(schema: dict[str, Any], schemas: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, field in schema["properties"].items():
        needed = "" if name in schema.get("required", ()) else ", optional"
        text = field.get("description", "").replace("|", "\\|")
        yield f"| `{prefix}{name}` | {_type(field, schemas)}{needed} | {text} |"
        inner = _inner(field)
        if inner:
            yield from _rows(schemas[inner], schemas, f"{prefix}{name}[].")


def _inner(field: dict[str, Any]) -> str | None:
    """The name of what a list has in it."""
    for variant in field.get("anyOf", [field]):
        reference: str | None = variant.get("items", {}).get("$ref")
        if reference is not None:
            return reference.rpartition("/")[2]
    return None


def _type(field: dict[str, Any], schemas: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(variant, schemas) for variant in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = str(field.get("type", "object"))
    return {"date-time": "time", "uuid": "UUID"}.get(field.get("format", ""), kind)
