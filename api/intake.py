"""Stores that an operator has paused: their writes get a 503, their reads work.

To add no latency to requests, each process reads the holds from MongoDB every second and uses the
latest result. While they cannot be read, no store is paused.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from http import HTTPStatus

import structlog

from adapters.background import repeating
from api.error_codes import ErrorCode
from api.errors import Answer, ApiError, problem
from models.errors import DependencyUnavailable
from models.intake import IntakeHold

logger = structlog.stdlib.get_logger(__name__)

REFRESH_SECONDS = 1.0


class Intake:
    """The holds that this process has read last (`read`: `IntakeHolds.active`)."""

    def __init__(self, read: Callable[[], Awaitable[list[IntakeHold]]]) -> None:
        self._read = read
        self._held: dict[str, IntakeHold] = {}
        self._answered = asyncio.Event()

    def following(self) -> AbstractAsyncContextManager[None]:
        """Reads the holds every `REFRESH_SECONDS` while a block runs."""
        return repeating("intake holds", self.refresh, every_seconds=REFRESH_SECONDS)

    async def first_read(self) -> None:
        """Waits for the first result of `following`, for at most `REFRESH_SECONDS`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(REFRESH_SECONDS):
                await self._answered.wait()

    def check(self, store_id: str) -> None:
        """Raises `ApiError` (503) if this store is paused."""
        if store_id in self._held:
            raise ApiError(_held(self._held[store_id]))

    async def refresh(self) -> None:
        """Reads the holds once."""
        try:
            held = {hold.store_id: hold for hold in await self._read()}
        except DependencyUnavailable as error:
            logger.debug("intake_unknown", message=f"Could not read intake holds: {error}")
            held = {}
        except Exception:  # the loop must continue
            logger.exception("intake_failed", message="Could not read intake holds")
            held = {}
        for store in held.keys() - self._held.keys():
            hold = held[store]
            logger.warning(
                "intake_held", message="Store paused", storeId=store, by=hold.by, reason=hold.reason
            )
        for store in self._held.keys() - held.keys():
            logger.warning("intake_released", message="Store resumed", storeId=store)
        self._held = held
        self._answered.set()


def _held(hold: IntakeHold) -> Answer:
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Cart changes in this store are paused; try again",
        code=ErrorCode.INTAKE_HELD,
        headers={"Retry-After": str(hold.retry_after_seconds)},
    )
