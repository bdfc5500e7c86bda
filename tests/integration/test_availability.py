"""`cart.item.out_of_stock` and `inventory.item.back_in_stock`, from Kafka to the cart."""

import time
from typing import Any

import pytest

from models.events import CART_ITEM_OUT_OF_STOCK, INVENTORY_BACK_IN_STOCK
from tests.support.events import OtherServices
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually


def milliseconds() -> int:
    return round(time.time() * 1000)


async def shown(buyer: Buyer, product_id: str = "headphones") -> tuple[str, str | None]:
    """Availability status and reason of a line in the API."""
    [line] = [x for x in (await buyer.get()).json()["cartItems"] if x["productId"] == product_id]
    return line["availabilityStatus"], line["unavailabilityReason"]


async def is_shown(buyer: Buyer, *expected: str | None, product_id: str = "headphones") -> None:
    async def expected_is_shown() -> None:
        assert await shown(buyer, product_id) == expected

    await eventually(expected_is_shown)


@pytest.fixture
async def buyer(shop: Shop) -> Buyer:
    """A buyer with two headphones and a lamp."""
    await shop.stock("headphones", 10)
    await shop.stock("lamp", 10)
    buyer = shop.buyer()
    for product_id, quantity in (("headphones", 2), ("lamp", 1)):
        assert (await buyer.add(product_id, quantity)).status_code == 201
    return buyer


async def documented_event(buyer: Buyer, others: OtherServices, **more: Any) -> None:
    cart = (await buyer.get()).json()
    body = {
        "cartId": cart["_id"],
        "unavailableItems": [{"productId": "headphones", "reason": "Discontinued"}],
        "sagaId": "inventory-check-123",
    }
    await others.send(CART_ITEM_OUT_OF_STOCK, body | more, key=cart["_id"])


async def test_a_line_gets_status_and_reason_and_stays_in_the_cart(
    buyer: Buyer, others: OtherServices
) -> None:
    before = (await buyer.get()).json()
    await documented_event(buyer, others)
    await is_shown(buyer, "out_of_stock", "Discontinued")
    after = (await buyer.get()).json()
    assert (after["quantity"], after["totalPrice"]) == (before["quantity"], before["totalPrice"])
    assert await shown(buyer, "lamp") == ("available", None)
    assert after["expireAt"] == before["expireAt"]
    assert await buyer.shop.units("headphones") == (8, 2, 0)


async def test_stock_news_raise_the_version_so_that_caches_are_invalid(
    buyer: Buyer, others: OtherServices
) -> None:
    before = await buyer.get()  # cached now
    await documented_event(buyer, others)
    await is_shown(buyer, "out_of_stock", "Discontinued")
    after = await buyer.get()
    assert after.json()["version"] == before.json()["version"] + 1
    assert after.headers["ETag"] != before.headers["ETag"]
    published = [event.value["version"] for event in await buyer.shop.events()]
    assert after.json()["version"] not in published  # events report changes of units only


async def test_a_repeated_event_marks_nothing(buyer: Buyer, others: OtherServices) -> None:
    for _ in range(2):
        await documented_event(buyer, others, eventId="event-1")
    await is_shown(buyer, "out_of_stock", "Discontinued")
    await others.back_in_stock(buyer.shop, "headphones")
    await is_shown(buyer, "available", None)
    await documented_event(buyer, others, eventId="event-1")
    await documented_event(
        buyer, others, eventId="event-2", unavailableItems=[{"productId": "lamp"}]
    )
    await is_shown(buyer, "out_of_stock", "Out of stock", product_id="lamp")
    assert await shown(buyer) == ("available", None)


async def test_a_product_is_marked_in_all_carts_that_have_it(
    buyer: Buyer, others: OtherServices
) -> None:
    shop, another, without = buyer.shop, buyer.shop.buyer(), buyer.shop.buyer()
    await another.add("headphones", 1)
    before = (await without.add("lamp", 1)).json()
    await others.out_of_stock(shop, "headphones", reason="Recalled")
    for each in (buyer, another):
        await is_shown(each, "out_of_stock", "Recalled")
    assert (await without.get()).json() == before
    await others.back_in_stock(shop, "headphones")
    for each in (buyer, another):
        await is_shown(each, "available", None)


