"""`/metrics` of the running processes counts what happened."""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from adapters.mongo.figures import FigureStore
from dev.stack.stack import Stack
from models.events import CART_CLEARED, CART_ITEM_ADDED, ORDER_COMPLETED
from models.operations import AddItem, ApplyOrder
from settings import Settings
from telemetry.metrics import CATALOG
from tests.support.carts import forget_cached
from tests.support.events import other_services
from tests.support.metrics import ServiceNumbers, scrape
from tests.support.shop import Shop, World
from tests.support.waiting import eventually

ADD = {"operation": AddItem.name}
ORDER = {"operation": ApplyOrder.name}
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
class CountedTraffic:
    """Traffic that has ended, and the numbers from before it."""

    settings: Settings
    before: ServiceNumbers
    busy: int
    repeated: int

    async def numbers(self) -> ServiceNumbers:
        """The increase of the numbers since then."""
        return (await scrape(self.settings)).since(self.before)


async def at_rest(settings: Settings) -> ServiceNumbers:
    """The numbers; asserts that no event or effect is pending."""
    now = await scrape(settings)
    assert now.consumer("cart_event_consume_lag") == 0
    assert now.worker("cart_outbox_pending") == now.worker("cart_outbox_oldest_age_seconds") == 0
    return now


@pytest.fixture(scope="module")
async def traffic(world: World, stack: Stack) -> CountedTraffic:
    """Two adds, a refusal, a crowd of one key, an undo, reads, an order, a dead letter."""
    shop = Shop(world)
    await shop.stock("headphones", 10)
    await shop.stock("rare", 1)
    before = await eventually(lambda: at_rest(world.settings))
    buyer = shop.buyer()
    added = await buyer.add(quantity=2)
    assert added.status_code == 201
    assert (await buyer.add("rare", 2)).json()["code"] == "insufficient_stock"

    # Of four requests with one key one is performed, the others get 409 or its reply.
    key = uuid4().hex
    await shop.fault("reserve", "delay", seconds=0.5)
    answers = await asyncio.gather(*(buyer.add(key=key) for _ in range(4)))
    busy = sum(answer.status_code == 409 for answer in answers)
    repeated = sum("Idempotent-Replayed" in answer.headers for answer in answers)
    assert busy + repeated == 3

    assert (await buyer.get()).status_code == 200
    await forget_cached(shop, buyer.user_id)
    assert (await buyer.get()).status_code == 200
    assert (await shop.buyer().get()).status_code == 404
    await shop.fault("reserve", "error", times=3)
    assert (await shop.buyer().add()).status_code == 503
    (await world.inventory.delete("/faults")).raise_for_status()
    async with other_services(stack.settings) as others:
        await others.send(ORDER_COMPLETED, b"{", key=shop.store_id)
        await others.order(buyer, added.json()["_id"])
    return CountedTraffic(world.settings, before, busy, repeated)


async def test_operations_are_counted_by_the_reply_to_their_caller(traffic: CountedTraffic) -> None:
    now = (await traffic.numbers()).api
    ended = {"committed": 2, "rejected": 1, "busy": traffic.busy, "replayed": traffic.repeated}
    assert now.by("outcome", "cart_operation_count_total", **ADD) == not_zero(
        ended | {"aborted": 1}
    )
    assert now("cart_operation_duration_milliseconds_count", **ADD) == 4 + 3
    errors = {"insufficient_stock": 1, "busy": traffic.busy, "inventory_unavailable": 1}
    assert now.by("error", "cart_operation_errors_total", **ADD) == not_zero(errors)
    assert now("cart_lock_acquisition_failure_total", error="busy") == traffic.busy


async def test_requests_are_counted_by_route_and_status(traffic: CountedTraffic) -> None:
    now = (await traffic.numbers()).api
    counted = now.by(
        "http_response_status_code",
        "http_server_request_duration_seconds_count",
        http_route="/api/v1/cart/{storeId}/store",
        http_request_method="POST",
    )
    assert counted == not_zero(
        {"201": 2 + traffic.repeated, "200": 1, "409": traffic.busy, "503": 1}
    )
    for cache in ("cart", "inventory"):
        assert now("cart_cache_miss_total", cache=cache) == 1
        assert now("cart_cache_hit_total", cache=cache) == 1


