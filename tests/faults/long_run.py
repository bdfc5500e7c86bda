"""What the long runs have in common: shares of blocks, a folder, and nothing said but their own."""

import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from temporalio.runtime import Runtime, TelemetryConfig


def share(total: int, number: int, count: int) -> int:
    """How much of a total falls to one of so many blocks."""
    return total * (number + 1) // count - total * number // count


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def quiet_run(name: str, keep: Path | None = None) -> Iterator[Path]:
    """A folder for the servers' data and logs: one that is kept, or one that is removed after it.

    Temporal's client would report each of its retries while a server is down on purpose.
    """
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix=f"cart-{name}-") as temporary:
        yield (keep or Path(temporary)).absolute()
