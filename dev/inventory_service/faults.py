"""Faults on request, for tests of whoever calls the inventory; never on unless it is asked for.

A fault is queued for the next calls of one action and consumed by them, in the order queued. What
is not here: the routes under `/faults` (`app.py`), which exist only with `INVENTORY_FAULTS`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from dev.inventory_service.responses import answer
from dev.inventory_service.schemas import Problem, ReserveAnswer

MAX_QUEUED = 100


class FaultAction(StrEnum):
    RESERVE = "reserve"
    RELEASE = "release"
    CHECK = "check"


class FaultKind(StrEnum):
    ERROR = "error"  # 500, nothing done
    DELAY = "delay"  # done after `seconds`
    REFUSE = "refuse"  # reserve: 409 as for no stock; others: 503; nothing done
    COMMIT_THEN_TIMEOUT = "commit_then_timeout"  # done at once; after `seconds` a 500
    DUPLICATE = "duplicate"  # delivered twice; the answer is the second delivery's


class Fault(BaseModel):
    """What happens to the next `times` calls of `action`."""

    model_config = ConfigDict(extra="forbid")

    action: FaultAction
    fault: FaultKind
    seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 1.0
    times: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 1


class FaultList(BaseModel):
    faults: list[Fault]


class FaultQueueFullError(Exception):
    """There are `MAX_QUEUED` faults already."""


class Faults:
    """The queue of faults; empty unless a test fills it."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []
        self._stopping = asyncio.Event()

    def add(self, fault: Fault) -> None:
        """Queues `fault` behind those of its action, or raises `FaultQueueFullError`."""
        if len(self._queue) >= MAX_QUEUED:
            raise FaultQueueFullError
        self._queue.append(fault.model_copy())

    def clear(self) -> None:
        """Forgets what is queued; a call that is being delayed stays so."""
        self._queue.clear()

    def left(self) -> list[Fault]:
        """What is still queued, each with the calls that are left of it."""
        return list(self._queue)

    def stop(self) -> None:
        """Ends all waits, now and later: the process is about to end."""
        self._stopping.set()

    async def around(
        self, action: FaultAction, work: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Does `work`, or what the next fault queued for `action` makes of it."""
        fault = self._take(action) if self._queue else None
        if fault is None:
            return await work()
        if fault.fault is FaultKind.ERROR:
            return _injected(500)
        if fault.fault is FaultKind.REFUSE:
            if action is FaultAction.RESERVE:
                return answer(ReserveAnswer(success=False, available=0), 409)
            return _injected(503)
        if fault.fault is FaultKind.COMMIT_THEN_TIMEOUT:
            await work()
            await self._wait(fault.seconds)
            return _injected(500)
        if fault.fault is FaultKind.DELAY:
            await self._wait(fault.seconds)
        else:
            await work()
        return await work()

    def _take(self, action: FaultAction) -> Fault | None:
        for index, fault in enumerate(self._queue):
            if fault.action is action:
                if fault.times == 1:
                    return self._queue.pop(index)
                self._queue[index] = fault.model_copy(update={"times": fault.times - 1})
                return fault
        return None

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


def _injected(status: int) -> Response:
    return answer(Problem(message="Injected fault"), status)
