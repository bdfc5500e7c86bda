"""One dependency down at a time: the replies, the stored state, and the recovery."""

import asyncio
import time
from uuid import uuid4

from cli.doctor.checks import examine
from cli.doctor.results import Status
from dev.stack.stack import Stack
from ops.history import entries
from tests.support.outages import down
from tests.support.shop import Shop
from tests.support.waiting import eventually


async def failed_parts(stack: Stack) -> set[str]:
    """The parts that `cart doctor` reports as failed."""
    found = await asyncio.to_thread(examine, stack.settings)
    return {finding.part for finding in found if finding.state is Status.FAILED}


async def healthy(shop: Shop) -> None:
    response = await shop.world.http.get("/health")
    assert (response.status_code, response.json()["status"]) == (200, "healthy")


async def test_without_redis_adds_and_reads_work(shop: Shop, stack: Stack) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    before = await buyer.add()
    async with down(stack, "redis"):
        assert await failed_parts(stack) >= {"Redis"}
        added = await buyer.add(quantity=2)
        assert added.status_code == 201
        assert (await buyer.get()).json() == added.json()
        assert (await buyer.add()).status_code == 201
        saga = shop.world.temporal.get_workflow_handle(buyer.workflow_id)
        steps = entries(await saga.fetch_history())
        before_the_pivot = [entry.what for entry in steps[:3]]
        assert before_the_pivot == ["started", "reserve_inventory", "persist_cart"]
        [refresh] = [entry for entry in steps if entry.what == "refresh_cache"]
        assert (refresh.tries, "redis is unavailable" in refresh.note) == (1, True)
        health = await shop.world.http.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert health.json()["services"]["redis"] == "disconnected"
    assert before.json()["quantity"] == 1
    await eventually(lambda: healthy(shop))
    # Redis may still have version 1, which no read may show now.
    again = await buyer.add()
    assert (await buyer.get()).json() == again.json()
    await shop.assert_consistent()


async def test_without_kafka_adds_go_on_as_fast_and_events_follow(shop: Shop, stack: Stack) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    async with down(stack, "kafka"):
        assert await failed_parts(stack) >= {"Kafka"}
        for _ in range(3):
            started = time.monotonic()
            assert (await buyer.add()).status_code == 201
            assert time.monotonic() - started < 5
        assert [record.pending for record in await shop.records()] == [True] * 3
        health = await shop.world.http.get("/health")
        assert (health.status_code, health.json()["services"]["kafka"]) == (200, "disconnected")
    await shop.assert_consistent()

    async def delivered_in_order() -> None:
        versions = [event.value["version"] for event in await shop.events()]
        assert list(dict.fromkeys(versions)) == [1, 2, 3]
        assert [record.pending for record in await shop.records()] == [False] * 3

    await eventually(delivered_in_order, timeout=30)


async def test_without_the_inventory_adds_get_503_and_reads_work(shop: Shop, stack: Stack) -> None:
    await shop.stock("headphones", 10)
    buyer, key = shop.buyer(), uuid4().hex
    added = await buyer.add()
    async with down(stack, "inventory"):
        assert await failed_parts(stack) >= {"inventory"}
        refused = await buyer.add(quantity=2, key=key)
        assert refused.status_code == 503
        assert refused.json()["message"] == "Unable to reserve inventory"
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await buyer.get()).json() == added.json()
        health = await shop.world.http.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
    await eventually(lambda: healthy(shop))

    async def works_again() -> None:
        answer = await buyer.add(quantity=2, key=key)
        assert (answer.status_code, answer.json()["quantity"]) == (201, 3)

    await eventually(works_again)
    await eventually(shop.assert_consistent)


async def test_a_frozen_inventory_delays_only_the_first_adds(shop: Shop, stack: Stack) -> None:
    await shop.stock("headphones", 100)
    with_cart = shop.buyer()
    assert (await with_cart.add(quantity=2)).status_code == 201
    stack.pause("inventory")
    try:
        first = [shop.buyer() for _ in range(3)]
        # Their calls of the inventory last longer than a request waits for its operation.
        answers = await asyncio.gather(*(buyer.add() for buyer in first))
        assert [answer.status_code for answer in answers] == [202] * 3
        for buyer, answer in zip(first, answers, strict=True):
            ended = await buyer.ended(answer)
            assert (ended["status"], ended["answer"]["status"]) == ("aborted", 503)
        others = await asyncio.gather(*(shop.buyer().add() for _ in range(10)))
        statuses = sorted(answer.status_code for answer in others)
        assert statuses in (
            [202] + [503] * 9,
            [503] * 10,
        )  # one may be the trial of the circuit breaker
        assert (await with_cart.clear()).status_code == 200
    finally:
        stack.resume("inventory")

    async def works_again() -> None:
        assert (await with_cart.add(quantity=3)).status_code == 201

    await eventually(works_again)

    async def settled() -> None:
        assert sum(await shop.units("headphones")) == 100
        assert not any(record.pending for record in await shop.records())
        await shop.assert_consistent()

    await eventually(settled, timeout=60)


