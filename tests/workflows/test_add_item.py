"""The add saga with a failure at each step: what is stored when it has ended."""

import asyncio
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from models.errors import DependencyUnavailable, VersionConflict
from models.messages import Outcome
from tests.support.faults import When
from tests.support.relays import RelayBench
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows import ids

FOR_EVER = 1000


async def assert_committed(bench: Bench, buyer: Buyer) -> None:
    """One effect: two units held and in the cart, at version 1; one event, however often told."""
    assert await bench.shop.units("headphones") == (8, 2, 0)
    cart = await buyer.cart()
    assert cart is not None
    assert (cart.version, cart.quantity) == (1, 2)
    await bench.shop.assert_consistent()

    async def told_and_noted() -> None:
        records = await bench.shop.records()
        assert not any(record.pending for record in records)
        [record] = [record for record in records if record.state == "committed"]
        [effect] = record.effects
        assert {event.value["eventId"] for event in await bench.shop.events()} == {effect.id}

    await eventually(told_and_noted)


async def assert_undone(bench: Bench, buyer: Buyer, reason: str) -> None:
    """Nothing is left but the record that says so."""

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
        ("commit", "mongodb"),
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
    bench.faults.fail("commit", "before", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await bench.add(buyer, deadline_seconds=0.5)
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "deadline")
    await assert_undone(bench, buyer, "deadline")


async def test_a_pivot_that_committed_unheard_is_found_by_its_settling(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("commit", "after", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await bench.add(buyer, deadline_seconds=0.5)
    assert result.outcome is Outcome.COMMITTED
    assert bench.faults.calls["settle"] == 1
    await assert_committed(bench, buyer)


async def test_a_cart_that_moved_on_is_tried_again(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("commit", "before", VersionConflict("moved"), times=2)
    result = await bench.add(buyer)
    assert result.outcome is Outcome.COMMITTED
    assert bench.faults.calls["commit"] == 3
    assert bench.faults.calls["reserve"] == 1
    await assert_committed(bench, buyer)


async def test_a_cart_that_never_stands_still_is_undone(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("commit", "before", VersionConflict("moved"), times=FOR_EVER)
    result = await bench.add(buyer)
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "conflict")
    await assert_undone(bench, buyer, "conflict")


async def test_an_error_nobody_foresaw_fails_the_run_after_its_undo(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("commit", "before", KeyError("a bug"), times=FOR_EVER)
    handle = await bench.start(buyer, deadline_seconds=0.5)
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


async def test_an_add_that_committed_unheard_overtakes_no_event(
    bench: Bench, relays: RelayBench
) -> None:
    buyer = Buyer(relays.shop, relays.user(0), {})
    await relays.plant_event(7)
    bench.faults.fail("commit", "after", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await bench.add(buyer, deadline_seconds=0.5)
    assert result.outcome is Outcome.COMMITTED

    async def in_order() -> None:
        versions = [event.value["version"] for event in await bench.shop.events()]
        assert list(dict.fromkeys(versions)) == [7, 1]

    await eventually(in_order)


@pytest.mark.parametrize("how", ["deadline", "operator", "cancelled"])
async def test_what_stops_a_saga_leads_to_the_undo(bench: Bench, how: str) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("reserve", "after", DependencyUnavailable("inventory"))
    arrived, _ = bench.faults.hold("commit")
    handle = await bench.start(buyer, deadline_seconds=0.5 if how == "deadline" else 30)
    await asyncio.wait_for(arrived.wait(), 10)
    if how == "operator":
        await handle.signal(ids.ABORT, "a test says so")
    if how == "cancelled":
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
    else:
        result = await handle.result()
        assert (result.outcome, result.reason) == (Outcome.ABORTED, how)
    await assert_undone(bench, buyer, how)


async def test_nothing_interrupts_an_undo(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    bench.faults.fail("reserve", "after", DependencyUnavailable("inventory"), times=3)
    arrived, go_on = bench.faults.hold("settle")
    handle = await bench.start(buyer)
    await asyncio.wait_for(arrived.wait(), 10)
    await handle.signal(ids.ABORT, "again")
    await handle.cancel()
    await handle.cancel()

    async def heard() -> None:
        history = await handle.fetch_history()
        assert any(
            event.HasField("workflow_execution_cancel_requested_event_attributes")
            for event in history.events
        )

    await eventually(heard)
    go_on.set()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    await assert_undone(bench, buyer, "inventory_unavailable")


async def test_a_key_commits_once_however_many_runs_try_it(bench: Bench) -> None:
    buyer, key = bench.shop.buyer(), uuid4().hex
    first = await bench.add(buyer, key=key)
    again = await bench.add(buyer, key=key)
    other = await bench.add(buyer, quantity=1, key=key)
    assert (first.outcome, again.outcome) == (Outcome.COMMITTED, Outcome.REPLAYED)
    assert again.run_id == first.run_id
    assert other.refusal is not None
    assert (other.outcome, other.refusal.code) == (Outcome.REJECTED, "idempotency_key_reused")
    await assert_committed(bench, buyer)


async def test_a_refusal_after_a_call_that_was_not_heard_is_undone_all_the_same(
    bench: Bench,
) -> None:
    """That call may still arrive, when there are units again: after its release it is refused."""
    bench.faults.fail("reserve", "before", DependencyUnavailable("inventory"))
    result = await bench.add(bench.shop.buyer(), 11)
    assert result.refusal is not None
    assert (result.outcome, result.refusal.code) == (Outcome.REJECTED, "insufficient_stock")
    [record] = await bench.shop.records()
    assert (record.state, [effect.kind for effect in record.effects]) == ("aborted", ["release"])

    async def released() -> None:
        [record] = await bench.shop.records()
        assert not record.pending

    await eventually(released)
    assert await bench.shop.units("headphones") == (10, 0, 0)
