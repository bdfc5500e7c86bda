"""The latest sagas of a cart with their steps, as the storefront's panel shows them."""

from functools import partial
from typing import Any

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus

from adapters.bounded_cache import BoundedCache
from models.cart import CartKey
from ops.connections import Connections
from ops.history import HistoryEntry, entries, pending_steps, result_of
from ops.relays import details
from workflows.connection import RPC_TIMEOUT
from workflows.ids import cart_workflow_id, in_query

SHOWN = 6
REMEMBERED = 200


class CartSagas:
    """Reads sagas; remembers ended ones by run, because their histories never change."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._ended: BoundedCache[str, dict[str, Any]] = BoundedCache(max_size=REMEMBERED)

    async def of(self, cart: CartKey) -> list[dict[str, Any]]:
        """The latest sagas of a cart, the latest first; empty while Temporal does not answer."""
        connections = self._connections
        query = f"WorkflowId = {in_query(cart_workflow_id(*cart))}"

        async def latest() -> list[WorkflowExecution]:
            found = connections.temporal.list_workflows(query, limit=SHOWN, rpc_timeout=RPC_TIMEOUT)
            return [run async for run in found]

        none: list[WorkflowExecution] = []
        runs = await connections.ask("temporal", latest, none)
        connections.unasked.clear()  # asked again by the next request
        latest_first = sorted(runs, key=lambda run: run.start_time, reverse=True)
        found = [await self._read(run) for run in latest_first]
        return [saga for saga in found if saga is not None]

    async def _read(self, run: WorkflowExecution) -> dict[str, Any] | None:
        ended = self._ended.get(run.run_id)
        if ended is not None:
            return ended
        reading = partial(_saga, self._connections, run)
        saga: dict[str, Any] | None = await self._connections.ask("temporal", reading, None)
        if saga is not None and run.status is not WorkflowExecutionStatus.RUNNING:
            self._ended.keep(run.run_id, saga)
        return saga


async def _saga(connections: Connections, run: WorkflowExecution) -> dict[str, Any]:
    handle = connections.temporal.get_workflow_handle(run.id, run_id=run.run_id)
    history = await handle.fetch_history()
    is_open = run.status is WorkflowExecutionStatus.RUNNING
    says = await details(connections, run.id, run.run_id) if is_open else ""
    description = await handle.describe(rpc_timeout=RPC_TIMEOUT) if is_open else None
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
