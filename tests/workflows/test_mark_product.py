"""Stock news of a product reach all carts that have it, page by page, also after failures."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus

from activities import scans
from adapters.mongo.cart_scans import CartScans
from models.cart_line import CartLine, ProductAvailability
from models.documents import Cart
from models.errors import DependencyUnavailable
from models.events import CART_ITEM_OUT_OF_STOCK
from models.mark_product import MarkProductInput
from tests.support.relays import details
from tests.workflows.conftest import Bench
from workflows.mark_product import MarkProductWorkflow

CARTS = 45


async def plant(bench: Bench, count: int) -> None:
    """Stores carts of two headphones each, filled a minute ago."""
    then = datetime.now(UTC) - timedelta(minutes=1)
    line = CartLine(
        product_id="headphones",
        product_title="Headphones",
        product_price=Decimal(1),
        product_quantity=2,
        reserved_at=then,
    )
    await Cart.insert_many(
        [
            Cart(
                user_id=f"user-{number}",
                store_id=bench.shop.store_id,
                quantity=2,
                total_price=Decimal(2),
                currency="USD",
                cart_items=[line],
                expire_at=then + timedelta(days=30),
                version=1,
                created_at=then,
                updated_at=then,
            )
            for number in range(count)
        ]
    )


def news(bench: Bench) -> MarkProductInput:
    out = ProductAvailability(
        product_id="headphones", status="out_of_stock", reason="Gone", at=datetime.now(UTC)
    )
    return MarkProductInput(
        topic=CART_ITEM_OUT_OF_STOCK,
        event_id=uuid4().hex,
        store_id=bench.shop.store_id,
        news=out,
    )


async def marked(bench: Bench) -> list[tuple[int, str | None]]:
    """Version and reason of each cart's line."""
    carts = await Cart.find({"storeId": bench.shop.store_id}).to_list()
    return [(cart.version, cart.cart_items[0].unavailability_reason) for cart in carts]


async def test_all_carts_are_marked_once_across_continued_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "PAGE", 1)
    await plant(bench, CARTS)
    handle = await bench.shop.world.temporal.start_workflow(
        MarkProductWorkflow.run, news(bench), id=f"product-{uuid4()}", task_queue=bench.task_queue
    )
    assert await handle.result() == CARTS
    assert await marked(bench) == [(2, "Gone")] * CARTS
    temporal = bench.shop.world.temporal
    first = temporal.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    assert (await first.describe()).status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    latest = temporal.get_workflow_handle(handle.id)
    assert f"{CARTS} carts marked, {CARTS} looked at" in await details(latest)


async def test_a_page_that_fails_is_retried_and_marks_no_cart_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "PAGE", 3)
    await plant(bench, 8)
    good, failures = CartScans.to_mark, [DependencyUnavailable("mongodb")] * 2

    async def fail_first(*args: object, **kwargs: object) -> object:
        if failures:
            raise failures.pop()
        return await good(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(CartScans, "to_mark", fail_first)
    request = news(bench)
    for _ in range(2):  # the event is repeated after its workflow id has expired
        await bench.shop.world.temporal.execute_workflow(
            MarkProductWorkflow.run, request, id=f"product-{uuid4()}", task_queue=bench.task_queue
        )
    assert await marked(bench) == [(2, "Gone")] * 8
