"""Reserves with a time to live end by themselves, as far as their units are still held."""

from typing import Any

import pytest

from tests.integration.inventory.service import API, Warehouse, eventually


async def reserve(warehouse: Warehouse, saga: str, quantity: int, **more: Any) -> int:
    body = warehouse.reserve_body(saga, quantity) | more
    return (await warehouse.call("POST", f"{API}/reserve", json=body))[0]


async def test_a_leaked_reserve_ends_and_its_saga_reserves_no_more(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    assert await reserve(warehouse, "s1", 3, ttlSeconds=1) == 200
    assert await reserve(warehouse, "s2", 2) == 200
    assert await warehouse.units() == (5, 5, 0)
    await eventually(warehouse.units, (8, 2, 0))
    assert await reserve(warehouse, "s1", 3, ttlSeconds=1) == 409
    assert await warehouse.release("s1", 3) == (200, {"success": True, "released": 3})
    assert await warehouse.units() == (8, 2, 0)


@pytest.mark.parametrize("released", [1, 3])
async def test_units_that_the_user_reserved_later_are_not_ended(
    warehouse: Warehouse, released: int
) -> None:
    """Units that were released meanwhile count as those of the earlier reserve."""
    await warehouse.stock(10)
    await reserve(warehouse, "s1", 3, ttlSeconds=1)
    await warehouse.release("s2", released, "item_removed")
    await reserve(warehouse, "s3", 2)
    assert await warehouse.units() == (5 + released, 5 - released, 0)
    await eventually(warehouse.units, (8, 2, 0))


async def test_a_reserve_that_was_released_does_not_end_again(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await reserve(warehouse, "s1", 3, ttlSeconds=1)
    await warehouse.release("s1", 3, "order_completed")
    await reserve(warehouse, "s2", 1, ttlSeconds=1)
    await eventually(warehouse.units, (7, 0, 3))


async def test_a_time_to_live_must_be_positive(warehouse: Warehouse) -> None:
    assert await reserve(warehouse, "s1", 1, ttlSeconds=0) == 400
