"""Checkout: a cart is frozen with its units held until it is ordered, cancelled or timed out."""

from typing import Any
from uuid import uuid4

import pytest

from models.events import CART_CHECKED_OUT, CART_CHECKOUT_EXPIRED, CART_CLEARED
from tests.integration.test_orders import add_until_done, consumed, events_of, sold, with_headphones
from tests.support.carts import end_checkout, forget_holds
from tests.support.events import OtherServices
from tests.support.shop import Buyer, Event, Shop
from tests.support.waiting import eventually


async def checked_out(shop: Shop, quantity: int = 2) -> tuple[Buyer, str, str]:
    """A buyer with headphones, of a stock of ten, in a frozen cart; its id, and the checkout's."""
    buyer, cart_id = await with_headphones(shop, quantity)
    answer = await buyer.check_out()
    assert answer.status_code == 201, answer.text
    return buyer, cart_id, answer.json()["checkoutId"]


async def thawed(buyer: Buyer) -> None:
    """The cart is there, and is not frozen."""
    cart = await buyer.cart()
    assert cart is not None
    assert cart.checkout is None


async def changes(buyer: Buyer, cart_id: str) -> list[Any]:
    """Every change of a cart with headphones, as its user can ask for it."""
    return [
        await buyer.add(),
        await buyer.update(cart_id, "headphones", 1),
        await buyer.remove(cart_id, "headphones"),
        await buyer.extend(cart_id),
        await buyer.check_out(),
        await buyer.clear(),
    ]


async def test_a_checkout_answers_what_was_frozen(shop: Shop) -> None:
    buyer, cart_id = await with_headphones(shop, 3)
    answer = await buyer.check_out(key="buy-1")
    assert answer.status_code == 201
    body = answer.json()
    assert list(body) == [
        *("checkoutId", "cartItems", "quantity", "totalPrice", "currency", "version", "expiresAt")
    ]
    shown = (await buyer.get()).json()
    assert body["cartItems"] == shown["cartItems"]
    assert (body["quantity"], body["version"]) == (3, shown["version"])
    assert shown["checkout"] == {"checkoutId": body["checkoutId"], "expiresAt": body["expiresAt"]}
    again = await buyer.check_out(key="buy-1")
    assert (again.status_code, again.content) == (201, answer.content)

    async def published() -> Event:
        [event] = await events_of(shop, CART_CHECKED_OUT)
        return event

    event = await eventually(published)
    assert (event.key, event.value["checkoutId"]) == (cart_id, body["checkoutId"])
    assert event.value["items"] == [
        {
            "productId": "headphones",
            "quantity": 3,
            "productPrice": 79.99,
            "priceSource": "client",
        }
    ]


async def test_a_frozen_cart_does_not_change(shop: Shop) -> None:
    buyer, cart_id, _ = await checked_out(shop)
    before = await buyer.cart()
    answers = await changes(buyer, cart_id)
    assert [one.status_code for one in answers] == [409] * len(answers)
    assert {one.json()["code"] for one in answers} == {"cart_checked_out"}
    assert await buyer.cart() == before

    async def consistent() -> None:
        await shop.assert_consistent()

    await eventually(consistent)


async def test_a_cancelled_checkout_leaves_the_cart_as_it_was(shop: Shop) -> None:
    buyer, cart_id, checkout_id = await checked_out(shop)
    answer = await buyer.cancel_checkout()
    assert answer.status_code == 200
    assert "checkout" not in answer.json()
    assert answer.json()["quantity"] == 2
    assert (await buyer.cancel_checkout()).json()["code"] == "checkout_not_found"
    assert (await buyer.update(cart_id, "headphones", 1)).status_code == 200

    async def published() -> Event:
        [event] = await events_of(shop, CART_CHECKOUT_EXPIRED)
        return event

    event = await eventually(published)
    assert (event.value["checkoutId"], event.value["reason"]) == (checkout_id, "user")


async def test_an_empty_cart_cannot_be_checked_out(shop: Shop) -> None:
    buyer, cart_id = await with_headphones(shop)
    assert (await shop.buyer().check_out()).status_code == 404
    await buyer.remove(cart_id, "headphones")
    answer = await buyer.check_out()
    assert (answer.status_code, answer.json()["code"]) == (409, "cart_empty")


async def test_a_checkout_of_another_version_is_refused(shop: Shop) -> None:
    buyer, _ = await with_headphones(shop)
    assert (await buyer.check_out(**{"If-Match": '"7"'})).status_code == 412
    assert (await buyer.check_out(**{"If-Match": '"1"'})).status_code == 201


async def test_units_that_cannot_be_had_are_named_and_nothing_changes(shop: Shop) -> None:
    buyer, _ = await with_headphones(shop, 3)
    await shop.stock("lamp", 1)
    await add_until_done(buyer, "lamp")
    await forget_holds(shop)
    await shop.stock("headphones", 2)
    before = await buyer.cart()
    answer = await buyer.check_out()
    assert (answer.status_code, answer.json()["code"]) == (409, "insufficient_stock")
    assert answer.json()["lines"] == [{"productId": "headphones", "wanted": 3, "available": 2}]
    assert await buyer.cart() == before

    async def nothing_held() -> None:
        assert await shop.holds() == {}

    await eventually(nothing_held)


