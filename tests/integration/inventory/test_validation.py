"""Validation of requests to the reference inventory."""

from typing import Any

import pytest

from tests.integration.inventory.service import API, VALID, Warehouse

WRONG_FIELDS: list[tuple[str, Any]] = [
    *(("quantity", value) for value in (0, -1, 1_000_001, 1.0, 1.5, "1", True, None)),
    *(("storeId", value) for value in ("", "a b", "a/b", "a~b", "é", "x" * 65, 1, "a\n")),
    ("productId", "x" * 65),
    *(("userId", value) for value in ("", "a\nb", "a\x1bb", "x" * 256, 5)),
    *(("sagaId", value) for value in ("", "a b", "é", "x" * 256, "a\n", "\x7f", 5)),
    ("surplus", 1),
]


@pytest.mark.parametrize(("field", "value"), WRONG_FIELDS)
@pytest.mark.parametrize("action", ["reserve", "release"])
async def test_an_invalid_field_is_named(
    warehouse: Warehouse, action: str, field: str, value: Any
) -> None:
    own = {"reservationType": "cart"} if action == "reserve" else {"reason": "user"}
    status, body = await warehouse.call(
        "POST", f"{API}/{action}", json=VALID | own | {field: value}
    )
    assert status == 400
    assert body["error"] == "Validation failed"
    assert [detail["field"] for detail in body["details"]] == [field]
    assert body["details"][0]["message"]


@pytest.mark.parametrize(
    ("action", "field", "value"),
    [
        ("reserve", "reservationType", "basket"),
        ("reserve", "reason", "user"),
        ("release", "reason", ""),
        ("release", "reason", "x" * 65),
        ("release", "orderId", "a b"),
    ],
)
async def test_a_field_of_the_other_action_is_refused(
    warehouse: Warehouse, action: str, field: str, value: Any
) -> None:
    own = {"reservationType": "cart"} if action == "reserve" else {"reason": "user"}
    status, body = await warehouse.call(
        "POST", f"{API}/{action}", json=VALID | own | {field: value}
    )
    assert status == 400
    assert [detail["field"] for detail in body["details"]] == [field]


@pytest.mark.parametrize("field", [*VALID, "reservationType"])
async def test_a_missing_field_is_named(warehouse: Warehouse, field: str) -> None:
    body = VALID | {"reservationType": "cart"}
    del body[field]
    status, problem = await warehouse.call("POST", f"{API}/reserve", json=body)
    assert (status, problem["details"][0]["field"]) == (400, field)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"quantity": NaN}'])
async def test_a_body_that_is_no_json_object_is_refused(
    warehouse: Warehouse, content: bytes
) -> None:
    answer = await warehouse.client.post(
        f"{API}/reserve", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "Validation failed"


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("GET", "check/p", "storeId"),
        ("GET", "check/p?storeId=a.b", "storeId"),
        ("GET", "check/a.b?storeId=s", "productId"),
        ("GET", "check/p?storeId=s&surplus=1", "surplus"),
        ("PUT", "stock/p", "storeId"),
        ("PUT", "stock/a.b?storeId=s", "productId"),
        ("GET", "reservations", "storeId"),
        ("GET", "reservations?storeId=s&limit=0", "limit"),
        ("GET", "reservations?storeId=s&limit=1001", "limit"),
        ("GET", "reservations?storeId=s&limit=x", "limit"),
        ("GET", "reservations?storeId=s&cursor=x", "cursor"),
        ("GET", "reservations?storeId=s&userId=a%1Bb", "userId"),
        ("GET", "reservations?storeId=s&productId=a.b", "productId"),
    ],
)
async def test_an_invalid_path_or_query_parameter_is_named(
    warehouse: Warehouse, method: str, path: str, field: str
) -> None:
    body = {"json": {"available": 1}} if method == "PUT" else {}
    status, problem = await warehouse.call(method, f"{API}/{path}", **body)
    assert status == 400
    assert [detail["field"] for detail in problem["details"]] == [field]


@pytest.mark.parametrize("available", [-1, 1.0, "1", True, None, 10**13])
async def test_an_invalid_stock_is_refused(warehouse: Warehouse, available: Any) -> None:
    status, problem = await warehouse.stock(available)
    assert (status, problem["details"][0]["field"]) == (400, "available")


async def test_unknown_paths_and_methods_get_json(warehouse: Warehouse) -> None:
    assert await warehouse.call("GET", "/nothing") == (404, {"message": "Not Found"})
    assert await warehouse.call("GET", f"{API}/reserve") == (405, {"message": "Method Not Allowed"})


async def test_the_openapi_document_describes_the_responses(warehouse: Warehouse) -> None:
    _, described = await warehouse.call("GET", "/openapi.json")
    answers = described["paths"][f"{API}/reserve"]["post"]["responses"]
    assert set(answers) == {"200", "400", "409", "503"}
    reserve = described["components"]["schemas"]["ReserveRequest"]
    assert set(reserve["required"]) == {*VALID, "reservationType"}
