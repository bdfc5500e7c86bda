"""Batches over HTTP: one answer, one version, one effect."""

from typing import Any
from uuid import uuid4

import httpx

from tests.support.shop import PRICE, Buyer, Shop
from tests.support.waiting import eventually


def adding(product_id: str, quantity: int) -> dict[str, Any]:
    return {
        "op": "add",
        "productId": product_id,
        "productTitle": product_id.title(),
        "productPrice": PRICE,
        "quantity": quantity,
    }


async def send(
    buyer: Buyer, *operations: dict[str, Any], headers: dict[str, str] | None = None, **more: Any
) -> httpx.Response:
    return await buyer.shop.world.http.post(
        f"{buyer.path}/batch",
        json={"operations": operations, **more},
        headers=buyer.headers | (headers or {}),
    )


async def stocked(shop: Shop, **units: int) -> None:
    for product, available in units.items():
        await shop.stock(product, available)


async def test_a_batch_creates_the_cart_and_changes_it(shop: Shop) -> None:
    await stocked(shop, lamp=10, pen=10, mug=10)
    buyer = shop.buyer()
    created = await send(buyer, adding("lamp", 2), adding("pen", 1))
    assert created.status_code == 201, created.text
    cart = created.json()
    assert (cart["version"], cart["quantity"]) == (1, 3)
    assert created.headers["etag"] == f'"1-{cart["_id"]}"'
    changed = await send(
        buyer,
        adding("mug", 4),
        {"op": "set", "productId": "lamp", "quantity": 1},
        {"op": "remove", "productId": "pen"},
        headers={"If-Match": created.headers["etag"]},
    )
    assert changed.status_code == 200, changed.text
    units = {one["productId"]: one["productQuantity"] for one in changed.json()["cartItems"]}
    assert units == {"lamp": 1, "mug": 4}
    assert (await buyer.get()).json()["version"] == 2

    async def settled() -> None:
        await shop.assert_consistent()
        events = [(one.topic, one.value["productId"]) for one in await shop.events()]
        assert sorted(events) == [
            ("cart.item.added", "lamp"),
            ("cart.item.added", "mug"),
            ("cart.item.added", "pen"),
            ("cart.item.removed", "pen"),
            ("cart.item.updated", "lamp"),
        ]

    await eventually(settled)
    stale = await send(buyer, adding("mug", 1), headers={"If-Match": created.headers["etag"]})
    assert stale.status_code == 412


async def test_a_repeat_has_one_effect_and_the_same_answer(shop: Shop) -> None:
    await stocked(shop, lamp=10)
    buyer, key = shop.buyer(), {"Idempotency-Key": uuid4().hex}
    first = await send(buyer, adding("lamp", 2), headers=key)
    again = await send(buyer, adding("lamp", 2), headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert await shop.units("lamp") == (8, 2, 0)
    other = await send(buyer, adding("lamp", 3), headers=key)
    assert other.status_code == 422


async def test_all_or_nothing_names_what_is_missing(shop: Shop) -> None:
    await stocked(shop, lamp=10, pen=1)
    buyer = shop.buyer()
    answer = await send(buyer, adding("lamp", 2), adding("pen", 2), adding("mug", 1))
    assert answer.status_code == 409
    assert answer.json()["code"] == "insufficient_stock"
    assert answer.json()["lines"] == [
        {"productId": "mug", "wanted": 1, "available": 0},
        {"productId": "pen", "wanted": 2, "available": 1},
    ]
    assert (await buyer.get()).status_code == 404

    async def undone() -> None:
        assert await shop.holds() == {}

    await eventually(undone)


async def test_best_effort_has_an_outcome_for_each(shop: Shop) -> None:
    await stocked(shop, lamp=10, pen=1)
    buyer = shop.buyer()
    operations = (adding("lamp", 2), adding("pen", 2), {"op": "remove", "productId": "mug"})
    answer = await send(buyer, *operations, mode="best_effort")
    assert answer.status_code == 200, answer.text
    assert answer.json()["outcomes"] == [
        {"op": "add", "productId": "lamp", "status": "done"},
        {
            "op": "add",
            "productId": "pen",
            "status": "refused",
            "code": "insufficient_stock",
            "available": 1,
        },
        {"op": "remove", "productId": "mug", "status": "refused", "code": "item_not_found"},
    ]
    await shop.assert_consistent()


async def test_a_hundred_products_at_once(shop: Shop) -> None:
    products = [f"product-{number}" for number in range(100)]
    await stocked(shop, **dict.fromkeys(products, 5))
    buyer = shop.buyer()
    answer = await send(buyer, *(adding(product, 1) for product in products))
    assert await buyer.status(answer) == 201
    cart = await buyer.cart()
    assert cart is not None
    assert len(cart.cart_items) == 100
    await eventually(shop.assert_consistent)
