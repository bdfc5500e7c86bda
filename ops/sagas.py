"""Sagas as Temporal lists them: finding the one that an operator names, waiting for its end."""

import asyncio
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import CancelledError, TerminatedError
from temporalio.exceptions import TimeoutError as WorkflowTimeoutError
from temporalio.service import RPCError, RPCStatusCode

from models.acknowledgement import Acknowledgement
from models.cart import CartKey
from models.operations import RepairCart
from models.outcomes import OperationResult, Outcome
from models.store_id import is_store_id
from models.user_id import is_user_id
from models.wire import timestamp
from ops.connections import Connections
from ops.errors import NotFoundError, UnusableError
from ops.filters import RunState, SagaQuery, SagaState, quoted
from workflows import ids
from workflows.connection import RPC_TIMEOUT
from workflows.gateway import CartHandle

_OPERATION_ID = re.compile(r"[0-9a-f]{32}")
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WORKFLOW_ID = re.compile(r"cart/[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_.~%:-]+")
_SAGA_ID = re.compile(r"cart-(\d{13})-(.+)")
_SAGA_ID_SLACK = timedelta(milliseconds=2)


class Stored(StrEnum):
    """Whether the change of a run that was stopped is stored."""

    YES = "stored"
    NO = "not stored"
    UNDECIDED = "undecided"
    """There is no record yet: a worker may still write it, or else the watch will."""
    UNKNOWN = "unknown"
    """MongoDB could not be asked."""


@dataclass(frozen=True)
class SagaSummary:
    """One run of an operation, as visibility describes it.

    `explain` adds the rest: why it ended so (`reason`), the run of which it is a reset (`reset`),
    and, of a run that was stopped, whether its change is `stored`, and who has acknowledged it.
    """

    workflow_id: str
    run_id: str
    state: SagaState
    operation: str | None
    operation_id: str | None
    store_id: str | None
    user_id: str | None
    product_id: str | None
    order_id: str | None
    attention: bool
    started_at: datetime
    closed_at: datetime | None
    url: str
    reason: str | None = None
    reset: bool = False
    stored: Stored | None = None
    acknowledged: Acknowledgement | None = None

    @property
    def running(self) -> bool:
        return self.state is RunState.RUNNING

    @property
    def cart(self) -> str:
        """The cart as commands take it."""
        return f"{self.store_id}/{self.user_id}"

    @property
    def cart_word(self) -> str:
        """The cart as a word of a shell's command line."""
        return shlex.quote(self.cart)

    @property
    def outcome(self) -> str:
        """How it stands, in words; of a run that was stopped also whether its change is stored."""
        words = self.state.replace("_", " ")
        if self.stored is not None:
            words += f", {self.stored}"
        if self.attention and self.running:
            words += ", needs attention"
        return f"{words} (reset)" if self.reset else words

    def seconds(self, now: datetime) -> float:
        """How long it took, or has been running."""
        return ((self.closed_at or now) - self.started_at).total_seconds()

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """For `--json`."""
        return {
            "workflowId": self.workflow_id,
            "runId": self.run_id,
            "operation": self.operation,
            "operationId": self.operation_id,
            "storeId": self.store_id,
            "userId": self.user_id,
            "productId": self.product_id,
            "orderId": self.order_id,
            "outcome": self.state.value,
            "reason": self.reason,
            "reset": self.reset,
            "stored": self.stored,
            "acknowledged": acknowledged_as_dict(self.acknowledged),
            "attention": self.attention,
            "startedAt": self.started_at,
            "closedAt": self.closed_at,
            "seconds": round(self.seconds(now), 3),
            "url": self.url,
        }


@dataclass(frozen=True)
class SagaEnd:
    """How a saga ended, if it has."""

    saga: SagaSummary
    state: SagaState
    reason: str | None
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "workflowId": self.saga.workflow_id,
            "runId": self.saga.run_id,
            "outcome": self.state.value,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "url": self.saga.url,
        }


def acknowledged_as_dict(acknowledged: Acknowledgement | None) -> dict[str, Any] | None:
    """For `--json`."""
    if acknowledged is None:
        return None
    return {"by": acknowledged.by, "reason": acknowledged.reason, "at": acknowledged.at}


def summary_of(connections: Connections, run: WorkflowExecution) -> SagaSummary:
    """A run from visibility, or from a description."""

    def attribute(name: str) -> str | None:
        return run.typed_search_attributes.get(SearchAttributeKey.for_keyword(name))

    attention = SearchAttributeKey.for_bool(ids.ATTENTION)
    cart, user = ids.cart_of_workflow(run.id), attribute(ids.USER_ID)
    return SagaSummary(
        workflow_id=run.id,
        run_id=run.run_id,
        state=_state(run.status, attribute(ids.OUTCOME)),
        operation=attribute(ids.OPERATION) or run.workflow_type,
        operation_id=attribute(ids.OPERATION_ID),
        store_id=attribute(ids.STORE_ID),
        user_id=cart.user_id if cart and user else user,
        product_id=attribute(ids.PRODUCT_ID),
        order_id=attribute(ids.ORDER_ID),
        attention=bool(run.typed_search_attributes.get(attention)),
        started_at=run.start_time,
        closed_at=run.close_time,
        url=connections.pages.workflow(run.id, run.run_id),
    )


_STATES = {
    WorkflowExecutionStatus.TERMINATED: RunState.TERMINATED,
    WorkflowExecutionStatus.TIMED_OUT: RunState.TIMED_OUT,
    WorkflowExecutionStatus.CANCELED: RunState.CANCELED,
}