async def test_sagas_and_their_calls_are_counted_once(traffic: CountedTraffic) -> None:
    async def counted() -> None:
        service = await traffic.numbers()
        now = service.worker
        sagas = now.by("outcome", "cart_saga_count_total", **ADD)
        assert service.api("cart_lock_acquisition_success_total") == sum(sagas.values())
        # A request may arrive between the reply of another and its record.
        assert sagas.pop("replayed", 0) <= traffic.repeated
        assert sagas == {"committed": 2, "rejected": 1, "aborted": 1}
        assert now("cart_saga_count_total", outcome="committed", **ORDER) == 1
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
        assert calls["ok"] == 3  # a refusal is a successful call
        assert missed["insufficient_stock"] == 1
        assert missed["unavailable"] >= calls["unavailable"] >= 1
        assert now("cart_event_publish_success_total", topic=CART_ITEM_ADDED) == 2
        assert now("cart_event_publish_success_total", topic=CART_CLEARED) == 1

    await eventually(counted)


async def test_consumed_events_are_counted_after_their_effect(traffic: CountedTraffic) -> None:
    async def counted() -> None:
        now = (await traffic.numbers()).consumer
        assert now("cart_operation_count_total", outcome="committed", **ORDER) == 1
        topic = {"topic": ORDER_COMPLETED}
        assert now("cart_event_consume_handled_total", **topic) == 1
        assert now("cart_event_consume_parked_total", error="malformed", **topic) == 1

    await eventually(counted)
    await eventually(lambda: at_rest(traffic.settings))


async def test_the_latest_business_figures_are_shown(traffic: CountedTraffic, shop: Shop) -> None:
    await shop.stock("headphones", 10)
    await shop.buyer().add(quantity=3)
    store = FigureStore()
    figures = await store.measure(datetime.now(UTC))
    await store.keep(figures)

    async def shown() -> None:
        now = (await scrape(traffic.settings)).worker
        stored = await store.latest()
        assert stored is not None
        assert now("cart_items_total") == stored.items_total >= 3
        assert now("cart_value_total", currency="USD") == float(stored.value_total["USD"])
        assert now("cart_conversion_rate_percent") == stored.conversion_rate

    await eventually(shown)


async def test_every_metric_of_the_contract_is_shown(traffic: CountedTraffic) -> None:
    async def shown() -> None:
        now = await scrape(traffic.settings)
        names = now.api.names | now.worker.names
        assert [name for name in CONTRACT if name not in names] == []

    await eventually(shown)


async def test_only_known_metrics_and_labels_are_shown(
    traffic: CountedTraffic,
) -> None:
    now = await scrape(traffic.settings)
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


async def test_no_label_contains_an_id(traffic: CountedTraffic, shop: Shop) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    cart = (await buyer.add(quantity=1)).json()["_id"]
    now = await scrape(traffic.settings)
    values = {
        value
        for page in (now.api, now.worker, now.consumer)
        for _, labels in page.values
        for _, value in labels
    }
    for secret in (shop.store_id, buyer.user_id, "headphones", cart):
        assert not [value for value in values if secret in value]


async def test_temporals_own_metrics_stand_beside_them(traffic: CountedTraffic) -> None:
    now = await scrape(traffic.settings)
    assert now.worker("temporal_workflow_completed_total", workflow_type=AddItem.name) > 0
    assert now.worker("temporal_local_activity_execution_latency_seconds_count") > 0
    assert now.api("temporal_request_total", operation="StartWorkflowExecution") > 0
    assert now.consumer("temporal_request_total", operation="StartWorkflowExecution") > 0


def not_zero(counts: dict[str, int]) -> dict[str, int]:
    """The counts that are not 0."""
    return {name: count for name, count in counts.items() if count}
