"""`cart import` and `cart compare`: carts of the original service, as its MongoDB has them."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo.asynchronous.collection import AsyncCollection

from models.documents import Cart
from tests.support.carts import hold
from tests.support.commands import Ran, cart
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually

Carts = AsyncCollection[dict[str, Any]]


@pytest.fixture
async def original(shop: Shop) -> AsyncIterator[Carts]:
    """The original service's collection, in a database of its own on the same server."""
    client = shop.world.carts.client
    name = f"original-{shop.store_id}"
    yield client[name]["carts"]
    await client.drop_database(name)


def cart_of(shop: Shop, user: Any, *lines: tuple[str, int], **more: Any) -> dict[str, Any]:
    """A document as Mongoose stores it: doubles, `__v`, an image as one string."""
    now = datetime.now(UTC)
    return {
        "_id": ObjectId(),
        "__v": 0,
        "userId": user,
        "storeId": shop.store_id,
        "fullName": "John Doe",
        "quantity": sum(units for _, units in lines),
        "totalPrice": float(sum(units for _, units in lines)) * 79.99,
        "cartItems": [
            {
                "_id": ObjectId(),
                "productId": product,
                "productTitle": "Wireless Headphones",
                "productImage": "https://example.com/image.jpg",
                "productPrice": 79.99,
                "productQuantity": units,
                "availabilityStatus": "available",
                "reservedAt": now,
            }
            for product, units in lines
        ],
        "expireAt": now + timedelta(days=7),
        "version": 4,
        "createdAt": now,
        "updatedAt": now,
    } | more


async def imported(shop: Shop, original: Carts, *words: str) -> Ran:
    database = original.database.name
    uri = shop.world.settings.mongodb.get_secret_value().replace("/cart-service", f"/{database}")
    return await cart("import", "--from", uri, "--store", shop.store_id, *words)


async def report(shop: Shop, original: Carts, *words: str) -> dict[str, Any]:
    ran = await imported(shop, original, "--json", *words)
    found: dict[str, Any] = json.loads(ran.output[ran.output.index("{\n") :])
    return found | {"code": ran.code}


async def test_a_dry_run_changes_nothing(shop: Shop, original: Carts) -> None:
    await shop.stock("lamp", 5)
    await original.insert_one(cart_of(shop, ObjectId(), ("lamp", 2)))
    ran = await imported(shop, original)
    assert ran.code == 0, ran.output
    assert "1 carts read: 1 can be imported" in ran.output
    assert "Nothing was changed" in ran.output
    assert await Cart.find({"storeId": shop.store_id}).to_list() == []
    assert await shop.holds() == {}


async def test_carts_keep_what_clients_know_and_their_units_are_held(
    shop: Shop, original: Carts
) -> None:
    await shop.stock("lamp", 5)
    given = cart_of(shop, ObjectId(), ("lamp", 2))
    await original.insert_one(given)
    found = await report(shop, original, "--apply")
    assert (found["code"], found["imported"], found["differences"]) == (0, 1, {})
    buyer = Buyer(shop, str(given["userId"]), {})
    answer = await buyer.get()
    assert answer.status_code == 200
    body = answer.json()
    assert (body["_id"], body["version"], body["totalPrice"]) == (str(given["_id"]), 4, 159.98)
    assert body["cartItems"][0]["productImage"] == ["https://example.com/image.jpg"]
    assert await shop.holds() == {(buyer.user_id, "lamp"): 2}
    [record] = await shop.records()
    assert (record.operation, record.state, record.actor.type) == (
        "ImportCart",
        "committed",
        "operator",
    )
    # It is a cart like any other.
    assert (await buyer.update(body["_id"], "lamp", 3)).status_code == 200
    assert (await buyer.remove(body["_id"], "lamp")).status_code == 200
    await eventually(shop.assert_consistent)


async def test_a_repeat_imports_nothing_twice_and_revives_nothing(
    shop: Shop, original: Carts
) -> None:
    await shop.stock("lamp", 5)
    given = [cart_of(shop, ObjectId(), ("lamp", 1)) for _ in range(3)]
    await original.insert_many(given[:2])
    assert (await report(shop, original, "--apply"))["imported"] == 2
    assert (await Buyer(shop, str(given[0]["userId"]), {}).clear()).status_code == 200
    await original.insert_one(given[2])
    found = await report(shop, original, "--apply")
    assert (found["code"], found["imported"], found["already"]) == (0, 1, 2)
    owners = {one.user_id for one in await Cart.find({"storeId": shop.store_id}).to_list()}
    assert owners == {str(one["userId"]) for one in given[1:]}
    await eventually(shop.assert_consistent)


