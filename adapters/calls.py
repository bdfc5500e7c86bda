"""Measures calls to other systems."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import DependencyTimeout, DependencyUnavailable
from telemetry.metrics import CALL_DURATION


@contextmanager
def measured_call(dependency: str, call: str) -> Iterator[None]:
    """Records the duration of the block and its outcome.

    The outcome is `ok`, `timeout`, `unavailable`, `refused` (the system answered with an error) or
    `cancelled` (the caller stopped waiting).
    """
    started = time.perf_counter()
    outcome = "cancelled"
    try:
        yield
    except DependencyTimeout:
        outcome = "timeout"
        raise
    except DependencyUnavailable:
        outcome = "unavailable"
        raise
    except Exception:
        outcome = "refused"
        raise
    else:
        outcome = "ok"
    finally:
        milliseconds = (time.perf_counter() - started) * 1000
        attributes = {"dependency": dependency, "call": call, "outcome": outcome}
        CALL_DURATION.record(milliseconds, attributes)
