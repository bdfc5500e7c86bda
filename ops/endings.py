"""Why sagas ended as they did: who stopped a run and why, and whether its change is stored."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from temporalio.client import WorkflowHistory
from temporalio.service import RPCError

from models.acknowledgement import Acknowledgement
from models.cart import CartKey
from models.documents import OperationRecord
from models.outcomes import AbortReason
from ops.connections import Connections
from ops.filters import ENDED_FROM_OUTSIDE, RunState
from ops.history import (
    CANCEL_REQUESTED,
    RESET,
    HistoryEntry,
    entries,
    result_of,
    started_at,
)
from ops.sagas import SagaSummary, Stored
from ops.words import brief
from workflows import ids
from workflows.connection import RPC_TIMEOUT

EXPLAINED_MAX = 100
AT_ONCE = 8
_ABORT = f"signal {ids.ABORT}"
_UNDO = ("settle_operation", "release_inventory", "reply_to_caller", "wake_relay")


def stored_by(record: OperationRecord | None) -> Stored:
    """Whether a change is stored, by its saga's record."""
    if record is None:
        return Stored.UNDECIDED
    return Stored.YES if record.state == "committed" else Stored.NO


def record_of(saga: SagaSummary, started: datetime) -> str:
    """The id of a saga's record; `started` is the start of its first run."""
    return ids.record_id(saga.operation_id or "", started)


def reason_of(saga: SagaSummary, history: WorkflowHistory, steps: Sequence[HistoryEntry]) -> str:
    """Why a saga ended as it did, in a few words; empty when there is nothing to say."""
    notes = {step.what: step.note for step in steps}
    if saga.running:
        return "waits for MongoDB" if saga.attention else ""
    if saga.state in {RunState.TERMINATED, RunState.FAILED}:
        return brief(steps[-1].note)
    if saga.state is RunState.TIMED_OUT:
        return "its timeout at Temporal has passed"
    if saga.state is RunState.CANCELED:
        return brief(notes.get(CANCEL_REQUESTED, ""))
    if resets := [step.note for step in steps if step.what.startswith(RESET)]:
        return brief(f"reset: {resets[-1]}")
    result = result_of(history)
    if refusal := result.get("refusal"):
        left = refusal.get("available")
        return f"{refusal['code']}{'' if left is None else f', {left} available'}"
    reason = result.get("reason") or ""
    if reason == AbortReason.OPERATOR:
        return brief(f"operator: {notes.get(_ABORT, '')}")
    failed = [step for step in steps if step.note and step.seconds and step.what not in _UNDO]
    if not reason or not failed:
        return str(reason)
    if reason == AbortReason.DEADLINE:  # the step was cancelled, and has no error of its own
        return f"its deadline passed in {failed[-1].what}"
    return brief(failed[-1].note)


async def explain(connections: Connections, sagas: Sequence[SagaSummary]) -> list[SagaSummary]:
    """The sagas with what their histories, records and acknowledgements say.

    Of the first `EXPLAINED_MAX`; what a server cannot be asked is left out.
    """
    at_once = asyncio.Semaphore(AT_ONCE)
    started: dict[str, datetime] = {}

    async def read(saga: SagaSummary) -> SagaSummary:
        handle = connections.temporal.get_workflow_handle(saga.workflow_id, run_id=saga.run_id)
        question = partial(handle.fetch_history, rpc_timeout=RPC_TIMEOUT)
        history = None
        async with at_once:
            with suppress(RPCError):  # deleted since it was listed
                history = await connections.ask("temporal", question, None)
        if history is None:
            return saga
        started[saga.run_id] = started_at(history)
        steps = entries(history)
        reset = any(step.what.startswith(RESET) for step in steps)
        return replace(saga, reset=reset, reason=reason_of(saga, history, steps) or None)

    explained = await asyncio.gather(*map(read, sagas[:EXPLAINED_MAX]))
    explained = [*explained, *sagas[EXPLAINED_MAX:]]
    stopped = [saga for saga in explained if saga.state in ENDED_FROM_OUTSIDE]
    wanted = {
        record_of(saga, started[saga.run_id]): CartKey(saga.store_id, saga.user_id)
        for saga in stopped
        if saga.run_id in started and saga.store_id and saga.user_id
    }
    records = await connections.ask(
        "mongodb", partial(connections.operations.records, wanted), None
    )
    known_as = partial(connections.acknowledgements.of, [saga.run_id for saga in stopped])
    acknowledged: dict[str, Acknowledgement] = await connections.ask("mongodb", known_as, {})

    def with_record(saga: SagaSummary) -> SagaSummary:
        if saga not in stopped:
            return saga
        known = records is not None and saga.run_id in started
        record = (records or {}).get(record_of(saga, started[saga.run_id])) if known else None
        return replace(
            saga,
            stored=stored_by(record) if known else Stored.UNKNOWN,
            acknowledged=acknowledged.get(saga.run_id),
        )

    return [with_record(saga) for saga in explained]
