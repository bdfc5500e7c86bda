"""The audit lines of commands that change something. A worker writes them (`workflows.audit`)."""

import asyncio
from typing import Any

from cli.console import warn
from models.audit import AuditEntry
from models.errors import DependencyUnavailable
from ops.words import reason as why
from settings import Settings
from workflows.connection import connect
from workflows.gateway import CartGateway


async def audited(
    gateway: CartGateway,
    command: str,
    *,
    by: str,
    count: int,
    reason: str | None = None,
    **what: Any,
) -> None:
    """Has the line of a command written: who, how many, why and `what`.

    `command` is named with underscores: `dlq_replay`. Without Temporal the line is
    on standard error. There is none when nothing was changed.
    """
    if not count:
        return
    entry = AuditEntry(command=command, operator=by, count=count, reason=reason, what=what)
    try:
        await gateway.audit(entry)
    except DependencyUnavailable as error:
        line = entry.model_dump_json()
        warn(f"Without Temporal no worker writes the audit line ({why(error)}): {line}")


def audited_now(settings: Settings, command: str, **line: Any) -> None:
    """The same for a command that has no connection to Temporal."""

    async def run() -> None:
        gateway = CartGateway(
            await connect(settings, lazy=True),
            task_queue=settings.temporal_task_queue,
            lock_wait_seconds=0,
        )
        await audited(gateway, command, **line)

    asyncio.run(run())
