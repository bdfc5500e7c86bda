"""Structured logs: one JSON object a line on standard output, the same for every process.

Each line has `level` (debug, info, warn, error), `message`, `timestamp` (UTC, milliseconds) and
`logger`; what is passed as `extra={"event": …, "userId": …}` stands beside them. Uvicorn,
Temporal and the client libraries log through the same handler.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, WrappedLogger

audit = logging.getLogger("audit")
"""What administrators do; its lines are logged at every level."""

_LEVEL_NAMES = {"warning": "warn", "critical": "error", "exception": "error"}
# Libraries that describe every request they make; their warnings still show.
_CHATTY = ("httpx", "httpcore", "pymongo", "uvicorn.access")


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
    line.update(event)
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


def configure_logging(level: str) -> None:
    """Sends every logger of this process to standard output as JSON; `level` as in LOG_LEVEL."""
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
            structlog.processors.JSONRenderer(serializer=_dump),
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