def _state(status: WorkflowExecutionStatus | None, outcome: str | None) -> SagaState:
    if status is WorkflowExecutionStatus.RUNNING:
        return RunState.RUNNING
    if status in _STATES:
        return _STATES[status]
    if outcome is not None and outcome in {*Outcome}:
        return Outcome(outcome)
    if status is WorkflowExecutionStatus.COMPLETED:
        return Outcome.COMMITTED
    return RunState.FAILED


async def find_sagas(connections: Connections, query: str, *, limit: int) -> list[SagaSummary]:
    """The sagas of a query, the latest first."""
    runs = connections.temporal.list_workflows(query, limit=limit, rpc_timeout=RPC_TIMEOUT)
    return [summary_of(connections, run) async for run in runs]


async def listed(connections: Connections, query: str, *, limit: int) -> list[SagaSummary]:
    """The sagas of a query; none when Temporal cannot be asked."""
    sagas: list[SagaSummary] = []
    return await connections.ask(
        "temporal", partial(find_sagas, connections, query, limit=limit), sagas
    )


async def find_saga(connections: Connections, name: str) -> SagaSummary:
    """The saga with this name; raises `OpsError` when there is none, or Temporal is away.

    `STORE/USER` and `cart/STORE/USER` name the latest change of a cart. The id of a run, operation
    or saga names its run.
    """
    saga = await connections.need("temporal", partial(_find, connections, name))
    if saga is None:
        raise NotFoundError(
            f"Temporal has no saga {name!r}; it keeps closed ones only for its retention time, and "
            "`cart ops expired` lists carts that have expired"
        )
    return saga


async def _find(connections: Connections, name: str) -> SagaSummary | None:
    if cart := cart_key(name):
        return await latest_saga(connections, cart)
    if _WORKFLOW_ID.fullmatch(name):
        return await _described(connections, name)
    if _RUN_ID.fullmatch(name):
        return await _first(connections, f"RunId = {quoted(name)}")
    if _OPERATION_ID.fullmatch(name):
        return await _first(connections, f"{ids.OPERATION_ID} = {quoted(name)}")
    if matched := _SAGA_ID.fullmatch(name):
        return await _by_saga_id(connections, name, int(matched[1]))
    raise UnusableError(
        f"{name!r} names no saga: give STORE/USER, or the id of a run, operation or saga"
    )


def cart_key(name: str) -> CartKey | None:
    """The cart with this name; None for another kind of name.

    A workflow id has the user percent-encoded, `STORE/USER` as it is: the first slash ends the
    store, and the user may have more of them.
    """
    if _WORKFLOW_ID.fullmatch(name):
        return ids.cart_of_workflow(name)
    store, _, user = name.partition("/")
    return CartKey(store, user) if is_store_id(store) and is_user_id(user) else None


async def latest_saga(connections: Connections, cart: CartKey) -> SagaSummary | None:
    """A cart's latest run; not one that has only looked for drift, if there is another."""
    saga = await _described(connections, ids.cart_workflow_id(*cart))
    if saga is None or saga.running or saga.operation != RepairCart.name:
        return saga
    return await _first(connections, changes_of(cart)) or saga


async def _described(connections: Connections, workflow_id: str) -> SagaSummary | None:
    """The latest run of a workflow. By describing it: visibility lags behind."""
    handle = connections.temporal.get_workflow_handle(workflow_id)
    try:
        return summary_of(connections, await handle.describe(rpc_timeout=RPC_TIMEOUT))
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


def changes_of(cart: CartKey) -> str:
    """The query for the runs of a cart, without those that look for drift."""
    where = SagaQuery(store=cart.store_id, user=cart.user_id).query(datetime.now(UTC))
    return f"{where} AND {ids.OPERATION} != '{RepairCart.name}'"


async def _first(connections: Connections, query: str) -> SagaSummary | None:
    found = await find_sagas(connections, query, limit=1)
    return found[0] if found else None


async def _by_saga_id(connections: Connections, name: str, epoch_ms: int) -> SagaSummary | None:
    """A saga id contains the start of its run, and a user starts at most one run at a time."""
    at = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    begin, end = timestamp(at - _SAGA_ID_SLACK), timestamp(at + _SAGA_ID_SLACK)
    query = f"StartTime BETWEEN '{begin}' AND '{end}' AND {ids.OPERATION} IS NOT NULL"
    for saga in await find_sagas(connections, query, limit=100):
        user, subject = saga.user_id or "", saga.product_id or saga.operation or ""
        # Where visibility has only the hash of a user, the saga id has it too.
        if name in {ids.saga_id(at, user, subject), f"cart-{epoch_ms}-{user}-{subject}"}:
            return saga
    return None


def _stopped_by(cause: BaseException | None) -> RunState:
    match cause:
        case TerminatedError():
            return RunState.TERMINATED
        case CancelledError():
            return RunState.CANCELED
        case WorkflowTimeoutError():
            return RunState.TIMED_OUT
        case _:
            return RunState.FAILED


async def wait_for_end(connections: Connections, saga: SagaSummary, *, seconds: float) -> SagaEnd:
    """How the saga ended; it is `running` when it has not within the time."""
    handle: CartHandle = connections.temporal.get_workflow_handle(
        saga.workflow_id, run_id=saga.run_id, result_type=OperationResult
    )
    state: SagaState = RunState.RUNNING
    reason: str | None = None
    try:
        async with asyncio.timeout(seconds):
            result = await handle.result(follow_runs=False)
        state = result.outcome
        reason = result.refusal.code if result.refusal else result.reason
    except TimeoutError:
        pass
    except WorkflowFailureError as error:
        state = _stopped_by(error.cause)
        reason = str(error.cause)
    closed_at: datetime | None = None
    with suppress(RPCError):
        closed_at = (await handle.describe()).close_time
    return SagaEnd(saga, state, reason, saga.seconds(closed_at or datetime.now(UTC)))
