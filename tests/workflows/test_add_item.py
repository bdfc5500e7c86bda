"""The add saga with a failure at each step: the stored state after its end."""

import asyncio
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from models.errors import DependencyUnavailable, VersionConflict
from models.outcomes import Outcome
from tests.support.call_faults import FOR_EVER, SHORT_DEADLINE, When
from tests.support.relays import RelayBench
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows import ids


async def assert_committed(bench: Bench, buyer: Buyer) -> None:
    """One effect: two units held and in the cart, version 1, and one event (with repeats)."""
    assert await bench.shop.units("headphones") == (8, 2, 0)
    cart = await buyer.cart()
    assert cart is not None
    assert (cart.version, cart.quantity) == (1, 2)
    await bench.shop.assert_consistent()

    async def published_and_recorded() -> None:
        records = await bench.shop.records()
        assert not any(record.pending for record in records)
        [record] = [record for record in records if record.state == "committed"]
        [effect] = record.effects
        assert {event.value["eventId"] for event in await bench.shop.events()} == {effect.id}

    await eventually(published_and_recorded)


async def assert_undone(bench: Bench, buyer: Buyer, reason: str) -> None:
    """Only the record of the aborted run is left."""

    async def given_back() -> None:
        assert await bench.shop.units("headphones") == (10, 0, 0)
        [record] = await bench.shop.records()
        assert (record.state, record.reason, record.pending) == ("aborted", reason, False)

    await eventually(given_back)
    assert await bench.shop.holds() == {}
    assert await buyer.cart() is None
    assert await bench.shop.events() == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("step", "dependency"),
    [
        ("reserve", "inventory"),
        ("persist", "mongodb"),
        ("put", "redis"),
        ("publish", "kafka"),
        ("mark_done", "mongodb"),
    ],
)
async def test_a_step_that_fails_once_has_its_effect_once(
    bench: Bench, step: str, dependency: str, when: When
) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail(step, when, DependencyUnavailable(dependency))
    result = await bench.add(buyer)
    assert result.outcome is Outcome.COMMITTED
    assert bench.faults.calls[step] >= 1
    await assert_committed(bench, buyer)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_reserve_that_keeps_failing_is_undone(bench: Bench, when: When) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("reserve", when, DependencyUnavailable("inventory"), times=FOR_EVER)
    result = await bench.add(buyer)
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "inventory_unavailable")
    await assert_undone(bench, buyer, "inventory_unavailable")


