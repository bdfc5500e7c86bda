"""What operators tell running workflows: who, and why, is in the history and in the log."""

from typing import Any

from temporalio import workflow


def note(signal: str, reason: str, by: str = "", **more: Any) -> str:
    """Logs a signal of an operator's; answers who sent it and why, in words."""
    workflow.logger.warning(
        "An operator steers: %s",
        signal,
        extra={"event": f"operator_{signal}", "by": by, "reason": reason, **more},
    )
    return f"{by or 'an operator'}{': ' if reason else ''}{reason}"
