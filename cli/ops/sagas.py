"""Sagas as Temporal's visibility knows them: filters, rows, and finding the one that is meant."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from cli.console import CliError
from cli.ops.desk import Desk
from cli.ops.exits import Exit
from models.messages import Outcome
from workflows import ids
from workflows.gateway import RPC_TIMEOUT

_OPERATION_ID = re.compile(r"[0-9a-f]{32}")
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SAGA_ID = re.compile(r"cart-(\d{13})-(.+)")
_SAGA_ID_SLACK = timedelta(milliseconds=2)


class End(StrEnum):
    """How a saga stands: what `CartOutcome` and the execution's status say together."""

    COMMITTED = "committed"
    REJECTED = "rejected"
    ABORTED = "aborted"
    REPLAYED = "replayed"
    UNCHANGED = "unchanged"
    RUNNING = "running"
    FAILED = "failed"


# A committed saga has no `CartOutcome` (see docs/operations.md).
_END_QUERIES = {
    End.COMMITTED: f"ExecutionStatus = 'Completed' AND {ids.OUTCOME} IS NULL",
    End.RUNNING: "ExecutionStatus = 'Running'",
    End.FAILED: "ExecutionStatus IN ('Failed', 'Terminated', 'TimedOut')",
}


@dataclass(frozen=True)
class SagaFilter:
    """Which sagas; what is None does not matter."""

    store: str | None = None
    user: str | None = None
    product: str | None = None
    operation: str | None = None
    outcome: End | None = None
    order: str | None = None
    attention: bool = False
    older_than: timedelta | None = None
    newer_than: timedelta | None = None

    def query(self, now: datetime) -> str:
        """As Temporal's visibility reads it, in the Web UI as well."""
        parts = [f"{ids.OPERATION} IS NOT NULL"]
        for name, value in (
            (ids.STORE_ID, self.store),
            (ids.USER_ID, self.user),
            (ids.PRODUCT_ID, self.product),
            (ids.OPERATION, self.operation),
            (ids.ORDER_ID, self.order),
        ):
            if value is not None:
                parts.append(f"{name} = {quoted(value)}")
        if self.outcome is not None:
            default = f"{ids.OUTCOME} = {quoted(self.outcome)}"
            parts.append(_END_QUERIES.get(self.outcome, default))
        if self.attention:
            parts.append(f"{ids.ATTENTION} = true")
        if self.older_than is not None:
            parts.append(f"StartTime < {_time(now - self.older_than)}")
        if self.newer_than is not None:
            parts.append(f"StartTime > {_time(now - self.newer_than)}")
        return " AND ".join(parts)


@dataclass(frozen=True)
class Saga:
    """One run of an operation, as far as visibility has it."""

    workflow_id: str
    run_id: str
    status: WorkflowExecutionStatus | None
    end: End
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

    @property
    def running(self) -> bool:
        return self.end is End.RUNNING

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
            "outcome": self.end.value,
            "attention": self.attention,
            "startedAt": self.started_at,
            "closedAt": self.closed_at,
            "seconds": round(self.seconds(now), 3),
            "url": self.url,
        }


def saga_of(desk: Desk, run: WorkflowExecution) -> Saga:
    """What visibility, or a description, says of a run."""

    def attribute(name: str) -> str | None:
        return run.typed_search_attributes.get(SearchAttributeKey.for_keyword(name))

    attention = SearchAttributeKey.for_bool(ids.ATTENTION)
    return Saga(
        workflow_id=run.id,
        run_id=run.run_id,
        status=run.status,
        end=_end(run.status, attribute(ids.OUTCOME)),
        operation=attribute(ids.OPERATION) or run.workflow_type,
        operation_id=attribute(ids.OPERATION_ID),
        store_id=attribute(ids.STORE_ID),
        user_id=attribute(ids.USER_ID),
        product_id=attribute(ids.PRODUCT_ID),
        order_id=attribute(ids.ORDER_ID),
        attention=bool(run.typed_search_attributes.get(attention)),
        started_at=run.start_time,
        closed_at=run.close_time,
        url=desk.pages.workflow(run.id, run.run_id),
    )


