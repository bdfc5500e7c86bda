"""Resetting runs, as operators do with `temporal workflow reset`."""

from uuid import uuid4

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client


async def reset_to_first_task(temporal: Client, workflow_id: str, run_id: str) -> str:
    """Resets a run, open or closed, to its first workflow task; returns the new run's id.

    Ends the run of the workflow that is open, if there is one. Raises `RPCError`.
    """
    handle = temporal.get_workflow_handle(workflow_id, run_id=run_id)
    first_task = 0
    async for event in handle.fetch_history_events():
        if event.HasField("workflow_task_scheduled_event_attributes"):
            first_task = event.event_id
            break
    answer = await temporal.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=temporal.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            reason="a test",
            # As the `temporal` command does: also a task that has not completed can be reset.
            workflow_task_finish_event_id=first_task + 1,
            request_id=str(uuid4()),
        )
    )
    return answer.run_id
