"""What shoppers get when the inventory answers as others do; the stored state afterwards."""

from typing import Any

import pytest

from tests.support.shop import Shop
from tests.support.waiting import eventually


async def answers(shop: Shop, action: str, status: int, body: str, **more: Any) -> None:
    """The inventory gives this answer to the next call of this shop."""
    more |= {"status": status, "body": body, "storeId": shop.store_id}
    await shop.fault(action, "answer", **more)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "no_available"), (201, "no_available"), (200, "empty"), (204, "empty")],
)
async def test_a_granted_reserve_needs_no_body(shop: Shop, status: int, body: str) -> None:
    await shop.stock("headphones", 10)
    await answers(shop, "reserve", status, body, effect=True)
    added = await shop.buyer().add(quantity=2)
    assert (added.status_code, added.json()["quantity"]) == (201, 2)
    await shop.assert_consistent()


async def test_a_reserve_without_success_is_not_sold(shop: Shop) -> None:
    await shop.stock("headphones", 1)
    await answers(shop, "reserve", 200, "success_false")
    buyer = shop.buyer()
    refused = await buyer.add(quantity=2)
    assert (refused.status_code, refused.json()) == (
        200,
        {
            "message": "Insufficient stock. Only 1 available.",
            "code": "insufficient_stock",
            "available": 1,
        },
    )
    assert await buyer.cart() is None
    [record] = await shop.records()
    assert (record.state, record.effects) == ("rejected", [])


async def test_a_number_that_nothing_tells_is_null(shop: Shop) -> None:
    await shop.stock("headphones", 1)
    await answers(shop, "reserve", 409, "html")
    await answers(shop, "check", 500, "html")
    refused = await shop.buyer().add(quantity=2)
    assert (refused.status_code, refused.json()) == (
        200,
        {"message": "Insufficient stock.", "code": "insufficient_stock", "available": None},
    )


@pytest.mark.parametrize("status", [400, 422])
async def test_a_product_that_is_not_accepted_is_refused_for_good(shop: Shop, status: int) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    assert (await buyer.add()).status_code == 201
    await answers(shop, "reserve", status, "problem", times=2)
    body = {"message": "This product cannot be reserved", "code": "product_not_accepted"}
    refused = await buyer.add()
    assert (refused.status_code, refused.json()) == (400, body)
    cart_id = (await buyer.get()).json()["_id"]
    refused = await shop.world.http.put(
        f"/api/v1/cart/{cart_id}",
        json={"productId": "headphones", "quantity": 5},
        headers=buyer.headers,
    )
    assert (refused.status_code, refused.json()) == (400, body)
    states = [(record.state, len(record.effects)) for record in await shop.records()]
    assert states == [("committed", 1), ("rejected", 0), ("rejected", 0)]
    await shop.assert_consistent()


@pytest.mark.parametrize(("status", "body"), [(204, "empty"), (200, "html"), (202, "problem")])
async def test_any_success_of_a_release_is_done(shop: Shop, status: int, body: str) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    await buyer.add(quantity=2)
    await answers(shop, "release", status, body, effect=True)
    assert (await buyer.clear()).status_code == 200

    async def done() -> None:
        assert not any(record.pending for record in await shop.records())

    await eventually(done)
    assert await shop.units("headphones") == (10, 0, 0)


@pytest.mark.parametrize("status", [404, 410])
async def test_a_release_of_what_the_inventory_does_not_know_is_done(
    shop: Shop, status: int
) -> None:
    buyer = shop.buyer()
    await shop.stock("headphones", 10)
    await buyer.add(quantity=2)
    await answers(shop, "release", status, "html", effect=True)
    assert (await buyer.clear()).status_code == 200

    async def done() -> None:
        assert not any(record.pending for record in await shop.records())

    await eventually(done)
    assert await shop.holds() == {}
