"""Measures calls to other systems."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import DependencyRefuses, DependencyTimeout, DependencyUnavailable
from telemetry.call_times import CALL_TIMES, CallTimes
from telemetry.metrics import CALL_DURATION

_SAYS_HOW_LONG = ("ok", "refused", "timeout")


@contextmanager
def measured_call(
    dependency: str, call: str, *, answers: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Records the duration of the block and its outcome.

    The outcome is `ok`, `timeout`, `unavailable`, `refused` (the system answered with an error) or
    `cancelled` (the caller stopped waiting). `answers` are the exceptions after which it is `ok`,
    because the system has answered as it should.
    """
    started = time.perf_counter()
    outcome = "cancelled"
    try:
        yield
    except DependencyTimeout:
        outcome = "timeout"
        raise
    except DependencyRefuses:
        outcome = "refused"
        raise
    except DependencyUnavailable:
        outcome = "unavailable"
        raise
    except answers:
        outcome = "ok"
        raise
    except Exception:
        outcome = "refused"
        raise
    else:
        outcome = "ok"
    finally:
        seconds = time.perf_counter() - started
        if outcome in _SAYS_HOW_LONG:
            CALL_TIMES.setdefault((dependency, call), CallTimes()).add(seconds)
        attributes = {"dependency": dependency, "call": call, "outcome": outcome}
        CALL_DURATION.record(seconds * 1000, attributes)
