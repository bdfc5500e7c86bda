"""How long calls of other systems take, and how they end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import DependencyTimeout, DependencyUnavailable
from telemetry.metrics import CALL_DURATION


@contextmanager
def measured_call(dependency: str, call: str) -> Iterator[None]:
    """Measures what is inside; a call that answers with an error of its own is `refused`."""
    started = time.perf_counter()
    outcome = "ok"
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
    finally:
        took = (time.perf_counter() - started) * 1000
        CALL_DURATION.record(took, {"dependency": dependency, "call": call, "outcome": outcome})
