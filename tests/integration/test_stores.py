"""Stores with settings of their own, on the running stack."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx

from adapters.mongo.store_policies import FRESH_SECONDS
from adapters.mongo.store_settings import StoreSettingsStore
from models.store_settings import StoreSettings
from tests.support.commands import cart
from tests.support.shop import Shop
from tests.support.waiting import eventually


async def put(shop: Shop, body: dict[str, Any], **headers: str) -> httpx.Response:
    """Sets the store's settings as its admin."""
    admin = shop.buyer(role="admin", store=shop.store_id)
    url = f"/admin/stores/{shop.store_id}/settings"
    answer: httpx.Response = await shop.world.http.put(
        url, json=body, headers=admin.headers | headers
    )
    return answer


async def test_a_store_has_its_own_currency_and_limits(shop: Shop) -> None:
    other = Shop(shop.world)
    for one in (shop, other):
        await one.stock("lamp", 10)
    answer = await put(shop, {"currency": "EUR", "maxUnits": 3, "expiryDays": 2})
    assert answer.status_code == 200, answer.text
    added = (await shop.buyer().add("lamp", 3)).json()
    assert added["currency"] == "EUR"
    lasts = datetime.fromisoformat(added["expireAt"]) - datetime.fromisoformat(added["updatedAt"])
    assert lasts.days == 2
    refused = await shop.buyer().add("lamp", 4)
    assert (refused.status_code, refused.json()["details"][0]["code"]) == (400, "unit_limit")
    elsewhere = (await other.buyer().add("lamp", 4)).json()
    assert (elsewhere["currency"], elsewhere["quantity"]) == ("USD", 4)
    await shop.assert_consistent()
    await other.assert_consistent()


async def test_a_store_has_its_own_hold_time(shop: Shop) -> None:
    other = Shop(shop.world)
    for one in (shop, other):
        await one.stock("lamp", 10)
    await put(shop, {"holdMinutes": 0.5})
    added = (await shop.buyer().add("lamp", 3)).json()
    until = datetime.fromisoformat(added["cartItems"][0]["holdUntil"])
    assert (until - datetime.fromisoformat(added["updatedAt"])).total_seconds() == 30
    elsewhere = (await other.buyer().add("lamp", 3)).json()
    assert "holdUntil" not in elsewhere["cartItems"][0]


async def test_a_store_without_reservations_holds_nothing_and_nothing_is_repaired(
    shop: Shop,
) -> None:
    await shop.stock("lamp", 1)
    await put(shop, {"reservationPolicy": "none"})
    buyer = shop.buyer()
    added = await buyer.add("lamp", 5)
    assert (added.status_code, added.json()["quantity"]) == (201, 5)
    assert await shop.units("lamp") == (1, 0, 0)
    ran = await cart("reconcile", "--store", shop.store_id, "--fix", "--json")
    assert ran.code == 0, ran.output
    report = json.loads(ran.output[ran.output.index("{\n") :])
    assert (report["carts"], report["suspected"], report["findings"]) == (1, 0, [])
    assert (await buyer.remove(added.json()["_id"], "lamp")).status_code == 200
    assert await shop.units("lamp") == (1, 0, 0)


async def test_units_that_are_held_are_released_after_reservations_end(shop: Shop) -> None:
    await shop.stock("lamp", 5)
    buyer = shop.buyer()
    added = await buyer.add("lamp", 2)
    assert await shop.units("lamp") == (3, 2, 0)
    await put(shop, {"reservationPolicy": "none"})
    await buyer.remove(added.json()["_id"], "lamp")

    async def released() -> None:
        assert await shop.units("lamp") == (5, 0, 0)

    await eventually(released)


