"""`cart ops` on open sagas: show, wait, abort."""

import asyncio
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pymongo.errors import ServerSelectionTimeoutError
from temporalio.client import WorkflowFailureError, WorkflowHistory
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

from models.acknowledgement import KEPT_SECONDS, Acknowledgement
from models.actor import Intervention
from models.errors import DependencyUnavailable
from models.operations import AddItem
from models.outcomes import Outcome
from tests.support.call_faults import FOR_EVER
from tests.support.commands import cart
from tests.support.resets import reset_to_first_task
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows import ids, policies
from workflows.gateway import CartGateway, Started

LONG = timedelta(minutes=10)  # longer than commands take on a busy machine
BY = ("--by", "alice", "--reason", "for a test")


async def start(bench: Bench, buyer: Buyer, quantity: int = 2) -> Started:
    """Starts an add as the API does, on the worker of this process."""
    gateway = CartGateway(
        bench.shop.world.temporal, task_queue=bench.task_queue, lock_wait_seconds=5
    )
    request = AddItem(
        **bench.common(buyer, f"add {quantity}", deadline_seconds=LONG.total_seconds()),
        product_id="headphones",
        product_title="Wireless Headphones",
        product_price=Decimal("79.99"),
        quantity=quantity,
    )
    return await gateway.start(request)


def cart_name(buyer: Buyer) -> str:
    return f"{buyer.shop.store_id}/{buyer.user_id}"


async def listed(bench: Bench, count: int, *words: str) -> Any:
    """The output of `cart ops list` once Temporal's visibility has `count` runs."""

    async def enough() -> Any:
        ran = await cart("ops", "list", "--json", "--store", bench.shop.store_id, *words)
        assert ran.code == 0, ran.output
        assert ran.json["count"] == count
        return ran.json

    return await eventually(enough, timeout=60)


async def test_an_abort_undoes_the_saga_and_records_who_and_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("start_to_close_timeout", "schedule_to_close_timeout"):
        monkeypatch.setitem(policies.PERSIST_CART, bound, LONG)
    buyer = bench.shop.buyer()
    arrived, _ = bench.faults.hold("persist")
    started = await start(bench, buyer)
    await asyncio.wait_for(arrived.wait(), 30)
    ran = await cart("ops", "abort", cart_name(buyer), *BY, "--json")
    assert ran.code == 0, ran.output
    shown_abort = ran.json
    assert (shown_abort["action"], shown_abort["by"], shown_abort["reason"]) == (
        "abort",
        "alice",
        "for a test",
    )
    [ended] = shown_abort["sagas"]
    assert (ended["outcome"], ended["reason"]) == ("aborted", "operator")
    assert ended["runId"] == started.handle.run_id
    assert await bench.shop.units("headphones") == (10, 0, 0)
    assert await buyer.cart() is None
    shown = await cart("ops", "show", started.handle.run_id or "", "--json")
    [signal] = [step for step in shown.json["steps"] if step["what"] == "signal abort"]
    assert signal["note"] == "for a test, alice"
    assert shown.json["intervention"] == {"by": "alice", "reason": "for a test"}
    assert shown.json["actor"] == {"type": "user", "id": "user-1"}
    [record] = await bench.shop.records()
    assert record.intervention == Intervention(by="alice", reason="for a test")


