"""Sagas whose runs were ended from outside, and so had no undo."""

from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WorkflowExecution
from temporalio.common import SearchAttributeKey

from models.actor import Actor, ActorType
from models.saga import SagaRun
from workflows import ids
from workflows.connection import RPC_TIMEOUT, as_unavailable
from workflows.histories import actor_of, request_of

UNKNOWN = Actor(type=ActorType.REPAIR, id="watch")
"""The actor of a saga whose input cannot be read: the watch records its end."""


async def stopped_sagas(client: Client, since: datetime, *, limit: int) -> list[SagaRun]:
    """Sagas whose runs have ended since then without completing: terminated, timed out or
    failed. They had no undo.
    """
    query = (
        f"{ids.OPERATION} IS NOT NULL AND CloseTime > '{since.isoformat()}' "
        "AND ExecutionStatus IN ('Terminated', 'TimedOut', 'Failed')"
    )
    with as_unavailable():
        return [
            await _saga_of(client, run)
            async for run in client.list_workflows(query, limit=limit, rpc_timeout=RPC_TIMEOUT)
        ]


async def _saga_of(client: Client, run: WorkflowExecution) -> SagaRun:
    """The saga of a run. A run that was reset has the start of the first one in its history,
    not in its description."""
    handle = client.get_workflow_handle(run.id, run_id=run.run_id)
    started_at, cart = run.start_time, ids.cart_of_workflow(run.id)
    request: dict[str, Any] = {}
    async for event in handle.fetch_history_events(page_size=1, rpc_timeout=RPC_TIMEOUT):
        started_at, request = event.event_time.ToDatetime(UTC), request_of(event)
        break
    attributes = {
        name: run.typed_search_attributes.get(SearchAttributeKey.for_keyword(name)) or ""
        for name in (ids.OPERATION, ids.OPERATION_ID, ids.PRODUCT_ID, ids.STORE_ID, ids.USER_ID)
    }
    return ids.saga_run(
        run_id=run.run_id,
        started_at=started_at,
        operation=attributes[ids.OPERATION],
        operation_id=attributes[ids.OPERATION_ID],
        subject=attributes[ids.PRODUCT_ID] or None,
        fingerprint="",
        store_id=attributes[ids.STORE_ID],
        user_id=cart.user_id if cart else request.get("user_id", attributes[ids.USER_ID]),
        actor=actor_of(request) or UNKNOWN,
    )
