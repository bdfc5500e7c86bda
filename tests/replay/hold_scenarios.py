"""Scenarios of holds that end, and of their extension."""

from functools import partial
from typing import Any
from uuid import uuid4

from models.operations import ExtendHolds
from models.upkeep.passes import PassInput
from tests.replay.common import INVENTORY_IS_DOWN, Run, Scenario, aborted, buyer
from tests.support.carts import end_holds, forget_holds
from tests.support.relays import RelayBench
from tests.workflows.conftest import Bench
from workflows.extend_holds import ExtendHoldsWorkflow
from workflows.upkeep.holds import EndHoldsWorkflow

HOLDS: dict[str, Any] = {"hold_seconds": 600, "hold_max_seconds": 3600}


async def _lapsed(bench: Bench, relays: RelayBench, **options: Any) -> Run:
    """Extends the holds of a cart with two products, which are not held."""
    shopper = buyer(relays)
    cart = await shopper.cart()
    if cart is None:
        await bench.shop.stock("lamp", 1)
        for product in ("headphones", "lamp"):
            await bench.add(shopper, 1, product=product, **HOLDS)
        await forget_holds(bench.shop)
        cart = await shopper.cart()
    common = bench.common(shopper, "extend", **HOLDS | options)
    return await bench.run(
        ExtendHoldsWorkflow.run, shopper, ExtendHolds(**common, cart_id=str(cart and cart.id))
    )


async def extend_reserving_again(bench: Bench, relays: RelayBench) -> Run:
    return await _lapsed(bench, relays)


async def extend_of_what_is_held(bench: Bench, relays: RelayBench) -> Run:
    await (await _lapsed(bench, relays)).result()
    return await _lapsed(bench, relays)


async def extend_rejected_for_stock(bench: Bench, relays: RelayBench) -> Run:
    await bench.shop.stock("lamp", 1)
    shopper = buyer(relays)
    for product in ("headphones", "lamp"):
        await bench.add(shopper, 1, product=product, **HOLDS)
    await forget_holds(bench.shop)
    await bench.shop.stock("lamp", 0)
    return await _lapsed(bench, relays)


async def extend_undone_without_inventory(bench: Bench, relays: RelayBench) -> Run:
    await (await _lapsed(bench, relays)).result()
    await forget_holds(bench.shop)
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN, times=6)
    return await _lapsed(bench, relays)


async def extend_undone_by_an_operator(bench: Bench, relays: RelayBench) -> Run:
    await (await _lapsed(bench, relays)).result()
    await forget_holds(bench.shop)
    return await aborted(bench, partial(_lapsed, bench, relays))


async def holds_of_two_carts(bench: Bench, relays: RelayBench) -> Run:
    for shopper in (bench.shop.buyer(), bench.shop.buyer()):
        await bench.add(shopper, 1, **HOLDS)
        await end_holds(bench.shop, shopper.user_id)
    return await bench.shop.world.temporal.start_workflow(
        EndHoldsWorkflow.run, PassInput(), id=f"holds-{uuid4()}", task_queue=bench.task_queue
    )


SCENARIOS: tuple[Scenario, ...] = (
    extend_reserving_again,
    extend_of_what_is_held,
    extend_rejected_for_stock,
    extend_undone_without_inventory,
    extend_undone_by_an_operator,
    holds_of_two_carts,
)
