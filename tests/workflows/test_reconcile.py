"""Reconciling finds each drift and nothing else, and repairs it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self
from uuid import uuid4

import orjson
import pytest
from temporalio.client import WorkflowHandle

import activities.upkeep.reconcile
from adapters.mongo.findings import FindingStore
from adapters.redis.pool import RedisPool
from models.cart import CartKey
from models.documents import Cart, Due, OperationRecord, bucket_of
from models.drift import Drift, DriftKind
from models.effects import EffectKind, EventEffect, ReleaseEffect
from models.outcomes import OperationResult, Outcome
from models.upkeep.reconcile import (
    MOST_DRIFTS,
    Finding,
    LookAgain,
    ReconcileInput,
    Report,
    ReservationPage,
    Suspect,
)
from tests.support.carts import (
    add_until_committed,
    cache_cart,
    cart_of,
    hold,
    operation_record,
    plant_cart,
    release,
)
from tests.support.drift import limit_to_stores
from tests.support.relays import details
from tests.support.schedules import paused_schedules
from tests.support.shop import Buyer, Shop, World
from tests.support.shopping import keep_shopping
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows import policies
from workflows.upkeep.reconcile import ReconcileWorkflow

STOCK = 10_000
LONG_AGO = timedelta(hours=1)


@pytest.fixture(autouse=True)
async def clock(world: World) -> AsyncIterator[None]:
    async with paused_schedules(world.temporal):
        yield


@pytest.fixture
async def store(bench: Bench) -> Bench:
    for product_id in ("headphones", "lamp", "mug"):
        await bench.shop.stock(product_id, STOCK)
    return bench


@dataclass(frozen=True)
class Found:
    """The counts of a run, and what it has stored."""

    report: Report
    findings: list[Finding]


async def begin(bench: Bench, **options: Any) -> WorkflowHandle[Any, Report]:
    request = ReconcileInput(**{"store_id": bench.shop.store_id} | options)
    return await bench.shop.world.temporal.start_workflow(
        ReconcileWorkflow.run,
        request,
        id=f"reconcile-{uuid4()}",
        task_queue=bench.task_queue,
    )


async def reconcile(bench: Bench, **options: Any) -> Found:
    return await ended(await begin(bench, **options))


async def ended(run: WorkflowHandle[Any, Report]) -> Found:
    report = await run.result()
    findings = await FindingStore().of_run(run.first_execution_run_id or "")
    drifts = [finding.drift for finding in findings]
    assert report.drifts == len(drifts)
    assert report.left == sum(drift.done is None for drift in drifts)
    return Found(report, findings)


def found(result: Found) -> set[tuple[str, str, str | None]]:
    """(user, kind, product)."""
    return {(one.user_id, one.drift.kind.value, one.drift.product_id) for one in result.findings}


async def test_a_cart_with_many_drifts_is_repaired_in_bounded_parts(store: Bench) -> None:
    shop, user = store.shop, "many"
    products = [f"product-{number:03}" for number in range(MOST_DRIFTS + 30)]
    for product in products:
        await shop.stock(product, 1)
        await hold(shop, user, product, 1, saga_id=f"lost-{product}")

    dry = await reconcile(store)
    assert (dry.report.drifting, dry.report.drifts) == (1, MOST_DRIFTS + 1)
    [further] = [one.drift for one in dry.findings if one.drift.kind is DriftKind.FURTHER]
    assert (further.found, further.done) == (30, None)

    first = await reconcile(store, fix=True)
    assert (first.report.drifts, first.report.left) == (MOST_DRIFTS + 1, 1)
    second = await reconcile(store, fix=True)
    assert (second.report.drifts, second.report.left) == (30, 0)
    assert (await reconcile(store)).report.drifts == 0


async def test_a_cart_that_stays_busy_is_counted_and_not_reported(store: Bench) -> None:
    shop = store.shop
    busy = Buyer(shop, "busy", {})
    for user in (busy.user_id, "other"):
        await hold(shop, user, "lamp", 1)
    holder = await shop.world.temporal.start_workflow(
        "Unknown", id=busy.workflow_id, task_queue=f"unused-{uuid4().hex}"
    )
    result = await reconcile(store)
    await holder.terminate()
    assert (result.report.suspected, result.report.busy, result.report.drifting) == (2, 1, 1)
    assert found(result) == {("other", "orphaned_hold", "lamp")}


async def test_of_many_stuck_effects_so_many_are_named(store: Bench) -> None:
    shop, old = store.shop, datetime.now(UTC) - LONG_AGO
    releases = [
        ReleaseEffect(
            id=str(uuid4()),
            product_id=f"product-{number:03}",
            quantity=1,
            saga_id="stuck",
            reason="saga_aborted",
        )
        for number in range(MOST_DRIFTS + 30)
    ]
    record = operation_record(shop, state="aborted", pending=True, effects=releases, at=old)
    record.due[EffectKind.RELEASE].at = datetime.now(UTC) + LONG_AGO  # no relay does them
    await record.insert()

    dry = await reconcile(store)

    kinds = [one.drift.kind for one in dry.findings]
    assert kinds == [DriftKind.STUCK_EFFECT] * MOST_DRIFTS + [DriftKind.FURTHER]
    assert dry.findings[-1].drift.found == 30


# One drift of each kind: each function makes it and returns the expected findings.


async def more_held(shop: Shop) -> set[tuple[str, str, str | None]]:
    await plant_cart(shop, "more-held", {"lamp": 2, "mug": 1})
    await hold(shop, "more-held", "lamp", 3, saga_id="lost")
    return {("more-held", "orphaned_hold", "lamp")}


async def held_without_a_cart(shop: Shop) -> set[tuple[str, str, str | None]]:
    await hold(shop, "no-cart", "lamp", 4)
    await hold(shop, "no-cart", "mug", 1)
    return {("no-cart", "orphaned_hold", "lamp"), ("no-cart", "orphaned_hold", "mug")}


async def less_held(shop: Shop) -> set[tuple[str, str, str | None]]:
    await plant_cart(shop, "less-held", {"lamp": 5})
    await release(shop, "less-held", "lamp", 2)
    return {("less-held", "missing_hold", "lamp")}


async def not_held(shop: Shop) -> set[tuple[str, str, str | None]]:
    await plant_cart(shop, "not-held", {"mug": 2}, held=False)
    return {("not-held", "missing_hold", "mug")}


async def another_cart_cached(shop: Shop) -> set[tuple[str, str, str | None]]:
    """The latest version in Redis is ahead of what MongoDB has."""
    buyer = Buyer(shop, "wrong-cache", {})
    await add_until_committed(buyer, "mug")
    cart = await buyer.cart()
    assert cart is not None
    await cache_cart(shop, buyer.user_id, version=cart.version + 7, body=b"{}")
    return {("wrong-cache", "stale_cache", None)}


async def other_content_cached(shop: Shop) -> set[tuple[str, str, str | None]]:
    buyer = Buyer(shop, "wrong-content", {})
    await add_until_committed(buyer, "mug")
    cart = await buyer.cart()
    assert cart is not None
    await cache_cart(shop, buyer.user_id, version=cart.version, body=b'{"cartItems": []}')
    return {("wrong-content", "stale_cache", None)}


async def cached_without_a_cart(shop: Shop) -> set[tuple[str, str, str | None]]:
    """The cart was cleared, and Redis has lost the deletion."""
    await cache_cart(shop, "cached-alone", version=1, body=b"{}")
    return {("cached-alone", "stale_cache", None)}


async def event_stuck(shop: Shop) -> set[tuple[str, str, str | None]]:
    buyer = Buyer(shop, "stuck", {})
    await add_until_committed(buyer, "mug")

    async def published() -> None:
        [added] = await OperationRecord.find(
            {"storeId": shop.store_id, "userId": "stuck"}
        ).to_list()
        assert not added.pending

    await eventually(published)
    long_ago = datetime.now(UTC) - LONG_AGO
    due = Due(bucket=bucket_of(CartKey(shop.store_id, "stuck")), at=long_ago, since=long_ago)
    await OperationRecord.find_one({"storeId": shop.store_id, "userId": "stuck"}).update(
        {
            "$set": {
                "pending": True,
                "due": {"event": due.model_dump(by_alias=True)},
                "at": long_ago,
                "effects.0.doneAt": None,
            }
        }
    )
    return {("stuck", "stuck_effect", None)}


PLANTED = (
    more_held,
    held_without_a_cart,
    less_held,
    not_held,
    another_cart_cached,
    other_content_cached,
    cached_without_a_cart,
    event_stuck,
)


async def sound_carts(shop: Shop, count: int = 12) -> None:
    for number in range(count):
        await plant_cart(shop, f"sound-{number}", {"lamp": 1 + number % 3, "mug": 2})


async def test_each_kind_of_drift_is_found_and_sound_carts_are_not(store: Bench) -> None:
    await sound_carts(store.shop)
    planted = set[tuple[str, str, str | None]]().union(
        *[await plant(store.shop) for plant in PLANTED]
    )
    before = await store.shop.holds()
    result = await reconcile(store)
    report = result.report
    assert found(result) == planted
    assert (report.carts, report.busy, report.capped, report.fix) == (18, 0, False, False)
    assert all(one.drift.done is None for one in result.findings)
    assert await store.shop.holds() == before, "a dry run changes nothing"
    assert await repairs(store.shop) == []


async def repairs(shop: Shop) -> list[OperationRecord]:
    return await OperationRecord.find(
        {"storeId": shop.store_id, "operation": "RepairCart"}
    ).to_list()


async def test_each_kind_of_drift_is_repaired(store: Bench) -> None:
    shop = store.shop
    await sound_carts(shop, 3)
    for plant in PLANTED:
        await plant(shop)
    first = await reconcile(store, fix=True)
    assert len(first.findings) == 9
    assert all(one.drift.done for one in first.findings), first.findings
    await eventually(shop.assert_consistent, timeout=60)
    made = await repairs(shop)
    assert made
    for repair in made:
        assert repair.reason
        assert repair.reason.startswith("Reconcile reconcile-")

    async def nothing_found() -> None:
        assert (await reconcile(store)).findings == []

    # The relay that the repair woke publishes a little later.
    await eventually(nothing_found, timeout=60)
    for user_id in ("wrong-cache", "wrong-content"):
        read = (await Buyer(shop, user_id, {}).get()).json()
        assert (read["version"], read["quantity"]) == (1, 1)


async def test_a_cached_cart_that_is_not_stored_is_removed_from_the_cache(store: Bench) -> None:
    shop = store.shop
    await cached_without_a_cart(shop)
    await cache_cart(shop, "cached-too", version=2, body=b"{}")
    assert await cached_keys(shop) == {
        f"Cart:{shop.store_id}:{key}"
        for key in (
            "cached-alone:latest_version",
            "cached-alone:v1",
            "cached-too:latest_version",
            "cached-too:v2",
        )
    }
    [dry, *_] = sorted((await reconcile(store)).findings, key=lambda one: one.user_id)
    assert (dry.user_id, dry.drift.kind, dry.drift.done) == (
        "cached-alone",
        DriftKind.STALE_CACHE,
        None,
    )
    result = await reconcile(store, fix=True)
    assert {one.drift.done for one in result.findings} == {"removed from the cache"}
    assert (result.report.carts, result.report.suspected, len(result.findings)) == (0, 2, 2)
    assert await cached_keys(shop) == set()
    assert (await reconcile(store)).findings == []


async def cached_keys(shop: Shop) -> set[str]:
    redis = RedisPool(shop.world.settings.redis)
    async with redis.client("cart") as client:
        names = [name async for name in client.scan_iter(match=f"Cart:{shop.store_id}:*")]
    await redis.close()
    return {name.decode() for name in names}


async def test_a_missing_hold_stays_missing_if_its_units_are_sold_out(
    store: Bench,
) -> None:
    shop = store.shop
    await plant_cart(shop, "unlucky", {"lamp": 2}, held=False)
    await hold(shop, "unlucky", "mug", 1)
    await shop.stock("lamp", 1)
    report = await reconcile(store, fix=True)
    done = {one.drift.product_id: one.drift.done for one in report.findings}
    assert done == {"lamp": None, "mug": "released 1"}
    await eventually(partial(nothing_held, shop))
    assert await shop.units("lamp") == (1, 0, 0)


async def nothing_held(shop: Shop) -> None:
    assert await shop.holds() == {}


async def test_no_more_are_looked_at_by_a_page_than_it_has_room_for(
    store: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users that differ are more than a page looks at again; each is looked at once."""
    monkeypatch.setattr(policies, "RECONCILE_BATCH", 3)
    for number in range(10):
        await plant_cart(store.shop, f"sound-{number}", {"lamp": 1})
        await hold(store.shop, f"user-{number}", "lamp", 1)
    result = await reconcile(store)
    assert found(result) == {(f"user-{n}", "orphaned_hold", "lamp") for n in range(10)}
    assert (result.report.carts, result.report.suspected) == (10, 10)


