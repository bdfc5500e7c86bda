"""Measures an operation as its caller sees it: whether it got its cart, how it ended, and when."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from models.errors import DependencyUnavailable, OperationInProgress
from models.messages import OperationResult, Outcome
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
    """What an operation ended with; unless somebody says so it failed, and nobody foresaw it."""

    def __init__(self) -> None:
        self.outcome = "failed"
        self.error: str | None = "unexpected"

    def ended(self, outcome: str, error: str | None = None) -> None:
        """With an `error` unless it did what was asked for.

        Plain text, no member of an enum: a series each would be made of what reads the same.
        """
        self.outcome, self.error = outcome, error

    def repeated(self, status: Literal["committed", "rejected", "aborted"]) -> None:
        """It was answered before: with that answer again, or the key is another request's."""
        if status == "committed":
            self.ended(Outcome.REPLAYED.value)
        else:
            self.ended(Outcome.REJECTED.value, "idempotency_key_reused")

    def heard(self, result: OperationResult | None) -> None:
        """The end of its saga; None when that has not come within the time, and goes on."""
        if result is None:
            self.ended(PENDING)
        elif result.outcome in _DONE:
            self.ended(result.outcome.value)
        else:
            refusal = result.refusal.code if result.refusal else None
            self.ended(result.outcome.value, refusal or result.reason or "unexpected")


@contextmanager
def measured(operation: str) -> Iterator[Measured]:
    """Counts what is asked for inside, once."""
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
    """Counts whether the operation that is started inside gets its cart."""
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
