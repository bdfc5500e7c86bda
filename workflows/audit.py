"""Audit lines of the `cart` command, written by a worker: its log is collected, no terminal is."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from logs import audit
    from models.audit import AuditEntry
    from workflows import ids


@workflow.defn(name=ids.AUDIT)
class AuditWorkflow:
    """Write one line. Without a worker it is written when there is one again."""

    @workflow.run
    async def run(self, entry: AuditEntry) -> None:
        """Writes the line; twice, if the worker dies before it has said so."""
        if workflow.unsafe.is_replaying():
            return
        audit.info(
            f"command_{entry.command}",
            message=f"Command: cart {entry.command.replace('_', ' ')}",
            operator=entry.operator,
            count=entry.count,
            reason=entry.reason,
            **entry.what,
        )