async def test_an_event_without_a_store_marks_the_product_in_all_stores(
    world: Any, others: OtherServices
) -> None:
    shops = [Shop(world), Shop(world)]
    product_id = f"product-{milliseconds()}"
    buyers = [shop.buyer() for shop in shops]
    for shop, each in zip(shops, buyers, strict=True):
        await shop.stock(product_id, 1)
        assert (await each.add(product_id)).status_code == 201
    await others.send(CART_ITEM_OUT_OF_STOCK, {"productId": product_id})
    for each in buyers:
        await is_shown(each, "out_of_stock", "Out of stock", product_id=product_id)


async def test_a_line_is_available_again_after_the_next_successful_reserve(
    buyer: Buyer, others: OtherServices
) -> None:
    await documented_event(buyer, others)
    await is_shown(buyer, "out_of_stock", "Discontinued")
    assert (await buyer.add("headphones", 1)).status_code == 201
    assert await shown(buyer) == ("available", None)
    await documented_event(buyer, others)
    await is_shown(buyer, "out_of_stock", "Discontinued")
    cart = (await buyer.get()).json()
    url = f"/api/v1/cart/{cart['_id']}"

    async def set_to(quantity: int) -> None:
        body = {"productId": "headphones", "quantity": quantity}
        answer = await buyer.shop.world.http.put(url, json=body, headers=buyer.headers)
        assert answer.status_code == 200

    await set_to(1)  # this reserves nothing
    assert await shown(buyer) == ("out_of_stock", "Discontinued")
    await set_to(4)
    assert await shown(buyer) == ("available", None)


async def test_an_older_event_does_not_replace_a_newer_one(
    buyer: Buyer, others: OtherServices
) -> None:
    shop = buyer.shop
    now = milliseconds()
    await others.send(
        INVENTORY_BACK_IN_STOCK,
        {"productId": "headphones", "storeId": shop.store_id},
        timestamp=now + 2_000,
    )

    async def applied() -> None:
        cart = await buyer.cart()
        assert cart is not None
        line = cart.line("headphones")
        assert line is not None
        assert line.availability_at is not None

    await eventually(applied)
    await others.send(
        CART_ITEM_OUT_OF_STOCK,
        {"productId": "headphones", "storeId": shop.store_id},
        timestamp=now + 1_000,
    )
    await others.out_of_stock(shop, "lamp")  # processed after both
    await is_shown(buyer, "out_of_stock", "Out of stock", product_id="lamp")
    assert await shown(buyer) == ("available", None)


async def test_an_event_older_than_the_line_does_not_mark_it(
    shop: Shop, others: OtherServices
) -> None:
    earlier = milliseconds() - 60_000
    await shop.stock("headphones", 10)
    await shop.stock("lamp", 10)
    buyer = shop.buyer()
    await buyer.add("headphones")
    await buyer.add("lamp")
    body = {"productId": "headphones", "storeId": shop.store_id}
    await others.send(CART_ITEM_OUT_OF_STOCK, body, timestamp=earlier)
    await others.out_of_stock(shop, "lamp")
    await is_shown(buyer, "out_of_stock", "Out of stock", product_id="lamp")
    assert await shown(buyer) == ("available", None)


async def test_an_event_of_an_unknown_cart_is_ignored(buyer: Buyer, others: OtherServices) -> None:
    unknown = "0123456789abcdef01234567"
    body = {"cartId": unknown, "unavailableItems": [{"productId": "headphones"}]}
    await others.send(CART_ITEM_OUT_OF_STOCK, body, key=unknown)
    await documented_event(buyer, others)
    await is_shown(buyer, "out_of_stock", "Discontinued")
    assert await others.letters(unknown) == []
