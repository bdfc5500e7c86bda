"""`cart.item.out_of_stock` and `inventory.item.back_in_stock`, from Kafka to the shopper's cart."""

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
    """Status and reason of a line, as the shopper's next poll shows them."""
    [line] = [x for x in (await buyer.get()).json()["cartItems"] if x["productId"] == product_id]
    return line["availabilityStatus"], line["unavailabilityReason"]


async def is_shown(buyer: Buyer, *expected: str | None, product_id: str = "headphones") -> None:
    async def so() -> None:
        assert await shown(buyer, product_id) == expected

    await eventually(so)


@pytest.fixture
async def buyer(shop: Shop) -> Buyer:
    """With two headphones and a lamp."""
    await shop.stock("headphones", 10)
    await shop.stock("lamp", 10)
    buyer = shop.buyer()
    for product_id, quantity in (("headphones", 2), ("lamp", 1)):
        assert (await buyer.add(product_id, quantity)).status_code == 201
    return buyer


async def the_seeds_event(buyer: Buyer, others: OtherServices, **more: Any) -> None:
    cart = (await buyer.get()).json()
    body = {
        "cartId": cart["_id"],
        "unavailableItems": [{"productId": "headphones", "reason": "Discontinued"}],
        "sagaId": "inventory-check-123",
    }
    await others.send(CART_ITEM_OUT_OF_STOCK, body | more, key=cart["_id"])


async def test_an_items_status_and_reason_are_set_and_nothing_is_removed(
    buyer: Buyer, others: OtherServices
) -> None:
    before = (await buyer.get()).json()
    await the_seeds_event(buyer, others)
    await is_shown(buyer, "out_of_stock", "Discontinued")
    after = (await buyer.get()).json()
    assert (after["quantity"], after["totalPrice"]) == (before["quantity"], before["totalPrice"])
    assert await shown(buyer, "lamp") == ("available", None)
    assert after["expireAt"] == before["expireAt"]
    assert await buyer.shop.units("headphones") == (8, 2, 0)


async def test_the_version_goes_up_so_that_no_cache_shows_the_old_cart(
    buyer: Buyer, others: OtherServices
) -> None:
    before = await buyer.get()  # cached now
    await the_seeds_event(buyer, others)
    await is_shown(buyer, "out_of_stock", "Discontinued")
    after = await buyer.get()
    assert after.json()["version"] == before.json()["version"] + 1
    assert after.headers["ETag"] != before.headers["ETag"]
    told = [event.value["version"] for event in await buyer.shop.events()]
    assert after.json()["version"] not in told  # consumers of ours learn of units, not of this


async def test_the_same_event_again_marks_nothing_again(
    buyer: Buyer, others: OtherServices
) -> None:
    for _ in range(2):
        await the_seeds_event(buyer, others, eventId="event-1")
    await is_shown(buyer, "out_of_stock", "Discontinued")
    await others.back_in_stock(buyer.shop, "headphones")
    await is_shown(buyer, "available", None)
    await the_seeds_event(buyer, others, eventId="event-1")
    await the_seeds_event(
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


async def test_where_only_the_product_is_known_all_stores_are_looked_through(
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


async def test_the_next_successful_reserve_makes_a_line_available(
    buyer: Buyer, others: OtherServices
) -> None:
    await the_seeds_event(buyer, others)
    await is_shown(buyer, "out_of_stock", "Discontinued")
    assert (await buyer.add("headphones", 1)).status_code == 201
    assert await shown(buyer) == ("available", None)
    await the_seeds_event(buyer, others)
    await is_shown(buyer, "out_of_stock", "Discontinued")
    cart = (await buyer.get()).json()
    url = f"/api/v1/cart/{cart['_id']}"

    async def set_to(quantity: int) -> None:
        body = {"productId": "headphones", "quantity": quantity}
        answer = await buyer.shop.world.http.put(url, json=body, headers=buyer.headers)
        assert answer.status_code == 200

    await set_to(1)  # nothing was reserved for that
    assert await shown(buyer) == ("out_of_stock", "Discontinued")
    await set_to(4)
    assert await shown(buyer) == ("available", None)


async def test_news_that_come_late_do_not_undo_what_is_newer(
    buyer: Buyer, others: OtherServices
) -> None:
    shop = buyer.shop
    now = milliseconds()
    await others.send(
        INVENTORY_BACK_IN_STOCK,
        {"productId": "headphones", "storeId": shop.store_id},
        timestamp=now + 2_000,
    )

    async def noted() -> None:
        cart = await buyer.cart()
        assert cart is not None
        line = cart.line("headphones")
        assert line is not None
        assert line.availability_at is not None

    await eventually(noted)
    await others.send(
        CART_ITEM_OUT_OF_STOCK,
        {"productId": "headphones", "storeId": shop.store_id},
        timestamp=now + 1_000,
    )
    await others.out_of_stock(shop, "lamp")  # it comes later than both
    await is_shown(buyer, "out_of_stock", "Out of stock", product_id="lamp")
    assert await shown(buyer) == ("available", None)


async def test_old_news_do_not_mark_a_cart_that_came_later(
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


async def test_an_unknown_cart_is_nothing_to_do(buyer: Buyer, others: OtherServices) -> None:
    nobodys = "0123456789abcdef01234567"
    body = {"cartId": nobodys, "unavailableItems": [{"productId": "headphones"}]}
    await others.send(CART_ITEM_OUT_OF_STOCK, body, key=nobodys)
    await the_seeds_event(buyer, others)
    await is_shown(buyer, "out_of_stock", "Discontinued")
    assert await others.letters(nobodys) == []
