"""How long calls to other systems take now, and how long they usually take.

For the report of a process (`adapters.mongo.reports`). Prometheus has the same from the histogram
`cart.dependency.call.duration`, where there is a Prometheus.
"""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

SLOT_SECONDS = 10
NOW_SLOTS = 4
USUAL_SLOTS = 360
"""An hour."""

SLOWER_THAN_USUAL = 4
SLOW_SECONDS = 0.1
"""Nothing faster is slow, whatever is usual."""
SLOW_WITHOUT_USUAL_SECONDS = 0.5


def is_slow(seconds: float, usual: float | None) -> bool:
    """Whether a mean duration is slow; `usual` is None when it is not known."""
    if usual is None:
        return seconds > SLOW_WITHOUT_USUAL_SECONDS
    return seconds > max(SLOW_SECONDS, SLOWER_THAN_USUAL * usual)


@dataclass(slots=True)
class _Slot:
    number: int
    calls: int = 0
    seconds: float = 0.0
    was_slow: bool = False

    @property
    def mean(self) -> float:
        return self.seconds / self.calls


@dataclass(slots=True)
class CallTimes:
    """The mean durations of one kind of call in the last hour, by slots of ten seconds.

    A slot that was slow says nothing about what is usual, however long that lasts; but after an
    hour without another one it does.
    """

    _slots: "deque[_Slot]" = field(default_factory=lambda: deque(maxlen=USUAL_SLOTS))

    def add(self, seconds: float) -> None:
        number = _number()
        if not self._slots or self._slots[-1].number != number:
            if self._slots:
                self._slots[-1].was_slow = is_slow(self._slots[-1].mean, self.usual())
            self._slots.append(_Slot(number))
        self._slots[-1].calls += 1
        self._slots[-1].seconds += seconds

    def now(self) -> float | None:
        """The mean, in seconds, of the latest `NOW_SLOTS`; None without a call."""
        earliest = _number() - NOW_SLOTS
        latest = [one for one in self._slots if one.number > earliest]
        calls = sum(one.calls for one in latest)
        return sum(one.seconds for one in latest) / calls if calls else None

    def usual(self) -> float | None:
        """The median of the means of the slots before; None without such a slot."""
        latest = _number() - NOW_SLOTS
        before = [one for one in self._slots if latest - USUAL_SLOTS < one.number <= latest]
        return _median(one.mean for one in before if not one.was_slow) or _median(
            one.mean for one in before
        )


def _number() -> int:
    return int(time.monotonic() // SLOT_SECONDS)


def _median(means: Iterable[float]) -> float | None:
    ordered = sorted(means)
    return ordered[len(ordered) // 2] if ordered else None


CALL_TIMES: dict[tuple[str, str], CallTimes] = {}
"""By dependency and call; there are few."""
