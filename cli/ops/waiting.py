"""Waiting for sagas to end."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio.client import WorkflowFailureError
from temporalio.exceptions import TerminatedError
from temporalio.service import RPCError

from cli.ops.connections import Connections
from cli.ops.filters import RunState, SagaState
from cli.ops.sagas import SagaSummary
from models.outcomes import OperationResult
from workflows.gateway import CartHandle


@dataclass(frozen=True)
class SagaEnd:
    """How a saga ended, if it has."""

    saga: SagaSummary
    state: SagaState
    reason: str | None
    seconds: float

    @property
    def running(self) -> bool:
        return self.state is RunState.RUNNING

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
    except TimeoutError:
        pass
    except WorkflowFailureError as error:
        terminated = isinstance(error.cause, TerminatedError)
        state = RunState.TERMINATED if terminated else RunState.FAILED
        reason = str(error.cause)
    else:
        state = result.outcome
        reason = result.refusal.code if result.refusal else result.reason
    closed_at: datetime | None = None
    with suppress(RPCError):
        closed_at = (await handle.describe()).close_time
    return SagaEnd(saga, state, reason, saga.seconds(closed_at or datetime.now(UTC)))
