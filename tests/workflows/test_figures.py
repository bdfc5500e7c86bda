"""The business figures, and how long their source records are kept."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from adapters.mongo.figures import FigureStore
from models.documents import KEPT_SECONDS, Cart, OperationRecord
from models.effects import ReleaseEffect
from models.upkeep.figures import WINDOW_DAYS, BusinessFigures, rate
from tests.support.carts import cart_of, operation_record
from tests.support.schedules import paused_schedules
from tests.support.shop import Shop, World
from tests.support.waiting import eventually
from workflows.upkeep.figures import FiguresWorkflow


@pytest.fixture(autouse=True)
async def clock(world: World) -> AsyncIterator[None]:
    async with paused_schedules(world.temporal):
        yield


async def measured(world: World) -> BusinessFigures:
    await world.temporal.execute_workflow(
        FiguresWorkflow.run, id=f"figures-{uuid4()}", task_queue=world.settings.temporal_task_queue
    )
    figures = await FigureStore().latest()
    assert figures is not None
    return figures


async def test_the_figures_count_carts_units_and_value_by_currency(shop: Shop) -> None:
    before = await measured(shop.world)
    first = cart_of(shop.store_id, "a", {"lamp": 3, "mug": 1})
    second = cart_of(shop.store_id, "b", {"lamp": 2})
    third = cart_of(shop.store_id, "c", {"lamp": 1})
    third.currency = "CHF"
    await Cart.insert_many([first, second, third])
    after = await measured(shop.world)
    assert after.carts - before.carts == 3
    assert after.items_total - before.items_total == 7
    dollars = [figures.value_total.get("USD", Decimal(0)) for figures in (before, after)]
    assert dollars[1] - dollars[0] == Decimal("60.00")
    assert after.value_total["CHF"] == Decimal("10.00")
    assert after.at > before.at
    await Cart.find({"storeId": shop.store_id}).delete()


async def test_the_rates_count_the_carts_that_ended_in_the_window(shop: Shop) -> None:
    before = (await measured(shop.world)).ended
    long_ago = datetime.now(UTC) - timedelta(days=WINDOW_DAYS, hours=1)
    await OperationRecord.insert_many(
        [
            *(operation_record(shop, "order_completed") for _ in range(3)),
            *(operation_record(shop, "expired") for _ in range(5)),
            operation_record(shop, "user"),
            operation_record(shop, "expired", at=long_ago),
            operation_record(shop, "expired", state="aborted"),
            operation_record(shop, operation="AddItem"),
        ]
    )
    after = await measured(shop.world)
    ended = after.ended
    assert ended.ordered - before.ordered == 3
    assert ended.expired - before.expired == 5
    assert ended.cleared - before.cleared == 1
    assert after.conversion_rate == rate(ended.ordered, ended.total)
    assert after.abandonment_rate == rate(ended.expired, ended.total)
    await OperationRecord.find({"storeId": shop.store_id}).delete()


def test_a_rate_is_in_percent_and_undefined_without_carts() -> None:
    assert (rate(1, 3), rate(0, 4), rate(0, 0)) == (33.33, 0.0, None)


@pytest.fixture
async def hurried_mongodb(world: World) -> AsyncIterator[None]:
    """MongoDB looks for what has expired each second, not each minute."""
    admin = world.carts.client.admin
    was = await admin.command("getParameter", 1, ttlMonitorSleepSecs=1)
    await admin.command("setParameter", 1, ttlMonitorSleepSecs=1)
    yield
    await admin.command("setParameter", 1, ttlMonitorSleepSecs=was["ttlMonitorSleepSecs"])


@pytest.mark.usefixtures("hurried_mongodb")
async def test_only_old_records_without_pending_effects_are_deleted(shop: Shop) -> None:
    old = datetime.now(UTC) - timedelta(seconds=KEPT_SECONDS + 3600)
    young = datetime.now(UTC) - timedelta(seconds=KEPT_SECONDS - 3600)
    effect = ReleaseEffect(
        id="effect", product_id="lamp", quantity=1, saga_id="saga", reason="saga_aborted"
    )
    await OperationRecord.insert_many(
        [
            operation_record(shop, id="old-done", at=old),
            operation_record(shop, id="old-pending", at=old, pending=True, effects=[effect]),
            operation_record(shop, id="young-done", at=young),
        ]
    )

    async def swept() -> set[str]:
        left = {kept.id for kept in await shop.records()}
        assert "old-done" not in left
        return left

    assert await eventually(swept, timeout=90) == {"old-pending", "young-done"}
    passes = await _ttl_passes(shop.world)

    async def once_more() -> None:
        assert await _ttl_passes(shop.world) > passes + 1

    await eventually(once_more, timeout=90)
    assert {kept.id for kept in await shop.records()} == {"old-pending", "young-done"}
    await OperationRecord.find({"storeId": shop.store_id}).delete()


async def _ttl_passes(world: World) -> int:
    status = await world.carts.client.admin.command("serverStatus")
    passes: int = status["metrics"]["ttl"]["passes"]
    return passes
