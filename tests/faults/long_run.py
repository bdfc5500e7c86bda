"""Shared by the long runs: the size of a block, output, and a folder for data and logs."""

import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from temporalio.runtime import Runtime, TelemetryConfig


def share(total: int, number: int, count: int) -> int:
    """The share of `total` of block `number` of `count`."""
    return total * (number + 1) // count - total * number // count


def say(text: str) -> None:
    """Prints a line, and flushes it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def quiet_run(name: str, keep: Path | None = None) -> Iterator[Path]:
    """A folder for the servers' data and logs: `keep`, or one that is removed afterwards.

    Turns off the logs of this process: Temporal's client logs each retry while a server is down.
    """
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix=f"cart-{name}-") as temporary:
        yield (keep or Path(temporary)).absolute()
