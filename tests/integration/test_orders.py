"""`order.completed`: each rule of the contract, from Kafka to all that is stored."""

import asyncio
import json
from typing import Any
from uuid import uuid4

from dev.stack.stack import Stack
from models.documents import Cart
from models.events import CART_CLEARED, CART_ITEM_REMOVED, CART_ITEM_UPDATED, ORDER_COMPLETED
from models.operations import ApplyOrder
from tests.support.events import OtherServices
from tests.support.shop import Buyer, Event, Shop
from tests.support.waiting import eventually


async def with_headphones(shop: Shop, quantity: int = 2) -> tuple[Buyer, str]:
    """A buyer with headphones, of a stock of ten, and the cart's id."""
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    added = await buyer.add(quantity=quantity)
    assert added.status_code == 201
    return buyer, added.json()["_id"]


async def events_of(shop: Shop, *topics: str) -> list[Event]:
    return [event for event in await shop.events() if event.topic in topics]


async def consumed(shop: Shop, others: OtherServices, order_id: str, cart_id: str) -> None:
    """Waits until all events sent for this cart are consumed, and no effect is pending."""
    buyer = shop.buyer()
    await shop.stock("marker", 10)
    marker = (await buyer.add("marker")).json()
    await others.send(
        ORDER_COMPLETED,
        {
            "cartId": marker["_id"],
            "userId": buyer.user_id,
            "storeId": shop.store_id,
            "orderId": f"after-{order_id}",
        },
        key=cart_id,
    )

    async def cleared() -> None:
        assert await buyer.cart() is None
        assert not any(record.pending for record in await shop.records())

    await eventually(cleared)


async def add_until_done(buyer: Buyer, product_id: str, quantity: int = 1) -> dict[str, Any]:
    """Adds with one key until the reply is 201; the cart."""
    key = uuid4().hex

    async def done() -> dict[str, Any]:
        answer = await buyer.add(product_id, quantity, key=key)
        assert answer.status_code == 201
        body: dict[str, Any] = answer.json()
        return body

    return await eventually(done, timeout=60, interval=0.2)


async def cart_is_gone(buyer: Buyer) -> None:
    assert await buyer.cart() is None


async def sold(shop: Shop, units: int, product_id: str = "headphones") -> None:
    assert (await shop.units(product_id))[2] == units


async def test_an_order_releases_all_reservations_as_sold_and_deletes_the_cart(
    shop: Shop, others: OtherServices
) -> None:
    buyer, cart_id = await with_headphones(shop, 3)
    await others.order(buyer, cart_id)
    await eventually(lambda: cart_is_gone(buyer))
    await eventually(lambda: sold(shop, 3))
    assert await shop.units("headphones") == (7, 0, 3)
    assert (await buyer.get()).status_code == 404
    await shop.assert_consistent()


async def test_the_holds_of_an_order_are_released_with_its_id(
    shop: Shop, others: OtherServices
) -> None:
    buyer, cart_id = await with_headphones(shop)
    order_id = await others.order(buyer, cart_id)
    await eventually(lambda: sold(shop, 2))
    releases = [e for r in await shop.records() for e in r.effects if e.kind == "release"]
    assert [(one.reason, one.order_id) for one in releases] == [("order_completed", order_id)]


async def test_cart_cleared_is_published_with_its_reason(shop: Shop, others: OtherServices) -> None:
    buyer, cart_id = await with_headphones(shop)
    order_id = await others.order(buyer, cart_id)

    async def published() -> Event:
        [event] = await events_of(shop, CART_CLEARED)
        return event

    event = await eventually(published)
    assert event.key == cart_id
    assert event.value["reason"] == "order_completed"
    assert event.value["orderId"] == order_id
    assert event.value["items"] == [{"productId": "headphones", "quantity": 2}]


async def test_a_completed_order_is_logged(shop: Shop, stack: Stack, others: OtherServices) -> None:
    buyer, cart_id = await with_headphones(shop)
    order_id = await others.order(buyer, cart_id)

    async def logged() -> dict[str, str]:
        lines = stack.process("consumer").output().splitlines()
        found = [json.loads(line) for line in lines if order_id in line]
        assert found
        line: dict[str, str] = found[0]
        return line

    line = await eventually(logged)
    names = ("level", "message", "event", "userId", "storeId", "cartId", "reason")
    assert [line[name] for name in names] == [
        "info",
        "Cart cleared",
        "cart_cleared",
        buyer.user_id,
        shop.store_id,
        cart_id,
        "order_completed",
    ]
    assert line["sagaId"].startswith("cart-")
    assert line["sagaId"].endswith(f"-{buyer.user_id}-{ApplyOrder.name}")


async def test_a_repeated_order_takes_its_units_once(shop: Shop, others: OtherServices) -> None:
    buyer, cart_id = await with_headphones(shop, 3)
    item = [{"productId": "headphones", "quantity": 1}]
    order_id = await others.order(buyer, cart_id, items=item)
    for _ in range(3):
        await others.order(buyer, cart_id, order_id, items=item)
    await consumed(shop, others, order_id, cart_id)
    assert await shop.units("headphones") == (7, 2, 1)
    cart = await buyer.cart()
    assert cart is not None
    assert (cart.quantity, cart.version) == (2, 2)


