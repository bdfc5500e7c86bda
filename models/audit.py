"""An operator's command, as the audit log has it."""

from typing import Any

from models.message import Message


class AuditEntry(Message):
    """What a command has changed. `what` has no user's id: entries travel through Temporal."""

    command: str
    operator: str
    count: int
    reason: str | None = None
    what: dict[str, Any] = {}
