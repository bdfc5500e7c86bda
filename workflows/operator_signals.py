"""Signals of operators: the history and the log show who sent them, and why."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from logs import audit


def note(signal: str, reason: str, by: str = "", **more: Any) -> str:
    """Writes the audit line of an operator's signal; returns who sent it and why, as text."""
    if not workflow.unsafe.is_replaying():
        info = workflow.info()
        audit.warning(
            f"operator_{signal}",
            message=f"Operator signal: {signal}",
            operator=by,
            reason=reason,
            workflowId=info.workflow_id,
            runId=info.run_id,
            **more,
        )
    return f"{by or 'an operator'}{': ' if reason else ''}{reason}"