async def test_a_store_that_reserves_at_checkout_holds_units_only_for_it(shop: Shop) -> None:
    await shop.stock("lamp", 5)
    await put(shop, {"reservationPolicy": "checkout", "checkoutMinutes": 2})
    buyer, other = shop.buyer(), shop.buyer()
    for one in (buyer, other):
        assert (await one.add("lamp", 3)).status_code == 201
    assert await shop.units("lamp") == (5, 0, 0)
    checkout = f"{buyer.path}/checkout"
    begun = await shop.world.http.post(checkout, headers=buyer.headers)
    assert begun.status_code == 201, begun.text
    assert await shop.units("lamp") == (2, 3, 0)
    refused = await shop.world.http.post(checkout, headers=other.headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "insufficient_stock")
    assert await shop.units("lamp") == (2, 3, 0)
    ended = await shop.world.http.delete(checkout, headers=buyer.headers)
    assert ended.status_code == 200, ended.text

    async def released() -> None:
        assert await shop.units("lamp") == (5, 0, 0)

    await eventually(released)
    assert (await shop.world.http.post(checkout, headers=other.headers)).status_code == 201
    assert await shop.holds() == {(other.user_id, "lamp"): 3}


async def test_a_lost_hold_is_missed_only_where_units_are_reserved(shop: Shop) -> None:
    other = Shop(shop.world)
    buyer = other.buyer()
    for one in (shop, other):
        await one.stock("lamp", 5)
        await replace(buyer, shop=one).add("lamp", 2)
        await release(one, buyer.user_id, "lamp", 2)
    await put(shop, {"reservationPolicy": "none"})

    async def compared() -> None:
        found = await cart("reconcile", "--store", shop.store_id)
        assert (found.code, "missing_hold" in found.output) == (0, False), found.output

    await eventually(compared, timeout=6 * FRESH_SECONDS)
    assert "missing_hold" in (await cart("reconcile", "--store", other.store_id)).output


async def release(shop: Shop, user_id: str, product_id: str, units: int) -> None:
    """Releases a user's units at the inventory, as somebody else would."""
    body = {
        "storeId": shop.store_id,
        "productId": product_id,
        "quantity": units,
        "userId": user_id,
        "sagaId": f"another-{uuid4().hex}",
        "reason": "lost",
    }
    answer = await shop.world.inventory.post("/api/v1/inventories/release", json=body)
    assert answer.json()["released"] == units


async def test_the_command_changes_what_the_api_shows_and_obeys(shop: Shop) -> None:
    await shop.stock("lamp", 10)
    await put(shop, {"maxLines": 4})
    ran = await cart("stores", "set", shop.store_id, "maxQuantity=2", "maxLines=", "--json")
    assert ran.code == 0, ran.output
    assert (ran.json["settings"], ran.json["version"]) == ({"maxQuantity": 2}, 2)
    listed = (await cart("stores", "list", "--json")).json
    assert {"maxQuantity": 2} in [
        one["settings"] for one in listed if one["storeId"] == shop.store_id
    ]
    buyer = shop.buyer()

    async def refused() -> None:
        answer = await buyer.add("lamp", 3)
        assert answer.status_code == 400

    await eventually(refused, timeout=6 * FRESH_SECONDS)
    assert (await put(shop, {}, **{"If-Match": '"1"'})).status_code == 412
    assert (await put(shop, {}, **{"If-Match": '"2"'})).status_code == 200
    assert (await buyer.add("lamp", 3)).status_code == 201


async def test_of_two_changes_of_one_version_one_is_refused(shop: Shop) -> None:
    store = StoreSettingsStore()
    now = datetime.now(UTC)

    async def write(units: int, version: int | None) -> int | None:
        stored = await store.write(
            shop.store_id, StoreSettings(max_units=units), by="ada", at=now, version=version
        )
        return stored.version if stored else None

    assert await write(1, 3) is None
    assert await store.read(shop.store_id) is None
    assert await write(2, 0) == 1
    assert await write(3, 0) is None
    assert await write(4, 1) == 2
    assert await write(5, 1) is None
    assert await write(6, None) == 3
    found = await store.read(shop.store_id)
    assert found is not None
    assert (found.settings, found.version, found.by) == (StoreSettings(max_units=6), 3, "ada")
