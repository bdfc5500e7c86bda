"""A part that is sick: its alert fires within a minute in a Prometheus, and `cart doctor` names it.

`alert_cases` has the rules' logic for all of them. `test_prometheus` and `test_named_faults` have
outages of whole systems, and faults of the service itself.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from redis.asyncio import Redis

from adapters.kafka.connection import connection_options
from dev.stack.stack import Stack
from models.documents import OperationRecord
from models.events import CART_ITEM_UPDATED
from models.reports import ProcessReport
from settings import Settings
from tests.deploy.prometheus import Prometheus
from tests.deploy.runbook import STOPPED, repair
from tests.deploy.test_named_faults import doctor_finding
from tests.deploy.tools import needs
from tests.support.shop import Shop
from tests.support.waiting import eventually

pytestmark = needs("prometheus")
SECONDS = 60
MANY = 10_000


@asynccontextmanager
async def shoppers(shop: Shop, *products: str) -> AsyncIterator[None]:
    """Shoppers who add each of the products, look at it and remove it, while the block runs."""

    async def shopper(product: str) -> None:
        buyer = shop.buyer()
        while True:
            answer = await buyer.add(product)
            if answer.status_code == 201:
                await buyer.get()
                await buyer.clear()
            await asyncio.sleep(0.1)

    for product in products:
        await shop.stock(product, MANY)
    tasks = [asyncio.create_task(shopper(product)) for product in products]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def named(part: str, *words: str) -> str:
    """Waits until the doctor names the words in a finding that is not ok; its advice."""

    async def found() -> str:
        finding = await doctor_finding(part)
        assert finding["state"] != "ok"
        assert all(word in finding["what"] for word in words), finding
        return finding["advice"]

    return await eventually(found, timeout=SECONDS, interval=1)


async def fine(part: str) -> None:
    async def found() -> None:
        finding = await doctor_finding(part)
        assert finding["state"] == "ok", finding

    await eventually(found, timeout=SECONDS, interval=1)


async def test_a_product_that_fails_is_named_and_the_inventory_is_not_down(
    running_prometheus: Prometheus, shop: Shop
) -> None:
    async with shoppers(shop, "lamp", "desk", "chair", "sofa"):
        await shop.fault("reserve", "error", times=MANY, productId="lamp")
        await running_prometheus.fires("CartProductsFail")
        advice = await named("failing now", f"inventory reserve fails for {shop.store_id}/lamp")
        assert "CartInventoryDown" not in await running_prometheus.alerts()
        assert f"`cart doctor --inventory {shop.store_id} lamp`" in advice

        (await shop.world.inventory.delete("/faults")).raise_for_status()
        await running_prometheus.is_over("CartProductsFail")
        await fine("failing now")


@pytest.mark.parametrize(
    ("action", "alert"), [("release", "CartReleasesFail"), ("check", "CartStockNotShown")]
)
async def test_what_no_add_needs_has_an_alert_of_its_own(
    running_prometheus: Prometheus, shop: Shop, action: str, alert: str
) -> None:
    async with shoppers(shop, "lamp", "desk", "chair", "sofa"):
        await shop.fault(action, "error", times=MANY)
        await running_prometheus.fires(alert)
        await named("calls", f"inventory {action} fails")
        assert "CartInventoryDown" not in await running_prometheus.alerts()

        (await shop.world.inventory.delete("/faults")).raise_for_status()
        await running_prometheus.is_over(alert)


async def usual_is_known() -> None:
    """Prometheus and the worker have seen reserve calls for long enough."""
    reports = await ProcessReport.find({"process": "worker"}).to_list()
    calls = [call for report in reports for call in report.calls if call.call == "reserve"]
    assert any(call.usual_seconds for call in calls)


async def test_an_inventory_that_is_0_4_s_slower_is_shown_beside_what_is_usual(
    running_prometheus: Prometheus, shop: Shop
) -> None:
    async with shoppers(shop, "lamp", "desk", "chair", "sofa"):
        await eventually(usual_is_known, timeout=SECONDS, interval=1)
        await shop.fault("reserve", "delay", seconds=0.4, times=MANY)
        await running_prometheus.fires("CartDependencySlow")
        await named("calls", "inventory reserve takes", "usually")
        assert "CartInventoryDown" not in await running_prometheus.alerts()
        (await shop.world.inventory.delete("/faults")).raise_for_status()
    await running_prometheus.is_over("CartDependencySlow")


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    client: Redis = Redis.from_url(settings.redis.get_secret_value())
    yield client
    await client.aclose()


async def test_a_redis_that_refuses_writes_does_not_count_as_down(
    running_prometheus: Prometheus, shop: Shop, redis: Redis
) -> None:
    await redis.config_set("maxmemory", "1mb")
    try:
        async with shoppers(shop, "lamp", "desk"):
            await running_prometheus.fires("CartRedisRefuses")
            await named("Redis", "answers, and refuses a write")
            assert "CartRedisDown" not in await running_prometheus.alerts()
        await repair(shop.world.settings, "CartRedisRefuses", "it is full")
        await running_prometheus.is_over("CartRedisRefuses")
        await fine("Redis")
    finally:
        await redis.config_set("maxmemory", "0")


async def test_a_frozen_mongodb_is_reported_while_probes_are_cancelled(
    running_prometheus: Prometheus, shop: Shop, stack: Stack
) -> None:
    stack.pause("mongodb")
    try:
        async with asyncio.timeout(SECONDS):
            while "CartMongoDBDown" not in await running_prometheus.alerts():
                await shop.world.http.get("/health/ready")  # whose probe is cancelled
        await let_go_on(stack, shop, "CartMongoDBDown", "MongoDB")
        await running_prometheus.is_over("CartMongoDBDown")
        await fine("MongoDB")
    finally:
        stack.resume("mongodb")


@pytest.mark.parametrize(
    ("process", "alert", "part"),
    [
        ("temporal", "CartTemporalDown", "Temporal"),
        ("redis", "CartRedisDown", "Redis"),
        ("kafka", "CartKafkaDown", "Kafka"),
        ("inventory", "CartInventoryDown", "inventory"),
        ("consumer", "CartProcessDown", "processes"),
    ],
)
async def test_a_frozen_process_is_named_and_goes_on(
    running_prometheus: Prometheus,
    shop: Shop,
    stack: Stack,
    *,
    process: str,
    alert: str,
    part: str,
) -> None:
    async with shoppers(shop, "lamp", "desk", "chair", "sofa"):
        stack.pause(process)
        try:
            await running_prometheus.fires(alert)
            await let_go_on(stack, shop, alert, part)
            await running_prometheus.is_over(alert)
            await fine(part)
        finally:
            stack.resume(process)


async def let_go_on(stack: Stack, shop: Shop, alert: str, part: str) -> None:
    """Repairs a stopped process by the words of the doctor."""
    advice = await named(part, "is stopped")
    found = re.search(r"`kill -CONT (\d+)`", advice)
    assert found is not None, advice
    await repair(shop.world.settings, alert, STOPPED, PID=found[1])


async def test_a_deleted_topic_and_a_deleted_index_are_reported_until_setup_makes_them(
    running_prometheus: Prometheus, shop: Shop, settings: Settings
) -> None:
    await OperationRecord.get_pymongo_collection().drop_index("releases_by_at")
    admin = AIOKafkaAdminClient(**connection_options(settings))
    await admin.start()
    try:
        await admin.delete_topics([CART_ITEM_UPDATED])
    finally:
        await admin.close()
    await running_prometheus.fires("CartSetupMissing")
    assert "`cart setup`" in await named("MongoDB indexes", "operations.releases_by_at")
    assert "`cart setup`" in await named("Kafka topics", CART_ITEM_UPDATED)

    await repair(settings, "CartSetupMissing", "a topic or an index is missing")
    await running_prometheus.is_over("CartSetupMissing")
    await fine("MongoDB indexes")
    await fine("Kafka topics")


async def test_a_mongodb_that_refuses_one_command_is_reported(
    running_prometheus: Prometheus, shop: Shop
) -> None:
    database = OperationRecord.get_pymongo_collection().database
    refuse_all = {"never": {"$exists": True}}
    await database.command("collMod", "operations", validator=refuse_all)
    try:
        async with shoppers(shop, "lamp", "desk", "chair", "sofa"):
            await running_prometheus.fires("CartMongoDBRefuses")
            assert "CartMongoDBDown" not in await running_prometheus.alerts()
            advice = await named("MongoDB validators", "operations has a validator")
            assert "`db.runCommand(" in advice
        cause = '"failed validation": `cart doctor` names the COLLECTION'
        await repair(shop.world.settings, "CartMongoDBRefuses", cause, COLLECTION="operations")
        await running_prometheus.is_over("CartMongoDBRefuses")

        async def added() -> None:
            assert (await shop.buyer().add("lamp")).status_code == 201

        await eventually(added, timeout=SECONDS)
    finally:
        await database.command("collMod", "operations", validator={})
