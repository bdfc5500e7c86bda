"""A circuit breaker: calls to an unavailable dependency fail at once instead of timing out.

Closed: calls pass. The circuit opens when too many of the last calls failed, and calls fail at once
for `cooldown_seconds`. Then it is half-open: one trial call passes, and all others fail until the
trial closes the circuit or opens it again.
(M. Nygard, Release It!, 2nd ed., chapter 5.)

A system that answers and refuses (`DependencyRefuses`) is no failure either: it costs no time.

A call may have a subject, such as a product. The latest call of each subject counts, so that one
subject that keeps failing never opens the circuit for the others: it has a circuit of its own.

Not a library, because aiobreaker and purgatory let all concurrent calls pass while half-open, and
neither knows subjects.
"""

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from adapters.bounded_cache import BoundedCache
from adapters.calls import measured_call
from adapters.outage_log import OutageLog
from models.errors import DependencyRefuses, DependencyUnavailable, NotSent
from models.reports import FailingSubject
from telemetry.metrics import CIRCUIT_OPEN

OPENING_RATE = 0.5
"""The part of the subjects that must fail for the circuit to open."""
MAX_SICK_SUBJECTS = 1000
FORGOTTEN_SECONDS = 60.0
"""After so long without a call of a subject, it is not known whether it still fails."""


@dataclass(slots=True)
class _Circuit:
    """Closed without `open_until`; from then on half-open."""

    failures: int = 0
    since: float = 0.0
    latest: float = 0.0
    reason: str = ""
    open_until: float | None = None
    on_trial: bool = False

    @property
    def refuses(self) -> bool:
        """Whether a call fails at once now."""
        if self.open_until is None:
            return False
        return self.on_trial or time.monotonic() < self.open_until


class CircuitBreaker:
    """Guards one kind of call to one dependency, within one process.

    The circuit opens when at least `failures` subjects, and half of those among the last `window`
    calls, have failed. Each call without a subject is a subject of its own; by default the window
    is as long as `failures`, so that as many consecutive failures open the circuit. A single
    subject's circuit opens after `subject_failures` (default: `failures`) of its calls in a row.

    `dependency` and `call` are attributes of the metrics.
    """

    def __init__(
        self,
        dependency: str,
        *,
        call: str,
        failures: int,
        cooldown_seconds: float,
        window: int | None = None,
        subject_failures: int | None = None,
    ) -> None:
        self.dependency = dependency
        self.call = call
        self._limit = failures
        self._subject_limit = subject_failures or failures
        self._cooldown = cooldown_seconds
        self._circuit = _Circuit()
        self._sick: BoundedCache[str, _Circuit] = BoundedCache(max_size=MAX_SICK_SUBJECTS)
        # The subject of each of the last calls, and whether it failed.
        self._calls: deque[tuple[object, bool]] = deque(maxlen=window or failures)
        self._attributes = {"dependency": dependency, "call": call}
        self._log = OutageLog(dependency, call)
        CIRCUIT_OPEN.set(0, self._attributes)

    @property
    def is_open(self) -> bool:
        """Whether a call of any subject would fail at once now."""
        return self._circuit.refuses

    @property
    def reason(self) -> str | None:
        """Why the circuit is open or half-open; None while it is closed."""
        return self._circuit.reason if self._circuit.open_until is not None else None

    def failing(self) -> list[FailingSubject]:
        """The subjects that keep failing, those that have failed the longest first."""
        now = time.monotonic()
        return sorted(
            (
                FailingSubject(
                    subject=subject,
                    reason=one.reason,
                    failures=one.failures,
                    for_seconds=now - one.since,
                )
                for subject, one in self._sick.items()
                if one.failures >= self._limit and now - one.latest < FORGOTTEN_SECONDS
            ),
            key=lambda one: -one.for_seconds,
        )

    @asynccontextmanager
    async def guard(
        self, subject: str | None = None, *, bypass_breaker: bool = False
    ) -> AsyncIterator[None]:
        """Runs the block as one call. A `DependencyUnavailable` from the block is a failure.

        Any other exception is not: the dependency answered, and the error is about this call.
        Raises `NotSent` while the circuit is open, unless `bypass_breaker` is set. A bypassing call
        is measured like any other: its success closes the circuit.
        """
        own = self._sick.get(subject) if subject is not None else None
        circuits = [self._circuit] if own is None else [self._circuit, own]
        for circuit in circuits:
            if circuit.refuses and not bypass_breaker:
                raise NotSent(self.dependency, f"circuit open after {circuit.reason}")
        trials = [circuit for circuit in circuits if circuit.open_until is not None]
        for circuit in trials:
            circuit.on_trial = True
        try:
            with measured_call(self.dependency, self.call):
                yield
        except DependencyRefuses as error:
            self._log.refuses(error.detail)
            self._on_success(subject)
            raise
        except DependencyUnavailable as error:
            self._on_failure(subject, error)
            raise
        except Exception:
            self._on_success(subject)
            raise
        else:
            self._on_success(subject)
        finally:
            for circuit in trials:  # a cancelled trial decides nothing; the next call is the trial
                circuit.on_trial = False

    def _on_failure(self, subject: str | None, error: DependencyUnavailable) -> None:
        reason = error.detail or "a failure"
        self._calls.append((object() if subject is None else subject, True))
        if subject is not None:
            self._on_failure_of(subject, reason)
        self._circuit.reason = reason
        if self._circuit.open_until is None:
            if not self._too_many_fail():
                self._log.failed(reason)
                return
            self._log.down(reason)
            CIRCUIT_OPEN.set(1, self._attributes)
        self._circuit.open_until = time.monotonic() + self._cooldown

    def _on_failure_of(self, subject: str, reason: str) -> None:
        circuit = self._sick.get(subject) or _Circuit()
        self._sick.keep(subject, circuit)
        circuit.latest = time.monotonic()
        circuit.since = circuit.since or circuit.latest
        circuit.failures += 1
        circuit.reason = reason
        if circuit.failures < self._subject_limit:
            return
        # While it fails for all, one line says so.
        if circuit.open_until is None and self._circuit.open_until is None:
            self._log.fails_for(subject, reason)
        circuit.open_until = time.monotonic() + self._cooldown

    def _too_many_fail(self) -> bool:
        latest = dict(self._calls)
        failed = sum(latest.values())
        return failed >= self._limit and failed >= OPENING_RATE * len(latest)

    def _on_success(self, subject: str | None) -> None:
        if self._circuit.open_until is not None:
            CIRCUIT_OPEN.set(0, self._attributes)
            self._circuit.open_until = None
            self._calls.clear()
        self._log.works()
        self._calls.append((object() if subject is None else subject, False))
        if subject is not None:
            self._sick.pop(subject, None)