async def test_without_mongodb_no_operation_is_half_done(shop: Shop, stack: Stack) -> None:
    await shop.stock("headphones", 10)
    buyer, key = shop.buyer(), uuid4().hex
    assert (await buyer.add()).status_code == 201
    async with down(stack, "mongodb"):
        assert await failed_parts(stack) >= {"API", "MongoDB", "inventory"}
        refused = await buyer.add(quantity=2, key=key)
        assert refused.status_code in {202, 503}
        assert int(refused.headers["Retry-After"]) >= 1
        read = await buyer.get()  # cached, but perhaps no longer the latest version
        assert (read.status_code, read.headers["Retry-After"]) == (503, "1")
        health = await shop.world.http.get("/health")
        assert (health.status_code, health.json()["services"]["mongodb"]) == (503, "disconnected")
        ready = await shop.world.http.get("/health/ready")
        assert ready.status_code == 503
        live = await shop.world.http.get("/health/live")
        assert live.status_code == 200
    await eventually(lambda: healthy(shop))
    assert (await buyer.get()).json()["quantity"] in {1, 3}  # the 202 may be done by now

    async def works_again() -> None:
        answer = await buyer.add(quantity=2, key=key)
        assert (answer.status_code, answer.json()["quantity"]) == (201, 3)

    await eventually(works_again, timeout=30)
    await eventually(shop.assert_consistent)


async def test_cart_and_holds_agree_after_mongodb_was_killed_during_a_saga(
    shop: Shop, stack: Stack
) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    await shop.fault("reserve", "commit_then_timeout", seconds=1.5)
    waiting = asyncio.create_task(buyer.add(quantity=2))

    async def held() -> None:
        assert await shop.units("headphones") == (8, 2, 0)

    await eventually(held)
    async with down(stack, "mongodb"):
        answer = await waiting
        assert answer.status_code in {201, 202, 503}

    async def decided() -> None:
        [record] = await shop.records()
        committed = record.state == "committed"
        assert await shop.units("headphones") == ((8, 2, 0) if committed else (10, 0, 0))
        assert (await buyer.cart() is not None) is committed
        assert len(await shop.events()) == committed

    await eventually(decided, timeout=40)


async def test_without_temporal_changes_get_503_and_reads_work(shop: Shop, stack: Stack) -> None:
    await shop.stock("headphones", 10)
    buyer, key = shop.buyer(), uuid4().hex
    added = await buyer.add()
    async with down(stack, "temporal"):
        assert await failed_parts(stack) >= {"API", "Temporal"}
        refused = await buyer.add(quantity=2, key=key)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert (await buyer.get()).json() == added.json()
        health = await shop.world.http.get("/health")
        assert (health.status_code, health.json()["services"]["temporal"]) == (503, "disconnected")

    async def works_again() -> None:
        answer = await buyer.add(quantity=2, key=key)
        assert (answer.status_code, answer.json()["quantity"]) == (201, 3)

    await eventually(works_again, timeout=30)
    await eventually(shop.assert_consistent)


async def test_without_a_worker_an_operation_is_accepted_and_done_later(
    shop: Shop, stack: Stack
) -> None:
    await shop.stock("headphones", 10)
    buyer, key = shop.buyer(), uuid4().hex
    async with down(stack, "worker"):
        assert await failed_parts(stack) >= {"worker"}
        accepted = await buyer.add(quantity=2, key=key)
        assert accepted.status_code == 202
        body = accepted.json()
        operation_id = body["operationId"]
        assert body == {
            "message": "Cart operation accepted",
            "status": "pending",
            "operationId": operation_id,
        }
        url = f"/api/v1/cart/{shop.store_id}/operations/{operation_id}"
        assert (accepted.headers["Location"], accepted.headers["Retry-After"]) == (url, "1")
        state = await shop.world.http.get(url, headers=buyer.headers)
        assert state.json() == {"operationId": operation_id, "status": "pending"}
        assert (await shop.world.http.get(url, headers=shop.buyer().headers)).status_code == 404
        twice = await buyer.add(quantity=2, key=key)
        assert twice.status_code == 409
    ended = await buyer.ended(accepted)
    assert (ended["status"], ended["answer"]["status"]) == ("committed", 201)
    again = await buyer.add(quantity=2, key=key)
    assert again.json() == ended["answer"]["body"]
    admin = shop.buyer(role="admin", store=shop.store_id)
    seen = await shop.world.http.get(url, headers=admin.headers)
    assert seen.json() == ended
    await shop.assert_consistent()