async def test_a_checkout_reserves_what_is_not_held(shop: Shop) -> None:
    buyer, _ = await with_headphones(shop, 3)
    await forget_holds(shop)
    assert (await buyer.check_out()).status_code == 201
    assert await shop.units("headphones") == (7, 3, 0)


async def test_an_order_books_exactly_the_frozen_units(shop: Shop, others: OtherServices) -> None:
    """Whatever its items are."""
    buyer, cart_id, checkout_id = await checked_out(shop, 3)
    items = [{"productId": "headphones", "quantity": 1}]
    order_id = await others.order(buyer, cart_id, checkoutId=checkout_id, items=items)
    await eventually(lambda: sold(shop, 3))
    assert await buyer.cart() is None
    for _ in range(2):
        await others.order(buyer, cart_id, order_id, checkoutId=checkout_id, items=items)
    await consumed(shop, others, order_id, cart_id)
    assert await shop.units("headphones") == (7, 0, 3)
    assert len(await events_of(shop, CART_CLEARED)) == 2  # with that of `consumed`


async def test_after_a_failed_payment_the_cart_can_be_changed_and_the_order_has_no_effect(
    shop: Shop, others: OtherServices
) -> None:
    buyer, cart_id, checkout_id = await checked_out(shop)
    await others.cancel(buyer, cart_id, "order-1", checkoutId=checkout_id)
    await eventually(lambda: thawed(buyer))
    assert (await buyer.add()).status_code == 201
    await others.order(buyer, cart_id, "order-1", checkoutId=checkout_id)
    await consumed(shop, others, "order-1", cart_id)
    assert await shop.units("headphones") == (7, 3, 0)
    [event] = await events_of(shop, CART_CHECKOUT_EXPIRED)
    assert (event.value["reason"], event.value["orderId"]) == ("order_cancelled", "order-1")


async def test_a_cancelled_order_gives_its_units_back_once(
    shop: Shop, others: OtherServices
) -> None:
    buyer, cart_id, checkout_id = await checked_out(shop)
    other, other_cart, other_checkout = buyer, cart_id, checkout_id
    order_id = await others.order(buyer, cart_id, checkoutId=checkout_id)
    await eventually(lambda: sold(shop, 2))
    other = shop.buyer()
    other_cart = (await other.add(quantity=3)).json()["_id"]
    other_checkout = (await other.check_out()).json()["checkoutId"]
    await others.order(other, other_cart, checkoutId=other_checkout)
    await eventually(lambda: sold(shop, 5))
    for _ in range(2):
        await others.cancel(buyer, cart_id, order_id, checkoutId=checkout_id)
    await eventually(lambda: sold(shop, 3))
    await consumed(shop, others, order_id, cart_id)
    assert await shop.units("headphones") == (7, 0, 3)


@pytest.mark.parametrize("end", ["cancelled", "timed out"])
async def test_a_late_payment_books_the_units_of_its_checkout_and_no_later_ones(
    shop: Shop, others: OtherServices, end: str
) -> None:
    buyer, cart_id, checkout_id = await checked_out(shop)
    if end == "cancelled":
        await buyer.cancel_checkout()
    else:
        await end_checkout(shop, buyer.user_id)
    await eventually(lambda: thawed(buyer), timeout=60)
    await add_until_done(buyer, "headphones", 3)
    await others.order(buyer, cart_id, checkoutId=checkout_id)
    await eventually(lambda: sold(shop, 2))
    cart = await buyer.cart()
    assert cart is not None
    assert cart.units == {"headphones": 3}
    assert await shop.units("headphones") == (5, 3, 2)


async def test_a_late_payment_leaves_a_cart_alone_that_is_checked_out_again(
    shop: Shop, others: OtherServices
) -> None:
    """Both orders have their units."""
    buyer, cart_id, first = await checked_out(shop)
    await buyer.cancel_checkout()
    second = (await buyer.check_out()).json()["checkoutId"]
    before = await buyer.cart()
    await others.order(buyer, cart_id, checkoutId=first)
    await eventually(lambda: sold(shop, 2))
    assert await buyer.cart() == before
    assert await shop.units("headphones") == (6, 2, 2)
    await others.order(buyer, cart_id, checkoutId=second)
    await eventually(lambda: sold(shop, 4))
    assert await shop.units("headphones") == (6, 0, 4)


async def test_an_order_of_a_checkout_that_never_was_is_parked(
    shop: Shop, others: OtherServices
) -> None:
    buyer, cart_id, _ = await checked_out(shop)
    await others.order(buyer, cart_id, checkoutId=uuid4().hex)

    async def parked() -> None:
        assert [one.error for one in await others.letters(cart_id)] == ["checkout_not_found"]

    await eventually(parked)
    assert await shop.units("headphones") == (8, 2, 0)
