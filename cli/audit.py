"""Audit lines of commands, on standard error: who changed what, why, and how many."""

import logging
import sys
from typing import Any

from logs import audit, formatter


def audited(command: str, *, by: str, count: int, reason: str | None = None, **what: Any) -> None:
    """Writes the audit line of a command that has changed something.

    JSON, or readable text on a terminal. `command` is named with underscores: `dlq_replay`.
    """
    logger = logging.getLogger("audit")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(terminal=sys.stderr.isatty()))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    audit.info(
        f"command_{command}",
        message=f"Command: cart {command.replace('_', ' ')}",
        operator=by,
        count=count,
        reason=reason,
        **what,
    )
