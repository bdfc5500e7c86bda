"""`/metrics` of the running processes: the numbers are those of what has happened."""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from adapters.mongo.figures import FigureStore
from dev.stack.stack import Stack
from models.events import CART_CLEARED, CART_ITEM_ADDED, ORDER_COMPLETED
from settings import Settings
from telemetry.metrics import CATALOG
from tests.support.events import other_services
from tests.support.metrics import Service, scrape
from tests.support.shop import Shop, World
from tests.support.waiting import eventually
from workflows import ids

ADD = {"operation": ids.ADD_ITEM}
CLEAR = {"operation": ids.CLEAR_CART}
CONTRACT = (
    "cart_operation_duration_milliseconds_bucket",
    "cart_operation_count_total",
    "cart_operation_errors_total",
    "cart_lock_acquisition_success_total",
    "cart_lock_acquisition_failure_total",
    "cart_inventory_reservation_success_total",
    "cart_inventory_reservation_failure_total",
    "cart_event_publish_success_total",
    "cart_event_publish_failure_total",
    "cart_cache_hit_total",
    "cart_cache_miss_total",
    "cart_items_total",
    "cart_value_total",
    "cart_abandonment_rate_percent",
    "cart_conversion_rate_percent",
)
OF_A_HISTOGRAM = re.compile(r"_(bucket|count|sum)$")
NOT_OURS = ("python_", "process_", "temporal_")


@dataclass
class Day:
    """What has happened, and the numbers from before."""

    settings: Settings
    before: Service
    busy: int
    repeated: int

    async def numbers(self) -> Service:
        """What has been counted since."""
        return (await scrape(self.settings)).since(self.before)


async def at_rest(settings: Settings) -> Service:
    """The numbers once nothing is under way any more."""
    now = await scrape(settings)
    assert now.consumer("cart_event_consume_lag") == 0
    assert now.worker("cart_outbox_pending") == now.worker("cart_outbox_oldest_age_seconds") == 0
    return now


@pytest.fixture(scope="module")
async def day(world: World, stack: Stack) -> Day:
    """Two adds, a refusal, a crowd of one key, an undo, two reads, an order, a dead letter."""
    shop = Shop(world)
    await shop.stock("headphones", 10)
    await shop.stock("rare", 1)
    before = await eventually(lambda: at_rest(world.settings))
    buyer = shop.buyer()
    added = await buyer.add(quantity=2)
    assert added.status_code == 201
    assert (await buyer.add("rare", 2)).json()["code"] == "insufficient_stock"

    # One key several times at once: one is carried out, the others are told so, one way or another.
    key = uuid4().hex
    await shop.fault("reserve", "delay", seconds=0.5)
    crowd = await asyncio.gather(*(buyer.add(key=key) for _ in range(4)))
    busy = sum(answer.status_code == 409 for answer in crowd)
    repeated = sum("Idempotent-Replayed" in answer.headers for answer in crowd)
    assert busy + repeated == 3

    assert (await buyer.get()).status_code == 200
    assert (await shop.buyer().get()).status_code == 404
    await shop.fault("reserve", "error", times=3)
    assert (await shop.buyer().add()).status_code == 503
    (await world.inventory.delete("/faults")).raise_for_status()
    async with other_services(stack.settings) as others:
        await others.send(ORDER_COMPLETED, b"{", key=shop.store_id)
        await others.order(buyer, added.json()["_id"])
    return Day(world.settings, before, busy, repeated)


async def test_operations_are_counted_as_their_callers_saw_them(day: Day) -> None:
    now = (await day.numbers()).api
    ended = {"committed": 2, "rejected": 1, "busy": day.busy, "replayed": day.repeated}
    assert now.by("outcome", "cart_operation_count_total", **ADD) == some(ended | {"aborted": 1})
    assert now("cart_operation_duration_milliseconds_count", **ADD) == 4 + 3
    errors = {"insufficient_stock": 1, "busy": day.busy, "inventory_unavailable": 1}
    assert now.by("error", "cart_operation_errors_total", **ADD) == some(errors)
    assert now("cart_lock_acquisition_failure_total", error="busy") == day.busy


async def test_requests_are_counted_by_route_and_status(day: Day) -> None:
    now = (await day.numbers()).api
    counted = now.by(
        "http_response_status_code",
        "http_server_request_duration_seconds_count",
        http_route="/api/v1/cart/{storeId}/store",
        http_request_method="POST",
    )
    assert counted == some({"201": 2 + day.repeated, "200": 1, "409": day.busy, "503": 1})
    assert now("cart_cache_hit_total") == now("cart_cache_miss_total") == 1