async def test_carts_have_the_settings_of_their_store(shop: Shop, original: Carts) -> None:
    late, short = Shop(shop.world), Shop(shop.world)
    await late.sets(currency="EUR", reservation_policy="checkout", max_units=2)
    await short.sets(currency="CHF", hold_minutes=30, expiry_days=2)
    shops = [shop, late, short]
    given = [cart_of(one, ObjectId(), ("lamp", 3)) for one in shops]
    for one, document in zip(shops, given, strict=True):
        await one.stock("lamp", 5)
        del document["expireAt"]
    await original.insert_many(given)
    began = datetime.now(UTC)
    found = [await report(one, original, "--apply") for one in shops]
    assert [one["imported"] for one in found] == [1, 1, 1]
    # Only one store has a limit, and it wants nothing held.
    assert [one["differences"] for one in found] == [{}, {"over_limit": 1}, {}]
    stored = [await Cart.get(document["_id"]) for document in given]
    assert [one and one.currency for one in stored] == ["USD", "EUR", "CHF"]
    assert [await one.units("lamp") for one in shops] == [(2, 3, 0), (5, 0, 0), (2, 3, 0)]
    assert [one and one.held_units for one in stored] == [{"lamp": 3}, {}, {"lamp": 3}]
    usual, _, held = stored
    assert usual is not None
    assert held is not None
    assert usual.holds_end is None
    assert held.holds_end is not None
    assert held.holds_end >= began + timedelta(minutes=30) - timedelta(milliseconds=1)
    assert held.cart_items[0].hold_until == held.holds_end
    assert (held.expire_at - began).days == 2
    for one in shops:
        await eventually(one.assert_consistent)


async def test_holds_that_the_inventory_has_are_taken_over(shop: Shop, original: Carts) -> None:
    await shop.stock("lamp", 5)
    user = ObjectId()
    await hold(shop, str(user), "lamp", 2, saga_id="original")
    await original.insert_one(cart_of(shop, user, ("lamp", 3)))
    found = await report(shop, original, "--apply")
    assert (found["code"], found["differences"]) == (0, {})
    assert await shop.holds() == {(str(user), "lamp"): 3}
    assert await shop.units("lamp") == (2, 3, 0)


async def test_units_that_cannot_be_had_stay_in_the_cart_and_are_named(
    shop: Shop, original: Carts
) -> None:
    await shop.stock("lamp", 1)
    await shop.stock("poster", 9)
    given = cart_of(shop, ObjectId(), ("lamp", 2), ("poster", 1))
    await original.insert_one(given)
    found = await report(shop, original, "--apply")
    assert (found["code"], found["imported"]) == (0, 1)
    assert found["differences"] == {"units_not_held": 1}
    assert found["examples"][0]["product_id"] == "lamp"
    assert await shop.holds() == {(str(given["userId"]), "poster"): 1}
    stored = await Cart.get(given["_id"])
    assert stored is not None
    assert (stored.units, stored.held_units) == ({"lamp": 2, "poster": 1}, {"poster": 1})
    # A pass that was killed has lost its report; the next one makes it whole.
    repeated = await report(shop, original, "--apply")
    assert (repeated["imported"], repeated["already"]) == (0, 1)
    assert (repeated["differences"], repeated["examples"]) == (
        found["differences"],
        found["examples"],
    )


async def test_what_is_left_out_is_named_and_the_rest_is_imported(
    shop: Shop, original: Carts, tmp_path: Path
) -> None:
    await shop.stock("lamp", 50)
    here = shop.buyer()
    assert (await here.add("lamp")).status_code == 201
    past = datetime.now(UTC) - timedelta(days=1)
    good = cart_of(shop, "auth0|ada", ("lamp", 1))
    await original.insert_many(
        [
            cart_of(shop, here.user_id, ("lamp", 1)),
            cart_of(shop, ObjectId(), ("lamp", 1), expireAt=past),
            cart_of(shop, "", ("lamp", 1)),
            cart_of(shop, ObjectId(), ("lamp", 1), _id="not an ObjectId"),
            good,
        ]
    )
    file = tmp_path / "report.jsonl"
    found = await report(shop, original, "--apply", "--report", str(file))
    assert (found["code"], found["imported"], found["left"]) == (1, 1, 4)
    assert found["differences"] == {"cart_exists": 1, "expired": 1, "cart_unusable": 2}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(line["kind"] for line in lines) == sorted(
        ["cart_exists", "expired", "cart_unusable", "cart_unusable"]
    )
    assert (await Buyer(shop, "auth0|ada", {}).get()).json()["_id"] == str(good["_id"])
    await shop.assert_consistent()


async def test_a_server_that_is_away_is_named(shop: Shop) -> None:
    ran = await cart("import", "--from", "mongodb://127.0.0.1:1/shop", "--store", shop.store_id)
    assert ran.code == 1
    assert "--from: connection refused; it is safe to run this again" in ran.output


async def test_compare_reads_from_both(shop: Shop) -> None:
    await shop.stock("lamp", 5)
    assert (await shop.buyer().add("lamp")).status_code == 201
    url = str(shop.world.http.base_url)
    ran = await cart("compare", "--against", url, "--store", shop.store_id)
    assert ran.code == 0, ran.output
    assert "1 carts compared, 0 differ" in ran.output
    token = "--token=no token"
    ran = await cart("compare", "--against", url, "--store", shop.store_id, token)
    assert ran.code == 0, "both answer 401"
