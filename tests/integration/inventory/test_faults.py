"""The fault injection of the reference inventory."""

import time
from typing import Any

import pytest

from dev.inventory_service.faults import HUGE_BYTES
from tests.integration.inventory.service import API, Warehouse, a_warehouse, running_inventory


async def test_an_error_has_no_effect_and_is_used_up(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("reserve", "error", times=2)
    assert (await warehouse.reserve("s1"))[0] == 500
    assert (await warehouse.call("GET", "/faults"))[1]["faults"] == [
        {"action": "reserve", "fault": "error", "times": 1}
    ]
    assert (await warehouse.reserve("s1"))[0] == 500
    assert await warehouse.units() == (10, 0, 0)
    assert (await warehouse.reserve("s1"))[0] == 200
    assert (await warehouse.call("GET", "/faults"))[1] == {"faults": []}


async def test_a_fault_applies_to_its_action_only(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("release", "error")
    await warehouse.fault("check", "refuse")
    assert (await warehouse.reserve("s1"))[0] == 200
    query = {"storeId": warehouse.store}
    assert (await warehouse.call("GET", f"{API}/check/book", params=query))[0] == 503
    assert (await warehouse.release("s1"))[0] == 500
    assert await warehouse.units() == (9, 1, 0)
    assert (await warehouse.release("s1"))[0] == 200


async def test_an_injected_refusal_looks_like_no_stock(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s0")
    await warehouse.fault("reserve", "refuse")
    await warehouse.fault("release", "refuse")
    assert await warehouse.reserve("s1") == (409, {"success": False, "available": 0})
    assert (await warehouse.release("s0"))[0] == 503
    assert await warehouse.units() == (9, 1, 0)


async def test_a_delayed_call_has_its_effect(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("reserve", "delay", seconds=0.4)
    began = time.monotonic()
    assert (await warehouse.reserve("s1"))[0] == 200
    assert time.monotonic() - began >= 0.4
    assert await warehouse.units() == (9, 1, 0)


async def test_a_call_can_commit_and_lose_its_response(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("reserve", "commit_then_timeout", seconds=0.3)
    began = time.monotonic()
    assert (await warehouse.reserve("s1", 2))[0] == 500
    assert time.monotonic() - began >= 0.3
    assert await warehouse.units() == (8, 2, 0)
    assert (await warehouse.reserve("s1", 2))[0] == 200
    assert await warehouse.units() == (8, 2, 0)


async def test_a_duplicate_call_has_one_effect(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("reserve", "duplicate")
    await warehouse.fault("release", "duplicate")
    # The response is that of the second call, so `available` is without these units.
    status, body = await warehouse.reserve("s1", 6)
    assert (status, body["available"]) == (200, 4)
    assert await warehouse.units() == (4, 6, 0)
    assert (await warehouse.release("s2", 2, "user"))[1]["released"] == 2
    assert await warehouse.units() == (6, 4, 0)


async def test_a_fault_of_one_product_leaves_all_others_alone(warehouse: Warehouse) -> None:
    other_store = Warehouse(warehouse.client)
    for product in ("book", "lamp"):
        await warehouse.stock(10, product)
    await other_store.stock(10)
    where = {"storeId": warehouse.store, "productId": "book"}
    for action in ("reserve", "release", "check"):
        await warehouse.fault(action, "answer", status=503, times=9, **where)
    assert (await warehouse.reserve("s1", product="lamp"))[0] == 200
    assert (await other_store.reserve("s1"))[0] == 200
    assert (await warehouse.reserve("s1"))[0] == 503
    assert (await warehouse.release("s1"))[0] == 503
    query = {"storeId": warehouse.store}
    assert (await warehouse.call("GET", f"{API}/check/book", params=query))[0] == 503
    assert await warehouse.units("lamp") == (9, 1, 0)
    left = (await warehouse.call("GET", "/faults"))[1]["faults"]
    assert [fault["times"] for fault in left] == [8, 8, 8]
    assert left[0]["productId"] == "book"


@pytest.mark.parametrize(
    ("status", "body", "size"),
    [
        (200, "success_false", 18),
        (200, "no_available", 46),
        (400, "problem", 29),
        (404, "html", 44),
        (201, "empty", 0),
        (204, "html", 0),
        (302, "empty", 0),
        (200, "huge", HUGE_BYTES + 32),
    ],
)
async def test_any_answer_can_be_injected(
    warehouse: Warehouse, status: int, body: str, size: int
) -> None:
    await warehouse.stock(10)
    await warehouse.fault("reserve", "answer", status=status, body=body)
    sent = warehouse.reserve_body("s1")
    response = await warehouse.client.post(f"{API}/reserve", json=sent)
    assert (response.status_code, len(response.content)) == (status, size)
    assert ("location" in response.headers) == (status == 302)
    assert await warehouse.units() == (10, 0, 0)


async def test_an_injected_answer_can_have_an_effect(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("reserve", "answer", status=201, body="no_available", effect=True)
    assert await warehouse.reserve("s1") == (201, {"success": True, "reservationId": "injected"})
    assert await warehouse.units() == (9, 1, 0)


async def test_a_trickling_answer_arrives_in_the_end(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("reserve", "trickle", seconds=0.005)
    status, body = await warehouse.reserve("s1")
    assert (status, body["available"]) == (200, 9)
    assert await warehouse.units() == (9, 1, 0)


async def test_faults_can_be_cleared_and_are_bounded(warehouse: Warehouse) -> None:
    for _ in range(100):
        await warehouse.fault("reserve", "error")
    status, problem = await warehouse.call(
        "POST", "/faults", json={"action": "reserve", "fault": "error"}
    )
    assert (status, list(problem)) == (409, ["message"])
    of_a_store = {"action": "reserve", "fault": "error", "storeId": "store-1"}
    await warehouse.call("DELETE", "/faults")
    await warehouse.call("POST", "/faults", json=of_a_store | {"storeId": "store-2"})
    _, queued = await warehouse.call("POST", "/faults", json=of_a_store)
    assert [fault["storeId"] for fault in queued["faults"]] == ["store-2", "store-1"]
    _, left = await warehouse.call("DELETE", "/faults", params={"storeId": "store-2"})
    assert [fault["storeId"] for fault in left["faults"]] == ["store-1"]
    assert await warehouse.call("DELETE", "/faults") == (200, {"faults": []})
    assert await warehouse.reserve("s1") == (409, {"success": False, "available": 0})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", "sell"),
        ("fault", "fire"),
        ("seconds", -1),
        ("times", 0),
        ("surplus", 1),
        ("status", 100),
        ("body", "poem"),
        ("storeId", "a/b"),
    ],
)
async def test_an_invalid_fault_is_refused(warehouse: Warehouse, field: str, value: Any) -> None:
    body = {"action": "check", "fault": "error", field: value}
    status, problem = await warehouse.call("POST", "/faults", json=body)
    assert (status, problem["details"][0]["field"]) == (400, field)


async def test_fault_injection_is_off_by_default(mongodb_uri: str) -> None:
    with running_inventory(mongodb_uri, INVENTORY_FAULTS="0") as service:
        async with a_warehouse(service.url) as warehouse:
            fault = {"action": "check", "fault": "error"}
            assert (await warehouse.call("POST", "/faults", json=fault))[0] == 404
            assert (await warehouse.call("GET", "/faults"))[0] == 404
            assert (await warehouse.call("DELETE", "/faults"))[0] == 404
            assert await warehouse.units() == (0, 0, 0)