async def test_sagas_are_counted_once_and_so_is_what_they_did(day: Day) -> None:
    async def counted() -> None:
        service = await day.numbers()
        now = service.worker
        sagas = now.by("outcome", "cart_saga_count_total", **ADD)
        assert service.api("cart_lock_acquisition_success_total") == sum(sagas.values())
        # By a request that came between the answer of another and its record.
        assert sagas.pop("replayed", 0) <= day.repeated
        assert sagas == {"committed": 2, "rejected": 1, "aborted": 1}
        assert now("cart_saga_count_total", outcome="committed", **CLEAR) == 1
        undone = now.by("reason", "cart_saga_undo_count_total", **ADD)
        assert undone == {"inventory_unavailable": 1, "rejected": 1}

        assert now("cart_inventory_reservation_success_total") == 2
        missed = now.by("error", "cart_inventory_reservation_failure_total")
        calls = now.by(
            "outcome",
            "cart_dependency_call_duration_milliseconds_count",
            dependency="inventory",
            call="reserve",
        )
        assert calls["ok"] == 3  # the refusal is an answer
        assert missed["insufficient_stock"] == 1
        assert missed["unavailable"] >= calls["unavailable"] >= 1
        assert now("cart_event_publish_success_total", topic=CART_ITEM_ADDED) == 2
        assert now("cart_event_publish_success_total", topic=CART_CLEARED) == 1

    await eventually(counted)


async def test_consumed_events_are_counted_when_they_are_dealt_with(day: Day) -> None:
    async def counted() -> None:
        now = (await day.numbers()).consumer
        assert now("cart_operation_count_total", outcome="committed", **CLEAR) == 1
        topic = {"topic": ORDER_COMPLETED}
        assert now("cart_event_consume_handled_total", **topic) == 1
        assert now("cart_event_consume_parked_total", error="malformed", **topic) == 1

    await eventually(counted)
    await eventually(lambda: at_rest(day.settings))


async def test_the_figures_of_the_business_are_the_latest(day: Day, shop: Shop) -> None:
    await shop.stock("headphones", 10)
    await shop.buyer().add(quantity=3)
    store = FigureStore()
    figures = await store.measure(datetime.now(UTC))
    await store.keep(figures)

    async def shown() -> None:
        now = (await scrape(day.settings)).worker
        stored = await store.latest()
        assert stored is not None
        assert now("cart_items_total") == stored.items_total >= 3
        assert now("cart_value_total", currency="USD") == float(stored.value_total["USD"])
        assert now("cart_conversion_rate_percent") == stored.conversion_rate

    await eventually(shown)


async def test_every_name_of_the_contract_is_shown(day: Day) -> None:
    async def shown() -> None:
        now = await scrape(day.settings)
        names = now.api.names | now.worker.names
        assert [name for name in CONTRACT if name not in names] == []

    await eventually(shown)


async def test_nothing_is_shown_but_what_is_known_with_labels_that_are_known(day: Day) -> None:
    now = await scrape(day.settings)
    known = {metric.shown_as: metric for metric in CATALOG.values()}
    for process in ("api", "worker", "consumer"):
        page = getattr(now, process)
        for name in page.names:
            if name.startswith(NOT_OURS):
                continue
            metric = known.get(name) or known[OF_A_HISTOGRAM.sub("", name)]
            allowed = {attribute.replace(".", "_") for attribute in metric.attributes}
            assert page.labels(name) <= allowed, name
            assert process in metric.shown_by, name


async def test_no_label_tells_whose_cart_it_is(day: Day, shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    cart = (await buyer.add(quantity=1)).json()["_id"]
    now = await scrape(day.settings)
    values = {
        value
        for page in (now.api, now.worker, now.consumer)
        for _, labels in page.values
        for _, value in labels
    }
    for secret in (shop.store_id, buyer.user_id, "headphones", cart):
        assert not [value for value in values if secret in value]


async def test_temporals_own_metrics_stand_beside_them(day: Day) -> None:
    now = await scrape(day.settings)
    assert now.worker("temporal_workflow_completed_total", workflow_type=ids.ADD_ITEM) > 0
    assert now.worker("temporal_local_activity_execution_latency_seconds_count") > 0
    assert now.api("temporal_request_total", operation="StartWorkflowExecution") > 0
    assert now.consumer("temporal_request_total", operation="StartWorkflowExecution") > 0


def some(counts: dict[str, int]) -> dict[str, int]:
    """Those that are not 0."""
    return {name: count for name, count in counts.items() if count}
