"""The gateway: one operation of a cart at a time, no start is lost, and no result is invented."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from models.audit import AuditEntry
from models.cart import CartKey
from models.cart_line import ProductAvailability
from models.effects import EffectKind
from models.errors import DependencyUnavailable, OperationAborted, OperationInProgress
from models.limits import Policy
from models.mark_product import MarkProductInput
from models.operations import ClearCart
from models.outcomes import AbortReason, OperationResult, Outcome
from tests.fakes.api import STORE, USER, result_of
from tests.support.actors import SHOPPER
from workflows import ids
from workflows.gateway import CartGateway, Started
from workflows.requests import operation_fields

ID = ids.cart_workflow_id(STORE, USER)
COMMITTED = result_of(Outcome.COMMITTED)
RUNNING, COMPLETED = WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED


def clear(operation_id: str = "1" * 32) -> ClearCart:
    fields = operation_fields(
        ClearCart,
        CartKey(STORE, USER),
        operation_id=operation_id,
        requested={},
        actor=SHOPPER,
        policy=Policy(deadline_seconds=0.01),
    )
    return ClearCart(**fields, cart_id="cart-1", reason="user")


def lost(status: RPCStatusCode = RPCStatusCode.DEADLINE_EXCEEDED) -> RPCError:
    return RPCError("no answer", status, b"")


@dataclass
class FakeRun:
    """A run of a workflow; `ends` opens with its end."""

    id: str
    run_id: str
    memo: dict[str, Any]
    status: WorkflowExecutionStatus = RUNNING
    end: OperationResult | Exception = COMMITTED
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    signals: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    @property
    def first_execution_run_id(self) -> str:
        return self.run_id

    async def describe(self, **_: Any) -> "FakeRun":
        return self

    async def memo_value(self, key: str, default: Any) -> Any:
        return self.memo.get(key, default)

    async def result(self, **_: Any) -> OperationResult:
        await self.ends.wait()
        if isinstance(self.end, Exception):
            raise self.end
        return self.end

    async def signal(self, name: str, *, args: tuple[str, ...], **_: Any) -> None:
        if self.status is not RUNNING:
            raise lost(RPCStatusCode.NOT_FOUND)
        self.signals.append((name, args))

    def finish(self) -> None:
        self.status = COMPLETED
        self.ends.set()


class NoRun:
    async def describe(self, **_: Any) -> FakeRun:
        raise lost(RPCStatusCode.NOT_FOUND)

    signal = describe


class FakeTemporal:
    """Runs by workflow id. Each of the `troubles` is raised by one start, before or after it."""

    def __init__(self) -> None:
        self.runs: dict[str, FakeRun] = {}
        self.starts: list[dict[str, Any]] = []
        self.before: list[Exception] = []
        self.after: list[Exception] = []
        self.listed: list[FakeRun] = []
        self.queries: list[str] = []
        self.down = False

    async def start_workflow(self, name: Any, request: Any, *, id: str, **options: Any) -> FakeRun:  # noqa: A002 (Temporal's name)
        if self.before:
            raise self.before.pop(0)
        running = self.runs.get(id)
        if running is not None and running.status is RUNNING and "start_signal" not in options:
            raise WorkflowAlreadyStartedError(id, str(name), run_id=running.run_id)
        self.starts.append({"name": name, "request": request, "id": id} | options)
        self.runs[id] = FakeRun(id, f"run-{len(self.starts)}", options.get("memo", {}))
        if self.after:
            raise self.after.pop(0)
        return self.runs[id]

    def get_workflow_handle(self, workflow_id: str, **_: Any) -> Any:
        if self.down:
            raise RuntimeError("never connected")
        return self.runs.get(workflow_id) or NoRun()

    async def list_workflows(self, query: str, **_: Any) -> AsyncIterator[FakeRun]:
        self.queries.append(query)
        for run in self.listed:
            yield run


class FakeInbox:
    """The reply channel."""

    channel = "cart:answers:api-1"

    def __init__(self) -> None:
        self.is_listening = True
        self.waiting: dict[str, asyncio.Future[OperationResult]] = {}

    def expect(self, attempt_id: str) -> asyncio.Future[OperationResult]:
        self.waiting[attempt_id] = asyncio.get_running_loop().create_future()
        return self.waiting[attempt_id]

    def forget(self, attempt_id: str) -> None:
        self.waiting.pop(attempt_id, None)


@pytest.fixture
def temporal() -> FakeTemporal:
    return FakeTemporal()


def gateway_of(
    temporal: FakeTemporal, *, wait: float = 5, inbox: FakeInbox | None = None
) -> CartGateway:
    return CartGateway(
        cast(Any, temporal),
        task_queue="cart",
        lock_wait_seconds=wait,
        inbox=cast(Any, inbox),
        fallback_seconds=0.01,
    )


def running(temporal: FakeTemporal, operation_id: str = "0" * 32) -> FakeRun:
    run = FakeRun(ID, "run-0", {ids.MEMO_OPERATION_ID: operation_id})
    temporal.runs[ID] = run
    return run


async def test_an_operation_runs_under_its_carts_id_and_its_stores_fairness_key(
    temporal: FakeTemporal,
) -> None:
    started = await gateway_of(temporal).start(clear())
    [start] = temporal.starts
    assert (start["id"], start["name"], start["task_queue"]) == (ID, "ClearCart", "cart")
    assert start["priority"].fairness_key == STORE
    assert (started.operation_id, started.reply) == ("1" * 32, None)


async def test_an_operation_waits_until_the_running_one_has_ended(temporal: FakeTemporal) -> None:
    first = running(temporal)
    starting = asyncio.create_task(gateway_of(temporal).start(clear()))
    for _ in range(10):
        await asyncio.sleep(0)
    assert temporal.starts == []
    first.end = WorkflowFailureError(cause=RuntimeError("a defect"))  # whatever it says
    first.finish()
    await starting
    assert len(temporal.starts) == 1


async def test_a_cart_that_stays_busy_is_said_to_be_in_progress(temporal: FakeTemporal) -> None:
    running(temporal)
    with pytest.raises(OperationInProgress, match="the cart is busy"):
        await gateway_of(temporal, wait=0.01).start(clear())
    assert temporal.starts == []


async def test_the_same_operation_is_refused_at_once_while_it_runs(temporal: FakeTemporal) -> None:
    running(temporal, operation_id="1" * 32)
    with pytest.raises(OperationInProgress, match="the same operation is running"):
        await gateway_of(temporal).start(clear())


async def test_a_start_whose_answer_was_lost_is_found(temporal: FakeTemporal) -> None:
    temporal.after = [lost()]
    started = await gateway_of(temporal).start(clear())
    assert (started.handle.run_id, len(temporal.starts)) == ("run-1", 1)


@pytest.mark.parametrize("error", [lost(RPCStatusCode.UNAVAILABLE), RuntimeError("no connection")])
async def test_a_start_that_has_not_happened_is_an_outage(
    temporal: FakeTemporal, error: Exception
) -> None:
    temporal.before = [error]
    running(temporal).finish()  # an earlier run, which is another attempt's
    inbox = FakeInbox()
    with pytest.raises(DependencyUnavailable, match="temporal is unavailable"):
        await gateway_of(temporal, inbox=inbox).start(clear())
    assert inbox.waiting == {}


async def started_with(
    temporal: FakeTemporal, inbox: FakeInbox
) -> tuple[CartGateway, Started, FakeRun]:
    gateway = gateway_of(temporal, inbox=inbox)
    started = await gateway.start(clear())
    assert temporal.starts[0]["request"].reply_channel == FakeInbox.channel
    return gateway, started, temporal.runs[ID]


async def test_a_reply_is_the_result_and_temporal_is_not_asked(temporal: FakeTemporal) -> None:
    inbox = FakeInbox()
    gateway, started, _ = await started_with(temporal, inbox)
    inbox.waiting[started.attempt_id].set_result(COMMITTED)
    assert await gateway.result(started, wait_seconds=5) is COMMITTED
    assert inbox.waiting == {}


@pytest.mark.parametrize("listening", [True, False])
async def test_without_a_reply_temporal_has_the_result(
    temporal: FakeTemporal, *, listening: bool
) -> None:
    inbox = FakeInbox()
    gateway, started, run = await started_with(temporal, inbox)
    inbox.is_listening = listening
    run.finish()
    assert await gateway.result(started, wait_seconds=5) is COMMITTED


async def test_a_reply_that_comes_while_temporal_is_asked_is_taken(temporal: FakeTemporal) -> None:
    inbox = FakeInbox()
    gateway, started, _ = await started_with(temporal, inbox)
    result = asyncio.create_task(gateway.result(started, wait_seconds=5))
    asyncio.get_running_loop().call_later(
        0.05, inbox.waiting[started.attempt_id].set_result, COMMITTED
    )
    assert await result is COMMITTED


@pytest.mark.parametrize("error", [None, lost(), RuntimeError("closed")])
async def test_an_operation_whose_end_is_not_known_has_no_result_yet(
    temporal: FakeTemporal, error: Exception | None
) -> None:
    """It was accepted and goes on."""
    gateway = gateway_of(temporal)
    started = await gateway.start(clear())
    if error is not None:
        temporal.runs[ID].end = error
        temporal.runs[ID].finish()
    assert await gateway.result(started, wait_seconds=0.01) is None


async def test_a_run_that_failed_is_no_result(temporal: FakeTemporal) -> None:
    gateway = gateway_of(temporal)
    started = await gateway.start(clear())
    temporal.runs[ID].end = WorkflowFailureError(cause=RuntimeError("a defect"))
    temporal.runs[ID].finish()
    with pytest.raises(WorkflowFailureError):
        await gateway.result(started, wait_seconds=5)


async def carried_out(
    temporal: FakeTemporal, end: OperationResult, monkeypatch: pytest.MonkeyPatch
) -> OperationResult:
    """The end of an operation that ends as soon as it has started."""

    async def result(self: FakeRun, **_: Any) -> OperationResult:
        assert self.id == ID
        return end

    monkeypatch.setattr(FakeRun, "result", result)
    return await gateway_of(temporal).carry_out(clear())


async def test_a_refusal_is_carried_out_and_an_abort_can_be_tried_again(
    temporal: FakeTemporal, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = result_of(Outcome.REJECTED)
    assert await carried_out(temporal, refused, monkeypatch) is refused
    temporal.runs[ID].finish()
    aborted = result_of(Outcome.ABORTED, reason=AbortReason.DEADLINE)
    with pytest.raises(OperationAborted, match="deadline"):
        await carried_out(temporal, aborted, monkeypatch)


async def test_an_operation_that_outlasts_its_deadline_is_in_progress(
    temporal: FakeTemporal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.gateway.CARRY_OUT_GRACE_SECONDS", 0)
    with pytest.raises(OperationInProgress, match="it has not ended"):
        await gateway_of(temporal).carry_out(clear())


async def test_the_latest_run_of_a_cart_is_found_without_visibility(temporal: FakeTemporal) -> None:
    run, gateway = running(temporal), gateway_of(temporal)
    assert await gateway.find(STORE, "0" * 32, user_id=USER) is None  # it is running
    run.finish()
    assert await gateway.find(STORE, "0" * 32, user_id=USER) is COMMITTED
    assert temporal.queries == []


async def test_an_earlier_run_is_found_by_its_operation_and_its_cart(
    temporal: FakeTemporal,
) -> None:
    run, gateway = running(temporal, "2" * 32), gateway_of(temporal)
    run.finish()
    temporal.listed = [run]
    assert await gateway.find(STORE, "0" * 32, user_id=USER) is COMMITTED
    assert await gateway.find(STORE, "0" * 32, user_id=None) is COMMITTED
    of_cart, of_store = temporal.queries
    assert all("0" * 32 in query for query in (of_cart, of_store))
    assert (ID in of_cart, STORE in of_store, ID in of_store) == (True, True, False)


@pytest.mark.parametrize("user", [USER, None])
async def test_an_operation_that_was_never_started_is_unknown(
    temporal: FakeTemporal, user: str | None
) -> None:
    with pytest.raises(KeyError):
        await gateway_of(temporal).find(STORE, "0" * 32, user_id=user)


async def test_a_lookup_without_temporal_is_an_outage_and_not_unknown(
    temporal: FakeTemporal,
) -> None:
    temporal.down = True
    with pytest.raises(DependencyUnavailable):
        await gateway_of(temporal).find(STORE, "0" * 32, user_id=USER)


async def test_an_abort_reaches_the_run_unless_it_has_ended(temporal: FakeTemporal) -> None:
    run, gateway = running(temporal), gateway_of(temporal)
    await gateway.abort(ID, "run-0", reason="stuck", by="grace")
    assert run.signals == [(ids.ABORT, ("stuck", "grace"))]
    run.finish()
    with pytest.raises(KeyError):
        await gateway.abort(ID, "run-0", reason="stuck", by="grace")


async def test_a_products_event_is_started_once(temporal: FakeTemporal) -> None:
    news = ProductAvailability(product_id="lamp", status="out_of_stock", at="2026-01-27T10:30:00Z")
    gateway = gateway_of(temporal)
    for event in ("e-1", "e-1", "e-2"):
        await gateway.mark_product(MarkProductInput(topic="stock", event_id=event, news=news))
    assert [start["request"].event_id for start in temporal.starts] == ["e-1", "e-2"]


async def test_a_relay_is_woken_by_a_start_whether_it_runs_or_not(temporal: FakeTemporal) -> None:
    gateway = gateway_of(temporal)
    for _ in range(2):
        await gateway.wake_relay(EffectKind.EVENT, 3, shards=16)
    assert [start["id"] for start in temporal.starts] == [
        ids.relay_workflow_id(EffectKind.EVENT, 3)
    ] * 2
    assert temporal.starts[0]["start_signal"] == ids.WAKE


async def test_an_audit_line_that_cannot_be_written_is_an_outage(temporal: FakeTemporal) -> None:
    entry = AuditEntry(command="dlq_drop", operator="grace", count=1, reason=None, what={})
    await gateway_of(temporal).audit(entry)
    assert temporal.starts[0]["request"] is entry
    temporal.before = [lost(RPCStatusCode.UNAVAILABLE)]
    with pytest.raises(DependencyUnavailable):
        await gateway_of(temporal).audit(entry)
