"""Orders whose units are not in the cart any more: booked all the same, or reported."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from dev.stack.stack import Stack
from models.events import CART_ORDER_APPLIED, ORDER_COMPLETED
from tests.integration.test_orders import consumed
from tests.support.events import OtherServices
from tests.support.metrics import scrape_port
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually

STOCK = 10
ORDERED = 3
UNKNOWN_CART = "507f1f77bcf86cd799439013"
ALL = [{"productId": "headphones", "quantity": ORDERED}]


async def filled(shop: Shop) -> tuple[Buyer, str]:
    """A buyer with three headphones of ten, and the cart's id."""
    await shop.stock("headphones", STOCK)
    buyer = shop.buyer()
    added = await buyer.add(quantity=ORDERED)
    assert added.status_code == 201
    return buyer, added.json()["_id"]


async def booked(shop: Shop, sold: int, held: int = 0, *, of: int = STOCK) -> None:
    """All that was ordered is sold, and nothing is left to do."""
    assert await shop.units("headphones") == (of - sold - held, held, sold)
    assert not any(record.pending for record in await shop.records())
    await shop.assert_consistent()


async def applied(shop: Shop, order_id: str, times: int = 1) -> list[list[dict[str, Any]]]:
    """The items of the events that report an order."""

    async def published() -> list[list[dict[str, Any]]]:
        events = [event for event in await shop.events() if event.topic == CART_ORDER_APPLIED]
        ours = {e.value["eventId"]: e.value for e in events if e.value["orderId"] == order_id}
        assert len(ours) == times
        return [value["items"] for value in ours.values()]

    return await eventually(published)


def item(ordered: int, booked: int, product_id: str = "headphones") -> dict[str, Any]:
    short = ordered - booked
    return {"productId": product_id, "ordered": ordered, "booked": booked, "short": short}


async def cleared(shop: Shop, buyer: Buyer, cart_id: str) -> None:
    assert (await buyer.clear()).status_code == 200


async def reduced(shop: Shop, buyer: Buyer, cart_id: str) -> None:
    assert (await buyer.update(cart_id, "headphones", 1)).status_code == 200


async def emptied(shop: Shop, buyer: Buyer, cart_id: str) -> None:
    assert (await buyer.remove(cart_id, "headphones")).status_code == 200


async def replaced(shop: Shop, buyer: Buyer, cart_id: str) -> None:
    await cleared(shop, buyer, cart_id)
    assert (await buyer.add(quantity=2)).json()["_id"] != cart_id


Meanwhile = Callable[[Shop, Buyer, str], Awaitable[None]]


@pytest.mark.parametrize(
    ("meanwhile", "order", "held"),
    [
        (cleared, {"items": ALL}, 0),
        (cleared, {"items": [{"productId": "headphones"}]}, 0),
        (cleared, {"cartVersion": 1}, 0),
        (cleared, {}, 0),
        (reduced, {"items": ALL}, 0),
        (reduced, {"cartVersion": 1}, 0),
        (emptied, {"items": ALL}, 0),
        (emptied, {}, 0),
        (replaced, {"items": ALL}, 2),
        (replaced, {}, 2),
    ],
)
async def test_units_that_left_the_cart_before_the_order_came_are_booked(
    shop: Shop,
    others: OtherServices,
    meanwhile: Meanwhile,
    order: dict[str, Any],
    held: int,
) -> None:
    buyer, cart_id = await filled(shop)
    await meanwhile(shop, buyer, cart_id)
    order_id = await others.order(buyer, cart_id, **order)
    await eventually(partial(booked, shop, ORDERED, held))
    assert await applied(shop, order_id) == [[item(ORDERED, ORDERED)]]
    for repeat in range(2):  # by a sender that gives each message another id
        body = {"userId": buyer.user_id, "storeId": shop.store_id, "orderId": order_id}
        await others.send(
            ORDER_COMPLETED,
            body | {"cartId": cart_id} | order,
            key=cart_id,
            headers={"ce_id": f"{order_id}-{repeat}"},
        )
    await consumed(shop, others, order_id, cart_id)
    await booked(shop, ORDERED, held)
    await applied(shop, order_id)
    assert await others.letters(cart_id) == []


