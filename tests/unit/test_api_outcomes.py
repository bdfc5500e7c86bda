"""The responses for each outcome of an operation, and for reads."""

from typing import Any

import httpx
import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError

from api.errors import ABORTS
from models.cart import CartKey
from models.errors import DependencyUnavailable, OperationInProgress
from models.outcomes import AbortReason, OperationResult, Outcome, Refusal
from settings import Settings
from tests.fakes.api import (
    STORE,
    URL,
    USER,
    FakeApi,
    Lookup,
    cart_of,
    record_of,
    result_of,
    settings_for_tests,
)
from workflows.ids import operation_id


def refused(code: Any, **facts: Any) -> OperationResult:
    return result_of(Outcome.REJECTED, refusal=Refusal(code=code, **facts))


def aborted(reason: str) -> Lookup:
    return result_of(Outcome.ABORTED, reason=reason)


def failed(cause: BaseException) -> WorkflowFailureError:
    return WorkflowFailureError(cause=cause)


def invalid(field: str, message: str, code: str, **numbers: int) -> dict[str, Any]:
    return {
        "error": "Validation failed",
        "code": "validation_failed",
        "message": message,
        "details": [{"code": code, "field": field, "message": message, **numbers}],
    }


OUTCOMES: list[Any] = [
    pytest.param(
        refused("insufficient_stock", available=3),
        200,
        {
            "message": "Insufficient stock. Only 3 available.",
            "code": "insufficient_stock",
            "available": 3,
        },
        id="insufficient stock",
    ),
    pytest.param(
        refused("insufficient_stock"),
        200,
        {"message": "Insufficient stock.", "code": "insufficient_stock", "available": None},
        id="insufficient stock, the number is not known",
    ),
    pytest.param(
        refused("product_not_accepted"),
        400,
        {"message": "This product cannot be reserved", "code": "product_not_accepted"},
        id="not accepted by the inventory",
    ),
    pytest.param(
        refused("quantity_limit", current=60, limit=100),
        400,
        invalid(
            "quantity",
            "Quantity must not exceed 100 in all; the cart already holds 60",
            "quantity_limit",
            limit=100,
            current=60,
        ),
        id="quantity limit",
    ),
    pytest.param(
        refused("line_limit", current=100, limit=100),
        400,
        invalid(
            "productId",
            "Cart must not have more than 100 products; it already has 100",
            "line_limit",
            limit=100,
            current=100,
        ),
        id="line limit",
    ),
    pytest.param(
        refused("size_limit", current=5200, limit=5000),
        400,
        invalid(
            "productDescription",
            "Cart must not be larger than 5000 bytes; with this item it would have 5200",
            "size_limit",
            limit=5000,
            current=5200,
        ),
        id="size limit",
    ),
    pytest.param(
        result_of(
            Outcome.REJECTED,
            refusal=Refusal(code="quantity_limit", current=60, limit=50),
        ).model_copy(update={"operation": "UpdateQuantity"}),
        400,
        invalid("quantity", "Quantity must not exceed 50", "quantity_limit", limit=50, current=60),
        id="quantity limit of an update",
    ),
    pytest.param(
        refused("unit_limit", current=499, limit=500),
        400,
        invalid(
            "quantity",
            "Cart must not hold more than 500 units; it already holds 499",
            "unit_limit",
            limit=500,
            current=499,
        ),
        id="unit limit",
    ),
    pytest.param(
        refused("value_limit", limit=5000),
        400,
        invalid(
            "quantity", "Cart must not be worth more than 5000 in all", "value_limit", limit=5000
        ),
        id="value limit",
    ),
    pytest.param(
        refused("idempotency_key_reused"),
        422,
        {
            "message": "Idempotency key was already used for a different request",
            "code": "idempotency_key_reused",
        },
        id="key reused",
    ),
    pytest.param(
        refused("currency_mismatch", cart_currency="USD", currency="EUR"),
        409,
        {
            "message": "The cart has items in USD, and prices are in EUR now; "
            "empty the cart to go on",
            "code": "currency_mismatch",
            "cartCurrency": "USD",
            "currency": "EUR",
        },
        id="another currency",
    ),
    pytest.param(
        refused("insufficient_stock", available=3, current=2).model_copy(
            update={"operation": "UpdateQuantity"}
        ),
        400,
        {
            "message": "Insufficient stock. Only 3 available.",
            "code": "insufficient_stock",
            "available": 3,
            "maxQuantity": 5,
        },
        id="insufficient stock of an update",
    ),
    pytest.param(
        refused("insufficient_stock", current=2).model_copy(update={"operation": "UpdateQuantity"}),
        400,
        {
            "message": "Insufficient stock.",
            "code": "insufficient_stock",
            "available": None,
            "maxQuantity": None,
        },
        id="insufficient stock of an update, the number is not known",
    ),
    pytest.param(
        aborted("inventory_unavailable"),
        503,
        {"message": "Unable to reserve inventory", "code": "inventory_unavailable"},
        id="inventory",
    ),
]


