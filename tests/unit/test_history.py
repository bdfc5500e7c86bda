"""The history of a cart: what its user and an admin see, and how it is paged."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from adapters.mongo.history import PastChange
from api.history import MAX_ITEMS
from models.actor import Actor, ActorType
from models.cart_line import LineChange
from models.privacy import ERASED
from tests.fakes.api import STORE, USER, FakeApi, cart_of

CART_ID = "507f1f77bcf86cd799439013"
URL = f"/api/v1/cart/{CART_ID}/history"
ADMIN = {"user": "boss", "role": "admin", "store": STORE}
SHOPPER = Actor(type=ActorType.USER, id=USER)


def line(product_id: str, before: int, moved: int) -> LineChange:
    return LineChange(product_id=product_id, before=before, moved=moved, price=Decimal("9.50"))


def change(version: int, *, actor: Actor = SHOPPER, lines: int = 1, **more: Any) -> PastChange:
    values: dict[str, Any] = {
        "record_id": f"record-{version}",
        "version": version,
        "at": datetime(2026, 1, 27, 10, 30, tzinfo=UTC),
        "operation": "AddItem",
        "operation_id": "0" * 32,
        "run_id": f"run-{version}",
        "saga_id": "cart-1-user-1-lamp",
        "actor": actor,
        "lines": [line(f"lamp-{number}", 1, 2) for number in range(lines)],
    }
    return PastChange(**values | more)


def api_with(*changes: PastChange) -> FakeApi:
    api = FakeApi()
    api.mongo.carts[STORE, USER] = cart_of()
    api.mongo.changed = list(changes)
    return api


async def test_the_user_sees_what_changed_and_no_one_elses_id() -> None:
    boss = Actor(type=ActorType.ADMIN, id="boss")
    expiry = Actor(type=ActorType.SCHEDULE, id="expiry")
    api = api_with(
        change(3, actor=expiry, operation="ClearCart", reason="expired"),
        change(2, actor=boss),
        change(1),
    )
    answer = await api.get(URL)
    assert answer.status_code == 200
    assert answer.json()["cartId"] == CART_ID
    assert "nextCursor" not in answer.json()
    newest, by_admin, first = answer.json()["changes"]
    assert (newest["changedBy"], newest["reason"]) == ("system", "expired")
    assert (by_admin["changedBy"], first["changedBy"]) == ("admin", "user")
    assert first == {
        "version": 1,
        "at": "2026-01-27T10:30:00.000Z",
        "operation": "AddItem",
        "changedBy": "user",
        "items": [
            {
                "productId": "lamp-0",
                "quantityBefore": 1,
                "quantityAfter": 3,
                "productPrice": 9.5,
            }
        ],
    }
    assert '"productPrice":9.50' in answer.text
    assert "boss" not in answer.text
    assert "link" not in answer.headers


async def test_an_admin_sees_who_and_the_run() -> None:
    expiry = Actor(type=ActorType.SCHEDULE, id="expiry")
    answer = await api_with(change(2, actor=expiry), change(1)).get(URL, **ADMIN)
    by_schedule, by_user = answer.json()["changes"]
    assert by_user["actor"] == {"type": "user", "id": USER}
    assert by_user["operationId"] == "0" * 32
    page = "http://ui/namespaces/default/workflows/cart%2Fstore-1%2Fuser-1"
    assert by_user["sagaUrl"] == f"{page}/run-1/history"
    assert by_schedule["sagaUrl"] == page  # a schedule's change has no run of its own


async def test_a_change_of_an_erased_user_has_no_link() -> None:
    answer = await api_with(change(1, saga_id=ERASED)).get(URL, **ADMIN)
    [entry] = answer.json()["changes"]
    assert "sagaUrl" not in entry


@pytest.mark.parametrize(
    "claims",
    [
        {"user": "stranger"},
        {"user": "boss", "role": "admin", "store": "another-store"},
        {"user": "boss", "store": STORE},
    ],
)
async def test_for_others_there_is_no_such_cart(claims: dict[str, str]) -> None:
    answer = await api_with(change(1)).get(URL, **claims)
    assert (answer.status_code, answer.json()["code"]) == (404, "cart_not_found")


async def test_the_pages_have_each_change_once() -> None:
    api = api_with(*(change(version) for version in range(5, 0, -1)))
    versions: list[int] = []
    url = f"{URL}?limit=2"
    for _ in range(3):
        body = (await api.get(url)).json()
        versions += [entry["version"] for entry in body["changes"]]
        url = f"{URL}?limit=2&cursor={body.get('nextCursor')}"
    assert versions == [5, 4, 3, 2, 1]
    assert "nextCursor" not in body


async def test_large_changes_make_the_page_shorter() -> None:
    api = api_with(*(change(version, lines=100) for version in range(30, 0, -1)))
    body = (await api.get(f"{URL}?limit=100")).json()
    assert len(body["changes"]) == MAX_ITEMS // 100
    assert body["nextCursor"] == str(body["changes"][-1]["version"])


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("limit=0", "limit", "out_of_range"),
        ("limit=101", "limit", "out_of_range"),
        ("cursor=0", "cursor", "invalid_format"),
        ("cursor=abc", "cursor", "invalid_format"),
        (f"cursor={'9' * 19}", "cursor", "invalid_format"),
    ],
)
async def test_a_query_that_breaks_a_rule_is_named(query: str, field: str, code: str) -> None:
    answer = await api_with().get(f"{URL}?{query}")
    assert answer.status_code == 400
    assert [(one["field"], one["code"]) for one in answer.json()["details"]] == [(field, code)]
