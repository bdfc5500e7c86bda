"""The route of a batch: validation of each operation, and what it starts and answers."""

from decimal import Decimal
from typing import Any

import httpx
import pytest

from adapters.shoppers import open_shopper
from models.batch import BatchProduct, BatchStep
from models.operations import ApplyBatch
from models.outcomes import MissingUnits, Outcome, Refusal, RefusalCode
from tests.fakes.api import ITEM, URL, FakeApi, result_of
from tests.support.keys import KEYRING

ADD = {"op": "add", **ITEM}
SET = {"op": "set", "productId": "lamp", "quantity": 3}
REMOVE = {"op": "remove", "productId": "pen"}


async def send(
    api: FakeApi, *operations: Any, headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    return await api.client.post(
        f"{URL}/batch",
        json={"operations": operations, **more},
        headers=api.token(name="Ada") | (headers or {}),
    )


def refusing(code: RefusalCode, **facts: Any) -> FakeApi:
    api = FakeApi()
    api.gateway.outcome = result_of(
        Outcome.REJECTED, refusal=Refusal(code=code, **facts)
    ).model_copy(update={"operation": ApplyBatch.name})
    return api


async def test_a_repeat_may_have_another_email_address() -> None:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.ABORTED)
    await send(api, ADD, email="old@example.com")
    await send(api, ADD, email="new@example.com", headers=api.token(email="token@example.com"))
    await send(api, ADD, SET)
    first, second, other = [request.fingerprint for request in api.gateway.started]
    assert first == second != other


async def test_a_batch_is_one_operation() -> None:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.ABORTED)
    await send(api, ADD, SET, REMOVE, mode="best_effort", headers={"If-Match": '"3"'})
    [operation] = api.gateway.started
    assert isinstance(operation, ApplyBatch)
    assert (operation.mode, operation.if_match) == ("best_effort", ("3",))
    product = BatchProduct(
        title=ITEM["productTitle"],
        images=(ITEM["productImage"],),
        price=Decimal("79.99"),
        description=ITEM["productDescription"],
    )
    assert operation.steps == (
        BatchStep(op="add", product_id=ITEM["productId"], quantity=2, product=product),
        BatchStep(op="set", product_id="lamp", quantity=3),
        BatchStep(op="remove", product_id="pen"),
    )
    shopper = open_shopper(KEYRING, operation)
    assert shopper is not None
    assert shopper.full_name == "Ada"


@pytest.mark.parametrize(
    ("operation", "field", "code"),
    [
        (SET | {"quantity": 0}, "quantity", "out_of_range"),
        (SET | {"quantity": "1"}, "quantity", "invalid_type"),
        (ADD | {"quantity": 101}, "quantity", "out_of_range"),
        (ADD | {"productPrice": 1.999}, "productPrice", "invalid_format"),
        (ADD | {"productImage": ["ftp://x"]}, "productImage[0]", "invalid_format"),
        (ADD | {"productImage": "ftp://x"}, "productImage", "invalid_format"),
        (ADD | {"email": "ada@example.com"}, "email", "unknown_field"),
        (ADD | {"idempotencyKey": "k"}, "idempotencyKey", "unknown_field"),
        ({"op": "add", "productId": "lamp", "quantity": 1}, "productTitle", "required"),
        ({"op": "set", "productId": "lamp"}, "quantity", "required"),
        (SET | {"productTitle": "Lamp"}, "productTitle", "unknown_field"),
        (REMOVE | {"quantity": 1}, "quantity", "unknown_field"),
        (REMOVE | {"productId": "a b"}, "productId", "invalid_format"),
        ({"productId": "lamp"}, "op", "required"),
        (SET | {"op": "toggle"}, "op", "not_allowed"),
        (SET | {"op": None}, "op", "not_allowed"),
    ],
)
async def test_each_operation_has_the_rules_of_its_route(
    operation: dict[str, Any], field: str, code: str
) -> None:
    api = FakeApi()
    answer = await send(api, REMOVE, operation)
    assert answer.status_code == 400, answer.text
    found = {(one["field"], one["code"]) for one in answer.json()["details"]}
    assert (f"operations[1].{field}", code) in found
    assert api.gateway.started == []


@pytest.mark.parametrize(
    ("operations", "code"),
    [([], "too_short"), ([REMOVE] * 101, "too_many"), ("lamp", "invalid_type")],
)
async def test_a_batch_has_1_to_100_operations(operations: Any, code: str) -> None:
    api = FakeApi()
    answer = await api.client.post(
        f"{URL}/batch", json={"operations": operations}, headers=api.token()
    )
    [problem] = answer.json()["details"]
    assert (problem["field"], problem["code"]) == ("operations", code)
    assert "1 to 100" in problem["message"]


async def test_an_operation_that_is_no_object_is_named() -> None:
    answer = await send(FakeApi(), REMOVE, "lamp")
    [problem] = answer.json()["details"]
    assert (problem["field"], problem["code"]) == ("operations[1]", "invalid_type")


@pytest.mark.parametrize("field", ["items", "operation"])
async def test_other_fields_are_refused(field: str) -> None:
    body: dict[str, Any] = {field: 1}
    answer = await send(FakeApi(), REMOVE, **body)
    assert answer.json()["details"][0]["field"] == field


async def test_too_little_stock_names_each_product() -> None:
    missing = MissingUnits(product_id="lamp", wanted=3, available=1)
    answer = await send(refusing(RefusalCode.INSUFFICIENT_STOCK, lines=(missing,)), SET)
    assert answer.status_code == 409
    assert answer.json() == {
        "message": "Insufficient stock.",
        "code": "insufficient_stock",
        "lines": [{"productId": "lamp", "wanted": 3, "available": 1}],
    }


async def test_a_refusal_names_its_operation() -> None:
    answer = await send(refusing(RefusalCode.ITEM_NOT_FOUND, step=1), REMOVE, SET)
    assert answer.status_code == 404
    assert (answer.json()["code"], answer.json()["operation"]) == ("item_not_found", 1)
    answer = await send(refusing(RefusalCode.QUANTITY_LIMIT, step=1, current=9, limit=9), SET, SET)
    [problem] = answer.json()["details"]
    assert (problem["field"], problem["code"]) == ("operations[1].quantity", "quantity_limit")
    answer = await send(refusing(RefusalCode.SIZE_LIMIT, current=9, limit=9), SET)
    assert answer.json()["details"][0]["field"] == "operations"
    answer = await send(refusing(RefusalCode.PRODUCT_NOT_ACCEPTED, step=0), SET)
    assert (answer.status_code, answer.json()["operation"]) == (400, 0)
