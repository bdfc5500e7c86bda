"""Base of the cart's workflows: carries a saga to its one end, whatever interrupts it."""

import asyncio
from datetime import timedelta
from typing import Any, Generic, TypeVar

from temporalio import workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from models.actor import Intervention
    from models.operations import CartOperation
    from models.outcomes import AbortReason, OperationResult, Outcome
    from telemetry.metrics import SAGAS
    from workflows import ids
    from workflows.operator_signals import note
    from workflows.saga import Phase, Saga
    from workflows.steps import RunReset

_OUTCOME = SearchAttributeKey.for_keyword(ids.OUTCOME)

Operation = TypeVar("Operation", bound=CartOperation)


class CartWorkflow(Generic[Operation]):
    """Runs the `steps` of one operation to the end: committed, or compensated.

    The deadline, a cancellation or the abort signal stop the steps before the pivot and lead to the
    compensation. From the pivot on nothing interrupts them.
    """

    def __init__(self) -> None:
        self._abort: Intervention | None = None

    @workflow.signal(name=ids.ABORT)
    def abort(self, reason: str = "", by: str = "") -> None:
        """Requests the undo. Without effect once the saga has committed."""
        note(ids.ABORT, reason, by)
        self._abort = self._abort or Intervention(by=by, reason=reason)

    async def steps(self, saga: Saga, operation: Operation) -> None:
        """The operation's steps, in their order."""
        raise NotImplementedError

    async def execute(self, operation: Any) -> OperationResult:
        """Carries the operation out, and returns how it ended."""
        saga = Saga(operation)
        steps = asyncio.ensure_future(
            _take_no_steps() if saga.is_reset else self.steps(saga, operation)
        )
        cancelled = False
        stopped: AbortReason | None = None
        try:
            await workflow.wait_condition(
                lambda: steps.done() or self._abort is not None,
                timeout=timedelta(seconds=operation.policy.deadline_seconds),
            )
            if not steps.done():
                stopped, saga.intervention = AbortReason.OPERATOR, self._abort
        except TimeoutError:
            stopped = AbortReason.DEADLINE
        except asyncio.CancelledError:
            cancelled, stopped = True, AbortReason.CANCELLED
        end = asyncio.ensure_future(_end(saga, steps, stopped))
        while not end.done():
            try:
                await asyncio.shield(end)
            except asyncio.CancelledError:
                cancelled = True
        result = end.result()
        if cancelled and result.outcome is Outcome.ABORTED:
            raise asyncio.CancelledError
        return result


async def _take_no_steps() -> None:
    """The steps of a run that was reset. Its caller was answered by the first run."""
    raise RunReset


async def _end(
    saga: Saga, steps: "asyncio.Future[None]", stopped: AbortReason | None
) -> OperationResult:
    """Ends the saga, replies to the caller, and shows the outcome."""
    if stopped is not None and saga.phase is not Phase.DECIDED:
        steps.cancel()
    try:
        await steps
    except (Exception, asyncio.CancelledError) as error:
        result = await saga.compensate(error, stopped)
    else:
        result = saga.finished()
    await saga.reply(result)
    _show(saga, result)
    if not workflow.unsafe.is_replaying():
        SAGAS.add(1, {"operation": result.operation, "outcome": result.outcome.value})
    return result


def _show(saga: Saga, result: OperationResult) -> None:
    """Shows the outcome in the Web UI, and makes one other than `committed` searchable."""
    pending = " and ".join(result.pending)
    saga.show(
        f"**{result.outcome}**"
        + (f": {result.why}" if result.why else "")
        + (f"; pending: {pending}, left to the relay" if pending else "")
    )
    if result.outcome is not Outcome.COMMITTED:
        workflow.upsert_search_attributes([_OUTCOME.value_set(result.outcome)])