class WithOrders(ReservationPage):
    """A page of an inventory that also has orders' reservations: those of mugs."""

    @classmethod
    def model_validate_json(cls, json_data: Any, **options: Any) -> Self:
        page = orjson.loads(json_data)
        for row in page["reservations"]:
            row["reservationType"] = "order" if row["productId"] == "mug" else "cart"
        return cls.model_validate(page)


async def test_a_reservation_of_another_type_is_never_touched(
    store: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Units that an order has reserved, of a user with a cart and of one without."""
    monkeypatch.setattr("adapters.inventory.ReservationPage", WithOrders)
    shop = store.shop
    await plant_cart(shop, "with-cart", {"lamp": 2})
    await hold(shop, "no-cart", "lamp", 1)
    for user_id in ("with-cart", "only-ordered"):
        await hold(shop, user_id, "mug", 3, saga_id="order")
    before = await shop.holds()
    result = await reconcile(store, fix=True)
    assert found(result) == {("no-cart", "orphaned_hold", "lamp")}
    del before["no-cart", "lamp"]

    async def only_the_carts_is_released() -> None:
        assert await shop.holds() == before

    await eventually(only_the_carts_is_released)
    assert before["with-cart", "mug"] == before["only-ordered", "mug"] == 3


async def test_a_result_of_many_findings_is_small(store: Bench) -> None:
    """Each cart has many drifts; Temporal gets counts only."""
    shop = store.shop
    for number in range(20):
        await plant_cart(shop, f"user-{number}", {f"product-{n}": 1 for n in range(40)}, held=False)
    handle = await begin(store)
    result = await ended(handle)
    assert (result.report.drifting, result.report.drifts) == (20, 800)
    history = await handle.fetch_history()
    assert max(event.ByteSize() for event in history.events) < 4096
    await Cart.find({"storeId": shop.store_id}).delete()


async def test_a_run_repairs_at_most_its_limit(store: Bench) -> None:
    for number in range(5):
        await hold(store.shop, f"user-{number}", "lamp", 1)
    report = await reconcile(store, fix=True, limit=2)
    assert (len(report.findings), report.report.capped) == (2, True)

    async def three_left() -> None:
        assert len(await store.shop.holds()) == 3

    await eventually(three_left)
    assert not (await reconcile(store, fix=True)).report.capped
    await eventually(partial(nothing_held, store.shop))


async def test_without_a_store_all_stores_are_compared(store: Bench) -> None:
    another = Shop(store.shop.world)
    await another.stock("lamp", STOCK)
    for shop in (store.shop, another):
        await plant_cart(shop, "user", {"lamp": 1}, held=False)
    report = await reconcile(store, store_id=None)
    stores = {one.store_id for one in report.findings if one.user_id == "user"}
    assert {store.shop.store_id, another.store_id} <= stores
    assert report.report.stores >= 2
    for shop in (store.shop, another):
        await Cart.find({"storeId": shop.store_id}).delete()


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activities.upkeep.reconcile, "PAGE", 3)
    monkeypatch.setattr("adapters.mongo.reconcile.PAGE", 2)
    monkeypatch.setattr("adapters.inventory.HELD_PAGE", 4)


@pytest.mark.usefixtures("small_pages")
async def test_no_user_is_lost_at_the_end_of_a_page(store: Bench) -> None:
    """Pages of carts, of holds and of the scan end within users and between them."""
    shop = store.shop
    planted = set()
    for number in range(40):
        user_id = f"user-{number:02}"
        match number % 5:
            case 0:
                await plant_cart(shop, user_id, {"lamp": 1, "mug": 1, "headphones": 1})
            case 1:
                await hold(shop, user_id, "lamp", 1)
                await hold(shop, user_id, "mug", 2)
                planted |= {(user_id, "orphaned_hold", one) for one in ("lamp", "mug")}
            case 2:
                await plant_cart(shop, user_id, {})
            case 3:
                await plant_cart(shop, user_id, {"lamp": 1}, held=False)
                planted.add((user_id, "missing_hold", "lamp"))
            case _:
                await plant_cart(shop, user_id, {"mug": 1})
    handle = await begin(store)
    result = await ended(handle)
    assert found(result) == planted
    assert (result.report.carts, result.report.suspected) == (32, 16)
    shown = "32 carts of 1 stores compared, 16 looked at again, 24 drifts"
    assert shown in await details(handle)


@pytest.mark.usefixtures("small_pages")
async def test_no_store_is_lost_at_the_end_of_a_page(
    store: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities.upkeep.reconcile, "STORES", 2)
    shops = sorted((Shop(store.shop.world) for _ in range(7)), key=lambda shop: shop.store_id)
    own = {shop.store_id for shop in shops}
    limit_to_stores(monkeypatch, own)
    planted = []
    for shop, carts in zip(shops, (1, 1, 1, 3, 4, 1, 2), strict=True):
        await shop.stock("lamp", STOCK)
        for number in range(carts):
            await plant_cart(shop, f"user-{number}", {"lamp": 1}, held=False)
            planted.append((shop.store_id, f"user-{number}"))
    report = await reconcile(store, store_id=None)
    assert [(one.store_id, one.user_id) for one in report.findings] == planted
    assert (report.report.stores, report.report.carts) == (7, 13)
    await Cart.find({"storeId": {"$in": [*own]}}).delete()


@pytest.mark.usefixtures("small_pages")
async def test_a_long_run_continues_as_new(store: Bench) -> None:
    carts = [cart_of(store.shop.store_id, f"user-{n:03}", {}) for n in range(150)]
    await Cart.insert_many(carts)
    await hold(store.shop, "user-149", "lamp", 1)
    handle = await begin(store)
    result = await ended(handle)
    latest = await store.shop.world.temporal.get_workflow_handle(handle.id).describe()
    assert latest.run_id != handle.first_execution_run_id
    assert result.report.carts == 150
    assert found(result) == {("user-149", "orphaned_hold", "lamp")}
    await Cart.find({"storeId": store.shop.store_id}).delete()


# Traffic while it runs.


async def assert_no_false_finding(bench: Bench, runs: int, most: int) -> int:
    """Reconciles during traffic until a cart was suspected; the number of suspects."""
    stop = asyncio.Event()
    shoppers = [asyncio.create_task(keep_shopping(bench.shop.buyer(), stop)) for _ in range(6)]
    suspected = 0
    findings: list[Finding] = []
    try:
        for number in range(1, most + 1):
            report = await reconcile(bench)
            suspected += report.report.suspected
            findings += report.findings
            if findings or (suspected and number >= runs):
                break
    finally:
        stop.set()
        shopped = await asyncio.gather(*shoppers)
    assert sum(shopped) > 0
    assert findings == [], "a cart in the middle of an operation is reported as drift"
    return suspected


async def test_traffic_is_never_reported_as_drift(store: Bench) -> None:
    suspected = await assert_no_false_finding(store, runs=3, most=12)
    assert suspected > 0, "no cart was ever suspected, so the traffic tested nothing"
    await eventually(store.shop.assert_consistent, timeout=60)


async def test_a_build_without_the_second_check_reports_traffic_as_drift(
    store: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def believed(
        steps: activities.upkeep.reconcile.ReconcileActivities, suspect: Suspect, request: LookAgain
    ) -> list[Finding]:
        drift = Drift(kind=DriftKind.MISSING_HOLD, detail="as seen from outside")
        return [Finding(**suspect.model_dump(), record_id="", drift=drift)]

    monkeypatch.setattr(activities.upkeep.reconcile.ReconcileActivities, "_look", believed)
    with pytest.raises(AssertionError, match="is reported as drift"):
        await assert_no_false_finding(store, runs=200, most=200)


async def test_a_cart_in_the_middle_of_an_add_is_compared_after_it(store: Bench) -> None:
    """Its units are held and not in the cart yet, which looks like a leak."""
    buyer = store.shop.buyer()
    arrived, go_on = store.faults.hold("persist")
    add = await store.start(buyer, 2)
    await arrived.wait()
    assert await store.shop.holds() == {(buyer.user_id, "headphones"): 2}
    run = await begin(store, fix=True)

    async def waiting_for_the_lock() -> None:
        pending = (await run.describe()).raw_description.pending_activities
        assert [one.activity_type.name for one in pending] == ["reconcile_page"]

    await eventually(waiting_for_the_lock)
    go_on.set()
    result: OperationResult = await add.result()
    compared = await ended(run)
    assert result.outcome is Outcome.COMMITTED
    assert (compared.report.suspected, compared.findings) == (1, [])
    await eventually(store.shop.assert_consistent)


async def test_units_with_a_pending_release_are_no_drift(store: Bench) -> None:
    """The add was undone, and its release is still pending."""
    shop = store.shop
    await hold(shop, "undone", "lamp", 2, saga_id="undone")
    effect = ReleaseEffect(
        id="undo", product_id="lamp", quantity=2, saga_id="undone-undone", reason="saga_aborted"
    )
    pending = operation_record(
        shop, user_id="undone", state="aborted", operation="AddItem", pending=True, effects=[effect]
    )
    await pending.insert()
    report = await reconcile(store, fix=True)
    assert (report.report.suspected, report.findings) == (1, [])
    assert await shop.holds() == {("undone", "lamp"): 2}
    await pending.delete()


async def test_a_young_pending_event_is_not_stuck(store: Bench) -> None:
    event = EventEffect(id="new", topic="cart.cleared", key="k", value="{}", time=datetime.now(UTC))
    pending = operation_record(store.shop, pending=True, effects=[event])
    await pending.insert()
    assert (await reconcile(store)).findings == []
    await pending.delete()
