"""Steps of expiry: clear the carts that nobody has touched for long, a page at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from temporalio import activity
from temporalio.client import WorkflowFailureError

from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from adapters.mongo.expiry import ExpiredCart, ExpiredCarts
from models.errors import DependencyUnavailable, OperationAborted, OperationInProgress
from models.messages import OperationResult, Outcome
from models.upkeep.expiry import ExpiredPage, ExpiryPage

logger = logging.getLogger(__name__)

CARTS_AT_ONCE = 8

Expire = Callable[[ExpiredCart, datetime], Awaitable[OperationResult]]
"""Clears a cart, by a saga of its own, if it still has expired by that time."""


class ExpiryActivities:
    """Activities over `ExpiredCarts`; `expire` starts the saga of a cart."""

    def __init__(self, expired: ExpiredCarts, *, expire: Expire) -> None:
        self._expired = expired
        self._expire = expire

    @activity.defn(name="expire_page")
    async def expire_page(self, page: ExpiryPage) -> ExpiredPage:
        """Clears the carts of a page, several at once. Safe to try again: what is gone is gone.

        Fails only when none of them could be decided, so that what was done is counted.
        """
        async with heartbeats():
            with as_application_error():
                carts = await self._expired.page(
                    before=page.before, besides=page.left, limit=page.limit
                )
                at_once = asyncio.Semaphore(CARTS_AT_ONCE)

                async def expire(cart: ExpiredCart) -> bool | DependencyUnavailable:
                    async with at_once:
                        try:
                            return await self._cleared(cart, page.before)
                        except DependencyUnavailable as error:
                            return error

                ends = await asyncio.gather(*map(expire, carts))
                errors = [end for end in ends if isinstance(end, DependencyUnavailable)]
                if errors and len(errors) == len(carts):
                    raise errors[0]
        return ExpiredPage(
            found=len(carts),
            cleared=ends.count(True),
            left=tuple(cart.cart_id for cart, end in zip(carts, ends, strict=True) if end is False),
            undecided=len(errors),
        )

    async def _cleared(self, cart: ExpiredCart, before: datetime) -> bool:
        try:
            result = await self._expire(cart, before)
        except (OperationInProgress, OperationAborted):
            return False  # it is in use, so it may well not have expired any more
        except WorkflowFailureError as error:  # one cart that cannot be cleared stops no other
            logger.error(  # noqa: TRY400 (the workflow has said where)
                "Cart %s cannot be cleared: %s", cart.cart_id, error.cause
            )
            return False
        return result.outcome in {Outcome.COMMITTED, Outcome.REPLAYED}
