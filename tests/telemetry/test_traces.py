"""One operation is one trace, across all processes, systems and consumed events."""

import json
from typing import Any

from tests.support.collector import Received, roots
from tests.support.events import other_services
from tests.support.shop import Event
from tests.support.waiting import eventually
from tests.telemetry.conftest import Traced

ADD = {
    ("cart-api", "POST /api/v1/cart/{storeId}/store"),
    ("cart-api", "find operations"),
    ("cart-api", "StartWorkflow:AddItem"),
    ("cart-worker", "RunActivity:reserve_inventory"),
    ("cart-worker", "POST inventory"),
    ("cart-inventory", "POST /api/v1/inventories/reserve"),
    ("cart-worker", "RunActivity:persist_cart"),
    ("cart-worker", "insert operations"),
    ("cart-worker", "insert carts"),
    ("cart-worker", "commitTransaction"),
    ("cart-worker", "RunActivity:refresh_cache"),
    ("cart-worker", "PIPELINE"),
    ("cart-worker", "RunActivity:publish_event"),
    ("cart-worker", "send cart.item.added"),
}
ORDER = {
    ("cart-consumer", "process order.completed"),
    ("cart-consumer", "StartWorkflow:ApplyOrder"),
    ("cart-worker", "RunActivity:persist_cart"),
    ("cart-worker", "RunActivity:release_inventory"),
    ("cart-inventory", "POST /api/v1/inventories/release"),
    ("cart-worker", "RunActivity:publish_event"),
    ("cart-worker", "send cart.cleared"),
}


def below(trace: list[Received], span: Received) -> set[tuple[str, str]]:
    """(service, name) of all descendants of a span."""
    found = set()
    for child in trace:
        if child.parent_id == span.id:
            found |= {(child.service, child.name)} | below(trace, child)
    return found


def trace_id_of(event: Event) -> str:
    return event.headers["traceparent"].split("-")[1]


async def test_an_add_and_the_order_that_follows_are_one_trace(traced: Traced) -> None:
    shop = traced.shop()
    await shop.stock("headphones", 5)
    buyer = shop.buyer()
    answer = await buyer.add(key="a-key")
    assert answer.status_code == 201
    trace_id = answer.headers["X-Trace-Id"]

    async def published() -> Event:
        [event] = await shop.events()
        return event

    event = await eventually(published)
    assert trace_id_of(event) == trace_id
    # The order service continues the trace in its event.
    async with other_services(traced.world.settings) as others:
        cart_id = answer.json()["_id"]
        order = {"cartId": cart_id, "userId": buyer.user_id, "storeId": shop.store_id}
        passed_on = {"traceparent": event.headers["traceparent"]}
        await others.send("order.completed", order | {"orderId": "order-1"}, headers=passed_on)

    async def complete() -> list[Received]:
        trace = traced.collector.trace(trace_id)
        [root] = roots(trace)
        assert (root.service, root.name) == ("cart-api", "POST /api/v1/cart/{storeId}/store")
        assert {(span.service, span.name) for span in trace} >= ADD
        [sent] = [span for span in trace if span.name == "send cart.item.added"]
        assert sent.id == event.headers["traceparent"].split("-")[2]
        assert below(trace, sent) >= ORDER
        return trace

    await eventually(complete)


async def test_log_lines_of_a_request_and_its_steps_have_all_ids(traced: Traced) -> None:
    shop = traced.shop()
    await shop.stock("headphones", 5)
    buyer = shop.buyer()
    answer = await buyer.add()
    assert answer.status_code == 201

    async def logged() -> tuple[dict[str, Any], dict[str, Any]]:
        lines = [
            line
            for name in ("api", "worker")
            for line in map(json.loads, traced.logs()[name].splitlines())
            if line.get("requestId") == answer.headers["X-Request-Id"]
        ]
        [added] = [line for line in lines if line.get("event") == "cart_item_added"]
        [published] = [line for line in lines if line.get("event") == "event_published"]
        return added, published

    added, published = await eventually(logged)
    assert added["traceId"] == answer.headers["X-Trace-Id"]
    assert added["workflowId"] == buyer.workflow_id
    for name in ("traceId", "operationId", "workflowId", "runId", "sagaId", "requestId"):
        assert added[name] == published[name], name
    assert published["activity"] == "publish_event"


async def test_an_error_has_its_trace_id_in_a_header_only(traced: Traced) -> None:
    http = traced.world.http
    for answer in (await http.get(traced.shop().buyer().path), await http.get("/nowhere")):
        assert answer.status_code in {401, 404}
        assert answer.json().keys() == {"message", "code"}
        assert len(answer.headers["X-Trace-Id"]) == 32
    assert "X-Trace-Id" not in (await http.get("/health/live")).headers


async def test_an_event_that_is_published_late_is_in_the_trace_of_its_operation(
    traced: Traced,
) -> None:
    shop = traced.shop()
    await shop.stock("headphones", 5)
    traced.stack.pause("kafka")
    try:
        answer = await shop.buyer().add()
        assert answer.status_code == 201

        async def sent() -> list[Received]:
            trace = traced.collector.trace(answer.headers["X-Trace-Id"])
            found = [span for span in trace if span.name == "send cart.item.added"]
            assert found
            return found

        failed_sends = await eventually(sent)
    finally:
        traced.stack.resume("kafka")

    async def relayed() -> None:
        # Perhaps twice, as the frozen broker may have received the first.
        events = await shop.events()
        assert events
        assert {trace_id_of(event) for event in events} == {answer.headers["X-Trace-Id"]}
        assert len(await sent()) > len(failed_sends)
        trace = traced.collector.trace(answer.headers["X-Trace-Id"])
        assert "RunActivity:deliver_pending" not in {span.name for span in trace}

    await eventually(relayed, timeout=30)
