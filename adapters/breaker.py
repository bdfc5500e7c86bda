"""A circuit breaker: calls to an unavailable dependency fail at once instead of timing out.

Closed: calls pass. After `failures` consecutive failed calls the circuit opens, and calls fail at
once for `cooldown_seconds`. Then it is half-open: one trial call passes, and all others fail until
the trial closes the circuit or opens it again.
(M. Nygard, Release It!, 2nd ed., chapter 5.)

Not a library, because aiobreaker and purgatory let all concurrent calls pass while half-open.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from adapters.calls import measured_call
from models.errors import DependencyUnavailable
from telemetry.metrics import CIRCUIT_OPEN

logger = structlog.stdlib.get_logger(__name__)


class CircuitBreaker:
    """Guards one kind of call to one dependency, within one process.

    `dependency` and `call` are attributes of the metrics.
    """

    def __init__(
        self, dependency: str, *, call: str, failures: int, cooldown_seconds: float
    ) -> None:
        self.dependency = dependency
        self._call = call
        self._limit = failures
        self._cooldown = cooldown_seconds
        self._failures = 0
        self._reason = ""
        self._open_until: float | None = None
        self._on_trial = False
        self._attributes = {"dependency": dependency, "call": call}
        CIRCUIT_OPEN.set(0, self._attributes)

    @property
    def is_open(self) -> bool:
        """Whether a call would fail at once now."""
        if self._open_until is None:
            return False
        return self._on_trial or time.monotonic() < self._open_until

    @asynccontextmanager
    async def guard(self, *, bypass_breaker: bool = False) -> AsyncIterator[None]:
        """Runs the block as one call. A `DependencyUnavailable` from the block is a failure.

        Raises `DependencyUnavailable` while the circuit is open, unless `bypass_breaker` is set.
        A bypassing call is measured like any other: its success closes the circuit.
        """
        if self.is_open and not bypass_breaker:
            raise DependencyUnavailable(self.dependency, f"circuit open after {self._reason}")
        trial = self._on_trial = self._open_until is not None
        try:
            with measured_call(self.dependency, self._call):
                yield
        except DependencyUnavailable as error:
            self._on_failure(error)
            raise
        except Exception:
            self._on_success()  # the dependency answered; the error is about this call
            raise
        else:
            self._on_success()
        finally:
            if trial:  # a cancelled trial decides nothing; the next call is the trial
                self._on_trial = False

    def _on_failure(self, error: DependencyUnavailable) -> None:
        self._failures += 1
        self._reason = error.detail or "a failure"
        if self._failures < self._limit:
            return
        if self._open_until is None:
            logger.warning(
                "dependency_unavailable",
                message="Dependency is unavailable",
                dependency=self.dependency,
                reason=error.detail,
            )
            CIRCUIT_OPEN.set(1, self._attributes)
        self._open_until = time.monotonic() + self._cooldown

    def _on_success(self) -> None:
        if self._open_until is not None:
            logger.info(
                "dependency_available",
                message="Dependency is available again",
                dependency=self.dependency,
            )
            CIRCUIT_OPEN.set(0, self._attributes)
        self._failures = 0
        self._open_until = None
