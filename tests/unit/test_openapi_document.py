"""The OpenAPI document: current, and fit for validators and code generators.

What generators and validators stumble over is ruled out here, so that it also holds where Node,
Java and Go are missing; `tests/clients` runs the real tools.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema_specifications import REGISTRY as SPECIFICATIONS

from api.error_codes import ErrorCode
from api.errors import ABORTS, problem
from api.version import VERSION
from models.outcomes import RefusalCode
from tests.fakes.api import FakeApi

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Json:
    document: Json = FakeApi().app.openapi()
    return document


def nodes(part: Any) -> Iterator[Json]:
    if isinstance(part, dict):
        yield part
        for one in part.values():
            yield from nodes(one)
    elif isinstance(part, list):
        for one in part:
            yield from nodes(one)


def operations(document: Json) -> list[tuple[str, Json]]:
    return [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def requested(document: Json) -> set[str]:
    """The names of the object schemas of request bodies, with those inside them."""
    schemas = document["components"]["schemas"]
    found: set[str] = set()
    parts = [operation.get("requestBody") for _, operation in operations(document)]
    while parts:
        for node in nodes(parts.pop()):
            name = node["$ref"].rpartition("/")[2] if "$ref" in node else ""
            if name not in found and "properties" in schemas.get(name, {}):
                found.add(name)
                parts.append(schemas[name])
    return found


def validator(document: Json, schema: Json) -> Draft202012Validator:
    """A validator of a schema of the document, which may refer to others."""
    whole = schema | {"components": document["components"]}
    return Draft202012Validator(whole, format_checker=FormatChecker())


def test_the_checked_in_document_is_current(document: Json, project_root: Path) -> None:
    kept = json.loads((project_root / "docs" / "openapi.json").read_text())
    assert kept == document, "run `make docs`, look at what has changed, and commit it"


async def test_document_health_and_package_have_one_version(document: Json) -> None:
    health = (await FakeApi().client.get("/health")).json()
    assert document["info"]["version"] == health["version"] == VERSION


def test_validators_and_generators_find_nothing_to_stumble_over(document: Json) -> None:
    for node in nodes(document):
        # 79.99 is no multiple of 0.01 in binary floats; `const` is unknown to older generators.
        assert not {"const", "multipleOf", "nullable"} & node.keys()
        assert not {name for name in node if name.startswith("x-")} - {"x-enum-varnames"}
        if "anyOf" in node:  # a value or null, never a union
            assert [one for one in node["anyOf"] if one == {"type": "null"}]
            assert len(node["anyOf"]) == 2
        assert "oneOf" not in node
        if "enum" in node:
            assert all(isinstance(value, str) for value in node["enum"])


def test_a_schema_has_only_known_keywords(document: Json) -> None:
    """Readers skip any other, and with it a bound."""
    dialect = "https://json-schema.org/draft/2020-12"
    known = {"example"}  # of OpenAPI
    for vocabulary in ("core", "applicator", "validation", "meta-data", "format-annotation"):
        known |= SPECIFICATIONS.contents(f"{dialect}/meta/{vocabulary}")["properties"].keys()
    schemas = [*document["components"]["schemas"].values()]
    schemas += [node["schema"] for node in nodes(document["paths"]) if "schema" in node]
    while schemas:
        schema = schemas.pop()
        unknown = {keyword for keyword in schema if not keyword.startswith("x-")} - known
        assert not unknown, schema
        schemas += schema.get("properties", {}).values()
        inside = (schema.get("items"), schema.get("additionalProperties"))
        schemas += [one for one in inside if isinstance(one, dict)]
        schemas += [one for name in ("anyOf", "allOf", "oneOf") for one in schema.get(name, [])]


def test_answers_are_described_as_they_are_sent(document: Json) -> None:
    optional = {
        ("BatchCart", "checkout"),
        ("MergedCart", "checkout"),
        ("Cart", "checkout"),
        ("CartItem", "holdUntil"),
        ("CartItem", "priceChanged"),
        ("OperationStatus", "answer"),
        ("HistoryPage", "nextCursor"),
        *(("HistoryEntry", name) for name in ("reason", "actor", "operationId", "sagaUrl")),
        ("HistoryItem", "availabilityStatus"),
        ("BatchCart", "outcomes"),
        ("MergedCart", "notMerged"),
        *(("BatchOutcome", name) for name in ("code", "available", "current", "limit")),
        ("ServiceHealth", "products"),
        ("StoreSettingsInEffect", "updatedAt"),
        *(("FieldProblem", name) for name in ("min", "max", "allowed", "limit", "current")),
        *(
            ("Problem", name)
            for name in (
                *("error", "details", "available", "lines", "maxQuantity"),
                *("limit", "cartCurrency", "currency", "operation", "productId"),
            )
        ),
    }
    found = set()
    for name, schema in document["components"]["schemas"].items():
        if name in requested(document):
            continue
        properties = schema.get("properties", {})
        assert not [field for field, part in properties.items() if "default" in part], name
        found |= {(name, field) for field in properties.keys() - {*schema.get("required", ())}}
    assert found == optional


def test_optional_fields_of_requests_are_left_out_and_never_null(document: Json) -> None:
    for name in requested(document):
        schema = document["components"]["schemas"][name]
        assert "null" not in json.dumps(schema["properties"]), name
        assert schema["additionalProperties"] is False
    for _, operation in operations(document):
        assert operation.get("requestBody", {}).get("required", False) in {True, False}
        if "requestBody" in operation:
            assert "required" in operation["requestBody"]
    add = document["components"]["schemas"]["AddItemRequest"]["properties"]
    assert add["productImage"]["type"] == "array"
    assert add["productPrice"]["format"] == "double"


def test_the_names_read_well_in_generated_code(document: Json) -> None:
    assert {*document["components"]["schemas"]} == {
        *("Accepted", "ActorKind", "AddItemRequest", "AvailabilityStatus", "Cart", "CartCheckout"),
        *("CartItem", "CartList", "CartPage", "ChangedBy", "CheckedOutCart", "ErrorCode"),
        *("BatchCart", "BatchOperation", "BatchOutcome", "BatchRequest", "FieldProblem", "Guest"),
        "Health",
        *("HistoryActor", "HistoryEntry", "HistoryItem", "HistoryPage", "ItemRemoved", "Liveness"),
        *("LogLevel", "LogLevelRequest", "Message", "MissingLine", "OperationAnswer"),
        "OperationStatus",
        *("PriceChange", "PriceSource", "Problem", "Readiness", "RemoveItemRequest"),
        *("ReservationPolicy", "ServiceHealth", "StoreSettings", "StoreSettingsInEffect"),
        "UpdateQuantityRequest",
        *("MergedCart", "MergeRequest", "MergeStrategy", "NotMergedItem"),
    }


def test_every_error_is_a_problem_and_the_first_success_is_what_a_caller_wants(
    document: Json,
) -> None:
    """Generators take the 2xx with the lowest number for the type of an operation."""
    wanted = {"addItem": "Cart", "updateQuantity": "Cart", "removeItem": "ItemRemoved"}
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if status == "304" or "text/event-stream" in response["content"]:
                continue
            reference = response["content"]["application/json"]["schema"]["$ref"]
            schema = reference.rpartition("/")[2]
            if status[0] in "45" and "/health" not in name:
                assert schema == "Problem", (name, status)
        lowest = min(status for status in operation["responses"] if status.startswith("2"))
        if operation["operationId"] in wanted:
            response = operation["responses"][lowest]
            reference = response["content"]["application/json"]["schema"]["$ref"]
            assert reference.endswith(f"/{wanted[operation['operationId']]}")


def test_every_code_is_in_one_enum(document: Json) -> None:
    """docs/api.md explains each of them (`tests/contract/test_guide.py`)."""
    assert document["components"]["schemas"]["ErrorCode"]["enum"] == [*ErrorCode]
    assert {*RefusalCode} <= {*ErrorCode}
    assert {*ABORTS} <= {*ErrorCode}
    for status in (*range(400, 432), *range(500, 512)):
        assert json.loads(problem(status, "why").body)["code"] in [*ErrorCode]


def test_every_example_is_valid(document: Json) -> None:
    checked = 0
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            for example in parameter["schema"].get("examples", ()):
                validator(document, parameter["schema"]).validate(example)
        contents = [
            content
            for part in (operation.get("requestBody", {}), *operation["responses"].values())
            for content in part.get("content", {}).values()
        ]
        for content in contents:
            examples = [one["value"] for one in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            examples += content["schema"].get("examples", [])
            for example in examples:
                errors = [*validator(document, content["schema"]).iter_errors(example)]
                assert not errors, (name, example, errors[0].message)
                checked += 1
    for schema in document["components"]["schemas"].values():
        for example in schema.get("examples", ()):
            validator(document, schema).validate(example)
            checked += 1
    assert checked > 100
    for name, header in document["components"]["headers"].items():
        assert header["example"] != "", name
        validator(document, header["schema"]).validate(header["example"])


def test_prices_of_two_decimals_are_valid(document: Json) -> None:
    """All the 11,426 of 100,000 prices that `multipleOf` refused among them."""
    check = validator(document, document["components"]["schemas"]["AddItemRequest"])
    [item] = document["components"]["schemas"]["AddItemRequest"]["examples"]
    chosen = random.Random(1)
    for cents in (0, 1, 7999, 100_000_000, *(chosen.randrange(100_000_001) for _ in range(2000))):
        assert check.is_valid(item | {"productPrice": cents / 100}), cents
    for price in (-0.01, 1_000_000.01, "1", None, True):
        assert not check.is_valid(item | {"productPrice": price})


@pytest.mark.parametrize(
    ("url", "valid"),
    [
        ("https://example.com/image.jpg", True),
        ("HTTP://example.com", True),
        ("https://user:secret@example.com:8443/a?b=c#d", True),
        ("https://[2001:db8::1]/a", False),
        ("https://bücher.example/straße.jpg", True),
        ("https://example.com:65535", True),
        ("https://example.com:", True),
        ("https://example.com:65536", False),
        ("https://example.com:0", False),
        ("https://", False),
        ("https:///path", False),
        ("https://a b", False),
        ("https://a\\b", False),
        ("data:image/png;base64,AAAA", False),
        ("ftp://example.com/a", False),
        ("//example.com/a", False),
        ("/image.jpg", False),
        ("https://example.com/" + "a" * 2048, False),
    ],
)
async def test_the_service_accepts_the_urls_that_the_document_allows(
    document: Json, url: str, valid: bool
) -> None:
    [item] = document["components"]["schemas"]["AddItemRequest"]["examples"]
    body = item | {"productImage": [url]}
    check = validator(document, document["components"]["schemas"]["AddItemRequest"])
    assert check.is_valid(body) is valid
    answer = await FakeApi().post(body)
    assert (answer.status_code != 400) is valid, answer.text
