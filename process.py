"""Starts and stops the worker and the consumer; Uvicorn does so for the API. Tunes all three."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import structlog
import uvloop

from logs import configure_logging
from settings import Settings, SettingsError, load_settings
from telemetry.exposition import serve_metrics, start_metrics

logger = structlog.stdlib.get_logger(__name__)

YOUNG_OBJECTS = 20_000
"""So many new objects start a garbage collection."""


def stop_event() -> asyncio.Event:
    """An event that is set on SIGTERM or SIGINT. Needs a running loop."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    return stopping


def tune_collector() -> None:
    """Makes garbage collection rare. Call it when all modules are imported.

    Nearly everything that an operation allocates is freed without the collector, which by default
    looks for cycles after each 700 objects. It also never looks again at what is there now.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def run_process(
    process: Literal["worker", "consumer"], run: Callable[[Settings], Coroutine[Any, Any, None]]
) -> int:
    """Runs a process to its end. Returns the exit code.

    0 after a signal, 1 after an error, which is logged, and 2 for invalid settings.
    """
    try:
        settings = load_settings()
    except SettingsError as error:
        print(f"The settings cannot be used:\n{error}", file=sys.stderr)  # noqa: T201
        return 2
    configure_logging(settings.log_level, settings.log_format)
    start_metrics(process, settings)
    serve_metrics(process, settings)
    tune_collector()
    try:
        uvloop.run(run(settings))
    except Exception:
        logger.exception("process_failed", message=f"The {process} ends because of an error")
        return 1
    return 0