async def test_an_order_of_an_earlier_cart_does_not_change_the_next_one(
    shop: Shop, others: OtherServices
) -> None:
    buyer, cart_id = await with_headphones(shop)
    order_id = await others.order(buyer, cart_id)
    await eventually(lambda: cart_is_gone(buyer))
    assert (await buyer.add(quantity=1)).status_code == 201
    await others.order(buyer, cart_id, order_id)
    await others.order(buyer, cart_id)
    await consumed(shop, others, order_id, cart_id)
    cart = await buyer.cart()
    assert cart is not None
    assert cart.quantity == 1
    assert await others.letters(cart_id) == []


async def test_lines_added_after_the_order_stay(shop: Shop, others: OtherServices) -> None:
    buyer, cart_id = await with_headphones(shop)
    await shop.stock("lamp", 10)
    assert (await buyer.add("lamp", 1)).json()["version"] == 2
    assert (await buyer.add(quantity=3)).json()["version"] == 3
    await others.order(buyer, cart_id, cartVersion=1)
    await eventually(lambda: sold(shop, 2))
    cart = await buyer.cart()
    assert cart is not None
    lines = {line.product_id: line.product_quantity for line in cart.cart_items}
    assert lines == {"headphones": 3, "lamp": 1}
    assert str(cart.id) == cart_id
    await shop.assert_consistent()


async def test_a_partial_order_takes_its_units_and_leaves_the_rest(
    shop: Shop, others: OtherServices
) -> None:
    buyer, cart_id = await with_headphones(shop, 3)
    await shop.stock("lamp", 10)
    await buyer.add("lamp", 2)
    order_id = await others.order(
        buyer,
        cart_id,
        items=[{"productId": "headphones", "quantity": 2}, {"productId": "lamp"}],
    )
    await eventually(lambda: sold(shop, 2))
    await eventually(lambda: sold(shop, 2, "lamp"))

    async def published() -> list[Event]:
        events = await events_of(shop, CART_ITEM_UPDATED, CART_ITEM_REMOVED)
        assert len(events) == 2
        return events

    changes = await eventually(published)
    assert {event.topic for event in changes} == {CART_ITEM_UPDATED, CART_ITEM_REMOVED}
    for event in changes:
        assert (event.value["reason"], event.value["orderId"]) == ("order_completed", order_id)
        assert event.value["version"] == 3
        if event.topic == CART_ITEM_UPDATED:
            assert (event.value["previousQuantity"], event.value["quantity"]) == (3, 1)
        else:
            assert (event.value["productId"], event.value["quantity"]) == ("lamp", 2)
    assert await events_of(shop, CART_CLEARED) == []
    # The figures count it as a conversion (docs/upkeep.md).
    reasons = [record.reason for record in await shop.records()]
    assert reasons.count("order_completed") == 1
    await shop.assert_consistent()


async def test_an_order_of_another_user_or_store_becomes_a_dead_letter(
    shop: Shop, others: OtherServices
) -> None:
    buyer, cart_id = await with_headphones(shop)
    await others.order(buyer, cart_id, userId="another-user")
    await others.order(buyer, cart_id, storeId="another-store")

    async def parked() -> None:
        assert [one.error for one in await others.letters(cart_id)] == ["wrong_owner"] * 2

    await eventually(parked)
    assert await shop.units("headphones") == (8, 2, 0)
    assert await buyer.cart() is not None


async def test_a_different_order_with_a_used_id_becomes_a_dead_letter(
    shop: Shop, others: OtherServices
) -> None:
    buyer, cart_id = await with_headphones(shop, 3)
    order_id = await others.order(
        buyer, cart_id, items=[{"productId": "headphones", "quantity": 1}]
    )
    await eventually(lambda: sold(shop, 1))
    await others.order(buyer, cart_id, order_id, items=[{"productId": "headphones"}])

    async def parked() -> None:
        letters = await others.letters(cart_id)
        assert [one.error for one in letters] == ["idempotency_key_reused"]

    await eventually(parked)
    assert await shop.units("headphones") == (7, 2, 1)


async def test_adds_during_orders_are_kept(shop: Shop, others: OtherServices) -> None:
    await shop.stock("headphones", 1000)
    await shop.stock("lamp", 1000)
    buyers = [shop.buyer() for _ in range(8)]

    async def shopping(buyer: Buyer) -> None:
        body = await add_until_done(buyer, "headphones", 2)
        await asyncio.gather(
            others.order(buyer, body["_id"], cartVersion=body["version"]),
            *(add_until_done(buyer, "lamp") for _ in range(3)),
        )

    await asyncio.gather(*(shopping(buyer) for buyer in buyers))
    await eventually(lambda: sold(shop, 16), timeout=30)
    assert await shop.units("lamp") == (976, 24, 0)
    await eventually(shop.assert_consistent)
    carts = await Cart.find({"storeId": shop.store_id}).to_list()
    assert [[line.product_id for line in cart.cart_items] for cart in carts] == [["lamp"]] * 8
