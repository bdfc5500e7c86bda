"""Transfers of held units: all or nothing, once, and back again."""

import asyncio
from typing import Any

import pytest

from dev.inventory_service.schemas import TransferRequest
from dev.inventory_service.store import Store
from tests.integration.inventory.service import API, Warehouse, eventually, to_release


async def transfer(warehouse: Warehouse, saga: str, quantity: int, **more: Any) -> tuple[int, Any]:
    body = {
        "storeId": warehouse.store,
        "productId": "book",
        "quantity": quantity,
        "fromUserId": "guest",
        "toUserId": "ann",
        "sagaId": saga,
    }
    return await warehouse.call("POST", f"{API}/transfer", json=body | more)


@pytest.fixture
async def holding(warehouse: Warehouse) -> Warehouse:
    """A guest holds four of ten books, and Ann one."""
    await warehouse.stock(10)
    await warehouse.reserve("s1", 3, user="guest")
    await warehouse.reserve("s2", 1, user="guest")
    await warehouse.reserve("s3", 1)
    return warehouse


def held(by_user: dict[Any, int]) -> dict[str, int]:
    return {user: units for (user, _), units in by_user.items()}


async def test_units_change_hands_and_none_becomes_free(holding: Warehouse) -> None:
    status, body = await transfer(holding, "m", 3)
    assert (status, body["success"], body["available"]) == (200, True, 5)
    assert held(await holding.held()) == {"ann": 4, "guest": 1}
    assert await holding.units() == (5, 5, 0)
    # They are the user's like all others.
    assert (await holding.release("s9", 4, "item_removed"))[1]["released"] == 4
    assert (await holding.release("s8", 4, "item_removed", user="guest"))[1]["released"] == 1
    assert await holding.units() == (10, 0, 0)


async def test_more_than_is_held_is_refused(holding: Warehouse) -> None:
    status, body = await transfer(holding, "m", 5)
    assert (status, body["success"]) == (409, False)
    assert held(await holding.held()) == {"ann": 1, "guest": 4}
    # A refusal is not recorded: later there may be more.
    await holding.reserve("s4", 1, user="guest")
    assert (await transfer(holding, "m", 5))[0] == 200
    assert held(await holding.held()) == {"ann": 6}


async def test_a_repeat_moves_nothing_more(holding: Warehouse) -> None:
    first = await transfer(holding, "m", 2)
    answers = await asyncio.gather(*(transfer(holding, "m", 2) for _ in range(10)))
    assert {str(answer) for answer in answers} == {str(first)}
    assert held(await holding.held()) == {"ann": 3, "guest": 2}


@pytest.mark.parametrize("stated", [1, 3, 100])
async def test_an_undo_gives_back_exactly_what_was_moved(holding: Warehouse, stated: int) -> None:
    await transfer(holding, "m", 3)
    undone = await holding.release("m", stated)
    assert undone == (200, {"success": True, "released": 3})
    assert held(await holding.held()) == {"ann": 1, "guest": 4}
    assert await holding.units() == (5, 5, 0)
    assert await holding.release("m", stated) == undone


async def test_a_transfer_after_its_undo_is_refused(holding: Warehouse) -> None:
    assert (await holding.release("m", 3))[1]["released"] == 0
    assert (await transfer(holding, "m", 3))[0] == 409
    assert held(await holding.held()) == {"ann": 1, "guest": 4}


async def test_a_transfer_and_its_undo_at_once_hold_nothing_twice(
    holding: Warehouse, stores: tuple[Store, Store]
) -> None:
    """Through two processes that share only the database."""
    for number in range(20):
        request = TransferRequest(
            store_id=holding.store,
            product_id="book",
            quantity=3,
            from_user_id="guest",
            to_user_id="ann",
            saga_id=f"m{number}",
        )
        await asyncio.gather(
            stores[0].transfer(request),
            stores[1].release(to_release(holding.store, f"m{number}")),
        )
        assert held(await holding.held()) == {"ann": 1, "guest": 4}
    assert await holding.units() == (5, 5, 0)


async def test_a_transfer_and_a_release_at_once_share_the_units(
    holding: Warehouse, stores: tuple[Store, Store]
) -> None:
    await holding.stock(1000)
    for number in range(20):
        await holding.reserve(f"g{number}", 3, user="guest")
        before = held(await holding.held())["guest"]
        request = TransferRequest(
            store_id=holding.store,
            product_id="book",
            quantity=before,
            from_user_id="guest",
            to_user_id="ann",
            saga_id=f"t{number}",
        )
        release = to_release(holding.store, f"r{number}").model_copy(
            update={"user_id": "guest", "quantity": before, "reason": "item_removed"}
        )
        moved, released = await asyncio.gather(
            stores[0].transfer(request), stores[1].release(release)
        )
        assert (moved.success, released.released) in {(True, 0), (False, before)}
        await holding.reserve(f"n{number}", 4, user="guest")
    available, in_holds, sold = await holding.units()
    assert sum((await holding.held()).values()) == in_holds
    assert sold == 0
    assert available >= 0


async def test_a_leaked_transfer_ends_and_its_units_are_free(holding: Warehouse) -> None:
    """They do not go back to the guest, also when the transfer is undone later."""
    assert (await transfer(holding, "m", 3, ttlSeconds=1))[0] == 200
    await eventually(holding.units, (8, 2, 0))
    assert held(await holding.held()) == {"ann": 1, "guest": 1}
    assert (await holding.release("m", 3))[0] == 200
    assert held(await holding.held()) == {"ann": 1, "guest": 1}
    assert await holding.units() == (8, 2, 0)


async def test_a_transfer_that_was_undone_does_not_end(holding: Warehouse) -> None:
    await transfer(holding, "m", 3, ttlSeconds=3)
    await holding.release("m", 3)
    await transfer(holding, "n", 1, ttlSeconds=3)
    await eventually(holding.units, (6, 4, 0))
    assert held(await holding.held()) == {"ann": 1, "guest": 3}


@pytest.mark.parametrize(
    "wrong",
    [{"quantity": 0}, {"ttlSeconds": 0}, {"fromUserId": ""}, {"toUserId": None}, {"reason": "x"}],
)
async def test_a_transfer_is_validated(warehouse: Warehouse, wrong: dict[str, Any]) -> None:
    body = {
        "storeId": warehouse.store,
        "productId": "book",
        "quantity": 1,
        "fromUserId": "guest",
        "toUserId": "ann",
        "sagaId": "m",
    }
    status, _ = await warehouse.call("POST", f"{API}/transfer", json=body | wrong)
    assert status == 400
