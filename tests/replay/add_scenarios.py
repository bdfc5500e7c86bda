"""Scenarios of adds."""

from functools import partial
from uuid import uuid4

from models.errors import DependencyUnavailable, NotSent, VersionConflict
from tests.replay.common import (
    INVENTORY_IS_DOWN,
    KAFKA_IS_DOWN,
    Run,
    Scenario,
    aborted,
    buyer,
    cancelled,
    past_its_deadline,
    reset_when_it_has_ended,
)
from tests.support.call_faults import FOR_EVER
from tests.support.carts import forget_holds
from tests.support.relays import RelayBench
from tests.workflows.conftest import Bench


async def add_committed(bench: Bench, relays: RelayBench) -> Run:
    return await bench.start(buyer(relays))


async def add_to_a_cart_that_moved_on(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("persist", "before", VersionConflict("moved"), times=2)
    return await bench.start(buyer(relays))


async def add_to_a_line_that_is_not_held(bench: Bench, relays: RelayBench) -> Run:
    await bench.add(buyer(relays), 3)
    await forget_holds(bench.shop)
    return await bench.start(buyer(relays))


async def add_rejected_for_stock(bench: Bench, relays: RelayBench) -> Run:
    return await bench.start(buyer(relays), 11)


async def add_rejected_for_its_limit(bench: Bench, relays: RelayBench) -> Run:
    await bench.shop.stock("headphones", 200)
    await bench.add(buyer(relays), 60)
    return await bench.start(buyer(relays), 60)


async def add_undone_without_inventory(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN, times=3)
    return await bench.start(buyer(relays))


async def add_never_sent(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "before", NotSent("inventory", "circuit open"), times=3)
    return await bench.start(buyer(relays))


async def add_undone_by_its_deadline(bench: Bench, relays: RelayBench) -> Run:
    return await past_its_deadline(bench, partial(bench.start, buyer(relays)))


async def add_undone_by_an_operator(bench: Bench, relays: RelayBench) -> Run:
    return await aborted(bench, partial(bench.start, buyer(relays)))


async def add_cancelled(bench: Bench, relays: RelayBench) -> Run:
    return await cancelled(bench, partial(bench.start, buyer(relays)))


async def add_committed_unheard(bench: Bench, relays: RelayBench) -> Run:
    mongodb_is_away = DependencyUnavailable("mongodb")
    bench.faults.fail("persist", "after", mongodb_is_away, times=FOR_EVER)
    return await bench.start(buyer(relays), deadline_seconds=0.5)


async def add_settled_when_mongodb_is_back(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "before", INVENTORY_IS_DOWN, times=3)
    bench.faults.fail("settle", "before", DependencyUnavailable("mongodb"), times=2)
    return await bench.start(buyer(relays))


async def add_with_its_event_deferred(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("publish", "before", KAFKA_IS_DOWN)
    return await bench.start(buyer(relays))


async def add_behind_a_pending_event(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("publish", "before", KAFKA_IS_DOWN)
    await bench.add(buyer(relays))
    return await bench.start(buyer(relays))


async def add_with_its_release_deferred(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN, times=3)
    bench.faults.fail("release", "before", INVENTORY_IS_DOWN)
    return await bench.start(buyer(relays))


async def add_replayed_by_its_key(bench: Bench, relays: RelayBench) -> Run:
    key = uuid4().hex
    await bench.add(buyer(relays), key=key)
    return await bench.start(buyer(relays), key=key)


async def add_reset_when_committed(bench: Bench, relays: RelayBench) -> Run:
    return await reset_when_it_has_ended(bench, await bench.start(buyer(relays)))


async def add_reset_when_rejected(bench: Bench, relays: RelayBench) -> Run:
    return await reset_when_it_has_ended(bench, await bench.start(buyer(relays), 11))


async def add_reset_when_undone(bench: Bench, relays: RelayBench) -> Run:
    bench.faults.fail("reserve", "after", INVENTORY_IS_DOWN, times=3)
    return await reset_when_it_has_ended(bench, await bench.start(buyer(relays)))


SCENARIOS: tuple[Scenario, ...] = (
    add_committed,
    add_to_a_cart_that_moved_on,
    add_to_a_line_that_is_not_held,
    add_rejected_for_stock,
    add_rejected_for_its_limit,
    add_undone_without_inventory,
    add_never_sent,
    add_undone_by_its_deadline,
    add_undone_by_an_operator,
    add_cancelled,
    add_committed_unheard,
    add_settled_when_mongodb_is_back,
    add_with_its_event_deferred,
    add_behind_a_pending_event,
    add_with_its_release_deferred,
    add_replayed_by_its_key,
    add_reset_when_committed,
    add_reset_when_rejected,
    add_reset_when_undone,
)
