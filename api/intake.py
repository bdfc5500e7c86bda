"""Stores whose changes an operator holds up: 503 for their writes, while reads go on.

Whoever changes a cart must not wait for this, so the process asks MongoDB every second, and a
request looks at what was answered last. When that cannot be read, nothing is held.
"""

import asyncio
import logging
from contextlib import suppress
from http import HTTPStatus
from typing import Protocol

from api.errors import Answer, ApiError, problem
from models.errors import DependencyUnavailable
from models.intake import IntakeHold

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 1.0


class Holds(Protocol):
    """The holds that there are (`adapters.mongo.intake.IntakeHolds`)."""

    async def active(self) -> list[IntakeHold]: ...


class Intake:
    """What this process knows of the holds."""

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self._held: dict[str, IntakeHold] = {}
        self._asking: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()

    async def open(self) -> None:
        """Begins to ask; returns with the first answer, or when it takes too long."""
        self._asking = asyncio.create_task(self._keep_asking())
        with suppress(TimeoutError):
            async with asyncio.timeout(REFRESH_SECONDS):
                await self._answered.wait()

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            with suppress(asyncio.CancelledError):
                await self._asking

    def check(self, store_id: str) -> None:
        """Raises `ApiError` (503) when this store's changes are held up."""
        if store_id in self._held:
            raise ApiError(_held(self._held[store_id]))

    async def _keep_asking(self) -> None:
        while True:
            await self.refresh()
            self._answered.set()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Asks once."""
        try:
            held = {hold.store_id: hold for hold in await self._holds.active()}
        except DependencyUnavailable as error:
            logger.debug("Holds on the intake are not known: %s", error)
            held = {}
        except Exception:  # it must go on asking
            logger.exception("Holds on the intake cannot be read")
            held = {}
        for store in held.keys() - self._held.keys():
            hold = held[store]
            _log("Intake is held", "intake_held", store, by=hold.by, reason=hold.reason)
        for store in self._held.keys() - held.keys():
            _log("Intake is open again", "intake_released", store)
        self._held = held


def _log(message: str, event: str, store_id: str, **fields: str) -> None:
    logger.warning(message, extra={"event": event, "storeId": store_id, **fields})


def _held(hold: IntakeHold) -> Answer:
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Changes of carts in this store are held up for the moment; try again",
        code="intake_held",
        headers={"Retry-After": str(hold.retry_after_seconds)},
    )
