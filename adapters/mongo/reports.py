"""MongoDB: the reports of processes about the systems that they call."""

import os
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Protocol

import structlog

from adapters.background import repeating
from adapters.mongo.client import READ_SECONDS, bounded
from adapters.outage_log import latest_refusal
from models.errors import DependencyUnavailable
from models.reports import MOST_NAMED, CallReport, FailingSubject, ProcessReport
from telemetry.call_times import CALL_TIMES
from telemetry.metrics import FAILING_SUBJECTS, Process

logger = structlog.stdlib.get_logger(__name__)

EVERY_SECONDS = 5.0


class Watched(Protocol):
    """One kind of call to one dependency (`adapters.breaker.CircuitBreaker`)."""

    dependency: str
    call: str

    @property
    def reason(self) -> str | None:
        """Why it is down; None while it is not."""

    def failing(self) -> list[FailingSubject]:
        """What it keeps failing for, the longest first."""


def reporting(process: Process, watched: Sequence[Watched]) -> AbstractAsyncContextManager[None]:
    """Writes the report of this process, and shows its gauges, while a block runs."""
    name = f"{process} {socket.gethostname()} {os.getpid()}"

    async def report() -> None:
        calls = calls_of(watched)
        for one in calls:
            about = {"dependency": one.dependency, "call": one.call}
            FAILING_SUBJECTS.set(one.failing_subjects, about)
        written = ProcessReport(_id=name, process=process, at=datetime.now(UTC), calls=calls)
        try:
            async with bounded(READ_SECONDS):
                await written.save()
        except DependencyUnavailable as error:
            logger.debug("report_unwritten", message="Report is not written", reason=str(error))

    return repeating("report", report, every_seconds=EVERY_SECONDS)


def calls_of(watched: Sequence[Watched]) -> list[CallReport]:
    """Each kind of call of this process."""
    calls = {key: CallReport(dependency=key[0], call=key[1]) for key in CALL_TIMES}
    for one in watched:
        failing = one.failing()
        calls[one.dependency, one.call] = CallReport(
            dependency=one.dependency,
            call=one.call,
            down=one.reason,
            failing=failing[:MOST_NAMED],
            failing_subjects=len(failing),
        )
    for key, times in CALL_TIMES.items():
        calls[key].now_seconds, calls[key].usual_seconds = times.now(), times.usual()
        calls[key].refused = latest_refusal(*key)
    return [*calls.values()]
