"""Structured logs on standard output, the same for every process.

One JSON object a line, or readable text on a terminal. A module logs an event with its fields:

    logger = structlog.stdlib.get_logger(__name__)
    logger.info("cart_item_added", message="Cart item added", productId=product_id)

Each line has `level` (debug, info, warn, error), `message`, `event`, `timestamp` (UTC,
milliseconds), `logger` and the given fields. The ids that are bound to a request or a step are
added, and the trace (docs/observability.md describes all fields).

structlog passes its events to the standard library's loggers. Uvicorn, Temporal, the client
libraries and workflow code (`workflow.logger`, with `extra={"event": …}`) use those directly, so
all lines have the same format. Control characters in data are escaped in both formats.
"""

import io
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from telemetry import tracing
from telemetry.printable import printable, printable_json

audit = structlog.stdlib.get_logger("audit")
"""Who did what: admins, operators, and who was refused. Its lines are logged at every level."""
logging.getLogger("audit").setLevel(logging.INFO)

_TRACEBACKS = ("exception", "stack")
_ARGUMENTS = ("exc_info", "stack_info", "stacklevel")  # of a call; everything else is a field
_LEVEL_NAMES = {"warning": "warn", "critical": "error", "exception": "error"}
# Libraries that log every request, some with its content. Only their warnings are shown, and those
# of workflows, which log through the Temporal SDK.
_CHATTY = ("httpx", "httpcore", "pymongo", "temporalio", "uvicorn.access", "urllib3")
# The Temporal SDK's names for the ids of a workflow or step -> the documented ones.
_TEMPORAL = {"workflow_id": "workflowId", "run_id": "runId", "workflow_type": "workflow"}


def _as_call(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """structlog's event -> the arguments of a call to a standard library logger."""
    arguments = {name: event.pop(name) for name in _ARGUMENTS if name in event}
    return {"msg": event.pop("message", event["event"]), "extra": event, **arguments}


# At import, so that events reach the standard library's loggers also in a process that does not
# configure its output (the CLI, tests). Unconfigured, structlog prints to standard output.
structlog.configure(
    processors=[structlog.stdlib.filter_by_level, _as_call],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=logging.getLogger,
    cache_logger_on_first_use=True,
)


def _contract_names(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """structlog's names -> the documented ones."""
    record: logging.LogRecord = event["_record"]
    level = event.pop("level")
    line: dict[str, Any] = {
        "level": _LEVEL_NAMES.get(level, level),
        "message": event.pop("message"),
    }
    if "event" in event:
        line["event"] = event.pop("event")
    line["logger"] = record.name
    event.pop("color_message", None)  # Uvicorn's message, repeated for terminals
    workflow = event.pop("temporal_workflow", None)
    if workflow is not None:
        line |= {ours: workflow[name] for name, ours in _TEMPORAL.items() if name in workflow}
    line.update(event)
    traced = tracing.ids()
    if traced is not None:
        line["traceId"], line["spanId"] = traced
    stamp = datetime.fromtimestamp(record.created, UTC)
    line["timestamp"] = stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return line


def _dump(value: Any, **_: Any) -> str:
    try:
        text = orjson.dumps(value, default=str).decode()
    except TypeError:  # a lone surrogate, or a number of more than 64 bits
        text = json.dumps(value, default=str, separators=(",", ":"))
    return printable_json(text, sys.stdout.encoding)


def _without_controls(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Escapes control characters; only tracebacks have several lines."""
    return {printable(name): _shown(name, value) for name, value in event.items()}


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, bool | int | float | None):
        return value
    lines = str(value).split("\n") if name in _TRACEBACKS else [str(value)]
    return "\n".join(map(printable, lines))


def set_level(level: str) -> None:
    """Sets the level of this process; `level` as in LOG_LEVEL."""
    logging.getLogger().setLevel({"warn": "WARNING"}.get(level, level.upper()))


def configure_logging(level: str, format: str | None = None) -> None:  # noqa: A002
    """Sends all loggers of this process to standard output.

    `level` and `format` are as in LOG_LEVEL and LOG_FORMAT. The default format is `console` on a
    terminal, else `json`.
    """
    terminal = sys.stdout.isatty()
    renderers: list[Processor] = [structlog.processors.JSONRenderer(serializer=_dump)]
    if format == "console" or (format is None and terminal):
        renderers = [
            _without_controls,
            structlog.dev.ConsoleRenderer(event_key="message", colors=terminal),
        ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.EventRenamer("message"),  # `event` is an extra field
            structlog.stdlib.ExtraAdder(),
            structlog.processors.format_exc_info,
        ],
        processors=[
            _contract_names,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *renderers,
        ],
    )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # It logs each refused connection; the circuit breaker logs once that Kafka is unavailable.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
