"""Users whose ids have separators, quotes, spaces or other alphabets, in every system.

`tests/unit/test_user_ids.py` says what an id is. Here each has a cart, and operators find it.
"""

from typing import Any

import pytest

from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from tests.support.commands import cart
from tests.support.events import OtherServices
from tests.support.keys import KEYRING
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from workflows import ids

USERS = [
    "auth0|64f0c0ffee1234567890abcd",
    "ada@example.com",
    "https://id.example.com/users/ada?x=1",
    "did:example:123",
    'O\'Neill \\ "Ann" 100%25 ; DROP',
    "名前" * 127 + "名",
    "😀" * 255,
]


async def ops(*words: str) -> Any:
    ran = await cart("ops", *words, "--json")
    assert ran.code == 0, ran.output
    return ran.json


@pytest.mark.parametrize("user", USERS)
async def test_every_system_takes_the_user_and_shows_it_as_it_is(
    shop: Shop, others: OtherServices, user: str
) -> None:
    http = shop.world.http
    buyer, admin = Buyer(shop, user, {}), shop.buyer(role="admin", store=shop.store_id)
    await shop.stock("lamp", 10)
    added = await buyer.add("lamp", quantity=3, key="key-1")
    assert (added.status_code, added.json()["userId"]) == (201, user)
    again = await buyer.add("lamp", quantity=3, key="key-1")
    assert again.headers["Idempotent-Replayed"] == "true"
    cart_id = added.json()["_id"]
    assert (await buyer.update(cart_id, "lamp", 2)).status_code == 200
    assert (await buyer.get()).json()["userId"] == user
    by_id = await http.get(f"/api/v1/cart/{cart_id}", headers=buyer.headers)
    assert by_id.status_code == 200
    assert (
        await http.get(f"/api/v1/cart/{cart_id}", headers=shop.buyer().headers)
    ).status_code == 404
    listed = await http.get(
        f"/api/v1/cart/{shop.store_id}/admin/carts", params={"userId": user}, headers=admin.headers
    )
    assert [one["userId"] for one in listed.json()["data"]["carts"]] == [user]
    operation = ids.operation_id(shop.store_id, user, "key-1")
    url = f"/api/v1/cart/{shop.store_id}/operations/{operation}"
    for reader, status in ((buyer, 200), (admin, 200), (shop.buyer(), 404)):
        assert (await http.get(url, headers=reader.headers)).status_code == status

    async def released() -> None:
        assert await shop.holds() == {(user, "lamp"): 2}

    await eventually(released)  # the answer does not wait for the release of the third unit
    await shop.assert_consistent()

    redis = RedisPool(shop.world.settings.redis)
    cache = CartCache(redis, KEYRING, ttl_seconds=60)
    assert await cache.cached_users(shop.store_id, limit=10) == [user]
    [cached] = await cache.peek(shop.store_id, [user])
    assert cached is not None
    assert cached.version == 2
    await redis.close()

    order = await others.order(buyer, cart_id)
    assert order

    async def sold() -> None:
        assert await buyer.cart() is None
        assert await shop.units("lamp") == (8, 0, 2)

    await eventually(sold)
    assert {event.value["userId"] for event in await shop.events()} == {user}


@pytest.mark.parametrize("user", USERS)
async def test_operators_find_the_user(shop: Shop, user: str) -> None:
    buyer = Buyer(shop, user, {})
    await shop.stock("lamp", 10)
    assert (await buyer.add("lamp")).status_code == 201
    [record] = await shop.records()

    async def visible() -> None:
        for which in (["--user", user], ["--store", shop.store_id, "--user", user]):
            found = await ops("list", "--newer-than", "10m", *which)
            assert record.run_id in {saga["runId"] for saga in found["sagas"]}

    await eventually(visible, timeout=60)
    assert len(await buyer.runs()) == 1
    for name in (f"{shop.store_id}/{user}", buyer.workflow_id, record.run_id, record.saga_id):
        shown = await ops("show", name)
        assert shown["runId"] == record.run_id
        if name.startswith(shop.store_id) or not ids.has_hashed_user(buyer.workflow_id):
            assert shown["cart"]["lines"] == shown["holds"] == {"lamp": 1}
    reconciled = await cart("reconcile", "--store", shop.store_id)
    assert reconciled.code == 0, reconciled.output


async def test_users_that_differ_only_in_spelling_have_carts_of_their_own(shop: Shop) -> None:
    await shop.stock("lamp", 20)
    users = ["a/b", "a%2Fb", "A/b", "a b", "a", "\u00c5da", "A\u030ada", "a:v1"]
    for number, user in enumerate(users, 1):
        added = await Buyer(shop, user, {}).add("lamp", quantity=number % 3 + 1)
        assert (added.status_code, added.json()["quantity"]) == (201, number % 3 + 1)
    for number, user in enumerate(users, 1):
        found = (await Buyer(shop, user, {}).get()).json()
        assert (found["userId"], found["quantity"]) == (user, number % 3 + 1)
    assert {user for user, _ in await shop.holds()} == {*users}
    await shop.assert_consistent()
