"""The history of a cart on the whole stack: each change once, also after the cart has ended."""

from typing import Any
from uuid import uuid4

from adapters.mongo.history import CartHistory
from models.cart import CartKey
from models.documents import OperationRecord
from tests.support.carts import operation_record
from tests.support.profiler import profiled
from tests.support.shop import Buyer, Shop

LIMIT = 20


async def history(buyer: Buyer, cart_id: str, query: str = "") -> dict[str, Any]:
    answer = await buyer.shop.world.http.get(
        f"/api/v1/cart/{cart_id}/history{query}", headers=buyer.headers
    )
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_cart_that_has_ended_still_has_its_history(shop: Shop) -> None:
    await shop.stock("lamp", 10)
    buyer = shop.buyer()
    admin = shop.buyer(role="admin", store=shop.store_id)
    cart_id = (await buyer.add("lamp", 2)).json()["_id"]
    assert (await admin.update(cart_id, "lamp", 5)).status_code == 200
    assert (await buyer.add("lamp", 100)).status_code == 400  # a refusal is no change
    assert (await buyer.clear()).status_code == 200

    seen = (await history(buyer, cart_id))["changes"]
    assert [(one["version"], one["operation"], one["changedBy"]) for one in seen] == [
        (3, "ClearCart", "user"),
        (2, "UpdateQuantity", "admin"),
        (1, "AddItem", "user"),
    ]
    quantities = [(one["quantityBefore"], one["quantityAfter"]) for [one] in map(_items, seen)]
    assert quantities == [(5, 0), (2, 5), (0, 2)]
    assert seen[0]["reason"] == "user"
    assert not any("actor" in one or "sagaUrl" in one for one in seen)

    shown = (await history(admin, cart_id))["changes"]
    assert [one["actor"]["id"] for one in shown] == [buyer.user_id, admin.user_id, buyer.user_id]
    runs = {record.version: record.run_id for record in await shop.records() if record.version}
    assert all(runs[one["version"]] in one["sagaUrl"] for one in shown)

    url = f"/api/v1/cart/{cart_id}/history"
    stranger = await shop.world.http.get(url, headers=shop.buyer().headers)
    assert (stranger.status_code, stranger.json()["code"]) == (404, "cart_not_found")


def _items(entry: dict[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = entry["items"]
    return items


async def test_a_page_reads_no_more_than_it_shows(shop: Shop) -> None:
    """A long history among other carts' records, repairs and refusals."""
    cart_id, user = uuid4().hex[:24], "user"
    key = CartKey(shop.store_id, user)
    await OperationRecord.insert_many(
        operation_record(
            shop,
            user_id=user,
            cart_id=of_cart,
            version=version,
            operation="RepairCart" if version % 100 == 0 and is_repair else "AddItem",
        )
        for of_cart in (cart_id, uuid4().hex[:24])
        for version in range(1, 1001)
        for is_repair in ((False, True) if version % 100 == 0 else (False,))
    )
    versions: list[int] = []
    before = None
    for _ in range(3):
        async with profiled([OperationRecord]) as entries:
            page = await CartHistory().changes(cart_id, key, before=before, limit=LIMIT)
        [query] = [one for one in entries if one.get("planSummary")]
        assert not query.get("hasSortStage")
        assert query["docsExamined"] <= LIMIT + 1
        assert query["keysExamined"] <= LIMIT + 1
        versions += [change.version for change in page]
        before = page[-1].version
    assert versions == list(range(1000, 940, -1))
    await OperationRecord.find({"storeId": shop.store_id}).delete()
