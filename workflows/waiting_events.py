"""The consumed messages that are tried again and again in vain, for the log and `cart doctor`."""

import time
from dataclasses import dataclass

import structlog

from adapters.bounded_cache import BoundedCache
from models.incoming import ConsumedMessage
from models.reports import FailingSubject

logger = structlog.stdlib.get_logger(__name__)

TRIES = 5
"""A message that was tried so often waits; before that, its problem may be a short one."""
MOST_WAITING = 1000

_Position = tuple[str, int, int]


@dataclass(slots=True)
class _Waiting:
    subject: str
    since: float
    tries: int = 0
    problem: str = ""


class WaitingEvents:
    """The messages that wait for another try. An `adapters.mongo.reports.Watched`."""

    dependency, call = "kafka", "consume"
    reason = None

    def __init__(self) -> None:
        self._waiting: BoundedCache[_Position, _Waiting] = BoundedCache(max_size=MOST_WAITING)

    def note(self, message: ConsumedMessage, lane: str, tries: int, problem: Exception) -> None:
        """Notes a try in vain. Logs once for a message; the adapter logs which system is down."""
        if tries == 1:
            logger.debug("event_retried", message=f"Event is tried again: {problem}")
        if tries < TRIES:
            return
        waiting = self._waiting.get(_position(message))
        if waiting is None:
            logger.warning("event_waits", message=f"Event waits: {problem}")
            place = f"{message.topic}/{message.partition}, offset {message.offset}"
            waiting = _Waiting(f"{place}, {lane}", time.monotonic())
            self._waiting.keep(_position(message), waiting)
        waiting.tries, waiting.problem = tries, str(problem)

    def done(self, message: ConsumedMessage) -> None:
        """The message has had its effect, is parked, or is left to another consumer."""
        self._waiting.pop(_position(message), None)

    def failing(self) -> list[FailingSubject]:
        """The messages that wait, the longest first."""
        now = time.monotonic()
        return [
            FailingSubject(
                subject=one.subject,
                reason=one.problem,
                failures=one.tries,
                for_seconds=now - one.since,
            )
            for one in self._waiting.values()
        ]


def _position(message: ConsumedMessage) -> _Position:
    return message.topic, message.partition, message.offset
