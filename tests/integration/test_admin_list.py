"""The admin list uses an index for each combination of filters."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import uuid4

from adapters.mongo.carts import CartFilter
from models.cart_line import AvailabilityStatus, CartLine
from models.documents import Cart
from tests.support.shop import APP_NAME, World

CARTS = 300
NOW = datetime.now(UTC)
AVAILABLE: AvailabilityStatus = "available"


def cart(store_id: str, number: int) -> Cart:
    time = NOW - timedelta(minutes=number)
    line = CartLine(
        product_id=f"product-{number % 10}",
        product_title="Lamp",
        product_price=Decimal("9.99"),
        product_quantity=1,
        availability_status="out_of_stock" if number % 50 == 0 else "available",
        reserved_at=time,
    )
    return Cart(
        user_id=f"user-{number}",
        store_id=store_id,
        quantity=1,
        total_price=Decimal("9.99"),
        currency="USD",
        cart_items=[line],
        expire_at=NOW + timedelta(days=30),
        version=1,
        created_at=time,
        updated_at=time,
    )


async def test_no_combination_of_filters_scans_the_collection_or_sorts(world: World) -> None:
    """Checked with MongoDB's profiler, for all combinations."""
    store_id = f"store-{uuid4().hex[:12]}"
    await Cart.insert_many([cart(store_id, number) for number in range(CARTS)])
    database = Cart.get_pymongo_collection().database
    filters: list[CartFilter] = [
        CartFilter(*chosen)
        for chosen in product(
            (None, "user-7"),
            (None, "product-7"),
            (None, AVAILABLE),
            (None, NOW - timedelta(hours=4)),
            (None, NOW - timedelta(hours=1)),
        )
    ]
    await database.command("profile", 2)
    try:
        for where in filters:
            carts, total = await world.carts.store_carts(store_id, where, page=1, limit=5)
            assert len(carts) == min(total, 5), where
    finally:
        await database.command("profile", 0)
        # These carts have no holds, so tests of drift would find them.
        await Cart.find({"storeId": store_id}).delete()
    queries = await _profiled(database, store_id)
    assert len(queries) == 2 * len(filters)  # the page and the count
    for entry in queries:
        assert "COLLSCAN" not in entry["planSummary"], entry
        assert not entry.get("hasSortStage"), entry


async def _profiled(database: Any, store_id: str) -> list[dict[str, Any]]:
    found = database["system.profile"].find(
        {
            "ns": {"$regex": r"\.carts$"},
            "appName": APP_NAME,  # not the watch of holds, which may read the store meanwhile
            "$or": [
                {"command.filter.storeId": store_id},
                {"command.pipeline.0.$match.storeId": store_id},
            ],
        }
    )
    entries: list[dict[str, Any]] = await found.to_list()
    return entries
