"""Whatever is about one cart names the shard key, so that a sharded cluster asks one shard."""

from typing import Any

import pytest

from models.documents import Cart, LargeAnswer, OperationRecord
from tests.support.profiler import profiled
from tests.support.shop import Shop
from tests.support.waiting import eventually

SHARD_KEY = {"storeId", "userId"}
DOCUMENTS = (Cart, OperationRecord, LargeAnswer)
# What is not about one known cart: what is due in a bucket of carts, a cart by the id in a URL, a
# product's carts, and what is due at a time.
NOT_ABOUT_A_CART = {
    "bucket",
    "due.event.bucket",
    "due.release.bucket",
    "cartId",
    "cartItems.productId",
    "expireAt",
    "at",
}


def conditions(query: dict[str, Any]) -> set[str]:
    """The fields that a filter has conditions on, whichever alternative of an `$or` holds."""
    fields = {name for name in query if not name.startswith("$")}
    alternatives = [conditions(one) for one in query.get("$or", [])]
    return fields | set.intersection(*alternatives) if alternatives else fields


def filters(entries: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Where commands with a filter were made, and their filters."""
    found = []
    for entry in entries:
        command = entry.get("command", {})
        query = command.get("filter", command.get("q"))
        if query:
            found.append((f"{entry['op']} in {entry['ns']}", query))
    return found


async def test_every_query_about_a_cart_names_the_shard_key(shop: Shop) -> None:
    for product in ("headphones", "cable"):
        await shop.stock(product, 10)
    async with profiled(DOCUMENTS) as entries:
        buyer = shop.buyer()
        added = await buyer.add(quantity=3, key="first")
        assert added.status_code == 201
        cart_id = added.json()["_id"]
        for _ in range(2):
            repeated = await buyer.add(quantity=3, key="first")
        assert repeated.headers["Idempotent-Replayed"] == "true"
        description = "x" * 1500  # so that its answer is a large one
        for _ in range(2):
            large = await buyer.add("cable", key="large", productDescription=description)
        assert large.status_code == 201
        assert (await buyer.get()).status_code == 200
        body = {"productId": "headphones", "quantity": 1}
        path = f"/api/v1/cart/{cart_id}"
        http, headers = shop.world.http, buyer.headers
        assert (await http.put(path, json=body, headers=headers)).status_code == 200
        removal = await http.delete(f"{path}/items/cable", headers=headers)
        assert removal.status_code == 200
        assert (await buyer.clear()).status_code == 200

        async def nothing_pending() -> None:
            assert not any(record.pending for record in await shop.records())

        await eventually(nothing_pending)
    found = filters(entries)
    assert len({place for place, _ in found}) > len(DOCUMENTS), "it has seen reads and writes"
    for place, query in found:
        fields = conditions(query)
        is_by_url = fields == {"_id"} and place.startswith("query") and place.endswith("carts")
        if is_by_url or fields & NOT_ABOUT_A_CART or fields == {"storeId"}:
            continue  # the last is this test's own look at the records
        assert fields >= SHARD_KEY, f"{place}: {query}"


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_every_unique_index_begins_with_the_shard_key(document: Any) -> None:
    indexes = await document.get_pymongo_collection().index_information()
    for name, index in indexes.items():
        if index.get("unique"):
            assert [field for field, _ in index["key"]][:2] == ["storeId", "userId"], name
