"""What all cart workflows have in common: a saga is carried to its one end, come what may."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from models import messages as m
    from models import steps as s
    from models.errors import (
        AlreadyCommitted,
        DependencyUnavailable,
        RunAlreadyAborted,
        VersionConflict,
    )
    from telemetry.metrics import SAGAS
    from workflows import ids
    from workflows.saga import AlreadyDecided, Refused, Saga
    from workflows.steering import note

_OUTCOME = SearchAttributeKey.for_keyword(ids.OUTCOME)

Steps = Awaitable[s.Recorded | None]
"""A saga's steps up to and including its pivot; None when there was nothing to change."""


async def unless_nothing_changes(steps: Awaitable[s.Recorded]) -> s.Recorded | None:
    """The steps of an operation that may find that there is nothing to do, which is no refusal."""
    try:
        return await steps
    except Refused as error:
        if error.refusal.code == "nothing_to_change":
            return None
        raise


class CartWorkflow:
    """Base of the cart's workflows: carries a saga to its one end, whatever interrupts it."""

    def __init__(self) -> None:
        self._abort_requested = False

    @workflow.signal(name=ids.ABORT)
    def abort(self, reason: str = "", by: str = "") -> None:
        """Asks for the undo. Without effect once the pivot has committed."""
        note(ids.ABORT, reason, by)
        self._abort_requested = True

    async def carry_out(self, saga: Saga, steps: Steps) -> m.OperationResult:
        """Runs `steps` up to and including the pivot, then what must follow.

        The deadline, a cancellation or the abort signal stop the steps and lead to the undo. The
        end itself is one task that nothing interrupts.
        """
        forward = asyncio.ensure_future(steps)
        cancelled = False
        stopped: str | None = None
        try:
            await workflow.wait_condition(
                lambda: forward.done() or self._abort_requested,
                timeout=timedelta(seconds=saga.request.policy.deadline_seconds),
            )
            stopped = "operator"
        except TimeoutError:
            stopped = "deadline"
        except asyncio.CancelledError:
            cancelled, stopped = True, "cancelled"
        end = asyncio.ensure_future(_end(saga, forward, None if forward.done() else stopped))
        while not end.done():
            try:
                await asyncio.shield(end)
            except asyncio.CancelledError:
                cancelled = True
        result = end.result()
        if cancelled and result.outcome is m.Outcome.ABORTED:
            raise asyncio.CancelledError
        return result


async def _end(
    saga: Saga, forward: "asyncio.Future[s.Recorded | None]", stopped: str | None
) -> m.OperationResult:
    """From the outcome of the steps to the result, told to the caller."""
    result = await _decide(saga, forward, stopped)
    await saga.answer(result)
    _show(saga, result)
    if not workflow.unsafe.is_replaying():
        SAGAS.add(1, {"operation": result.operation, "outcome": result.outcome.value})
    return result


def _show(saga: Saga, result: m.OperationResult) -> None:
    """How it ended, for people, and for who looks for what did not end well."""
    why = result.refusal.code if result.refusal else result.reason
    left = " and ".join(saga.left_to_relays)
    saga.show(
        f"**{result.outcome}**{': ' if why else ''}{why or ''}"
        + (f"; its {left} are pending, a relay goes on with them" if left else "")
    )
    if result.outcome is not m.Outcome.COMMITTED:
        workflow.upsert_search_attributes([_OUTCOME.value_set(result.outcome)])


async def _decide(
    saga: Saga, forward: "asyncio.Future[s.Recorded | None]", stopped: str | None
) -> m.OperationResult:
    """Forward, or back by the undo."""
    if stopped is not None:
        forward.cancel()
    try:
        record = await forward
    except (Exception, asyncio.CancelledError) as error:
        return await _recover(saga, error, stopped)
    if record is None:
        return _result(saga, m.Outcome.UNCHANGED).model_copy(update={"cart_id": saga.cart_id})
    await saga.finish(record)
    return _committed(saga, record)


async def _recover(
    saga: Saga, error: Exception | asyncio.CancelledError, stopped: str | None
) -> m.OperationResult:
    """Undoes, or goes forward where the pivot turns out to have happened."""
    result = _verdict(saga, error, stopped)
    record: s.Recorded | None
    if isinstance(error, AlreadyDecided) and error.record.run_id == saga.run.run_id:
        record = error.record  # written by an earlier try of this run, which was lost
        await saga.finish(record)
    else:
        record = await saga.undo(result.reason or result.outcome if result else "unexpected")
    if record is not None and record.state == "committed":
        return _committed(saga, record)
    if result is None:
        raise error
    return result


def _verdict(
    saga: Saga, error: Exception | asyncio.CancelledError, stopped: str | None
) -> m.OperationResult | None:
    """What the operation ends with once it is undone; None for an error nobody foresaw."""
    if isinstance(error, Refused):
        return _result(saga, m.Outcome.REJECTED, refusal=error.refusal)
    if isinstance(error, AlreadyDecided):
        if error.record.run_id == saga.run.run_id:
            return _result(saga, m.Outcome.ABORTED, reason=error.record.reason)
        return _answered_by(saga, error.record.run_id, error.record.fingerprint)
    if stopped is not None:
        return _result(saga, m.Outcome.ABORTED, reason=stopped)
    match error:
        case AlreadyCommitted():
            return _answered_by(saga, error.run_id, error.fingerprint)
        case VersionConflict():
            return _result(saga, m.Outcome.ABORTED, reason="conflict")
        case RunAlreadyAborted():
            return _result(saga, m.Outcome.ABORTED, reason="settled")
        case DependencyUnavailable():
            return _result(saga, m.Outcome.ABORTED, reason=f"{error.dependency}_unavailable")
        case _:
            return None


def _result(
    saga: Saga,
    outcome: m.Outcome,
    *,
    refusal: m.Refusal | None = None,
    reason: str | None = None,
    run_id: str | None = None,
) -> m.OperationResult:
    return m.OperationResult(
        outcome=outcome,
        operation=saga.run.operation,
        operation_id=saga.run.operation_id,
        run_id=run_id or saga.run.run_id,
        saga_id=saga.run.saga_id,
        refusal=refusal,
        reason=reason,
    )


def _committed(saga: Saga, record: s.Recorded) -> m.OperationResult:
    result = _result(saga, m.Outcome.COMMITTED)
    return result.model_copy(update={"cart_id": record.cart_id, "version": record.version})


def _answered_by(saga: Saga, run_id: str, fingerprint: str) -> m.OperationResult:
    """The operation was committed before: its answer again, if it is the same request."""
    if fingerprint != saga.run.fingerprint:
        refusal = m.Refusal(code="idempotency_key_reused")
        return _result(saga, m.Outcome.REJECTED, refusal=refusal)
    return _result(saga, m.Outcome.REPLAYED, run_id=run_id)