def _end(status: WorkflowExecutionStatus | None, outcome: str | None) -> End:
    if status is WorkflowExecutionStatus.RUNNING:
        return End.RUNNING
    if outcome is not None and outcome in {*Outcome}:
        return End(outcome)
    if status is WorkflowExecutionStatus.COMPLETED:
        return End.COMMITTED
    if status is WorkflowExecutionStatus.CANCELED:
        return End.ABORTED
    return End.FAILED


async def find_sagas(desk: Desk, query: str, *, limit: int) -> list[Saga]:
    """The sagas of a query, the latest first."""
    return [saga_of(desk, run) async for run in _runs(desk, query, limit)]


async def count_sagas(desk: Desk, query: str) -> int:
    """How many there are."""
    counted = await desk.temporal.count_workflows(query, rpc_timeout=RPC_TIMEOUT)
    return counted.count


async def _runs(desk: Desk, query: str, limit: int) -> AsyncIterator[WorkflowExecution]:
    async for run in desk.temporal.list_workflows(query, limit=limit, rpc_timeout=RPC_TIMEOUT):
        yield run


async def find_saga(desk: Desk, which: str) -> Saga:
    """The saga that somebody names in whichever way; raises `CliError` when there is none.

    `STORE/USER` and `cart/STORE/USER` name the latest run of a cart; a run, operation or saga id
    its run.
    """
    workflow_id = cart_of(which)
    if workflow_id is not None:
        saga = await _described(desk, workflow_id)
    elif _RUN_ID.fullmatch(which):
        saga = await _first(desk, f"RunId = {quoted(which)}")
    elif _OPERATION_ID.fullmatch(which):
        saga = await _first(desk, f"{ids.OPERATION_ID} = {quoted(which)}")
    elif matched := _SAGA_ID.fullmatch(which):
        saga = await _by_saga_id(desk, int(matched[1]), matched[2])
    else:
        raise CliError(
            f"{which!r} names no saga: give STORE/USER, or the id of a run, operation or saga",
            exit_code=Exit.USAGE,
        )
    if saga is None:
        raise CliError(
            f"Temporal knows no saga {which!r}; it keeps closed ones only for its retention time",
            exit_code=Exit.NOT_FOUND,
        )
    return saga


def cart_of(which: str) -> str | None:
    """The workflow id of the cart that is named, if one is."""
    parts = which.removeprefix("cart/").split("/")
    return ids.cart_workflow_id(*parts) if len(parts) == 2 and all(parts) else None  # noqa: PLR2004


async def _described(desk: Desk, workflow_id: str) -> Saga | None:
    """Not from visibility, which is a moment late."""
    try:
        handle = desk.temporal.get_workflow_handle(workflow_id)
        return saga_of(desk, await handle.describe(rpc_timeout=RPC_TIMEOUT))
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


async def _first(desk: Desk, query: str) -> Saga | None:
    found = await find_sagas(desk, query, limit=1)
    return found[0] if found else None


async def _by_saga_id(desk: Desk, epoch_ms: int, rest: str) -> Saga | None:
    """A saga id has the run's start in it, and no more than one run starts for a user then."""
    at = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    around = f"BETWEEN {_time(at - _SAGA_ID_SLACK)} AND {_time(at + _SAGA_ID_SLACK)}"
    found = await find_sagas(desk, f"StartTime {around} AND {ids.OPERATION} IS NOT NULL", limit=100)
    return next(
        (saga for saga in found if rest == f"{saga.user_id}-{saga.product_id or saga.operation}"),
        None,
    )


def quoted(value: str) -> str:
    """A value in a visibility query; raises `CliError` for one that no id can be."""
    if not re.fullmatch(r"[A-Za-z0-9_./-]{1,255}", value):
        raise CliError(f"{value!r} is no id: 1 to 64 of A-Z a-z 0-9 _ -", exit_code=Exit.USAGE)
    return f"'{value}'"


def _time(at: datetime) -> str:
    return f"'{at.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}'"


def duration(text: str) -> timedelta:
    """`90s`, `5m`, `2h` or `1d`; raises `ValueError`."""
    matched = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if matched is None:
        raise ValueError(f"{text!r} is no duration: give for instance 90s, 5m, 2h or 1d")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[matched[2]]
    return timedelta(**{unit: int(matched[1])})
