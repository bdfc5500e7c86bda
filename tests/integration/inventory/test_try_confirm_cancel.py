"""Try-confirm-cancel: idempotence, empty rollback, and no late reserve."""

import pytest

from tests.integration.inventory.service import Warehouse


async def test_a_repeated_reserve_has_one_effect(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    first = await warehouse.reserve("s1", 3)
    assert await warehouse.reserve("s1", 3) == first
    await warehouse.reserve("s2", 7)
    # The same outcome, although no units are left for a new reserve.
    status, body = await warehouse.reserve("s1", 3)
    assert (status, body["success"]) == (200, True)
    assert body["reservationId"] == first[1]["reservationId"]
    assert await warehouse.units() == (0, 10, 0)


@pytest.mark.parametrize("reason", ["saga_aborted", "item_removed", "order_completed"])
async def test_a_repeated_release_has_one_effect(warehouse: Warehouse, reason: str) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 5)
    saga = "s1" if reason == "saga_aborted" else "s2"
    first = await warehouse.release(saga, 2, reason)
    assert first == (200, {"success": True, "released": 5 if saga == "s1" else 2})
    after = await warehouse.units()
    assert await warehouse.release(saga, 2, reason) == first
    assert await warehouse.release(saga, 4, "user") == first
    assert await warehouse.units() == after


@pytest.mark.parametrize("stated", [1, 3, 100])
async def test_an_undo_frees_exactly_what_its_saga_reserved(
    warehouse: Warehouse, stated: int
) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 3)
    await warehouse.reserve("s2", 4)
    assert (await warehouse.release("s1", stated))[1]["released"] == 3
    assert await warehouse.units() == (6, 4, 0)


async def test_an_undo_before_its_reserve_succeeds_without_effect(warehouse: Warehouse) -> None:
    """An empty rollback, also for a user with holds of other sagas."""
    await warehouse.stock(10)
    await warehouse.reserve("s1", 3)
    assert await warehouse.release("s2", 3) == (200, {"success": True, "released": 0})
    assert await warehouse.units() == (7, 3, 0)


@pytest.mark.parametrize("reason", ["saga_aborted", "item_removed", "order_completed"])
async def test_a_reserve_after_its_release_is_refused(warehouse: Warehouse, reason: str) -> None:
    """Nothing would ever release it."""
    await warehouse.stock(10)
    await warehouse.release("s1", 3, reason)
    status, body = await warehouse.reserve("s1", 3)
    assert (status, body["success"], body["available"]) == (409, False, 10)
    assert body["message"]
    assert await warehouse.units() == (10, 0, 0)


async def test_an_undone_reserve_cannot_be_repeated(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 3)
    await warehouse.release("s1", 3)
    assert (await warehouse.reserve("s1", 3))[0] == 409
    assert await warehouse.units() == (10, 0, 0)


async def test_an_undo_releases_at_most_the_holds_that_are_left(
    warehouse: Warehouse,
) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 5)
    await warehouse.reserve("other", 4, user="bob")
    await warehouse.release("s2", 3, "quantity_reduced")
    assert (await warehouse.release("s1", 5))[1]["released"] == 2
    assert await warehouse.units() == (6, 4, 0)
    assert await warehouse.held() == {("bob", "book"): 4}
    # The rest is not taken from later holds.
    await warehouse.reserve("s3", 1)
    assert await warehouse.held() == {("ann", "book"): 1, ("bob", "book"): 4}


async def test_an_undo_with_another_user_releases_the_holds_of_the_reserving_user(
    warehouse: Warehouse,
) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 3, user="ann")
    await warehouse.reserve("s2", 3, user="bob")
    assert (await warehouse.release("s1", 3, user="bob"))[1]["released"] == 3
    assert await warehouse.held() == {("bob", "book"): 3}
