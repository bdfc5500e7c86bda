"""A guest signs in: merges over HTTP, from tokens to events."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx

from models.documents import OperationRecord
from tests.support.carts import expire, plant_cart
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually


async def merge(
    buyer: Buyer, guest: Buyer, strategy: str = "sum", *, key: str | None = None
) -> httpx.Response:
    return await buyer.shop.world.http.post(
        f"{buyer.path}/merge",
        json={"guestToken": guest.token, "strategy": strategy},
        headers=buyer.headers | {"Idempotency-Key": key or uuid4().hex},
    )


def units(answer: httpx.Response) -> dict[str, int]:
    return {one["productId"]: one["productQuantity"] for one in answer.json()["cartItems"]}


async def settled(shop: Shop) -> None:
    async def quiet() -> None:
        await shop.assert_consistent()
        assert not any(record.pending for record in await shop.records())

    await eventually(quiet, timeout=30)


async def test_a_guest_signs_in(shop: Shop) -> None:
    """No unit is free, and none becomes free in between."""
    for product, available in (("lamp", 5), ("pen", 3)):
        await shop.stock(product, available)
    made: dict[str, Any] = (await shop.world.http.post("/api/v1/guests")).json()
    with_token = {"Authorization": f"Bearer {made['token']}"}
    buyer, other = shop.buyer(name="Ada Lovelace"), shop.buyer()
    await buyer.add("lamp", 2)
    for product, quantity in (("lamp", 3), ("pen", 3)):
        item = {"productTitle": "A", "productPrice": 1, "quantity": quantity}
        added = await shop.world.http.post(
            buyer.path, json=item | {"productId": product}, headers=with_token
        )
        assert added.status_code == 201
    assert (await other.add("lamp", 1)).json()["code"] == "insufficient_stock"
    answer = await shop.world.http.post(
        f"{buyer.path}/merge", json={"guestToken": made["token"]}, headers=buyer.headers
    )
    assert answer.status_code == 200, answer.text
    assert units(answer) == {"lamp": 5, "pen": 3}
    assert "notMerged" not in answer.json()
    assert answer.json()["fullName"] == "Ada Lovelace"
    assert (await buyer.get()).json()["version"] == 2
    assert (await shop.world.http.get(buyer.path, headers=with_token)).status_code == 404
    assert (await other.add("lamp", 1)).json()["available"] == 0
    await settled(shop)

    async def published() -> None:
        events = await shop.events()
        [merged] = [one for one in events if one.topic == "cart.merged"]
        assert merged.value["mergedInto"] == answer.json()["_id"]
        assert merged.value["actorType"] == "guest"
        assert buyer.user_id not in str(merged.value)
        # The guest's cart ends with it: it is the latest of its versions.
        of_guest = [one for one in events if one.key == merged.key]
        assert max(of_guest, key=lambda one: one.value["version"]).topic == "cart.merged"

    await eventually(published)


async def test_the_same_request_twice_at_once_has_one_effect(shop: Shop) -> None:
    await shop.stock("lamp", 5)
    buyer, guest, key = shop.buyer(), shop.guest(), uuid4().hex
    await guest.add("lamp", 3)
    answers = await asyncio.gather(*(merge(buyer, guest, key=key) for _ in range(3)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    again = await merge(buyer, guest, key=key)
    assert (again.status_code, units(again)) == (201, {"lamp": 3})
    other_key = await merge(buyer, guest)
    assert (other_key.status_code, units(other_key)) == (200, {"lamp": 3})
    assert other_key.json()["version"] == 1
    await settled(shop)
    of_guest = {"storeId": shop.store_id, "userId": guest.user_id, "state": "committed"}
    records = await OperationRecord.find(of_guest).sort("at").to_list()
    assert [one.operation for one in records] == ["AddItem", "MergeCart"]


async def test_two_users_and_one_guest(shop: Shop) -> None:
    await shop.stock("lamp", 5)
    guest, first, second = shop.guest(), shop.buyer(), shop.buyer()
    await guest.add("lamp", 5)
    answers = await asyncio.gather(merge(first, guest), merge(second, guest))
    assert 201 in {answer.status_code for answer in answers}
    assert [answer.status_code for answer in answers].count(201) == 1
    await settled(shop)
    assert sorted((await shop.holds()).values()) == [5]


async def test_a_guest_who_goes_on_shopping_while_the_cart_is_merged(shop: Shop) -> None:
    await shop.stock("lamp", 50)
    buyer, guest = shop.buyer(), shop.guest()
    await guest.add("lamp", 1)

    async def shopping() -> list[int]:
        return [(await guest.add("lamp", 1)).status_code for _ in range(6)]

    async def merging() -> list[int]:
        return [(await merge(buyer, guest)).status_code for _ in range(4)]

    added, merged = await asyncio.gather(shopping(), merging())
    assert {*added} <= {201, 503}
    assert {*merged} <= {200, 201, 503}
    await settled(shop)
    assert sum((await shop.holds()).values()) == 1 + added.count(201)


async def test_limits_are_named(shop: Shop) -> None:
    await shop.stock("lamp", 150)
    buyer, guest = shop.buyer(), shop.guest()
    await buyer.add("lamp", 60)
    await guest.add("lamp", 70)
    answer = await merge(buyer, guest)
    assert units(answer) == {"lamp": 100}
    assert answer.json()["notMerged"] == [
        {"productId": "lamp", "quantity": 30, "reason": "quantity_limit"}
    ]
    await settled(shop)
    assert await shop.units("lamp") == (50, 100, 0)


async def test_an_expired_cart_of_a_guest_is_merged_or_expires(shop: Shop) -> None:
    await shop.stock("lamp", 5)
    buyer, guest = shop.buyer(), shop.guest()
    await plant_cart(shop, guest.user_id, {"lamp": 2})
    await expire(shop, guest.user_id)
    answer = await merge(buyer, guest)
    assert answer.status_code in {201, 404}
    await settled(shop)


async def test_guests_cannot_merge_and_without_carts_there_is_none(shop: Shop) -> None:
    first, second = shop.guest(), shop.guest()
    assert (await merge(first, second)).status_code == 403
    answer = await merge(shop.buyer(), first)
    assert (answer.status_code, answer.json()["code"]) == (404, "cart_not_found")
