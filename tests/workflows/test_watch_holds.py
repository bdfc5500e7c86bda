"""The watch of holds reports holds without a cart line, and no cart in the middle of a saga."""

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest

import activities.upkeep.reconcile
import activities.upkeep.watch
from activities.upkeep.reconcile import ReconcileActivities
from activities.upkeep.repair import RepairActivities
from adapters.mongo.findings import FindingStore
from adapters.mongo.watch import WatchStore
from models.documents import Cart
from models.drift import Drift, DriftKind
from models.errors import DependencyUnavailable
from models.upkeep.reconcile import Finding, LookAgain, ReconcileInput, Suspect
from models.upkeep.watch import HoldWatch
from tests.support.carts import add_until_committed, cart_of, hold, plant_cart, release
from tests.support.drift import limit_to_stores
from tests.support.schedules import paused_schedules
from tests.support.shop import Shop, World
from tests.support.shopping import keep_shopping
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows.upkeep.reconcile import ReconcileWorkflow
from workflows.upkeep.watch import WatchHoldsWorkflow

MOST_LOOKS = 200


@pytest.fixture(autouse=True)
async def clock(world: World) -> AsyncIterator[None]:
    async with paused_schedules(world.temporal):
        await HoldWatch.find_all().delete()
        yield


@pytest.fixture
async def store(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """A store; the watch is limited to it, so that drift of other tests does not matter."""
    monkeypatch.setattr(activities.upkeep.watch, "PAUSE_SECONDS", 0.05)
    limit_to_stores(monkeypatch, {bench.shop.store_id})
    for product_id in ("lamp", "mug"):
        await bench.shop.stock(product_id, 10_000)
    yield bench
    await Cart.find({"storeId": bench.shop.store_id}).delete()


async def look(bench: Bench) -> str:
    """Runs the watch once; its result as text."""
    return await bench.shop.world.temporal.execute_workflow(
        WatchHoldsWorkflow.run, id=f"watch-{uuid4()}", task_queue=bench.task_queue
    )


async def known() -> HoldWatch:
    watch = await WatchStore().latest()
    assert watch is not None
    return watch


async def drifts(shop: Shop) -> set[tuple[str, str, str | None]]:
    """(user, kind, product) of the stored findings of this shop."""
    return {
        (one.user_id, one.drift.kind.value, one.drift.product_id)
        for one in (await known()).drifts
        if one.store_id == shop.store_id
    }


async def test_extra_and_missing_holds_are_reported_until_they_are_repaired(
    store: Bench,
) -> None:
    shop = store.shop
    for number in range(5):
        await plant_cart(shop, f"sound-{number}", {"lamp": 1, "mug": 2})
    await look(store)
    assert await drifts(shop) == set()

    await hold(shop, "no-cart", "lamp", 4)
    await plant_cart(shop, "unlucky", {"mug": 2}, held=False)
    held = await shop.holds()
    await look(store)
    leaked, missing = ("no-cart", "orphaned_hold", "lamp"), ("unlucky", "missing_hold", "mug")
    assert await drifts(shop) == {leaked, missing}
    assert await shop.holds() == held, "the watch must not repair"
    assert (await known()).position is None
    assert (await known()).last.carts >= 6

    before = await known()
    await look(store)
    assert (await known()).drifts == before.drifts, (
        "a known finding must not be checked again under the lock"
    )
    assert (await known()).at > before.at

    await release(shop, "no-cart", "lamp", 4)
    await look(store)
    assert await drifts(shop) == {missing}


async def test_a_store_without_carts_is_still_watched(store: Bench) -> None:
    buyer = store.shop.buyer()
    await add_until_committed(buyer, "lamp")
    assert (await buyer.clear()).status_code == 200

    async def emptied() -> None:
        assert await store.shop.holds() == {}
        assert not [record for record in await store.shop.records() if record.pending]

    await eventually(emptied)
    await hold(store.shop, "no-cart", "lamp", 1)
    await look(store)
    assert await drifts(store.shop) == {("no-cart", "orphaned_hold", "lamp")}

    run = await store.shop.world.temporal.start_workflow(
        ReconcileWorkflow.run,
        ReconcileInput(limit=2000),
        id=f"reconcile-{uuid4()}",
        task_queue=store.task_queue,
    )
    await run.result()
    findings = await FindingStore().of_run(run.first_execution_run_id or "")
    assert store.shop.store_id in {one.store_id for one in findings}


async def test_a_pass_over_several_runs_keeps_its_findings(
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
        assert found <= await drifts(shop), "findings of earlier runs must stay"
    assert looks >= 4
    assert await drifts(shop) == leaked
    watch = await known()
    assert watch.whole == watch.last
    assert watch.last.carts == 35
    assert watch.last.began < watch.at, "a pass begins with its first run"


async def test_without_the_inventory_the_findings_stay_as_they_are(
    store: Bench,
) -> None:
    await plant_cart(store.shop, "sound", {"lamp": 1})
    await hold(store.shop, "no-cart", "lamp", 1)
    await look(store)
    before = await known()
    assert await drifts(store.shop)

    away = DependencyUnavailable("inventory", "for a test")
    store.faults.fail("reservations", "before", away, times=1000)
    assert (await look(store)).startswith("could not look: DependencyUnavailable")
    assert await known() == before


async def test_the_findings_of_a_busy_cart_stay_as_they_are(
    store: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plant_cart(store.shop, "unlucky", {"lamp": 3}, held=False)
    await look(store)
    before = await drifts(store.shop)
    assert before

    async def busy(*_: object) -> None:
        return None

    monkeypatch.setattr(ReconcileActivities, "_look", busy)
    await hold(store.shop, "unlucky", "lamp", 1)
    await hold(store.shop, "no-cart", "lamp", 1)
    await look(store)
    assert await drifts(store.shop) == before


async def test_an_unexpected_error_fails_the_run(store: Bench) -> None:
    await plant_cart(store.shop, "sound", {"lamp": 1})
    store.faults.fail("reservations", "before", ZeroDivisionError("a bug"), times=1000)
    with pytest.raises(Exception, match="Workflow execution failed"):
        await look(store)


def never() -> bool:
    return False


async def no_false_drift(bench: Bench, *, enough: Callable[[], bool] = never) -> None:
    """Runs the watch during traffic until `enough` is true; asserts that it reports nothing."""
    stop = asyncio.Event()
    shoppers = [asyncio.create_task(keep_shopping(bench.shop.buyer(), stop)) for _ in range(6)]
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
    assert not found, "a cart in the middle of an operation is reported as drift"


async def test_traffic_is_never_reported_as_drift(
    store: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if two comparisons without the lock differ in a row."""
    looked_at: list[Suspect] = []
    in_time = RepairActivities.hold_drifts

    async def differs(steps: RepairActivities, *cart: str, reserving: bool) -> list[Drift]:
        await in_time(steps, *cart, reserving=reserving)
        looked_at.append(Suspect(store_id=cart[0], user_id=cart[1]))
        return [Drift(kind=DriftKind.ORPHANED_HOLD, detail="without the lock")]

    monkeypatch.setattr(RepairActivities, "hold_drifts", differs)

    def ours() -> list[Suspect]:
        return [one for one in looked_at if one.store_id == store.shop.store_id]

    await no_false_drift(store, enough=lambda: len(ours()) >= 3)
    assert ours(), "no cart was ever suspected, so the traffic tested nothing"
    await eventually(store.shop.assert_consistent, timeout=60)


async def test_a_build_without_the_second_check_reports_traffic_as_drift(
    store: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    drift = Drift(kind=DriftKind.MISSING_HOLD, detail="as seen from outside")

    async def believed(
        steps: ReconcileActivities, suspect: Suspect, request: LookAgain
    ) -> list[Finding]:
        return [Finding(**suspect.model_dump(), record_id="", drift=drift)]

    async def differs(*_: object, **__: object) -> list[Drift]:
        return [drift]

    monkeypatch.setattr(ReconcileActivities, "_look", believed)
    monkeypatch.setattr(RepairActivities, "hold_drifts", differs)
    with pytest.raises(AssertionError, match="is reported as drift"):
        await no_false_drift(store)


async def test_each_runner_continues_where_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several stores, each with more carts than a page; no cart is compared twice in a pass."""
    monkeypatch.setattr(activities.upkeep.watch, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(activities.upkeep.reconcile, "PAGE", 4)
    monkeypatch.setattr(activities.upkeep.watch, "LOOK_SECONDS", 0)
    shops = [bench.shop, *(Shop(bench.shop.world) for _ in range(5))]
    own = {shop.store_id for shop in shops}
    limit_to_stores(monkeypatch, own)
    for shop in shops:
        await shop.stock("lamp", 10)
        await Cart.insert_many([cart_of(shop.store_id, f"user-{n:02}", {}) for n in range(10)])
        await hold(shop, "user-07", "lamp", 1)
    looks = 0
    while looks == 0 or (await known()).position is not None:
        await look(bench)
        looks += 1
        assert looks < MOST_LOOKS
    watch = await known()
    assert looks > 1
    assert watch.whole is not None
    assert watch.whole.carts == 10 * len(shops)
    assert {(one.store_id, one.user_id) for one in watch.drifts} == {
        (store_id, "user-07") for store_id in own
    }
    await Cart.find({"storeId": {"$in": [*own]}}).delete()
