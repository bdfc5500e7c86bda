"""Updates, removals and clearings, and how to bring each about."""

from functools import partial
from typing import Any

from models.errors import DependencyTimeout, DependencyUnavailable
from models.messages import ClearCartInput, RemoveItemInput, UpdateQuantityInput
from tests.replay.common import (
    FOR_EVER,
    INVENTORY_IS_DOWN,
    KAFKA_IS_DOWN,
    Run,
    Scenario,
    Start,
    aborted,
    buyer,
    cancelled,
    past_its_deadline,
)
from tests.support.relays import RelayBench
from tests.workflows.conftest import Bench
from workflows.clear_cart import ClearCartWorkflow
from workflows.remove_item import RemoveItemWorkflow
from workflows.update_quantity import UpdateQuantityWorkflow


async def _with_a_cart(bench: Bench, relays: RelayBench) -> Start:
    """A buyer with two headphones, and how it asks for a change of them."""
    shopper = buyer(relays)
    await bench.add(shopper)
    cart = await shopper.cart()
    assert cart is not None

    async def start(what: str, units: int = 0, **options: Any) -> Run:
        common = bench.common(shopper, f"{what} {units}", **options) | {"cart_id": str(cart.id)}
        if what == "clear":
            clear = ClearCartInput(**common, reason="user")
            return await bench.run(ClearCartWorkflow.run, shopper, clear)
        common |= {"product_id": "headphones"}
        if what == "remove":
            return await bench.run(RemoveItemWorkflow.run, shopper, RemoveItemInput(**common))
        update = UpdateQuantityInput(**common, quantity=units)
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


async def update_undone_without_inventory(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN, times=FOR_EVER)
    return await start("update", 5)


async def update_with_its_second_reserve(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN)
    return await start("update", 5)


async def update_with_its_second_load(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    bench.faults.fail("load", "after", DependencyUnavailable("mongodb"))
    return await start("update", 5)


async def update_undone_after_a_silence(bench: Bench, relays: RelayBench) -> Run:
    start = await _with_a_cart(bench, relays)
    bench.faults.fail("reserve", "after", DependencyTimeout("inventory"))
    return await start("update", 5)


async def update_undone_inside_its_first_step(bench: Bench, relays: RelayBench) -> Run:
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
    bench.faults.fail("commit", "after", DependencyUnavailable("mongodb"), times=FOR_EVER)
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


SCENARIOS: tuple[Scenario, ...] = (
    update_more,
    update_less,
    update_to_what_it_is,
    update_rejected_for_stock,
    update_undone_without_inventory,
    update_with_its_second_reserve,
    update_with_its_second_load,
    update_undone_after_a_silence,
    update_undone_inside_its_first_step,
    update_undone_by_its_deadline,
    update_with_its_release_deferred,
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
)
