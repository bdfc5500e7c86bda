"""The watch over holds: it tells of a hold that no cart has, and of nothing that is on its way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest

import activities.upkeep.reconcile
import activities.upkeep.watch
from activities.upkeep.reconcile import ReconcileActivities
from activities.upkeep.repair import RepairActivities
from adapters.mongo.watch import WatchStore
from models.cart import Cart
from models.errors import DependencyUnavailable
from models.messages import Drift, DriftKind
from models.upkeep.reconcile import Finding, LookAgain, ReconcileInput, Suspect
from models.upkeep.watch import HoldWatch
from tests.support.carts import cart_of, hold, insist, plant_cart, release
from tests.support.clock import stopped_clock
from tests.support.drift import only_stores
from tests.support.shop import Shop, World
from tests.support.traffic import shop_on
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows.upkeep.reconcile import ReconcileWorkflow
from workflows.upkeep.watch import WatchHoldsWorkflow

MOST_LOOKS = 200


@pytest.fixture(autouse=True)
async def clock(world: World) -> AsyncIterator[None]:
    async with stopped_clock(world.temporal):
        await HoldWatch.find_all().delete()
        yield


@pytest.fixture
async def store(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A store whose carts are all that a look comes to, whatever other tests have left behind."""
    monkeypatch.setattr(activities.upkeep.watch, "PAUSE_SECONDS", 0.05)
    only_stores(monkeypatch, {bench.shop.store_id})
    for product_id in ("lamp", "mug"):
        await bench.shop.stock(product_id, 10_000)
    yield bench
    await Cart.find({"storeId": bench.shop.store_id}).delete()


async def look(bench: Bench) -> str:
    """One look; what it came to, in words."""
    return await bench.shop.world.temporal.execute_workflow(
        WatchHoldsWorkflow.run, id=f"watch-{uuid4()}", task_queue=bench.task_queue
    )


async def known() -> HoldWatch:
    watch = await WatchStore().latest()
    assert watch is not None
    return watch


async def drifts(shop: Shop) -> set[tuple[str, str, str | None]]:
    """(user, kind, product) of this store, as it is known."""
    return {
        (one.user_id, one.drift.kind.value, one.drift.product_id)
        for one in (await known()).drifts
        if one.store_id == shop.store_id
    }


async def test_it_tells_what_is_held_too_much_and_too_little_until_it_is_put_right(
    store: Bench,
) -> None:
    shop = store.shop
    for number in range(5):
        await plant_cart(shop, f"sound-{number}", {"lamp": 1, "mug": 2})
    await look(store)
    assert await drifts(shop) == set()

    await hold(shop, "nobody", "lamp", 4)
    await plant_cart(shop, "unlucky", {"mug": 2}, held=False)
    held = await shop.holds()
    await look(store)
    leaked, missing = ("nobody", "orphaned_hold", "lamp"), ("unlucky", "missing_hold", "mug")
    assert await drifts(shop) == {leaked, missing}
    assert await shop.holds() == held, "it repairs nothing"
    assert (await known()).position is None
    assert (await known()).last.carts >= 6

    before = await known()
    await look(store)
    assert (await known()).drifts == before.drifts, "no lock is taken for what is known"
    assert (await known()).at > before.at

    await release(shop, "nobody", "lamp", 4)
    await look(store)
    assert await drifts(shop) == {missing}


async def test_a_store_whose_last_cart_is_gone_is_not_forgotten(store: Bench) -> None:
    buyer = store.shop.buyer()
    await insist(buyer, "lamp")
    assert (await buyer.clear()).status_code == 200

    async def emptied() -> None:
        assert await store.shop.holds() == {}
        assert not [record for record in await store.shop.records() if record.pending]

    await eventually(emptied)
    await hold(store.shop, "nobody", "lamp", 1)
    await look(store)
    assert await drifts(store.shop) == {("nobody", "orphaned_hold", "lamp")}

    report = await store.shop.world.temporal.execute_workflow(
        ReconcileWorkflow.run,
        ReconcileInput(limit=2000),
        id=f"reconcile-{uuid4()}",
        task_queue=store.task_queue,
    )
    assert store.shop.store_id in {one.store_id for one in report.findings}


