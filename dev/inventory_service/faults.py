"""Fault injection, for tests of clients of the inventory.

A fault is queued for the next calls of one action, which consume it in the order of the queue. The
routes under `/faults` (`app.py`) exist only with `INVENTORY_FAULTS`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
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
    ERROR = "error"  # 500, no effect
    DELAY = "delay"  # runs after `seconds`
    REFUSE = "refuse"  # reserve: 409 as for no stock; others: 503; no effect
    COMMIT_THEN_TIMEOUT = "commit_then_timeout"  # runs immediately; 500 after `seconds`
    DUPLICATE = "duplicate"  # runs twice; returns the second response


class Fault(BaseModel):
    """A fault of the next `times` calls of `action`."""

    model_config = ConfigDict(extra="forbid")

    action: FaultAction
    fault: FaultKind
    seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 1.0
    times: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 1


class FaultList(BaseModel):
    faults: list[Fault]


class Faults:
    """The queue of faults."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []
        self._stopping = asyncio.Event()

    def add(self, fault: Fault) -> bool:
        """Appends a fault to the queue; False if that has `MAX_QUEUED` faults already."""
        if len(self._queue) == MAX_QUEUED:
            return False
        self._queue.append(fault)
        return True

    def clear(self) -> None:
        """Clears the queue; does not affect a call that is being delayed."""
        self._queue.clear()

    def left(self) -> FaultList:
        """The queue, each fault with its remaining `times`."""
        return FaultList(faults=self._queue)

    def stop(self) -> None:
        """Ends all delays, current and future."""
        self._stopping.set()

    async def around(
        self, action: FaultAction, work: Callable[[], Awaitable[BaseModel]]
    ) -> Response:
        """Runs `work` with the next fault queued for `action`, and returns the response."""
        fault = self._take(action)
        if fault is None:
            return answer(await work())
        if fault.fault is FaultKind.ERROR:
            return _injected(500)
        if fault.fault is FaultKind.REFUSE:
            if action is FaultAction.RESERVE:
                return answer(ReserveAnswer(success=False, available=0))
            return _injected(503)
        if fault.fault is FaultKind.COMMIT_THEN_TIMEOUT:
            await work()
            await self._wait(fault.seconds)
            return _injected(500)
        if fault.fault is FaultKind.DELAY:
            await self._wait(fault.seconds)
        else:
            await work()
        return answer(await work())

    def _take(self, action: FaultAction) -> Fault | None:
        fault = next((queued for queued in self._queue if queued.action is action), None)
        if fault is not None:
            fault.times -= 1
            if not fault.times:
                self._queue.remove(fault)
        return fault

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _injected(status: int) -> Response:
    return answer(Problem(message="Injected fault"), status)