def no_content(answer: httpx.Response) -> None:
    for secret in ("Traceback", "boom", "secret"):
        assert secret not in answer.text


@pytest.mark.parametrize(("outcome", "status", "body"), OUTCOMES)
async def test_each_outcome_has_its_status_and_body(
    outcome: Lookup, status: int, body: dict[str, Any]
) -> None:
    api = FakeApi()
    api.gateway.outcome = outcome
    answer = await api.post(headers={"Idempotency-Key": "key-1"})
    assert (answer.status_code, answer.json()) == (status, body)
    assert answer.headers["Idempotency-Key"] == "key-1"
    assert answer.headers["Content-Type"] == "application/json"
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize("reason", sorted({*AbortReason} - {AbortReason.INVENTORY_UNAVAILABLE}))
async def test_an_operation_that_was_undone_may_be_tried_again(reason: AbortReason) -> None:
    api = FakeApi()
    api.gateway.outcome = aborted(reason)
    answer = await api.post()
    assert answer.status_code == 503
    assert answer.json()["code"] == (reason if reason in ABORTS else "undone")
    assert "again" in answer.json()["message"]
    assert answer.headers["Retry-After"] == "1"


async def test_a_committed_add_returns_the_stored_body() -> None:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    api.mongo.records.append(record_of())
    answer = await api.post()
    assert (answer.status_code, answer.text) == (201, '{"quantity":2,"totalPrice":159.90}')
    assert "Idempotent-Replayed" not in answer.headers

    api.gateway.outcome = result_of(Outcome.REPLAYED)
    again = await api.post()
    assert (again.status_code, again.content) == (201, answer.content)
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_busy_cart_gets_409() -> None:
    api = FakeApi()
    api.gateway.refuses = OperationInProgress("the cart is busy")
    answer = await api.post()
    assert answer.status_code == 409
    assert answer.json() == {
        "message": "Cart operation already in progress",
        "code": "operation_in_progress",
    }
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Idempotency-Key"]


@pytest.mark.parametrize("dependency", ["temporal", "mongodb"])
async def test_without_temporal_or_mongodb_a_change_gets_503(dependency: str) -> None:
    api = FakeApi()
    api.gateway.refuses = DependencyUnavailable(dependency, "secret address")
    answer = await api.post()
    assert answer.status_code == 503
    assert answer.json()["code"] == f"{dependency}_unavailable"
    assert answer.headers["Retry-After"] == "1"
    no_content(answer)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (failed(CancelledError("boom")), 503),
        (failed(TerminatedError("boom")), 503),
        (failed(ApplicationError("boom")), 500),
        (RuntimeError("boom"), 500),
    ],
)
async def test_an_unexpected_error_gets_500_without_details(error: Exception, status: int) -> None:
    api = FakeApi()
    api.gateway.outcome = error
    answer = await api.post(headers={"X-Request-Id": "abc"})
    assert answer.status_code == status
    assert answer.headers["X-Request-Id"] == "abc"
    no_content(answer)
    if status == 500:
        assert answer.json() == {"message": "Internal server error", "code": "internal_error"}


async def test_a_missing_record_gets_500() -> None:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    assert (await api.post()).status_code == 500


