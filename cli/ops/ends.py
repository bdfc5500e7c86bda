"""Waiting for sagas to end, and saying how they did."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError

from cli.console import output, print_json
from cli.ops.desk import Desk
from cli.ops.sagas import End, Saga
from cli.ops.tables import span, table
from models.messages import OperationResult, Outcome
from workflows.gateway import CartHandle

_AS_ASKED = {Outcome.COMMITTED, Outcome.REPLAYED, Outcome.UNCHANGED}


@dataclass(frozen=True)
class Ended:
    """How a saga ended: an outcome, `running` when it has not, `failed` when nobody foresaw it."""

    saga: Saga
    outcome: str
    reason: str | None
    seconds: float

    @property
    def running(self) -> bool:
        return self.outcome == End.RUNNING

    @property
    def changed_as_asked(self) -> bool:
        """Whether the cart is as the operation wanted it."""
        return self.outcome in _AS_ASKED

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "workflowId": self.saga.workflow_id,
            "runId": self.saga.run_id,
            "outcome": self.outcome,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "url": self.saga.url,
        }


async def wait_for_end(desk: Desk, saga: Saga, *, seconds: float) -> Ended:
    """How it has ended; `running` when it has not within so many seconds."""
    handle: CartHandle = desk.temporal.get_workflow_handle(
        saga.workflow_id, run_id=saga.run_id, result_type=OperationResult
    )
    outcome, reason = str(End.RUNNING), None
    try:
        async with asyncio.timeout(seconds):
            result = await handle.result(follow_runs=False)
    except TimeoutError:
        pass
    except WorkflowFailureError as error:
        outcome, reason = str(End.FAILED), str(error.cause)
    else:
        outcome = result.outcome.value
        reason = result.refusal.code if result.refusal else result.reason
    return Ended(saga, outcome, reason, saga.seconds(await _closed_at(handle)))


async def _closed_at(handle: CartHandle) -> datetime:
    try:
        return (await handle.describe()).close_time or datetime.now(UTC)
    except RPCError:
        return datetime.now(UTC)


def print_ends(ends: Sequence[Ended], *, as_json: bool, **action: str) -> None:
    """Each saga with its end; `action` is what was done, by whom and why."""
    if as_json:
        print_json({**action, "sagas": [ended.as_dict() for ended in ends]})
        return
    console = output()
    console.print(
        table(
            ("cart", "operation", "outcome", "reason", "took"),
            (
                (
                    f"{ended.saga.store_id}/{ended.saga.user_id}",
                    ended.saga.operation or "",
                    ended.outcome,
                    ended.reason or "",
                    span(ended.seconds),
                )
                for ended in ends
            ),
            folds=("reason",),
        )
    )
    for ended in ends:
        console.print(ended.saga.url, soft_wrap=True)
