"""How long calls to other systems take now, and how long they usually take.

For the report of a process (`adapters.mongo.reports`). Prometheus has the same from the histogram
`cart.dependency.call.duration`, where there is a Prometheus.
"""

import time
from collections import deque
from dataclasses import dataclass, field

MINUTES = 60


@dataclass(slots=True)
class _Minute:
    number: int
    calls: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class CallTimes:
    """The mean durations of one kind of call in the last hour, by minute."""

    _minutes: "deque[_Minute]" = field(default_factory=lambda: deque(maxlen=MINUTES))

    def add(self, seconds: float) -> None:
        number = _minute()
        if not self._minutes or self._minutes[-1].number != number:
            self._minutes.append(_Minute(number))
        self._minutes[-1].calls += 1
        self._minutes[-1].seconds += seconds

    def now(self) -> float | None:
        """The mean, in seconds, of this minute and the one before; None without a call."""
        latest = _minute() - 1
        return _mean([one for one in self._minutes if one.number >= latest])

    def usual(self) -> float | None:
        """The median of the means of the minutes before; None without such a minute."""
        latest = _minute() - 1
        means = sorted(
            one.seconds / one.calls
            for one in self._minutes
            if latest - MINUTES < one.number < latest
        )
        return means[len(means) // 2] if means else None


def _minute() -> int:
    return int(time.monotonic() // 60)


def _mean(minutes: list[_Minute]) -> float | None:
    calls = sum(one.calls for one in minutes)
    return sum(one.seconds for one in minutes) / calls if calls else None


CALL_TIMES: dict[tuple[str, str], CallTimes] = {}
"""By dependency and call; there are few."""
