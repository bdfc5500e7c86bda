"""The OpenAPI document: what FastAPI generates, made fit for validators and code generators.

The rules: answers are described as they are sent, with everything that is always there required and
without defaults; constants are enums; optional parts of a request are left out and never null;
names read well in generated code.
"""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from api.openapi import EXAMPLES
from api.openapi_headers import HEADERS
from models.wire import OPTIONAL

Json = dict[str, Any]

_REF = "#/components/schemas/"
_NAMES = {
    "CartView": "Cart",
    "CartLine": "CartItem",
    "AddItemBody": "AddItemRequest",
    "UpdateQuantityBody": "UpdateQuantityRequest",
    "RemoveItemBody": "RemoveItemRequest",
    "BatchBody": "BatchRequest",
    "BatchOperationBody": "BatchOperation",
    "MergeBody": "MergeRequest",
    "LogLevelBody": "LogLevelRequest",
    "StoreSettingsBody": "StoreSettings",
    "SettingsOfStore": "StoreSettingsInEffect",
    "LogLevelSet": "LogLevel",
    "Done": "Message",
    "Services": "ServiceHealth",
}
"""Our classes -> their names in the document, and so in generated code."""
_ENUM_NAMES = {
    "PriceSource": ["FromClient", "FromProductService"],
    "ReservationPolicy": ["ReservedInCart", "ReservedAtCheckout", "NotReserved"],
}
"""Names of values that would collide in generated code: a client's type in Go is `Client`."""
_METHODS = ("get", "put", "post", "delete")


class DocumentedApi(FastAPI):
    """FastAPI with a corrected document."""

    def openapi(self) -> Json:
        if self.openapi_schema is None:
            self.openapi_schema = _corrected(super().openapi())
        return self.openapi_schema


def _corrected(document: Json) -> Json:
    operations = [
        item[method] for item in document["paths"].values() for method in _METHODS if method in item
    ]
    for operation in operations:
        _correct_operation(operation)
    schemas = _used(document, document["paths"])
    requested = _used(document, [operation.get("requestBody") for operation in operations])
    for name, schema in schemas.items():
        _correct_schema(schema, is_request=name in requested)
        if name in _ENUM_NAMES:
            schema["x-enum-varnames"] = _ENUM_NAMES[name]
    document["components"]["headers"] = dict(sorted(HEADERS.items()))
    document["components"]["schemas"] = {
        _NAMES.get(name, name): schemas[name]
        for name in sorted(schemas, key=lambda name: _NAMES.get(name, name))
    }
    for node in _nodes(document):
        _correct_node(node)
    return document


def _used(document: Json, part: Any) -> dict[str, Json]:
    """The schemas to which a part of the document refers, directly or through others."""
    schemas: dict[str, Json] = document["components"]["schemas"]
    used: dict[str, Json] = {}
    parts: list[Any] = [part]
    while parts:
        for node in _nodes(parts.pop()):
            name = str(node.get("$ref", "")).removeprefix(_REF)
            if name in schemas and name not in used:
                used[name] = schemas[name]
                parts.append(schemas[name])
    return used


def _correct_operation(operation: Json) -> None:
    responses: Json = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    operation["responses"] = dict(sorted(responses.items()))
    for response in responses.values():
        for content in response.get("content", {}).values():
            content.update(json.loads(content.pop(EXAMPLES)))
    operation.setdefault("security", [])
    body: Json = operation.get("requestBody", {})
    if body:
        # By default a body is not required, but some validators want to read it.
        body.setdefault("required", False)
    for part in (*operation.get("parameters", ()), *body.get("content", {}).values()):
        part["schema"] = _never_null(part["schema"])
        part["schema"].pop("title", None)


def _correct_schema(schema: Json, *, is_request: bool) -> None:
    schema.pop("title", None)
    properties: dict[str, Json] = schema.get("properties", {})
    for name in list(properties):
        field = properties[name]
        field.pop("title", None)
        optional = field.pop(OPTIONAL, None)
        if not is_request:
            field.pop("default", None)
        if is_request or optional == "or a value":
            properties[name] = _never_null(field)
        if optional:
            schema["required"].remove(name)


def _never_null(schema: Json) -> Json:
    """The schema without null: what is optional is left out."""
    match schema:
        case {"anyOf": [kind, {"type": "null"}], **more}:
            return {**kind, **more}
    return schema


def _correct_node(node: Json) -> None:
    if isinstance(reference := node.get("$ref"), str) and reference.startswith(_REF):
        name = reference.removeprefix(_REF)
        node["$ref"] = _REF + _NAMES.get(name, name)
    if isinstance(node.get("const"), str):
        node["enum"] = [node.pop("const")]
    for limit in ("minimum", "maximum"):
        if isinstance(value := node.get(limit), float) and value.is_integer():
            node[limit] = int(value)


def _nodes(part: Any) -> Iterator[Json]:
    if isinstance(part, dict):
        yield part
        for one in part.values():
            yield from _nodes(one)
    elif isinstance(part, list):
        for one in part:
            yield from _nodes(one)
