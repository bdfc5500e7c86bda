"""Signals of operators: the history and the log show who sent them, and why."""

from typing import Any

from temporalio import workflow


def note(signal: str, reason: str, by: str = "", **more: Any) -> str:
    """Logs an operator's signal; returns who sent it and why, as text."""
    workflow.logger.warning(
        "Operator signal: %s",
        signal,
        extra={"event": f"operator_{signal}", "by": by, "reason": reason, **more},
    )
    return f"{by or 'an operator'}{': ' if reason else ''}{reason}"
