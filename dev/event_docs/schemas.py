"""The JSON schemas of events, made fit for code generators.

Constants are enums, fields have no generated titles, and what is always there has no default. An
optional field of a consumed event is left out; a field of a published event is always present, and
may be null.
"""

from typing import Any

from dev.event_docs.catalog import Documented

Schema = dict[str, Any]

_REFERENCES = "#/components/schemas/{model}"


def schemas_of(event: Documented) -> dict[str, Schema]:
    """The schema of an event by its name, and those of its parts."""
    mode: Any = "serialization" if event.action == "send" else "validation"
    schema = event.model.model_json_schema(mode=mode, ref_template=_REFERENCES)
    found = schema.pop("$defs", {}) | {event.name: schema}
    schemas: dict[str, Schema] = {}
    for name, one in found.items():
        schemas |= _alternatives(name, _object(one, event.action == "send"))
    return schemas


_ALTERNATIVES = {
    "OutOfStock": {
        "ProductsOutOfStock": ("unavailableItems",),
        "ProductOutOfStock": ("productId", "reason"),
    }
}
"""Events that have one of several sets of fields, the first of which is required."""


def _alternatives(name: str, schema: Schema) -> dict[str, Schema]:
    """The schema by its name; one of several alternatives is an object of its own."""
    if name not in _ALTERNATIVES:
        return {name: schema}
    parts = _ALTERNATIVES[name]
    special = {field for fields in parts.values() for field in fields}
    objects = {
        part: schema
        | {
            "title": part,
            "properties": {
                field: value
                for field, value in schema["properties"].items()
                if field in own or field not in special
            },
            "required": [*schema.get("required", ()), own[0]],
        }
        for part, own in parts.items()
    }
    either = [{"$ref": _REFERENCES.format(model=part)} for part in parts]
    return objects | {name: {"title": name, "description": schema["description"], "oneOf": either}}


def fields_of(schema: Schema) -> Schema:
    """An object, or the alternatives of one, as one object: with the fields of all, of which those
    are required that all require."""
    alternatives = schema.get("oneOf")
    if alternatives is None:
        return schema
    required = set.intersection(*(set(one.get("required", ())) for one in alternatives))
    properties: dict[str, Schema] = {}
    for one in alternatives:
        properties |= one["properties"]
    return {"properties": properties, "required": sorted(required)}


def _object(schema: Schema, is_sent: bool) -> Schema:
    if "properties" not in schema:
        return _field(schema, is_sent)
    fields = schema["properties"].items()
    return schema | {"properties": {name: _field(field, is_sent) for name, field in fields}}


def _field(field: Schema, is_sent: bool) -> Schema:
    field = {name: value for name, value in field.items() if name != "title"}
    if is_sent or field.get("default", "") is None:
        field.pop("default", None)
    if "const" in field:
        field["enum"] = [field.pop("const")]
    alternatives = field.pop("anyOf", [])
    if not alternatives:
        return field
    kind: Schema = alternatives[0]  # the other one is null
    return field | kind | ({"type": [kind["type"], "null"]} if is_sent else {})
