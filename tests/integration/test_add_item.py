"""An add over HTTP: the reply, and all that is stored, held and published."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import httpx
from temporalio.client import WorkflowExecutionStatus

from models.documents import OperationRecord
from tests.support.carts import added
from tests.support.shop import PRICE, Buyer, Shop
from tests.support.waiting import eventually


async def test_the_documented_add_returns_the_documented_cart(shop: Shop) -> None:
    await shop.stock("507f1f77bcf86cd799439011", 10)
    buyer = shop.buyer(name="John Doe")
    answer = await buyer.add(
        "507f1f77bcf86cd799439011",
        2,
        productImage="https://example.com/image.jpg",
        productDescription="Premium wireless headphones",
        email="user@example.com",
        sellerId="507f1f77bcf86cd799439012",
        idempotencyKey="unique-request-id-123",
    )
    assert answer.status_code == 201
    body = answer.json()
    cart_id, reserved_at = body.pop("_id"), body["cartItems"][0].pop("reservedAt")
    created, updated, expires = (body.pop(k) for k in ("createdAt", "updatedAt", "expireAt"))
    assert body == {
        "userId": buyer.user_id,
        "storeId": shop.store_id,
        "sellerId": "507f1f77bcf86cd799439012",
        "fullName": "John Doe",
        "quantity": 2,
        "totalPrice": 159.98,
        "currency": "USD",
        "version": 1,
        "cartItems": [
            {
                "productId": "507f1f77bcf86cd799439011",
                "productTitle": "Wireless Headphones",
                "productImage": ["https://example.com/image.jpg"],
                "productPrice": 79.99,
                "priceSource": "client",
                "productQuantity": 2,
                "productDescription": "Premium wireless headphones",
                "sellerId": "507f1f77bcf86cd799439012",
                "availabilityStatus": "available",
                "unavailabilityReason": None,
            }
        ],
    }
    assert len(cart_id) == 24
    assert created == updated == reserved_at
    assert created.endswith("Z")
    assert datetime.fromisoformat(expires) - datetime.fromisoformat(created) == timedelta(days=30)


async def test_an_add_is_stored_held_and_published_once(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer(email="secret@example.com")
    body = (await buyer.add(quantity=2)).json()

    assert await shop.units("headphones") == (8, 2, 0)
    assert await shop.holds() == {(buyer.user_id, "headphones"): 2}
    cart = await buyer.cart()
    assert cart is not None
    assert (str(cart.id), cart.version, cart.total_price) == (body["_id"], 1, Decimal("159.98"))

    async def published() -> OperationRecord:  # the reply does not wait for it
        [record] = await shop.records()
        assert (record.state, record.pending, record.version) == ("committed", False, 1)
        return record

    record = await eventually(published)
    [event] = await shop.events()
    assert (event.topic, event.key) == ("cart.item.added", body["_id"])
    assert event.value == {
        "eventId": record.effects[0].id,
        "cartId": body["_id"],
        "userId": buyer.user_id,
        "storeId": shop.store_id,
        "productId": "headphones",
        "quantity": 2,
        "lineQuantity": 2,
        "productPrice": 79.99,
        "priceSource": "client",
        "totalPrice": 159.98,
        "actorType": "user",
        "currency": "USD",
        "version": 1,
        "sagaId": record.saga_id,
        "timestamp": body["updatedAt"],
    }
    assert event.headers == {
        "ce_specversion": "1.0",
        "ce_id": record.effects[0].id,
        "ce_type": "cart.item.added",
        "ce_source": "/cart-service",
        "ce_time": body["updatedAt"],
        "content-type": "application/json",
    }


async def test_a_saga_is_one_workflow_task_under_the_carts_id(shop: Shop) -> None:
    await shop.stock("headphones", 1)
    buyer = shop.buyer()
    assert (await buyer.add()).status_code == 201

    async def completed() -> None:
        run = await shop.world.temporal.get_workflow_handle(buyer.workflow_id).describe()
        assert run.status is WorkflowExecutionStatus.COMPLETED
        info = run.raw_description.workflow_execution_info
        assert info.state_transition_count == 3
        assert info.priority.fairness_key == shop.store_id
        assert run.workflow_type == "AddItem"
        [record] = await shop.records()
        epoch = round(run.start_time.timestamp() * 1000)
        assert abs(int(record.saga_id.split("-")[1]) - epoch) <= 1
        assert record.saga_id.endswith(f"-{buyer.user_id}-headphones")

    await eventually(completed)


async def test_a_read_returns_the_cart_of_the_reply(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    buyer = shop.buyer()
    missing = await buyer.get()
    assert (missing.status_code, missing.json()) == (
        404,
        {"message": "Cart not found", "code": "cart_not_found"},
    )
    added = await buyer.add(quantity=3)
    read = await buyer.get()
    assert (read.status_code, read.json()) == (200, added.json())
    stranger = await shop.buyer().get()
    assert stranger.status_code == 404


async def test_a_second_add_of_a_product_adds_units_and_replaces_its_details(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    await shop.stock("cable", 10)
    buyer = shop.buyer()
    await buyer.add("headphones", 2, sellerId="seller-1")
    await buyer.add("cable", 1, productPrice=5, sellerId="seller-2")
    body = (
        await buyer.add("headphones", 1, productPrice=70.1, productTitle="On sale", sellerId="s-3")
    ).json()
    first, second = body["cartItems"]
    assert (first["productQuantity"], first["productPrice"]) == (3, 70.1)
    assert (first["productTitle"], first["sellerId"]) == ("On sale", "s-3")
    assert second["productId"] == "cable"
    assert (body["quantity"], body["totalPrice"], body["version"]) == (4, 215.3, 3)
    assert body["sellerId"] is None  # the lines have different sellers
    await shop.assert_consistent()


async def test_amounts_are_exact_and_have_two_decimals(shop: Shop) -> None:
    await shop.stock("headphones", 100)
    buyer = shop.buyer()
    await buyer.add(quantity=1, productPrice=0.1)
    answer = await buyer.add("headphones", 2, productPrice=0.1)
    assert '"totalPrice":0.30' in answer.text
    assert '"productPrice":0.10' in answer.text


async def test_insufficient_stock_names_the_available_units_and_changes_nothing(shop: Shop) -> None:
    await shop.stock("headphones", 1)
    buyer = shop.buyer()
    answer = await buyer.add(quantity=2)
    assert answer.status_code == 200
    assert answer.json() == {
        "message": "Insufficient stock. Only 1 available.",
        "code": "insufficient_stock",
        "available": 1,
    }
    assert await shop.units("headphones") == (1, 0, 0)
    assert await buyer.cart() is None
    assert await shop.events() == []
    unknown = await buyer.add("unknown-product")
    assert (unknown.status_code, unknown.json()["available"]) == (200, 0)


async def test_insufficient_stock_is_an_error_for_who_prefers_it(shop: Shop) -> None:
    """Each request by its own preference, also a repeat of a key (RFC 7240, 4.4)."""
    await shop.stock("headphones", 1)
    buyer = shop.buyer()
    strict = {"Prefer": "handling=strict"}

    async def refusal(headers: dict[str, str]) -> httpx.Response:
        async def ended() -> httpx.Response:  # the run of a repeated key may still be closing
            answer = await buyer.add(quantity=2, key="key-1", headers=headers)
            assert answer.json()["code"] == "insufficient_stock"
            return answer

        return await eventually(ended)

    refused = await refusal(strict)
    assert refused.status_code == 409
    assert refused.headers["Preference-Applied"] == "handling=strict"
    lenient = await refusal({})
    assert (lenient.status_code, lenient.json()) == (200, refused.json())
    assert "Preference-Applied" not in lenient.headers
    again = await refusal(strict)
    assert (again.status_code, again.json()) == (409, refused.json())
    assert (await buyer.add(quantity=1, headers=strict)).status_code == 201


async def test_an_add_beyond_the_quantity_limit_names_the_field(shop: Shop) -> None:
    await shop.stock("headphones", 500)
    buyer = shop.buyer()
    assert (await buyer.add(quantity=60)).status_code == 201
    answer = await buyer.add(quantity=41)
    assert answer.status_code == 400
    [detail] = answer.json()["details"]
    assert detail["field"] == "quantity"
    assert "100" in detail["message"]
    assert "60" in detail["message"]
    assert await shop.units("headphones") == (440, 60, 0)
    assert (await buyer.add(quantity=40)).status_code == 201


async def test_a_limit_takes_precedence_over_insufficient_stock(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    assert (await buyer.add(quantity=3)).status_code == 201
    answer = await buyer.add(quantity=98)
    assert (answer.status_code, answer.json()["details"][0]["field"]) == (400, "quantity")
    assert await shop.units("headphones") == (7, 3, 0)


async def test_a_repeated_key_gets_the_same_reply_and_reserves_nothing(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    key = uuid4().hex
    first = await buyer.add(quantity=2, key=key)
    later = await buyer.add(quantity=1)
    again = await buyer.add(quantity=2, idempotencyKey=key)
    assert later.json()["quantity"] == 3
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert await shop.units("headphones") == (7, 3, 0)

    async def published() -> None:
        assert len(await shop.events()) == 2

    await eventually(published)


async def test_a_repeat_with_a_new_token_and_address_is_the_same_request(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer(email="old@example.com", name="Jane")
    key = uuid4().hex
    first = await buyer.add(quantity=2, key=key, email="old@example.com")
    buyer.claims.update(email="new@example.com", name="Jane Doe")
    again = await buyer.add(quantity=2, key=key, email="new@example.com")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await shop.units("headphones") == (8, 2, 0)


async def test_a_key_of_another_request_is_refused(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    key = uuid4().hex
    await buyer.add(quantity=2, key=key)
    other = await buyer.add(quantity=3, key=key)
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"
    assert await shop.units("headphones") == (8, 2, 0)
    neighbour = await shop.buyer().add(quantity=3, key=key)
    assert neighbour.status_code == 201  # keys belong to a user


async def test_two_runs_of_one_key_at_once_commit_once(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    key = uuid4().hex
    await shop.fault("reserve", "delay", seconds=0.5)
    answers = await asyncio.gather(*(buyer.add(quantity=2, key=key) for _ in range(5)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 201
    assert set(statuses) <= {201, 409}
    assert 409 in statuses
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "operation_in_progress"
            assert int(answer.headers["Retry-After"]) >= 1
    assert await shop.units("headphones") == (8, 2, 0)
    again = await buyer.add(quantity=2, key=key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")


async def test_twenty_adds_to_one_cart_at_once_lose_none(shop: Shop) -> None:
    await shop.stock("headphones", 50)
    buyer = shop.buyer()
    # The last ones may wait for longer than `CART_LOCK_WAIT_SECONDS`, and are repeated.
    answers = await asyncio.gather(*(added(buyer) for _ in range(20)))
    assert sorted(answer.json()["version"] for answer in answers) == list(range(1, 21))
    assert await shop.units("headphones") == (30, 20, 0)
    cart = await buyer.cart()
    assert cart is not None
    assert (cart.version, cart.quantity) == (20, 20)
    assert cart.total_price == Decimal(str(PRICE)) * 20

    async def published_in_order() -> None:
        versions = [event.value["version"] for event in await shop.events()]
        assert versions == list(range(1, 21))

    await eventually(published_in_order)


async def test_fifty_buyers_of_ten_units_ten_win(shop: Shop) -> None:
    await shop.stock("headphones", 10)

    async def buys(buyer: Buyer) -> int:
        return await buyer.status(await buyer.add())

    statuses = await asyncio.gather(*(buys(shop.buyer()) for _ in range(50)))
    assert sorted(statuses) == [200] * 40 + [201] * 10
    assert await shop.units("headphones") == (0, 10, 0)
    await shop.assert_consistent()