async def test_an_order_of_an_unknown_cart_is_booked(shop: Shop, others: OtherServices) -> None:
    await shop.stock("headphones", STOCK)
    order_id = await others.order(shop.buyer(), UNKNOWN_CART, items=ALL)
    await eventually(partial(booked, shop, ORDERED))
    assert await applied(shop, order_id) == [[item(ORDERED, ORDERED)]]


async def test_items_that_the_cart_never_had_are_booked(shop: Shop, others: OtherServices) -> None:
    buyer, cart_id = await filled(shop)
    await shop.stock("lamp", 5)
    lamp = {"productId": "lamp", "quantity": 2}
    order_id = await others.order(buyer, cart_id, items=[lamp, {**ALL[0], "quantity": 1}])
    await eventually(partial(booked, shop, 1, 2))
    assert await shop.units("lamp") == (3, 0, 2)
    [items] = await applied(shop, order_id)
    assert items == [item(2, 2, "lamp"), item(1, 1)]


async def test_what_cannot_be_had_is_reported_and_booked_by_a_replay(
    shop: Shop, stack: Stack, others: OtherServices
) -> None:
    async def short_units() -> float:
        page = await scrape_port(stack.settings.consumer_metrics_port)
        return page("cart_order_units_short_total")

    before = await short_units()
    buyer, cart_id = await filled(shop)
    await cleared(shop, buyer, cart_id)
    await eventually(partial(booked, shop, 0))
    await shop.stock("headphones", 1)
    order_id = await others.order(buyer, cart_id, items=ALL)

    async def parked(times: int = 1) -> None:
        letters = await others.letters(cart_id)
        assert [one.error for one in letters] == ["order_shortfall"] * times

    await eventually(parked)
    [letter] = await others.letters(cart_id)
    assert "2 x headphones" in letter.detail
    assert order_id in letter.detail
    assert await short_units() == before + 2
    await eventually(partial(booked, shop, 1, of=1))
    assert await applied(shop, order_id) == [[item(3, 1)]]

    await others.order(buyer, cart_id, order_id, items=ALL)  # as `cart dlq replay` does
    await eventually(partial(parked, 2))
    await shop.stock("headphones", 1)
    await others.order(buyer, cart_id, order_id, items=ALL)
    await eventually(partial(parked, 3))
    await eventually(partial(booked, shop, 2, of=2))
    await shop.stock("headphones", 5)
    for _ in range(3):
        await others.order(buyer, cart_id, order_id, items=ALL)
    await eventually(partial(booked, shop, 3, of=7))
    await consumed(shop, others, order_id, cart_id)
    await booked(shop, 3, of=7)
    await parked(3)
    assert await applied(shop, order_id, 3) == [[item(3, 1)], [item(2, 1)], [item(1, 1)]]


async def test_an_order_of_which_nothing_is_known_is_reported(
    shop: Shop, others: OtherServices
) -> None:
    cart_id = f"{UNKNOWN_CART[:12]}{shop.store_id[-12:]}"
    await others.order(shop.buyer(), cart_id)

    async def parked() -> None:
        [letter] = await others.letters(cart_id)
        assert letter.error == "order_shortfall"
        assert "names no items" in letter.detail

    await eventually(parked)


async def test_an_order_waits_for_the_release_of_its_own_units(
    shop: Shop, others: OtherServices
) -> None:
    """All units of the shop are still held for the cart that was cleared."""
    buyer, cart_id = await filled(shop)
    await shop.stock("headphones", 0)
    await shop.fault("release", "error", times=2)
    assert (await buyer.clear()).status_code == 200
    await others.order(buyer, cart_id, items=ALL)
    await eventually(partial(booked, shop, ORDERED, of=ORDERED), timeout=30)
    assert await others.letters(cart_id) == []
