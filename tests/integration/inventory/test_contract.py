"""The contract of the reference inventory: stock, reserve and release."""

import uuid

import pytest

from tests.integration.inventory.service import Warehouse


async def test_an_unknown_product_has_no_units(warehouse: Warehouse) -> None:
    assert await warehouse.units() == (0, 0, 0)
    assert await warehouse.reserve("s1") == (409, {"success": False, "available": 0})
    assert await warehouse.page() == (200, {"reservations": [], "cursor": None})
    assert await warehouse.release("s2", reason="user") == (200, {"success": True, "released": 0})
    assert await warehouse.units() == (0, 0, 0)


async def test_the_stock_of_a_product_can_be_set_and_read(warehouse: Warehouse) -> None:
    assert await warehouse.stock(7) == (200, {"available": 7, "held": 0, "sold": 0})
    await warehouse.reserve("s1", 3)
    await warehouse.release("s2", 1, "order_completed")
    assert await warehouse.stock(100) == (200, {"available": 100, "held": 2, "sold": 1})
    assert await warehouse.units() == (100, 2, 1)


async def test_reserving_moves_units_from_available_to_held(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    status, body = await warehouse.reserve("s1", 3)
    assert status == 200
    assert body == {"success": True, "available": 7, "reservationId": body["reservationId"]}
    assert isinstance(body["reservationId"], str)
    assert body["reservationId"]
    assert await warehouse.units() == (7, 3, 0)
    assert await warehouse.held() == {("ann", "book"): 3}


async def test_the_last_units_can_be_reserved_and_not_one_more(warehouse: Warehouse) -> None:
    await warehouse.stock(5)
    assert await warehouse.reserve("s1", 6) == (409, {"success": False, "available": 5})
    assert await warehouse.units() == (5, 0, 0)
    assert (await warehouse.reserve("s2", 5))[0] == 200
    assert await warehouse.reserve("s3", 1) == (409, {"success": False, "available": 0})
    assert await warehouse.units() == (0, 5, 0)


async def test_stores_and_products_do_not_share_stock(warehouse: Warehouse) -> None:
    await warehouse.stock(1, "book")
    await warehouse.stock(1, "pen")
    await warehouse.reserve("s1", product="book")
    assert await warehouse.units("pen") == (1, 0, 0)
    # The same saga may reserve several products.
    assert (await warehouse.reserve("s1", product="pen"))[0] == 200
    warehouse.store = uuid.uuid4().hex
    assert await warehouse.units("book") == (0, 0, 0)
    assert await warehouse.held() == {}


async def test_a_refused_reserve_can_be_repeated(warehouse: Warehouse) -> None:
    await warehouse.stock(1)
    assert (await warehouse.reserve("s1", 2))[0] == 409
    await warehouse.stock(2)
    assert (await warehouse.reserve("s1", 2))[0] == 200


@pytest.mark.parametrize("reason", ["item_removed", "quantity_reduced", "user", "expired", "über"])
async def test_a_release_frees_units_of_any_saga_of_the_user(
    warehouse: Warehouse, reason: str
) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 2)
    await warehouse.reserve("s2", 3)
    assert await warehouse.release("s3", 4, reason) == (200, {"success": True, "released": 4})
    assert await warehouse.units() == (9, 1, 0)
    assert await warehouse.held() == {("ann", "book"): 1}


async def test_a_release_frees_at_most_the_holds_of_its_user(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 2, user="ann")
    await warehouse.reserve("s2", 5, user="bob")
    assert await warehouse.release("s3", 100, "user", user="ann") == (
        200,
        {"success": True, "released": 2},
    )
    assert await warehouse.release("s4", 1, "user", user="ann") == (
        200,
        {"success": True, "released": 0},
    )
    assert await warehouse.units() == (5, 5, 0)
    assert await warehouse.held() == {("bob", "book"): 5}


async def test_a_completed_order_sells_the_units(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 2)
    await warehouse.reserve("s2", 3)
    status, body = await warehouse.release("s3", 5, "order_completed", orderId="order-1")
    assert (status, body) == (200, {"success": True, "released": 5})
    assert await warehouse.units() == (5, 0, 5)


async def test_a_completed_order_of_the_reserving_saga_sells_its_reserve(
    warehouse: Warehouse,
) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 2)
    await warehouse.reserve("s2", 3)
    assert (await warehouse.release("s2", 1, "order_completed"))[1]["released"] == 3
    assert await warehouse.units() == (5, 2, 3)


async def test_health(warehouse: Warehouse) -> None:
    assert await warehouse.call("GET", "/health") == (200, {"status": "healthy"})


async def test_units_of_a_cancelled_order_are_available_again_once(warehouse: Warehouse) -> None:
    """Held units of the same user stay held."""
    await warehouse.stock(10)
    await warehouse.reserve("s1", 3)
    await warehouse.release("s2", 3, "order_completed")
    await warehouse.reserve("s3", 2)
    for _ in range(2):
        answer = await warehouse.release("s4", 3, "order_cancelled", orderId="order-1")
        assert answer == (200, {"success": True, "released": 3})
    assert await warehouse.units() == (8, 2, 0)
    await warehouse.release("s5", 3, "order_cancelled", orderId="order-2")
    assert await warehouse.units() == (8, 2, 0)
