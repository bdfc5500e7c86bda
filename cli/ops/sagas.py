"""Sagas as Temporal's visibility lists them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey

from cli.ops.connections import Connections
from cli.ops.filters import RunState, SagaState
from models.outcomes import Outcome
from workflows import ids
from workflows.connection import RPC_TIMEOUT


@dataclass(frozen=True)
class SagaSummary:
    """One run of an operation, as visibility describes it."""

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

    @property
    def running(self) -> bool:
        return self.state is RunState.RUNNING

    @property
    def cart(self) -> str:
        """The cart as commands take it."""
        return f"{self.store_id}/{self.user_id}"

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
            "attention": self.attention,
            "startedAt": self.started_at,
            "closedAt": self.closed_at,
            "seconds": round(self.seconds(now), 3),
            "url": self.url,
        }


def summary_of(connections: Connections, run: WorkflowExecution) -> SagaSummary:
    """A run from visibility, or from a description."""

    def attribute(name: str) -> str | None:
        return run.typed_search_attributes.get(SearchAttributeKey.for_keyword(name))

    attention = SearchAttributeKey.for_bool(ids.ATTENTION)
    return SagaSummary(
        workflow_id=run.id,
        run_id=run.run_id,
        state=_state(run.status, attribute(ids.OUTCOME)),
        operation=attribute(ids.OPERATION) or run.workflow_type,
        operation_id=attribute(ids.OPERATION_ID),
        store_id=attribute(ids.STORE_ID),
        user_id=attribute(ids.USER_ID),
        product_id=attribute(ids.PRODUCT_ID),
        order_id=attribute(ids.ORDER_ID),
        attention=bool(run.typed_search_attributes.get(attention)),
        started_at=run.start_time,
        closed_at=run.close_time,
        url=connections.pages.workflow(run.id, run.run_id),
    )


def _state(status: WorkflowExecutionStatus | None, outcome: str | None) -> SagaState:
    if status is WorkflowExecutionStatus.RUNNING:
        return RunState.RUNNING
    if status is WorkflowExecutionStatus.TERMINATED:
        return RunState.TERMINATED
    if outcome is not None and outcome in {*Outcome}:
        return Outcome(outcome)
    if status is WorkflowExecutionStatus.COMPLETED:
        return Outcome.COMMITTED
    if status is WorkflowExecutionStatus.CANCELED:
        return Outcome.ABORTED
    return RunState.FAILED


async def find_sagas(connections: Connections, query: str, *, limit: int) -> list[SagaSummary]:
    """The sagas of a query, the latest first."""
    runs = connections.temporal.list_workflows(query, limit=limit, rpc_timeout=RPC_TIMEOUT)
    return [summary_of(connections, run) async for run in runs]
