"""Measures an operation as its caller sees it: whether it got its cart, its outcome, its time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import DependencyUnavailable, OperationInProgress
from models.outcomes import OperationResult, Outcome
from telemetry.metrics import (
    LOCKS_ACQUIRED,
    LOCKS_MISSED,
    OPERATION_DURATION,
    OPERATION_ERRORS,
    OPERATIONS,
)

_DONE = (Outcome.COMMITTED, Outcome.REPLAYED, Outcome.UNCHANGED)
PENDING = "pending"


class Measured:
    """How an operation ended; `failed` until it is set."""

    def __init__(self) -> None:
        self.outcome = "failed"
        self.error: str | None = "unexpected"

    def ended(self, outcome: str, error: str | None = None) -> None:
        """Sets the outcome, with an `error` unless it did what was requested.

        Plain text, no member of an enum: OpenTelemetry would keep a series for each.
        """
        self.outcome, self.error = outcome, error

    def ended_with(self, result: OperationResult | None) -> None:
        """Sets the outcome from a result; None when the operation still runs."""
        if result is None:
            self.ended(PENDING)
        elif result.outcome in _DONE:
            self.ended(result.outcome.value)
        else:
            self.ended(result.outcome.value, result.why or "unexpected")


@contextmanager
def measured(operation: str) -> Iterator[Measured]:
    """Counts and times the operation inside."""
    measure = Measured()
    started = time.perf_counter()
    try:
        yield measure
    except OperationInProgress:
        measure.ended("busy", "busy")
        raise
    except DependencyUnavailable as error:
        measure.ended("unavailable", f"{error.dependency}_unavailable")
        raise
    finally:
        ended = {"operation": operation, "outcome": measure.outcome}
        OPERATION_DURATION.record((time.perf_counter() - started) * 1000, ended)
        OPERATIONS.add(1, ended)
        if measure.error is not None:
            OPERATION_ERRORS.add(1, {"operation": operation, "error": measure.error})


@contextmanager
def lock_acquisition() -> Iterator[None]:
    """Counts whether the operation started inside gets its cart."""
    try:
        yield
    except OperationInProgress:
        LOCKS_MISSED.add(1, {"error": "busy"})
        raise
    except DependencyUnavailable:
        LOCKS_MISSED.add(1, {"error": "temporal_unavailable"})
        raise
    else:
        LOCKS_ACQUIRED.add(1)
