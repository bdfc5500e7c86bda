"""Breaking changes between two versions of the AsyncAPI document."""

from collections.abc import Iterator
from typing import Any

from dev.event_docs.asyncapi import inlined
from dev.event_docs.schemas import fields_of

Schema = dict[str, Any]


def breaking_changes(before: Schema, after: Schema) -> list[str]:
    """One line for each removed topic, removed field or changed type.

    Consumers rely on the required fields of an event. Producers must not need more fields.
    """
    return list(_of_document(before, after))


def _of_document(before: Schema, after: Schema) -> Iterator[str]:
    for name, operation in before["operations"].items():
        topic = operation["channel"]["$ref"].removeprefix("#/channels/")
        if name not in after["operations"]:
            yield f"{topic}: {name} is gone"
            continue
        if topic not in after["channels"]:
            yield f"{topic}: the topic is gone"
            continue
        received = operation["action"] == "receive"
        [message] = before["channels"][topic]["messages"]
        for part in ("payload", "headers"):
            old, new = (
                inlined(document["components"]["messages"].get(message, {}).get(part, {}), document)
                for document in (before, after)
            )
            where = topic if part == "payload" else f"{topic} {part}"
            yield from _of_fields(where, old, new, received)


def _of_fields(where: str, old: Schema, new: Schema, received: bool) -> Iterator[str]:
    old, new = fields_of(old), fields_of(new)
    before, after = (schema.get("properties", {}) for schema in (old, new))
    needed, needs = (set(schema.get("required", ())) for schema in (old, new))
    if received:
        for name in sorted(needs - needed):
            yield f"{where}: {name} is required now"
    for name in before:
        field = f"{where}: {name}"
        if name not in after:
            yield f"{field} is gone"
            continue
        if not received and name in needed - needs:
            yield f"{field} may be missing now"
        yield from _of_value(field, before[name], after[name], received)


def _of_value(field: str, old: Schema, new: Schema, received: bool) -> Iterator[str]:
    before, after = _types(old), _types(new)
    # A consumer must know every type that may arrive; a producer may still send the old types.
    unknown = before - after if received else after - before
    if unknown:
        yield f"{field} was {_names(before)}, is {_names(after)}"
    elif (item := _items(old)) is not None and (new_item := _items(new)) is not None:
        yield from _of_value(f"{field}[]", item, new_item, received)
    elif "properties" in old:
        yield from _of_fields(field, old, new, received)


def _items(schema: Schema) -> Schema | None:
    """The schema of an array's items."""
    arrays = (one for one in schema.get("anyOf", [schema]) if "items" in one)
    return next((array["items"] for array in arrays), None)


def _types(schema: Schema) -> set[str]:
    """The types of the alternatives: `string (date-time)`, `array`, `null`, and so on."""
    alternatives = schema.get("anyOf", [schema])
    kinds = [schema | {"type": kind} for kind in _listed(schema.get("type"))]
    return {_type(one) for one in (kinds or alternatives)}


def _listed(kind: Any) -> list[str]:
    return kind if isinstance(kind, list) else []


def _type(schema: Schema) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "anything")
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _names(types: set[str]) -> str:
    return " or ".join(sorted(types)) or "nothing"
