"""Which relays run, and what they say."""

from temporalio.client import Client
from temporalio.common import SearchAttributeKey

from models.relays import RelayStatus
from workflows import ids
from workflows.connection import RPC_TIMEOUT

RELAYS_MAX = 1000
_RUNNING = f"WorkflowType = '{ids.RELAY}' AND ExecutionStatus = 'Running'"
_ATTENTION = SearchAttributeKey.for_bool(ids.ATTENTION)


async def running_relays(client: Client) -> dict[str, bool]:
    """The workflow ids of the relays that run, and whether they need attention. Raises `RPCError`.

    A relay that is paused, or whose calls fail, needs attention.
    """
    runs = client.list_workflows(_RUNNING, limit=RELAYS_MAX, rpc_timeout=RPC_TIMEOUT)
    return {run.id: bool(run.typed_search_attributes.get(_ATTENTION)) async for run in runs}


async def relay_status(client: Client, workflow_id: str) -> RelayStatus:
    """What a relay says. Raises an error of Temporal, or of a worker that does not answer."""
    status: RelayStatus = await client.get_workflow_handle(workflow_id).query(
        ids.STATUS, result_type=RelayStatus, rpc_timeout=RPC_TIMEOUT
    )
    return status
