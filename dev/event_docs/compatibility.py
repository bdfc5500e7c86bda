"""What a new AsyncAPI document would break for those who wrote their programs by the old one."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]


def breaking_changes(before: Schema, after: Schema) -> list[str]:
    """One line for each: topics and fields that are gone, types that are others.

    Who reads an event may count on each field that was always there; who writes one need not give
    more fields than before.
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
            old, new = (_part(document, message, part) for document in (before, after))
            if old is not None:
                where = topic if part == "payload" else f"{topic} {part}"
                yield from _of_schema(where, _Side(before, old), _Side(after, new or {}), received)


class _Side:
    """A schema in its document."""

    def __init__(self, document: Schema, schema: Schema) -> None:
        self._document = document
        self.schema = _resolved(document, schema)

    @property
    def fields(self) -> Schema:
        """The properties by name."""
        found: Schema = self.schema.get("properties", {})
        return found

    @property
    def required(self) -> set[str]:
        return set(self.schema.get("required", ()))

    def __getitem__(self, name: str) -> "_Side":
        return _Side(self._document, self.fields[name])

    @property
    def variants(self) -> "list[_Side]":
        """What the value may be: one thing, or one of several."""
        if "anyOf" not in self.schema:
            return [self]
        return [_Side(self._document, one) for one in self.schema["anyOf"]]

    @property
    def types(self) -> set[str]:
        """`string (date-time)`, `array`, `null`, and so on."""
        return {_type(variant.schema) for variant in self.variants}

    @property
    def items(self) -> "_Side | None":
        """What an array has in it."""
        arrays = (variant.schema for variant in self.variants if "items" in variant.schema)
        found = next(arrays, None)
        return _Side(self._document, found["items"]) if found else None


def _of_schema(where: str, old: _Side, new: _Side, received: bool) -> Iterator[str]:
    if received:
        for name in sorted(new.required - old.required):
            yield f"{where}: {name} is required now"
    for name in old.fields:
        field = f"{where}: {name}"
        if name not in new.fields:
            yield f"{field} is gone"
            continue
        if not received and name in old.required - new.required:
            yield f"{field} may be missing now"
        yield from _of_value(field, old[name], new[name], received)


def _of_value(field: str, old: _Side, new: _Side, received: bool) -> Iterator[str]:
    # A reader must understand all that may come, a writer may go on as before.
    unknown = old.types - new.types if received else new.types - old.types
    if unknown:
        yield f"{field} was {_names(old.types)}, is {_names(new.types)}"
    elif old.items is not None and new.items is not None:
        yield from _of_value(f"{field}[]", old.items, new.items, received)
    elif old.fields:
        yield from _of_schema(field, old, new, received)


def _part(document: Schema, message: str, part: str) -> Schema | None:
    found: Schema | None = document["components"]["messages"].get(message, {}).get(part)
    return found


def _resolved(document: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _type(schema: Schema) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "anything")
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _names(types: set[str]) -> str:
    return " or ".join(sorted(types)) or "nothing"