async def test_a_committed_saga_is_not_aborted(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    await (await start(bench, buyer)).handle.result()
    ran = await cart("ops", "abort", cart_name(buyer), *BY, "--json")
    assert (ran.code, ran.json["sagas"][0]["outcome"]) == (5, "committed")
    assert await bench.shop.units("headphones") == (8, 2, 0)


async def test_a_terminated_saga_says_who_and_why_and_what_is_stored(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    arrived, go_on = bench.faults.hold("publish")
    started = await start(bench, buyer)
    await asyncio.wait_for(arrived.wait(), 30)  # it has committed
    await started.handle.terminate(reason="a test says so")
    go_on.set()

    shown = (await cart("ops", "show", cart_name(buyer), "--json")).json
    assert (shown["outcome"], shown["recorded"]) == ("terminated", "committed")
    assert (shown["stored"], shown["lines"][0]["after"]) == ("stored", 2)
    assert re.fullmatch(r"by \S+: a test says so", shown["reason"])
    assert shown["says"] == f"terminated {shown['reason']}"
    assert "Its change is stored and stays" in shown["next"]
    ended = await cart("ops", "wait", cart_name(buyer), "--json")
    [saga] = ended.json["sagas"]
    assert (ended.code, saga["outcome"], saga["reason"]) == (5, "terminated", "a test says so")


async def test_a_stopped_saga_is_stuck_until_somebody_acknowledges_it(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    defect = ApplicationError("a defect", non_retryable=True)
    bench.faults.fail("persist", "before", defect)
    started = await start(bench, buyer)
    with pytest.raises(WorkflowFailureError):
        await started.handle.result()
    bench.faults.heal()
    run = started.handle.run_id or ""
    [listed_one] = (await listed(bench, 1, "--attention"))["sagas"]
    assert (listed_one["outcome"], listed_one["stored"]) == ("failed", "not stored")
    assert "a defect" in listed_one["reason"]

    async def problems() -> list[Any]:
        stuck = (await cart("ops", "stuck", "--json")).json["problems"]
        return [problem for problem in stuck if problem["name"] == run]

    [problem] = await problems()
    assert "failed (its change: not stored)" in problem["what"]
    assert (await cart("ops", "ack", run, *BY, "--dry-run")).code == 0
    assert await problems()
    done = await cart("ops", "ack", run, *BY, "--json")
    assert (done.code, done.json["done"]) == (0, True), done.output
    assert await problems() == []
    await listed(bench, 0, "--attention")
    shown = (await cart("ops", "show", run, "--json")).json
    acknowledged = shown["acknowledged"]
    assert (acknowledged["by"], acknowledged["reason"]) == ("alice", "for a test")
    assert shown["next"][-1].startswith("Acknowledged by alice at 20")


async def test_only_a_stopped_saga_is_acknowledged(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    await (await start(bench, buyer)).handle.result()
    refused = await cart("ops", "ack", cart_name(buyer), *BY)
    assert (refused.code, "is committed" in refused.output) == (5, True), refused.output
    assert (await cart("ops", "ack", *BY)).code == 2
    assert (await cart("ops", "ack", cart_name(buyer), "--reason", "x" * 501)).code == 2


async def test_acknowledgements_are_kept_for_a_bounded_time() -> None:
    indexes = await Acknowledgement.get_pymongo_collection().index_information()
    assert indexes["by_time"]["expireAfterSeconds"] == KEPT_SECONDS


async def test_a_canceled_saga_and_a_reset_one_are_told_apart(bench: Bench) -> None:
    canceled, again = bench.shop.buyer(), bench.shop.buyer()
    arrived, _ = bench.faults.hold("reserve")
    undoing, _ = bench.faults.hold("settle")
    started = await start(bench, canceled)
    await asyncio.wait_for(arrived.wait(), 30)
    await started.handle.cancel()
    await asyncio.wait_for(undoing.wait(), 30)  # the cancellation has arrived
    bench.faults.heal()
    with pytest.raises(WorkflowFailureError):
        await started.handle.result()
    first = await start(bench, again)
    await first.handle.result()
    run = first.handle.run_id or ""
    temporal = bench.shop.world.temporal
    reset = await reset_to_first_task(temporal, again.workflow_id, run)
    await temporal.get_workflow_handle(again.workflow_id, run_id=reset).result()

    found = {saga["runId"]: saga for saga in (await listed(bench, 3))["sagas"]}
    one = found[started.handle.run_id or ""]
    assert (one["outcome"], one["stored"], one["reset"]) == ("canceled", "not stored", False)
    assert re.fullmatch(r"by \S+: no reason", one["reason"])
    assert (found[run]["outcome"], found[run]["reset"]) == ("committed", False)
    assert (found[reset]["outcome"], found[reset]["reset"]) == ("committed", True)
    assert found[reset]["reason"] == "reset: a test"
    steps = (await cart("ops", "show", reset, "--json")).json["steps"]
    assert f"reset of run {run}" in [step["what"] for step in steps]
    ended = await cart("ops", "wait", cart_name(canceled), "--json")
    assert (ended.code, ended.json["sagas"][0]["outcome"]) == (5, "canceled")


async def test_many_are_aborted_when_their_number_is_confirmed(bench: Bench) -> None:
    buyers = [bench.shop.buyer() for _ in range(2)]
    without_mongodb(bench)
    for buyer in buyers:
        await start(bench, buyer)
    await listed(bench, 2, "--attention")
    many = ("ops", "abort", "--store", bench.shop.store_id, *BY)
    tried = await cart(*many, "--dry-run", "--json")
    assert (tried.code, tried.json["count"]) == (0, 2)
    refused = await cart(*many, "--confirm", "1")
    assert refused.code == 6, refused.output
    assert "confirm with --confirm 2" in refused.output
    aborting = asyncio.create_task(
        cart(*many, "--confirm", "2", "--timeout", "120", "--json", timeout=180)
    )
    runs = [run for buyer in buyers for run in await buyer.runs()]

    assert len(runs) == 2

    async def signalled() -> None:
        for run in runs:
            handle = bench.shop.world.temporal.get_workflow_handle(run.id, run_id=run.run_id)
            assert signals_of(await handle.fetch_history()) == [ids.ABORT]

    await eventually(signalled, timeout=60)
    bench.faults.heal()
    done = await aborting
    assert done.code == 0, done.output
    assert [saga["outcome"] for saga in done.json["sagas"]] == ["aborted", "aborted"]


def signals_of(history: WorkflowHistory) -> list[str]:
    return [
        event.workflow_execution_signaled_event_attributes.signal_name
        for event in history.events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]


def without_mongodb(bench: Bench) -> None:
    """Sagas fail at their first step, and cannot settle their undo."""
    bench.faults.fail("reserve", "after", DependencyUnavailable("inventory"), times=FOR_EVER)
    away = DependencyUnavailable("mongodb", "connection refused")
    away.__cause__ = ServerSelectionTimeoutError("all that the driver knows " * 1000)
    bench.faults.fail("settle", "before", away, times=FOR_EVER)


async def test_a_saga_that_cannot_settle_shows_the_dependency_it_waits_for(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    without_mongodb(bench)
    started = await start(bench, buyer)
    attention = SearchAttributeKey.for_bool(ids.ATTENTION)

    async def waiting() -> None:
        described = await started.handle.describe()
        assert described.typed_search_attributes.get(attention)

    await eventually(waiting)
    shown = await cart("ops", "show", cart_name(buyer), "--json")
    saga = shown.json
    assert (saga["outcome"], saga["attention"]) == ("running", True)
    assert "waiting for MongoDB since" in saga["says"]
    assert "nothing needs to be aborted" in saga["next"][0]
    assert any(
        step["what"] == "settle_operation"
        and step["note"] == "being tried: mongodb is unavailable: connection refused"
        for step in saga["steps"]
    )
    late = await cart("ops", "wait", cart_name(buyer), "--timeout", "0.1", "--json")
    assert (late.code, late.json["sagas"][0]["outcome"]) == (4, "running")
    await listed(bench, 1, "--attention")
    stuck = await cart("ops", "stuck", "--json")
    assert stuck.code == 1
    [problem] = [p for p in stuck.json["problems"] if p["name"] == started.handle.run_id]
    assert "waits for MongoDB" in problem["what"]
    bench.faults.heal()
    ended = await cart("ops", "wait", cart_name(buyer), "--json")
    assert (ended.code, ended.json["sagas"][0]["outcome"]) == (5, "aborted")
    described = await started.handle.describe()
    assert not described.typed_search_attributes.get(attention)


@pytest.mark.parametrize("committed", [True, False])
async def test_search_attributes_have_the_ids_and_nothing_private(
    bench: Bench, committed: bool
) -> None:
    buyer = bench.shop.buyer()
    started = await start(bench, buyer, 2 if committed else 11)
    result = await started.handle.result()
    assert (result.outcome is Outcome.COMMITTED) is committed

    description = await started.handle.describe()
    found = {pair.key.name: pair.value for pair in description.typed_search_attributes}
    found = {name: value for name, value in found.items() if name.startswith("Cart")}
    expected = {
        ids.STORE_ID: bench.shop.store_id,
        ids.USER_ID: buyer.user_id,
        ids.PRODUCT_ID: "headphones",
        ids.OPERATION: AddItem.name,
        ids.OPERATION_ID: started.operation_id,
    }
    assert found == (expected if committed else expected | {ids.OUTCOME: "rejected"})
    assert await description.static_summary() == f"Add {2 if committed else 11} x headphones"
    # The cost of an add for the Temporal server, which the summary must not raise.
    transitions = description.raw_description.workflow_execution_info.state_transition_count
    assert transitions == 3
