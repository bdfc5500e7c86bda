"""Scenarios of updates, removals and clears."""

from functools import partial
from typing import Any

from models.documents import Cart
from models.errors import DependencyTimeout, DependencyUnavailable
from models.operations import ClearCart, RemoveItem, UpdateQuantity
from tests.replay.common import (
    INVENTORY_IS_DOWN,
    KAFKA_IS_DOWN,
    Run,
    Scenario,
    Start,
    aborted,
    buyer,
    cancelled,
    past_its_deadline,
    reset_when_it_has_ended,
)
from tests.support.call_faults import FOR_EVER
from tests.support.relays import RelayBench
from tests.workflows.conftest import Bench
from workflows.clear_cart import ClearCartWorkflow
from workflows.remove_item import RemoveItemWorkflow
from workflows.update_quantity import UpdateQuantityWorkflow


async def _with_a_cart(bench: Bench, relays: RelayBench) -> Start:
    """Adds two headphones; returns the function that starts a change of the cart."""
    shopper = buyer(relays)
    await bench.add(shopper)
    cart = await shopper.cart()
    assert cart is not None

    async def start(what: str, units: int = 0, **options: Any) -> Run:
        common = bench.common(shopper, f"{what} {units}", **options) | {"cart_id": str(cart.id)}
        if what == "clear":
            clear = ClearCart(**common, reason="user")
            return await bench.run(ClearCartWorkflow.run, shopper, clear)
        common |= {"product_id": "headphones"}
        if what == "remove":
            return await bench.run(RemoveItemWorkflow.run, shopper, RemoveItem(**common))
        update = UpdateQuantity(**common, quantity=units)
        return await bench.run(UpdateQuantityWorkflow.run, shopper, update)

    return start


async def update_more(bench: Bench, relays: RelayBench) -> Run:
    return await (await _with_a_cart(bench, relays))("update", 5)


async def update_less(bench: Bench, relays: RelayBench) -> Run:
    return await (await _with_a_cart(bench, relays))("update", 1)


async def update_to_what_it_is(bench: Bench, relays: RelayBench) -> Run:
    return await (await _with_a_cart(bench, relays))("update", 2)


async def update_rejected_for_stock(bench: Bench, relays: RelayBench) -> Run:
    return await (await _with_a_cart(bench, relays))("update", 11)


async def update_rejected_by_its_pivot(bench: Bench, relays: RelayBench) -> Run:
    """The cart expires after the saga has loaded it and has reserved the units."""
    start = await _with_a_cart(bench, relays)
    arrived, go_on = bench.faults.hold("persist")
    run = await start("update", 5)
    await arrived.wait()
    await Cart.find({"storeId": bench.shop.store_id}).delete()
    go_on.set()
    return run


async def update_undone_without_inventory(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN, times=FOR_EVER)
    return await start("update", 5)


async def update_undone_after_a_silence(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    bench.faults.fail("reserve", "after", DependencyTimeout("inventory"))
    return await start("update", 5)


async def update_undone_while_it_reserves(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    await relays.shop.fault("reserve", "commit_then_timeout", seconds=3)
    return await start("update", 5, deadline_seconds=0.8)


async def update_undone_by_its_deadline(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    return await past_its_deadline(bench, partial(start, "update", 5))


async def update_with_its_release_deferred(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    bench.faults.fail("release", "before", INVENTORY_IS_DOWN)
    return await start("update", 1)


async def update_reset_when_committed(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    return await reset_when_it_has_ended(bench, await start("update", 5))


async def remove_committed(bench: Bench, relays: RelayBench) -> Run:
    return await (await _with_a_cart(bench, relays))("remove")


async def remove_rejected_for_it_is_gone(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    await (await start("remove")).result()
    return await start("remove")


async def remove_with_all_deferred(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    bench.faults.fail("release", "before", INVENTORY_IS_DOWN)
    bench.faults.fail("publish", "before", KAFKA_IS_DOWN)
    return await start("remove")


async def remove_undone_by_an_operator(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    return await aborted(bench, partial(start, "remove"))


async def remove_cancelled(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    return await cancelled(bench, partial(start, "remove"))


async def clear_committed(bench: Bench, relays: RelayBench) -> Run:
    return await (await _with_a_cart(bench, relays))("clear")


async def clear_rejected_without_a_cart(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    await (await start("clear")).result()
    return await start("clear")


async def clear_committed_unheard(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    bench.faults.fail("persist", "after", DependencyUnavailable("mongodb"), times=FOR_EVER)
    return await start("clear", deadline_seconds=0.5)


async def clear_with_all_deferred(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    bench.faults.fail("release", "before", INVENTORY_IS_DOWN)
    bench.faults.fail("publish", "before", KAFKA_IS_DOWN)
    return await start("clear")


async def clear_undone_by_its_deadline(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    return await past_its_deadline(bench, partial(start, "clear"))


async def clear_undone_by_an_operator(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    return await aborted(bench, partial(start, "clear"))


async def clear_cancelled(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    return await cancelled(bench, partial(start, "clear"))


async def clear_reset_when_committed(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    return await reset_when_it_has_ended(bench, await start("clear"))


SCENARIOS: tuple[Scenario, ...] = (
    update_more,
    update_less,
    update_to_what_it_is,
    update_rejected_for_stock,
    update_rejected_by_its_pivot,
    update_undone_without_inventory,
    update_undone_after_a_silence,
    update_undone_while_it_reserves,
    update_undone_by_its_deadline,
    update_with_its_release_deferred,
    update_reset_when_committed,
    remove_committed,
    remove_rejected_for_it_is_gone,
    remove_with_all_deferred,
    remove_undone_by_an_operator,
    remove_cancelled,
    clear_committed,
    clear_rejected_without_a_cart,
    clear_committed_unheard,
    clear_with_all_deferred,
    clear_undone_by_its_deadline,
    clear_undone_by_an_operator,
    clear_cancelled,
    clear_reset_when_committed,
)
