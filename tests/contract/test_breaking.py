"""The OpenAPI document has no breaking change since the last release; each kind is detected."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.breaking import breaks

Json = dict[str, Any]

ITEM = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "maxLength": 64, "pattern": "^a"},
        "count": {"type": "integer", "minimum": 1, "maximum": 100},
        "image": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
}
CART = {
    "type": "object",
    "required": ["id", "total"],
    "properties": {
        "id": {"type": "string"},
        "total": {"type": "number"},
        "state": {"enum": ["open", "closed"]},
        "lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
        "seller": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
}
LINE = {"type": "object", "required": ["title"], "properties": {"title": {"type": "string"}}}
DOCUMENT: Json = {
    "paths": {
        "/carts": {
            "post": {
                "parameters": [
                    {"in": "query", "name": "page", "schema": {"type": "integer", "maximum": 9}},
                    {"in": "query", "name": "kind", "schema": {"enum": ["a", "b"]}},
                ],
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Item"}}
                    }
                },
                "responses": {
                    "200": {
                        "headers": {"ETag": {}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Cart"}}
                        },
                    },
                    "404": {"description": "none"},
                },
            },
            "get": {"responses": {"200": {"description": "all"}}},
        }
    },
    "components": {"schemas": {"Item": ITEM, "Cart": CART, "Line": LINE}},
}

POST = "POST /carts, "


BREAKS: list[tuple[str, Any, str]] = [
    ("paths/~carts", None, POST + "removed"),
    ("paths/~carts/get", None, "GET /carts, removed"),
    ("paths/~carts/post/security", [{"bearer": []}], POST + "security: needs a token now"),
    ("paths/~carts/post/parameters/0", None, POST + "query page: removed"),
    (
        "paths/~carts/post/parameters/2",
        {"in": "header", "name": "Tag", "required": True, "schema": {}},
        POST + "header Tag: required now",
    ),
    ("paths/~carts/post/parameters/0/required", True, POST + "query page: required now"),
    (
        "paths/~carts/post/parameters/0/schema/maximum",
        8,
        POST + "query page: maximum 9 became 8",
    ),
    (
        "paths/~carts/post/parameters/0/schema/type",
        "string",
        POST + "query page: integer became string",
    ),
    (
        "paths/~carts/post/parameters/1/schema/enum",
        ["a"],
        POST + "query kind: 'b' is no longer accepted",
    ),
    ("paths/~carts/post/requestBody/required", True, POST + "body: required now"),
    ("paths/~carts/post/requestBody/content", {}, POST + "body, application/json: removed"),
    ("components/schemas/Item/required", ["id", "count"], POST + "body.count: required now"),
    ("components/schemas/Item/properties/count", None, POST + "body.count: removed"),
    (
        "components/schemas/Item/properties/count/minimum",
        2,
        POST + "body.count: minimum 1 became 2",
    ),
    (
        "components/schemas/Item/properties/count/multipleOf",
        5,
        POST + "body.count: multipleOf none became 5",
    ),
    (
        "components/schemas/Item/properties/id/pattern",
        "^b",
        POST + "body.id: pattern ^a became ^b",
    ),
    (
        "components/schemas/Item/properties/image",
        {"type": "string"},
        POST + "body.image: null is no longer accepted",
    ),
    ("paths/~carts/post/responses/404", None, POST + "answer 404: removed"),
    (
        "paths/~carts/post/responses/200/headers",
        {},
        POST + "answer 200, header ETag: removed",
    ),
    (
        "paths/~carts/post/responses/200/content",
        {},
        POST + "answer 200, application/json: removed",
    ),
    ("components/schemas/Cart/properties/total", None, POST + "answer 200.total: removed"),
    ("components/schemas/Cart/required", ["id"], POST + "answer 200.total: may be absent now"),
    (
        "components/schemas/Cart/properties/total/type",
        "string",
        POST + "answer 200.total: number became string",
    ),
    (
        "components/schemas/Cart/properties/state/enum",
        ["open", "closed", "gone"],
        POST + "answer 200.state: 'gone' is new",
    ),
    (
        "components/schemas/Cart/properties/id",
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        POST + "answer 200.id: null is new",
    ),
    (
        "components/schemas/Line/properties/title",
        None,
        POST + "answer 200.lines[].title: removed",
    ),
]

KEPT: list[tuple[str, Any]] = [
    ("paths/~more", {"get": {"responses": {}}}),
    ("paths/~carts/put", {"responses": {}}),
    ("paths/~carts/post/parameters/2", {"in": "query", "name": "more", "schema": {}}),
    ("paths/~carts/post/parameters/0/schema/maximum", 10),
    ("paths/~carts/post/parameters/0/schema/maximum", None),
    ("paths/~carts/post/parameters/0/schema/type", "number"),
    ("paths/~carts/post/parameters/1/schema/enum", ["a", "b", "c"]),
    ("paths/~carts/post/responses/409", {"description": "busy"}),
    ("components/schemas/Item/properties/more", {"type": "string"}),
    ("components/schemas/Item/required", []),
    ("components/schemas/Cart/properties/more", {"type": "string"}),
    ("components/schemas/Cart/properties/total/type", "integer"),
    ("components/schemas/Cart/properties/state/enum", ["open"]),
    ("components/schemas/Cart/properties/seller", {"type": "string"}),
    ("components/schemas/Cart/required", ["id", "total", "state"]),
]


def changed(where: str, value: Any) -> Json:
    """The document with one change; `~` stands for the slash of a path."""
    document = copy.deepcopy(DOCUMENT)
    _put_at(document, [part.replace("~", "/") for part in where.split("/")], value)
    return document


def _put_at(part: Any, path: list[str], value: Any) -> None:
    for name in path[:-1]:
        part = part[int(name)] if isinstance(part, list) else part[name]
    last: Any = int(path[-1]) if isinstance(part, list) else path[-1]
    if value is None:
        del part[last]
    elif isinstance(part, list):
        part.insert(last, value)
    else:
        part[last] = value


@pytest.mark.parametrize(("where", "value", "what"), BREAKS)
def test_each_kind_of_breaking_change_is_detected(where: str, value: Any, what: str) -> None:
    assert what in breaks(DOCUMENT, changed(where, value))


@pytest.mark.parametrize(("where", "value"), KEPT)
def test_a_compatible_change_is_no_breaking_change(where: str, value: Any) -> None:
    assert breaks(DOCUMENT, changed(where, value)) == []


def test_the_document_has_no_breaking_change_since_the_last_release(project_root: Path) -> None:
    docs = project_root / "docs"
    released = json.loads((docs / "openapi.released.json").read_text())
    now = json.loads((docs / "openapi.json").read_text())
    assert breaks(released, now) == [], (
        "a breaking change needs a new major version: `make release-openapi`"
    )
