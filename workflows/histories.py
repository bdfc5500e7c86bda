"""The histories of a user's runs in Temporal: list, read and delete them."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import WorkflowExecution as ExecutionId
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecution
from temporalio.service import RPCError, RPCStatusCode

from models.actor import Actor
from workflows import ids
from workflows.connection import RPC_TIMEOUT, as_unavailable


async def runs_of_user(
    client: Client, user_id: str, store_id: str | None, *, running: bool
) -> AsyncIterator[WorkflowExecution]:
    """The user's runs that are running, or that have ended, as Temporal's visibility has them."""
    query = f"{ids.USER_ID} = {ids.in_query(ids.user_attribute(user_id))}"
    if store_id is not None:
        query += f" AND {ids.STORE_ID} = {ids.in_query(store_id)}"
    query += f" AND ExecutionStatus {'=' if running else '!='} 'Running'"
    with as_unavailable():
        async for run in client.list_workflows(query, rpc_timeout=RPC_TIMEOUT):
            yield run


def request_of(started: HistoryEvent) -> dict[str, Any]:
    """The operation that a run was started with, by the first event of its history.

    Empty for an input that is no operation.
    """
    payloads = started.workflow_execution_started_event_attributes.input.payloads
    request = _decoded(payloads[0].data) if payloads else None
    return request if isinstance(request, dict) else {}


def actor_of(request: dict[str, Any]) -> Actor | None:
    """Who caused the operation (`request_of`); None if that cannot be read."""
    try:
        return Actor.model_validate(request["actor"], strict=False)
    except (KeyError, ValueError):
        return None


class Histories:
    """Counts and deletes the histories of a user's runs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def count(self, user_id: str, store_id: str | None, *, running: bool) -> int:
        """The number of the user's runs that are running, or that have ended."""
        count = 0
        async for _ in runs_of_user(self._client, user_id, store_id, running=running):
            count += 1
        return count

    async def delete(self, user_id: str, store_id: str | None) -> int:
        """Deletes the histories of the runs that have ended; returns how many there were.

        The server deletes in the background, and visibility follows later.
        """
        count = 0
        async for run in runs_of_user(self._client, user_id, store_id, running=False):
            await self._delete(ExecutionId(workflow_id=run.id, run_id=run.run_id))
            count += 1
        return count

    async def _delete(self, run: ExecutionId) -> None:
        request = DeleteWorkflowExecutionRequest(
            namespace=self._client.namespace, workflow_execution=run
        )
        with as_unavailable():
            try:
                await self._client.workflow_service.delete_workflow_execution(
                    request, timeout=RPC_TIMEOUT
                )
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise


async def input_of(client: Client, run: WorkflowExecution) -> list[Any]:
    """The input that a run was started with."""
    handle = client.get_workflow_handle(run.id, run_id=run.run_id)
    with as_unavailable():
        async for event in handle.fetch_history_events(page_size=1, rpc_timeout=RPC_TIMEOUT):
            payloads = event.workflow_execution_started_event_attributes.input.payloads
            return [_decoded(payload.data) or MessageToDict(payload) for payload in payloads]
    return []


def _decoded(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except ValueError:
        return None