async def test_a_slow_operation_gets_202_with_its_url() -> None:
    api = FakeApi()
    accepted = await api.post(headers={"Idempotency-Key": "key-1"})
    operation_id = api.gateway.added[0].operation_id
    assert accepted.status_code == 202
    assert accepted.json() == {
        "message": "Cart operation accepted",
        "status": "pending",
        "operationId": operation_id,
    }
    assert accepted.headers["Retry-After"] == "1"
    assert accepted.headers["Idempotency-Key"] == "key-1"
    url = accepted.headers["Location"]
    assert url == f"/api/v1/cart/{STORE}/operations/{operation_id}"

    api.gateway.found = None
    pending = await api.get(url)
    assert (pending.status_code, pending.json()) == (
        200,
        {"operationId": operation_id, "status": "pending"},
    )
    assert api.gateway.looked_up == [(STORE, operation_id, USER)]


# The URL of an operation.

ID = operation_id(STORE, USER, "key-of-a-shopper")
NO_OPERATION = {"message": "Operation not found", "code": "operation_not_found"}
OPERATION = f"/api/v1/cart/{STORE}/operations/{ID}"


@pytest.mark.parametrize(("outcome", "status", "body"), OUTCOMES)
async def test_the_url_of_a_rejected_operation_shows_its_response(
    outcome: Lookup, status: int, body: dict[str, Any]
) -> None:
    api = FakeApi()
    api.gateway.found = outcome
    answer = await api.get(OPERATION)
    word = "aborted" if status == 503 else "rejected"
    assert (answer.status_code, answer.json()) == (
        200,
        {"operationId": ID, "status": word, "answer": {"status": status, "body": body}},
    )


async def test_the_url_of_a_committed_operation_needs_only_mongodb() -> None:
    api = FakeApi()
    api.mongo.records.append(record_of(ID))
    answer = await api.get(OPERATION)
    assert answer.status_code == 200
    assert answer.text == (
        f'{{"operationId":"{ID}","status":"committed",'
        '"answer":{"status":201,"body":{"quantity":2,"totalPrice":159.90}}}'
    )
    assert api.gateway.looked_up == []


async def test_the_url_of_a_replayed_operation_shows_the_committed_record() -> None:
    api = FakeApi()
    api.mongo.records.append(record_of("f" * 32))
    api.gateway.found = result_of(Outcome.REPLAYED)
    answer = await api.get(OPERATION)
    assert answer.json()["status"] == "committed"
    assert answer.json()["answer"]["body"]["quantity"] == 2


async def test_an_aborted_record_is_shown_until_a_later_run_is_found() -> None:
    api = FakeApi()
    api.mongo.records.append(record_of(ID, state="aborted", answer=None, reason="deadline"))
    answer = await api.get(OPERATION)
    assert answer.json()["status"] == "aborted"
    assert answer.json()["answer"]["body"]["code"] == "deadline"
    api.gateway.found = None
    assert (await api.get(OPERATION)).json()["status"] == "pending"


@pytest.mark.parametrize(
    ("cause", "status"), [(TerminatedError("boom"), 503), (ApplicationError("boom"), 500)]
)
async def test_a_run_that_was_terminated_is_shown_as_aborted(cause: Exception, status: int) -> None:
    api = FakeApi()
    api.gateway.found = failed(cause)
    answer = await api.get(OPERATION)
    assert answer.json()["status"] == "aborted"
    assert answer.json()["answer"]["status"] == status
    no_content(answer)


async def test_only_the_user_and_admins_of_the_store_see_an_operation() -> None:
    api = FakeApi()
    api.mongo.records.append(record_of(ID))
    assert (await api.get(OPERATION)).status_code == 200
    assert (await api.get(OPERATION, user="a", role="admin", store=STORE)).status_code == 200
    assert (await api.get(OPERATION, user="a", role="admin")).status_code == 200
    for stranger in (
        {"user": "a"},
        {"user": "a", "store": STORE},
        {"user": "a", "role": "admin", "store": "other"},
    ):
        answer = await api.get(OPERATION, **stranger)
        assert (answer.status_code, answer.json()) == (404, NO_OPERATION)
    elsewhere = f"/api/v1/cart/other/operations/{ID}"
    assert (await api.get(elsewhere)).status_code == 404
    assert (await api.get(elsewhere, user="a", role="admin")).status_code == 404