async def test_a_pass_may_take_several_looks_and_forgets_nothing(
    store: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities.upkeep.reconcile, "PAGE", 10)
    monkeypatch.setattr(activities.upkeep.watch, "LOOK_SECONDS", 0)
    shop = store.shop
    await Cart.insert_many([cart_of(shop.store_id, f"user-{n:02}", {}) for n in range(35)])
    leaked = {(f"user-{n:02}", "orphaned_hold", "lamp") for n in (3, 17, 34)}
    for user_id, _, _ in leaked:
        await hold(shop, user_id, "lamp", 1)

    looks = 0
    while looks == 0 or (await known()).position is not None:
        found = await drifts(shop) if looks else set()
        await look(store)
        looks += 1
        assert found <= await drifts(shop), "what was found by an earlier look is told on"
    assert looks >= 4
    assert await drifts(shop) == leaked
    watch = await known()
    assert watch.whole == watch.last
    assert watch.last.carts == 35
    assert watch.last.began < watch.at, "the pass began with the first of its looks"


async def test_an_inventory_that_is_away_is_no_failure_and_nothing_is_forgotten(
    store: Bench,
) -> None:
    await plant_cart(store.shop, "sound", {"lamp": 1})
    await hold(store.shop, "nobody", "lamp", 1)
    await look(store)
    before = await known()
    assert await drifts(store.shop)

    away = DependencyUnavailable("inventory", "for a test")
    store.faults.fail("reservations", "before", away, times=1000)
    assert (await look(store)).startswith("could not look: DependencyUnavailable")
    assert await known() == before


async def test_a_cart_that_is_busy_for_long_stays_as_it_was_known(
    store: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plant_cart(store.shop, "unlucky", {"lamp": 3}, held=False)
    await look(store)
    told = await drifts(store.shop)
    assert told

    async def busy(*_: object) -> None:
        return None

    monkeypatch.setattr(ReconcileActivities, "_look", busy)
    await hold(store.shop, "unlucky", "lamp", 1)
    await hold(store.shop, "nobody", "lamp", 1)
    await look(store)
    assert await drifts(store.shop) == told


async def test_a_bug_is_a_failure(store: Bench) -> None:
    await plant_cart(store.shop, "sound", {"lamp": 1})
    store.faults.fail("reservations", "before", ZeroDivisionError("a bug"), times=1000)
    with pytest.raises(Exception, match="Workflow execution failed"):
        await look(store)


def never() -> bool:
    return False


async def no_false_drift(bench: Bench, *, enough: Callable[[], bool] = never) -> None:
    """Looks while buyers shop, until it is enough."""
    stop = asyncio.Event()
    shoppers = [asyncio.create_task(shop_on(bench.shop.buyer(), stop)) for _ in range(6)]
    found: set[tuple[str, str, str | None]] = set()
    try:
        for _ in range(MOST_LOOKS):
            await look(bench)
            found |= await drifts(bench.shop)
            if found or enough():
                break
    finally:
        stop.set()
        shopped = await asyncio.gather(*shoppers)
    assert sum(shopped) > 0
    assert not found, "a cart that only was on its way is called drift"


async def test_traffic_is_never_called_drift(store: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by a build that sees all that traffic looks like, twice."""
    looked_at: list[Suspect] = []
    in_time = RepairActivities.hold_drifts

    async def differs(steps: RepairActivities, *cart: str, reserving: bool) -> list[Drift]:
        await in_time(steps, *cart, reserving=reserving)
        looked_at.append(Suspect(store_id=cart[0], user_id=cart[1]))
        return [Drift(kind=DriftKind.ORPHANED_HOLD, detail="as it may look from outside")]

    monkeypatch.setattr(RepairActivities, "hold_drifts", differs)

    def ours() -> list[Suspect]:
        return [one for one in looked_at if one.store_id == store.shop.store_id]

    await no_false_drift(store, enough=lambda: len(ours()) >= 3)
    assert ours(), "nothing ever looked wrong from outside: the traffic was no test"
    await eventually(store.shop.assert_consistent, timeout=60)


async def test_a_build_that_believes_what_it_sees_from_outside_is_caught(
    store: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def believed(
        steps: ReconcileActivities, suspect: Suspect, request: LookAgain
    ) -> list[Finding]:
        drift = Drift(kind=DriftKind.MISSING_HOLD, detail="as seen from outside")
        return [Finding(**suspect.model_dump(), run_id="", drift=drift)]

    async def differs(*_: object, **__: object) -> bool:
        return True

    monkeypatch.setattr(ReconcileActivities, "_look", believed)
    monkeypatch.setattr(RepairActivities, "hold_drifts", differs)
    with pytest.raises(AssertionError, match="is called drift"):
        await no_false_drift(store)
