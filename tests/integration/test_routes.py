"""Update, remove, clear and the reads: the replies, and what is stored, held and published."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually


async def call(
    buyer: Buyer, method: str, url: str, *, key: str = "", **more: Any
) -> httpx.Response:
    headers = buyer.headers | ({"Idempotency-Key": key} if key else {}) | more.pop("headers", {})
    return await buyer.shop.world.http.request(method, url, headers=headers, **more)


async def cart_of(buyer: Buyer, quantity: int = 2, product: str = "headphones") -> str:
    """Fills a cart; returns its URL."""
    body = (await buyer.add(product, quantity)).json()
    return f"/api/v1/cart/{body['_id']}"


async def published(shop: Shop) -> list[tuple[str, dict[str, Any]]]:
    """Topic and value of each event, sorted by version, since topics have no common order."""
    events = sorted(await shop.events(), key=lambda event: event.value["version"])
    return [(event.topic, event.value) for event in events]


async def settled(shop: Shop) -> None:
    """Waits until no effect is pending, and the holds are the cart lines."""

    async def quiet() -> None:
        assert not any(record.pending for record in await shop.records())
        await shop.assert_consistent()

    await eventually(quiet)


async def test_an_increase_reserves_the_difference(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    url = await cart_of(buyer, 2)
    answer = await call(buyer, "PUT", url, json={"productId": "headphones", "quantity": 5})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["quantity"], body["totalPrice"], body["version"]) == (5, 399.95, 2)
    assert answer.headers["ETag"] == f'"2-{body["_id"]}"'
    assert await shop.units("headphones") == (5, 5, 0)
    await settled(shop)
    topic, event = (await published(shop))[-1]
    assert topic == "cart.item.updated"
    assert (event["quantity"], event["previousQuantity"], event["version"]) == (5, 2, 2)


async def test_a_decrease_releases_the_difference(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    url = await cart_of(buyer, 5)
    answer = await call(buyer, "PUT", url, json={"productId": "headphones", "quantity": 1})
    assert (answer.status_code, answer.json()["quantity"]) == (200, 1)
    await settled(shop)
    assert await shop.units("headphones") == (9, 1, 0)


async def test_the_same_quantity_changes_nothing(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    url = await cart_of(buyer, 2)
    answer = await call(buyer, "PUT", url, json={"productId": "headphones", "quantity": 2})
    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    await settled(shop)
    assert len(await shop.events()) == 1
    assert len(await shop.records()) == 1


async def test_an_update_that_is_refused_names_the_reason(shop: Shop) -> None:
    await shop.stock("headphones", 3)
    buyer = shop.buyer()
    url = await cart_of(buyer, 2)
    short = await call(buyer, "PUT", url, json={"productId": "headphones", "quantity": 9})
    assert short.status_code == 400
    assert short.json() == {
        "message": "Insufficient stock. Only 1 available.",
        "code": "insufficient_stock",
        "available": 1,
        "maxQuantity": 3,
    }
    zero = await call(buyer, "PUT", url, json={"productId": "headphones", "quantity": 0})
    assert zero.status_code == 400
    assert "DELETE" in zero.json()["details"][0]["message"]
    other = await call(buyer, "PUT", url, json={"productId": "cable", "quantity": 1})
    assert (other.status_code, other.json()) == (
        404,
        {"message": "Item not found in cart", "code": "item_not_found"},
    )
    missing = await call(buyer, "PUT", url, json={"productId": "headphones"})
    assert missing.json()["details"] == [
        {"code": "required", "field": "quantity", "message": "Quantity is required"}
    ]
    nameless = await call(buyer, "PUT", url, json={"quantity": 1})
    assert nameless.json()["details"] == [
        {"code": "required", "field": "productId", "message": "Product id is required"}
    ]
    assert await shop.units("headphones") == (1, 2, 0)
    # Too few units is settled: the saga that said so may not find more of them later.
    assert sorted(record.state for record in await shop.records()) == ["committed", "rejected"]


@pytest.mark.parametrize("how", ["body", "query", "path"])
async def test_a_removal_empties_the_cart_and_releases_the_units(shop: Shop, how: str) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    url = await cart_of(buyer, 3)
    if how == "body":
        answer = await call(buyer, "DELETE", url, json={"productId": "headphones"})
    elif how == "query":
        answer = await call(buyer, "DELETE", url, params={"productId": "headphones"})
    else:
        answer = await call(buyer, "DELETE", f"{url}/items/headphones")
    assert (answer.status_code, answer.json()["message"]) == (200, "Item removed from cart")
    read = await buyer.get()
    assert answer.json()["cart"] == read.json()
    assert answer.headers["ETag"] == read.headers["ETag"]
    assert (read.status_code, read.json()["cartItems"], read.json()["version"]) == (200, [], 2)
    await settled(shop)
    assert await shop.units("headphones") == (10, 0, 0)
    topic, event = (await published(shop))[-1]
    assert (topic, event["quantity"], event["totalPrice"]) == ("cart.item.removed", 3, 0)
    again = await call(buyer, "DELETE", url, json={"productId": "headphones"})
    assert (again.status_code, again.json()) == (
        404,
        {"message": "Item not found in cart", "code": "item_not_found"},
    )
    nothing = await call(buyer, "DELETE", url)
    assert nothing.json()["details"] == [
        {"code": "required", "field": "productId", "message": "Product id is required"}
    ]


async def test_a_clear_deletes_the_cart_and_the_next_one_is_new(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    await shop.stock("cable", 10)
    buyer = shop.buyer()
    first = await cart_of(buyer, 3)
    await buyer.add("cable", 2)
    await buyer.get()
    key = uuid4().hex
    answer = await call(buyer, "DELETE", buyer.path, key=key)
    assert (answer.status_code, answer.json()) == (200, {"message": "Cart cleared"})
    assert (await buyer.get()).status_code == 404
    assert (await call(buyer, "GET", first)).status_code == 404
    await settled(shop)
    assert await shop.units("headphones") == (10, 0, 0)
    assert await shop.units("cable") == (10, 0, 0)
    topic, event = (await published(shop))[-1]
    assert (topic, event["reason"], event["version"]) == ("cart.cleared", "user", 3)
    assert {item["productId"]: item["quantity"] for item in event["items"]} == {
        "headphones": 3,
        "cable": 2,
    }
    second = await buyer.add("cable", 1)
    assert second.json()["version"] == 1
    assert (await buyer.get()).json() == second.json()  # the cache of the old cart does not hide it
    again = await call(buyer, "DELETE", buyer.path, key=key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert (await buyer.get()).json() == second.json()


async def test_a_repeated_key_gets_the_same_reply_on_every_route(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    url = await cart_of(buyer, 2)
    keys = [uuid4().hex for _ in range(3)]
    put = {"productId": "headphones", "quantity": 5}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", url, {"json": put}),
        ("DELETE", f"{url}/items/headphones", {}),
        ("DELETE", buyer.path, {}),
    ]
    first = [
        await call(buyer, method, path, key=key, **more)
        for key, (method, path, more) in zip(keys, calls, strict=True)
    ]
    again = [
        await call(buyer, method, path, key=key, **more)
        for key, (method, path, more) in zip(keys, calls, strict=True)
    ]
    assert [answer.status_code for answer in first] == [200, 200, 200]
    assert [answer.content for answer in again] == [answer.content for answer in first]
    assert all(answer.headers["Idempotent-Replayed"] == "true" for answer in again)
    other = await call(buyer, "PUT", url, key=keys[0], json=put | {"quantity": 6})
    assert other.status_code == 422
    await settled(shop)
    assert await shop.units("headphones") == (10, 0, 0)


async def test_if_match_guards_a_change(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    added = await buyer.add(quantity=2)
    url = f"/api/v1/cart/{added.json()['_id']}"
    tag = added.headers["ETag"]
    put = {"productId": "headphones", "quantity": 3}
    first = await call(buyer, "PUT", url, json=put, headers={"If-Match": tag})
    assert first.status_code == 200
    late = await call(buyer, "PUT", url, json=put | {"quantity": 4}, headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    known = await call(buyer, "GET", url, headers={"If-None-Match": first.headers["ETag"]})
    assert (known.status_code, known.content) == (304, b"")
    own = await call(buyer, "GET", buyer.path, headers={"If-None-Match": tag})
    assert (own.status_code, own.headers["ETag"]) == (200, first.headers["ETag"])
    await settled(shop)
    assert await shop.units("headphones") == (7, 3, 0)


async def test_if_none_match_lets_only_the_first_add_create_the_cart(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    item = {"productId": "headphones", "productTitle": "Headphones", "productPrice": 9.99}
    created, late = [
        await call(
            buyer, "POST", buyer.path, json=item | {"quantity": 2}, headers={"If-None-Match": "*"}
        )
        for _ in range(2)
    ]
    assert created.status_code == 201
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    url, put = f"/api/v1/cart/{created.json()['_id']}", {"productId": "headphones", "quantity": 3}
    for tag, status in ((created.headers["ETag"], 412), ('"other"', 200)):
        answer = await call(buyer, "PUT", url, json=put, headers={"If-None-Match": tag})
        assert answer.status_code == status
    await settled(shop)
    assert await shop.units("headphones") == (7, 3, 0)


async def test_the_cart_of_another_user_looks_like_a_missing_one(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    url = await cart_of(shop.buyer(), 2)
    put = {"productId": "headphones", "quantity": 3}
    strangers = (shop.buyer(), shop.buyer(role="admin", store="another-store"))
    for stranger in strangers:
        for method, path, more in (
            ("GET", url, {}),
            ("PUT", url, {"json": put}),
            ("DELETE", url, {"json": {"productId": "headphones"}}),
            ("DELETE", f"{url}/items/headphones", {}),
        ):
            answer = await call(stranger, method, path, **more)
            nowhere = await call(stranger, method, path.replace(url[-24:], "0" * 24), **more)
            assert (answer.status_code, answer.json()) == (
                404,
                {"message": "Cart not found", "code": "cart_not_found"},
            )
            assert nowhere.json() == answer.json()
    assert await shop.units("headphones") == (8, 2, 0)


async def test_an_admin_reads_and_changes_the_carts_of_the_store(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer, admin = shop.buyer(), shop.buyer(role="admin", store=shop.store_id)
    url = await cart_of(buyer, 2)
    seen = await call(admin, "GET", url)
    assert (seen.status_code, seen.json()["userId"]) == (200, buyer.user_id)
    changed = await call(admin, "PUT", url, json={"productId": "headphones", "quantity": 1})
    assert (changed.status_code, changed.json()["userId"]) == (200, buyer.user_id)
    await settled(shop)
    assert await shop.holds() == {(buyer.user_id, "headphones"): 1}


async def test_the_admin_list_is_paged_and_filtered(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    await shop.stock("cable", 10)
    buyers = [shop.buyer() for _ in range(3)]
    for number, buyer in enumerate(buyers):
        await buyer.add("cable" if number == 1 else "headphones")
    admin = shop.buyer(role="admin", store=shop.store_id)
    url = f"/api/v1/cart/{shop.store_id}/admin/carts"
    page = (await call(admin, "GET", url, params={"limit": 2})).json()
    assert (page["success"], page["statusCode"]) == (True, 200)
    assert (page["data"]["totalCount"], page["data"]["totalPages"]) == (3, 2)
    newest_first = [buyer.user_id for buyer in reversed(buyers)]
    assert [cart["userId"] for cart in page["data"]["carts"]] == newest_first[:2]
    rest = (await call(admin, "GET", url, params={"limit": 2, "page": 2})).json()
    assert [cart["userId"] for cart in rest["data"]["carts"]] == newest_first[2:]
    filters: list[tuple[dict[str, str], list[str]]] = [
        ({"userId": buyers[0].user_id}, [buyers[0].user_id]),
        ({"productId": "cable"}, [buyers[1].user_id]),
        ({"availability": "out_of_stock"}, []),
        ({"updatedTo": "2020-01-01T00:00:00Z"}, []),
        ({"updatedFrom": "2020-01-01T00:00:00Z"}, newest_first),
        # In UTC these times are in the years 0 and 10000.
        ({"updatedFrom": "0001-01-01T00:00:00+23:00"}, newest_first),
        ({"updatedTo": "9999-12-31T23:59:59-23:00"}, newest_first),
    ]
    for params, users in filters:
        found = (await call(admin, "GET", url, params=params)).json()
        assert [cart["userId"] for cart in found["data"]["carts"]] == users, params
    for name, value in (
        ("limit", "101"),
        ("page", "0"),
        ("page", "x"),
        ("updatedTo", "0.5"),
        ("updatedTo", "2026-01-27"),
        ("updatedFrom", "2026-01-27T10:30:00"),
        ("updatedFrom", "2026-02-30T10:30:00Z"),
    ):
        bad = await call(admin, "GET", url, params={name: value})
        assert (bad.status_code, bad.json()["details"][0]["field"]) == (400, name)
    assert (await call(buyers[0], "GET", url)).status_code == 403
    assert (await shop.world.http.get(url)).status_code == 401


async def test_concurrent_changes_of_all_kinds_keep_stock_and_carts_in_agreement(
    shop: Shop,
) -> None:
    await shop.stock("headphones", 10)
    buyers = [shop.buyer() for _ in range(4)]
    urls = [await cart_of(buyer, 1) for buyer in buyers]
    changes = []
    for turn in range(6):
        for buyer, url in zip(buyers, urls, strict=True):
            put = {"productId": "headphones", "quantity": turn % 4 + 1}
            changes += [
                buyer.add(),
                call(buyer, "PUT", url, json=put),
                call(buyer, "DELETE", f"{url}/items/headphones"),
            ]
    answers = await asyncio.gather(*changes)
    assert {answer.status_code for answer in answers} <= {200, 201, 202, 400, 404, 409}
    await settled(shop)
    available, held, sold = await shop.units("headphones")
    assert (available + held, sold) == (10, 0)