async def test_an_admin_sees_a_running_operation_of_any_user() -> None:
    api = FakeApi()
    api.gateway.found = None
    assert (await api.get(OPERATION, user="a", role="admin")).json()["status"] == "pending"
    assert api.gateway.looked_up == [(STORE, ID, None)]


@pytest.mark.parametrize("name", ["unknown", ID[:-1], ID + "0", ID.upper(), ID + "%0A"])
async def test_an_unknown_operation_gets_404(name: str) -> None:
    api = FakeApi()
    answer = await api.get(f"/api/v1/cart/{STORE}/operations/{name}")
    assert (answer.status_code, answer.json()) == (404, NO_OPERATION)
    assert (await api.get(OPERATION)).status_code == 404


async def test_ids_of_others_and_made_up_ids_are_refused_alike_without_a_query() -> None:
    """The time of an answer must not say whether somebody has such an operation."""
    foreign = operation_id(STORE, "another-user", "key-1")
    elsewhere = operation_id("another-store", USER, "key-1")
    changed = ID[:-1] + ("0" if ID[-1] > "0" else "1")
    made_up = ("0" * 32, "0123456789abcdef0123456789abcdef", changed)
    api = FakeApi()
    api.mongo.records.append(record_of(foreign, user_id="another-user"))
    for name in (foreign, elsewhere, *made_up):
        answer = await api.get(f"/api/v1/cart/{STORE}/operations/{name}")
        assert (answer.status_code, answer.json()) == (404, NO_OPERATION)
    assert (api.mongo.reads, api.gateway.looked_up) == (0, [])


async def test_the_url_of_an_operation_needs_temporal_only_until_its_end() -> None:
    api = FakeApi()
    api.gateway.found = DependencyUnavailable("temporal")
    assert (await api.get(OPERATION)).status_code == 503
    api.mongo.records.append(record_of(ID))
    assert (await api.get(OPERATION)).status_code == 200
    api.mongo.down = True
    assert (await api.get(OPERATION)).status_code == 503


# Reading the cart.


async def test_a_read_uses_the_cache_and_fills_it() -> None:
    api = FakeApi()
    api.mongo.carts[STORE, USER] = cart_of()
    first = await api.get()
    assert first.status_code == 200
    assert first.json()["version"] == 3
    assert "email" not in first.json()
    assert api.cache.bodies == {(CartKey(STORE, USER), 3): first.content}
    again = await api.get()
    assert again.content == first.content
    assert api.mongo.loads == 1


async def test_a_cached_version_is_shown_only_while_mongodb_has_it() -> None:
    api = FakeApi()
    api.mongo.carts[STORE, USER] = cart_of()
    await api.get()
    api.mongo.carts[STORE, USER] = cart_of(version=4)
    assert (await api.get()).json()["version"] == 4
    del api.mongo.carts[STORE, USER]
    assert (await api.get()).status_code == 404


async def test_a_user_without_a_cart_gets_404() -> None:
    answer = await FakeApi().get()
    assert (answer.status_code, answer.json()) == (
        404,
        {"message": "Cart not found", "code": "cart_not_found"},
    )


async def test_reads_need_mongodb_and_not_redis() -> None:
    api = FakeApi()
    api.mongo.carts[STORE, USER] = cart_of()
    assert (await api.get()).status_code == 200
    api.mongo.down = True
    answer = await api.get()  # cached, but perhaps no longer the latest version
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    api.mongo.down, api.cache.down = False, True
    assert (await api.get()).status_code == 200


@pytest.fixture
def uncached() -> Settings:
    return settings_for_tests(enable_cache_invalidation=False)


async def test_with_invalidation_off_reads_still_use_the_cache(uncached: Settings) -> None:
    api = FakeApi(uncached)
    api.mongo.carts[STORE, USER] = cart_of()
    assert (await api.get()).json()["version"] == 3
    [cached] = api.cache.bodies.values()
    assert cached == (await api.get()).content


async def test_an_add_does_not_depend_on_redis() -> None:
    api = FakeApi(down=("redis", "kafka", "inventory"))
    api.cache.down = True
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    api.mongo.records.append(record_of())
    answer = await api.client.post(
        URL,
        json={"productId": "p", "productTitle": "t", "productPrice": 1, "quantity": 1},
        headers=api.token(),
    )
    assert answer.status_code == 201