async def test_a_pivot_that_never_succeeds_is_settled_and_undone(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("persist", "before", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await bench.add(buyer, deadline_seconds=SHORT_DEADLINE)
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "deadline")
    await assert_undone(bench, buyer, "deadline")


async def test_a_pivot_whose_answer_was_lost_is_found_committed(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("persist", "after", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await bench.add(buyer, deadline_seconds=SHORT_DEADLINE)
    assert result.outcome is Outcome.COMMITTED
    assert bench.faults.calls["settle"] == 1
    await assert_committed(bench, buyer)


async def test_a_cart_that_never_stands_still_is_undone(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("persist", "before", VersionConflict("moved"), times=FOR_EVER)
    result = await bench.add(buyer)
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "conflict")
    await assert_undone(bench, buyer, "conflict")


async def test_an_unexpected_error_at_the_pivot_is_undone_at_the_deadline(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("persist", "before", KeyError("a bug"), times=FOR_EVER)
    handle = await bench.start(buyer, deadline_seconds=SHORT_DEADLINE)
    result = await handle.result()
    assert result.outcome is Outcome.ABORTED
    await assert_undone(bench, buyer, "deadline")


async def test_settling_waits_for_mongodb(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("reserve", "after", DependencyUnavailable("inventory"), times=3)
    bench.faults.fail("settle", "before", DependencyUnavailable("mongodb"), times=3)
    result = await bench.add(buyer)
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "inventory_unavailable")
    assert bench.faults.calls["settle"] == 4
    await assert_undone(bench, buyer, "inventory_unavailable")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_release_that_fails_is_finished_by_the_relay(bench: Bench, when: When) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("reserve", "after", DependencyUnavailable("inventory"), times=3)
    bench.faults.fail("release", when, DependencyUnavailable("inventory"))
    result = await bench.add(buyer)
    assert result.outcome is Outcome.ABORTED
    await assert_undone(bench, buyer, "inventory_unavailable")


async def test_events_of_a_cart_wait_behind_a_pending_one(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("publish", "before", DependencyUnavailable("kafka"))
    for _ in range(3):
        assert (await bench.add(buyer)).outcome is Outcome.COMMITTED

    async def in_order() -> None:
        versions = [event.value["version"] for event in await bench.shop.events()]
        assert list(dict.fromkeys(versions)) == [1, 2, 3]
        assert not any(record.pending for record in await bench.shop.records())

    await eventually(in_order)


async def test_an_add_whose_commit_answer_was_lost_overtakes_no_event(
    bench: Bench, relays: RelayBench
) -> None:
    buyer = Buyer(relays.shop, relays.user(0), {})
    await relays.plant_event(7)
    bench.faults.fail("persist", "after", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await bench.add(buyer, deadline_seconds=SHORT_DEADLINE)
    assert result.outcome is Outcome.COMMITTED

    async def in_order() -> None:
        versions = [event.value["version"] for event in await bench.shop.events()]
        assert list(dict.fromkeys(versions)) == [7, 1]

    await eventually(in_order)


@pytest.mark.parametrize("how", ["deadline", "operator", "cancelled"])
async def test_a_saga_that_is_stopped_before_its_pivot_is_undone(bench: Bench, how: str) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("reserve", "after", DependencyUnavailable("inventory"))
    arrived, _ = bench.faults.hold("persist")
    handle = await bench.start(buyer, deadline_seconds=SHORT_DEADLINE if how == "deadline" else 30)
    await asyncio.wait_for(arrived.wait(), 30)
    if how == "operator":
        await handle.signal(ids.ABORT, "for a test")
    if how == "cancelled":
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
    else:
        result = await handle.result()
        assert (result.outcome, result.reason) == (Outcome.ABORTED, how)
    await assert_undone(bench, buyer, how)


async def test_an_undo_is_finished_despite_aborts_and_cancellations(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("reserve", "after", DependencyUnavailable("inventory"), times=3)
    arrived, go_on = bench.faults.hold("settle")
    handle = await bench.start(buyer)
    await asyncio.wait_for(arrived.wait(), 30)
    await handle.signal(ids.ABORT, "again")
    await handle.cancel()
    await handle.cancel()

    async def cancel_requested() -> None:
        history = await handle.fetch_history()
        assert any(
            event.HasField("workflow_execution_cancel_requested_event_attributes")
            for event in history.events
        )

    await eventually(cancel_requested)
    go_on.set()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    await assert_undone(bench, buyer, "inventory_unavailable")


async def test_an_idempotency_key_commits_once(bench: Bench) -> None:
    buyer, key = bench.shop.buyer(), uuid4().hex
    first = await bench.add(buyer, key=key)
    again = await bench.add(buyer, key=key)
    other = await bench.add(buyer, quantity=1, key=key)
    assert (first.outcome, again.outcome) == (Outcome.COMMITTED, Outcome.REPLAYED)
    assert again.record_id == first.record_id
    assert other.refusal is not None
    assert (other.outcome, other.refusal.code) == (Outcome.REJECTED, "idempotency_key_reused")
    await assert_committed(bench, buyer)


async def test_a_refusal_for_stock_releases_an_earlier_reserve_call_that_may_still_arrive(
    bench: Bench,
) -> None:
    """The inventory refuses a reserve call that arrives after its release."""
    bench.faults.fail("reserve", "before", DependencyUnavailable("inventory"))
    result = await bench.add(bench.shop.buyer(), 11)
    assert result.refusal is not None
    assert (result.outcome, result.refusal.code) == (Outcome.REJECTED, "insufficient_stock")
    [record] = await bench.shop.records()
    assert (record.state, [effect.kind for effect in record.effects]) == ("rejected", ["release"])

    async def released() -> None:
        [record] = await bench.shop.records()
        assert not record.pending

    await eventually(released)
    assert await bench.shop.units("headphones") == (10, 0, 0)
