"""Concurrent calls, through one process and through two."""

import asyncio
import random

from dev.inventory_service.store import Store
from tests.integration.inventory.service import Warehouse, to_release, to_reserve


async def test_ten_of_fifty_buyers_get_the_ten_units(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    answers = await asyncio.gather(
        *(warehouse.reserve(f"s{number}", user=f"user-{number}") for number in range(50))
    )
    statuses = [status for status, _ in answers]
    assert (statuses.count(200), statuses.count(409)) == (10, 40)
    assert sorted(body["available"] for _, body in answers if body["success"]) == [*range(10)]
    assert await warehouse.units() == (0, 10, 0)
    assert len(await warehouse.held()) == 10


async def test_concurrent_repeats_of_a_reserve_reserve_once(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    answers = await asyncio.gather(*(warehouse.reserve("s1", 2) for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert len({body["reservationId"] for _, body in answers}) == 1
    assert await warehouse.units() == (8, 2, 0)


async def test_a_concurrent_reserve_and_undo_hold_nothing(
    warehouse: Warehouse, stores: tuple[Store, Store]
) -> None:
    """In either order; through one process, and through two that share only the database."""
    await warehouse.stock(100)
    for number in range(20):
        pair = await asyncio.gather(
            warehouse.reserve(f"a{number}", 2), warehouse.release(f"a{number}")
        )
        assert pair[1] == (200, {"success": True, "released": 2 if pair[0][0] == 200 else 0})
        reserved, released = await asyncio.gather(
            stores[0].reserve(to_reserve(warehouse.store, f"b{number}", 2)),
            stores[1].release(to_release(warehouse.store, f"b{number}")),
        )
        assert released.released == (2 if reserved.success else 0)
    assert await warehouse.units() == (100, 0, 0)
    assert await warehouse.held() == {}
    for number in range(20):
        assert (await warehouse.reserve(f"a{number}"))[0] == 409


async def test_two_processes_do_not_oversell(
    warehouse: Warehouse, stores: tuple[Store, Store]
) -> None:
    await warehouse.stock(30)
    answers = await asyncio.gather(
        *(
            store.reserve(to_reserve(warehouse.store, f"{name}{number}", user=f"user-{number}"))
            for number in range(20)
            for name, store in zip("ab", stores, strict=True)
        )
    )
    assert sum(answer.success for answer in answers) == 30
    assert await warehouse.units() == (0, 30, 0)
    assert sum((await warehouse.held()).values()) == 30


async def test_two_processes_release_a_hold_once(
    warehouse: Warehouse, stores: tuple[Store, Store]
) -> None:
    await warehouse.stock(30)
    await warehouse.reserve("own", 10)
    await warehouse.reserve("other", 10, user="bob")
    answers = await asyncio.gather(
        *(
            store.release(to_release(warehouse.store, f"{name}{number}", 3, reason="user"))
            for number in range(6)
            for name, store in zip("ab", stores, strict=True)
        )
    )
    assert sorted(answer.released for answer in answers if answer.released) == [1, 3, 3, 3]
    assert await warehouse.units() == (20, 10, 0)
    assert await warehouse.held() == {("bob", "book"): 10}


async def test_a_call_repeated_through_two_processes_has_one_effect(
    warehouse: Warehouse, stores: tuple[Store, Store]
) -> None:
    await warehouse.stock(10)
    for number in range(10):
        saga = f"s{number}"
        reserved = await asyncio.gather(
            *(store.reserve(to_reserve(warehouse.store, saga, 2)) for store in stores * 2)
        )
        assert len({answer.reservation_id for answer in reserved}) == 1
        released = await asyncio.gather(
            *(store.release(to_release(warehouse.store, saga)) for store in stores * 2)
        )
        assert {answer.released for answer in released} == {2}
    assert await warehouse.units() == (10, 0, 0)


async def test_the_units_of_a_busy_product_add_up(
    warehouse: Warehouse, stores: tuple[Store, Store]
) -> None:
    """With all kinds of calls through two processes at once."""
    chance = random.Random(7)
    await warehouse.stock(20)
    seen: list[tuple[int, int, int]] = []

    async def shopper(name: str, store: Store) -> None:
        for number in range(12):
            saga, user = f"{name}-{number}", chance.choice(["ann", "bob"])
            quantity = chance.randint(1, 4)
            await store.reserve(to_reserve(warehouse.store, saga, quantity, user))
            reason = chance.choice(["saga_aborted", "user", "order_completed"])
            saga = f"{name}-{chance.randint(0, 2 * number)}"
            await store.release(to_release(warehouse.store, saga, quantity, user, reason))
            seen.append(await warehouse.units())

    await asyncio.gather(*(shopper(str(number), stores[number % 2]) for number in range(6)))
    assert all(sum(units) == 20 and min(units) >= 0 for units in seen)
    held = await warehouse.held()
    assert all(quantity > 0 for quantity in held.values())
    assert sum(held.values()) == (await warehouse.units())[1]
