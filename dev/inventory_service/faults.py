"""Fault injection, for tests of clients of the inventory.

A fault is queued for the next calls of one action, of all products or of one, which consume it in
the order of the queue. With the kinds `answer` and `trickle` the service answers as others may. The
routes under `/faults` (`app.py`) exist only with `INVENTORY_FAULTS`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from typing import Annotated

from fastapi import Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from dev.inventory_service.responses import answer
from dev.inventory_service.schemas import EntityId, Problem, ReserveAnswer

MAX_QUEUED = 100
HUGE_BYTES = 1024 * 1024
_WITHOUT_BODY = (204, 304)


class FaultAction(StrEnum):
    RESERVE = "reserve"
    RELEASE = "release"
    TRANSFER = "transfer"
    CHECK = "check"
    PRODUCT = "product"


class FaultKind(StrEnum):
    ERROR = "error"  # 500, no effect
    DELAY = "delay"  # runs after `seconds`
    REFUSE = "refuse"  # reserve: 409 as for no stock; others: 503; no effect
    COMMIT_THEN_TIMEOUT = "commit_then_timeout"  # runs immediately; 500 after `seconds`
    DUPLICATE = "duplicate"  # runs twice; returns the second response
    ANSWER = "answer"  # returns `status` and `body`; runs before it only with `effect`
    TRICKLE = "trickle"  # runs immediately; the response comes byte by byte, `seconds` apart


class FaultBody(StrEnum):
    """The body of an `answer`."""

    PROBLEM = "problem"
    SUCCESS_FALSE = "success_false"
    NO_AVAILABLE = "no_available"
    HTML = "html"
    EMPTY = "empty"
    HUGE = "huge"


_BODIES = {
    FaultBody.PROBLEM: (b'{"message": "Injected fault"}', "application/json"),
    FaultBody.SUCCESS_FALSE: (b'{"success": false}', "application/json"),
    FaultBody.NO_AVAILABLE: (
        b'{"success": true, "reservationId": "injected"}',
        "application/json",
    ),
    FaultBody.HTML: (b"<!doctype html><title>Injected fault</title>", "text/html"),
    FaultBody.EMPTY: (b"", None),
    FaultBody.HUGE: (
        b'{"success": true, "padding": "' + b"x" * HUGE_BYTES + b'"}',
        "application/json",
    ),
}


class Fault(BaseModel):
    """A fault of the next `times` calls of `action`; with a store or a product, of its calls."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    action: FaultAction
    fault: FaultKind
    seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 1.0
    times: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 1
    store_id: Annotated[EntityId | None, Field(alias="storeId")] = None
    product_id: Annotated[EntityId | None, Field(alias="productId")] = None
    status: Annotated[int, Field(strict=True, ge=200, le=599)] = 200
    body: FaultBody = FaultBody.PROBLEM
    effect: bool = False

    def applies(self, action: FaultAction, store_id: str, product_id: str) -> bool:
        """Whether the fault is for this call."""
        return (
            self.action is action
            and self.store_id in {None, store_id}
            and self.product_id in {None, product_id}
        )


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

    def clear(self, store_id: str | None = None) -> None:
        """Clears the queue, or a store's faults; does not affect a call that is being delayed."""
        self._queue = [one for one in self._queue if store_id not in {None, one.store_id}]

    def left(self) -> FaultList:
        """The queue, each fault with its remaining `times`."""
        return FaultList(faults=self._queue)

    def stop(self) -> None:
        """Ends all delays, current and future."""
        self._stopping.set()

    async def around(
        self,
        action: FaultAction,
        store_id: str,
        product_id: str,
        work: Callable[[], Awaitable[BaseModel]],
    ) -> Response:
        """Runs `work` with the next fault queued for the call, and returns the response."""
        fault = self._take(action, store_id, product_id) if self._queue else None
        if fault is None:
            return answer(await work())
        if fault.fault is FaultKind.ERROR:
            return _injected(500)
        if fault.fault is FaultKind.REFUSE:
            if action is FaultAction.RESERVE:
                return answer(ReserveAnswer(success=False, available=0))
            return _injected(503)
        if fault.fault is FaultKind.ANSWER:
            if fault.effect:
                await work()
            return _answered(fault.status, fault.body)
        if fault.fault is FaultKind.TRICKLE:
            response = answer(await work())
            return StreamingResponse(
                self._trickle(bytes(response.body), fault.seconds),
                response.status_code,
                media_type=response.media_type,
            )
        if fault.fault is FaultKind.COMMIT_THEN_TIMEOUT:
            await work()
            await self._wait(fault.seconds)
            return _injected(500)
        if fault.fault is FaultKind.DELAY:
            await self._wait(fault.seconds)
        else:
            await work()
        return answer(await work())

    async def _trickle(self, body: bytes, seconds: float) -> AsyncIterator[bytes]:
        for byte in body:
            yield bytes([byte])
            await self._wait(seconds)

    def _take(self, action: FaultAction, store_id: str, product_id: str) -> Fault | None:
        applying = (one for one in self._queue if one.applies(action, store_id, product_id))
        fault = next(applying, None)
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


def _answered(status: int, body: FaultBody) -> Response:
    content, media_type = _BODIES[FaultBody.EMPTY if status in _WITHOUT_BODY else body]
    headers = {"Location": "/health"} if 300 <= status < 400 else None  # noqa: PLR2004 (RFC 9110)
    return Response(content, status, headers, media_type)
