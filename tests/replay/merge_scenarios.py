"""Scenarios of merges of guests' carts."""

from functools import partial

from models.operations import MergeCart
from tests.replay.common import (
    INVENTORY_IS_DOWN,
    Run,
    aborted,
    buyer,
    past_its_deadline,
)
from tests.support.call_faults import FOR_EVER
from tests.support.relays import RelayBench
from tests.support.shop import Buyer
from tests.workflows.conftest import Bench
from workflows import ids
from workflows.merge_cart import MergeCartWorkflow


async def _start(
    bench: Bench, shopper: Buyer, guest: Buyer, *, deadline_seconds: float = 30
) -> Run:
    common = bench.common(shopper, "merge", deadline_seconds=deadline_seconds)
    guest_operation = ids.operation_id(bench.shop.store_id, guest.user_id, common["operation_id"])
    merge = MergeCart(**common, guest_id=guest.user_id, guest_operation_id=guest_operation)
    return await bench.run(MergeCartWorkflow.run, shopper, merge)


async def _two_carts(bench: Bench, relays: RelayBench) -> tuple[Buyer, Buyer]:
    """A user with two of ten headphones, and a guest with three."""
    shopper, guest = buyer(relays), bench.shop.guest()
    await bench.add(shopper)
    await bench.add(guest, 3)
    return shopper, guest


async def merge_committed(bench: Bench, relays: RelayBench) -> Run:
    return await _start(bench, *await _two_carts(bench, relays))


async def merge_without_a_cart_of_the_guest(bench: Bench, relays: RelayBench) -> Run:
    shopper = buyer(relays)
    await bench.add(shopper)
    return await _start(bench, shopper, bench.shop.guest())


async def merge_without_any_cart(bench: Bench, relays: RelayBench) -> Run:
    return await _start(bench, buyer(relays), bench.shop.guest())


async def merge_that_reserves_anew(bench: Bench, relays: RelayBench) -> Run:
    """The inventory moves no units, and has too few for all."""
    carts = await _two_carts(bench, relays)
    await bench.shop.stock("headphones", 2)
    store = bench.shop.store_id
    await bench.shop.fault("transfer", "answer", status=501, times=3, storeId=store)
    return await _start(bench, *carts)


async def merge_undone_without_inventory(bench: Bench, relays: RelayBench) -> Run:
    carts = await _two_carts(bench, relays)
    bench.faults.fail("transfer", "after", INVENTORY_IS_DOWN, times=FOR_EVER)
    return await _start(bench, *carts)


async def merge_undone_by_its_deadline(bench: Bench, relays: RelayBench) -> Run:
    carts = await _two_carts(bench, relays)
    return await past_its_deadline(bench, partial(_start, bench, *carts))


async def merge_undone_by_an_operator(bench: Bench, relays: RelayBench) -> Run:
    carts = await _two_carts(bench, relays)
    return await aborted(bench, partial(_start, bench, *carts))


SCENARIOS = (
    merge_committed,
    merge_without_a_cart_of_the_guest,
    merge_without_any_cart,
    merge_that_reserves_anew,
    merge_undone_without_inventory,
    merge_undone_by_its_deadline,
    merge_undone_by_an_operator,
)
