"""Structured logs on standard output, the same for every process.

JSON, one object a line, or for people on a terminal. Each line has `level` (debug, info, warn,
error), `message`, `timestamp` (UTC, milliseconds) and `logger`; what is passed as
`extra={"event": …, "userId": …}` stands beside them, and so do the ids that are bound to a request
or a step, and the trace (docs/observability.md has them all). Uvicorn, Temporal and the client
libraries log through the same handler.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from telemetry import tracing

audit = logging.getLogger("audit")
"""What administrators do; its lines are logged at every level."""

_LEVEL_NAMES = {"warning": "warn", "critical": "error", "exception": "error"}
# Libraries that describe every request they make, some with what is in it; their warnings still
# show, and so do those of workflows, which log by the Temporal SDK.
_CHATTY = ("httpx", "httpcore", "pymongo", "temporalio", "uvicorn.access", "urllib3")
# What the Temporal SDK says of the workflow or step that logs -> our names for it.
_TEMPORAL = {"workflow_id": "workflowId", "run_id": "runId", "workflow_type": "workflow"}


def _contract_names(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """structlog's names -> the documented ones; `extra["event"]` is the machine-readable name."""
    record: logging.LogRecord | None = event.get("_record")
    message = event.pop("event", "")
    level = str(event.pop("level", "info"))
    line: dict[str, Any] = {"level": _LEVEL_NAMES.get(level, level), "message": message}
    if record is not None:
        name = getattr(record, "event", None)
        if name is not None:
            line["event"] = name
        line["logger"] = record.name
        created = record.created
    else:
        created = datetime.now(UTC).timestamp()
    event.pop("color_message", None)  # uvicorn's message again, for terminals
    workflow = event.pop("temporal_workflow", None)
    if workflow is not None:
        line |= {ours: workflow[name] for name, ours in _TEMPORAL.items() if name in workflow}
    line.update(event)
    traced = tracing.ids()
    if traced is not None:
        line["traceId"], line["spanId"] = traced
    stamp = datetime.fromtimestamp(created, UTC)
    line["timestamp"] = stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return line


class _Extra(structlog.stdlib.ExtraAdder):
    """All `extra=` fields but `event`, which structlog would take for the message."""

    def __call__(self, logger: logging.Logger, name: str, event_dict: EventDict) -> EventDict:
        message = event_dict.get("event")
        event_dict = super().__call__(logger, name, event_dict)
        event_dict["event"] = message
        return event_dict


def _dump(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()


def set_level(level: str) -> None:
    """What this process logs from now on; `level` as in LOG_LEVEL."""
    logging.getLogger().setLevel({"warn": "WARNING"}.get(level, level.upper()))


def configure_logging(level: str, format: str | None = None) -> None:  # noqa: A002
    """Sends every logger of this process to standard output; `level` and `format` as in LOG_LEVEL
    and LOG_FORMAT, whose default depends on whether somebody watches."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            _Extra(),
            structlog.processors.format_exc_info,
        ],
        processors=[
            _contract_names,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _renderer(format or ("console" if sys.stdout.isatty() else "json")),
        ],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    audit.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # It logs each refused connection; the circuit breaker says once that Kafka is away.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _renderer(format: str) -> Processor:  # noqa: A002
    """How a line becomes text."""
    if format == "json":
        return structlog.processors.JSONRenderer(serializer=_dump)
    return structlog.dev.ConsoleRenderer(event_key="message", colors=sys.stdout.isatty())
