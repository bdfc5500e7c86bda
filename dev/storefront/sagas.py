"""The latest sagas of a cart with their steps, as the storefront's panel shows them."""

from collections import OrderedDict
from functools import partial
from typing import Any

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus
from temporalio.service import RPCError

from models.cart import CartKey
from ops.connections import Connections
from ops.history import HistoryEntry, entries, pending_steps, result_of
from ops.relays import details
from workflows.connection import RPC_TIMEOUT
from workflows.ids import cart_workflow_id, in_query

SHOWN = 6
REMEMBERED = 200
_ended: OrderedDict[str, dict[str, Any]] = OrderedDict()
"""Ended sagas by run: their histories never change. The oldest go first."""


async def sagas_of(connections: Connections, cart: CartKey) -> list[dict[str, Any]]:
    """The latest sagas, the latest first; empty while Temporal does not answer."""
    workflow_id = cart_workflow_id(*cart)
    query = f"WorkflowId = {in_query(workflow_id)}"

    async def latest() -> list[WorkflowExecution]:
        found = connections.temporal.list_workflows(query, limit=SHOWN, rpc_timeout=RPC_TIMEOUT)
        return [run async for run in found]

    none: list[WorkflowExecution] = []
    runs = await connections.ask("temporal", latest, none)
    connections.unasked.clear()  # asked again by the next request
    shown = []
    for run in sorted(runs, key=lambda run: run.start_time, reverse=True)[:SHOWN]:
        if run.run_id not in _ended:
            saga = await connections.ask("temporal", partial(_saga, connections, run), None)
            if saga is None:
                continue
            if run.status is WorkflowExecutionStatus.RUNNING:
                shown.append(saga)
                continue
            _ended[run.run_id] = saga
            while len(_ended) > REMEMBERED:
                _ended.popitem(last=False)
        shown.append(_ended[run.run_id])
    return shown


async def _saga(connections: Connections, run: WorkflowExecution) -> dict[str, Any]:
    handle = connections.temporal.get_workflow_handle(run.id, run_id=run.run_id)
    try:
        history = await handle.fetch_history()
        is_open = run.status is WorkflowExecutionStatus.RUNNING
        says = await details(connections, run.id, run.run_id) if is_open else ""
        description = await handle.describe(rpc_timeout=RPC_TIMEOUT) if is_open else None
    except RPCError:
        return {"run": run.run_id, "operation": run.workflow_type, "state": "unknown", "steps": []}
    steps = [entry for entry in entries(history) if entry.seconds is not None]
    if description is not None:
        steps += pending_steps(description.raw_description.pending_activities)
    outcome = "running" if is_open else str(result_of(history).get("outcome", "failed"))
    return {
        "run": run.run_id,
        "operation": run.workflow_type,
        "state": outcome,
        "says": says,
        "startedAt": run.start_time.isoformat(),
        "steps": [_step(one) for one in steps],
        "url": connections.pages.workflow(run.id, run.run_id),
    }


def _step(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "what": entry.what,
        "milliseconds": None if entry.seconds is None else round(entry.seconds * 1000),
        "tries": entry.tries or 1,
        "note": entry.note,
    }
