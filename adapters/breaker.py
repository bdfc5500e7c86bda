"""A circuit breaker: a dependency that is down costs the first calls their timeout, then nothing.

Closed: calls pass. After `failures` failed calls in a row it opens: calls fail at once for
`cooldown_seconds`. Then it is half-open: one call is let through as a trial, and the others fail at
once until it has closed the circuit or opened it anew.
(M. Nygard, Release It!, 2nd ed., chapter 5.)
"""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.calls import measured_call
from models.errors import DependencyUnavailable
from telemetry.metrics import CIRCUIT_OPEN

logger = logging.getLogger(__name__)


class CircuitBreaker:
    """Guards the calls to one dependency within one process; `call` names them in the metrics."""

    def __init__(
        self, dependency: str, *, call: str, failures: int, cooldown_seconds: float
    ) -> None:
        self.dependency = dependency
        self._call = call
        self._limit = failures
        self._cooldown = cooldown_seconds
        self._failed = 0
        self._reason = ""
        self._open_until: float | None = None
        self._on_trial = False
        self._show(is_open=False)

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once now."""
        if self._open_until is None:
            return False
        return self._on_trial or time.monotonic() < self._open_until

    @asynccontextmanager
    async def guard(self, *, anyway: bool = False) -> AsyncIterator[None]:
        """Counts a `DependencyUnavailable` raised inside; raises one itself while open.

        `anyway` lets the call through all the same: nobody else waits for it, and when it succeeds
        it closes the circuit for all.
        """
        if self.is_open and not anyway:
            raise DependencyUnavailable(self.dependency, f"circuit open after {self._reason}")
        trial = self._on_trial = self._open_until is not None
        try:
            with measured_call(self.dependency, self._call):
                yield
        except DependencyUnavailable as error:
            self._failure(error)
            raise
        except Exception:
            self._success()  # it has answered; what is wrong is something else
            raise
        else:
            self._success()
        finally:
            if trial:  # a cancelled one has told nothing, and the next call is the trial
                self._on_trial = False

    def _failure(self, error: DependencyUnavailable) -> None:
        self._failed += 1
        self._reason = error.detail or "a failure"
        if self._failed < self._limit:
            return
        if self._open_until is None:
            logger.warning(
                "Dependency is unavailable",
                extra={
                    "event": "dependency_unavailable",
                    "dependency": self.dependency,
                    "reason": error.detail,
                },
            )
            self._show(is_open=True)
        self._open_until = time.monotonic() + self._cooldown

    def _success(self) -> None:
        if self._open_until is not None:
            logger.info(
                "Dependency is available again",
                extra={"event": "dependency_available", "dependency": self.dependency},
            )
            self._show(is_open=False)
        self._failed = 0
        self._open_until = None

    def _show(self, *, is_open: bool) -> None:
        CIRCUIT_OPEN.set(int(is_open), {"dependency": self.dependency, "call": self._call})
