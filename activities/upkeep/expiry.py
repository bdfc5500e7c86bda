"""Steps of expiry: clear expired carts, a page at a time."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import structlog
from temporalio import activity
from temporalio.client import WorkflowFailureError

from activities.concurrency import gather_bounded
from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from adapters.mongo.cart_scans import CartRef, CartScans
from models.errors import DependencyUnavailable, OperationAborted, OperationInProgress
from models.outcomes import OperationResult, Outcome
from models.upkeep.expiry import ExpiredPage, ExpiryPage

logger = structlog.stdlib.get_logger(__name__)

CARTS_AT_ONCE = 8

Expire = Callable[[CartRef, datetime], Awaitable[OperationResult]]
"""Clears a cart by a saga of its own, if the cart is still expired at that time."""


class ExpiryActivities:
    """Activities on `CartScans`. `expire` runs the saga of one cart."""

    def __init__(self, scans: CartScans, *, expire: Expire) -> None:
        self._scans = scans
        self._expire = expire

    @activity.defn(name="expire_page")
    async def expire_page(self, page: ExpiryPage) -> ExpiredPage:
        """Clears the carts of a page. A retry clears only those that are left.

        Fails only if all carts failed because of an unavailable dependency, so that cleared ones
        are counted.
        """
        async with heartbeats():
            with as_application_error():
                carts = await self._scans.expired(
                    before=page.before, exclude=page.left, limit=page.limit
                )
                clear = partial(self._cleared, page.before)
                ends = await gather_bounded(clear, carts, CARTS_AT_ONCE)
                errors = [end for end in ends if isinstance(end, DependencyUnavailable)]
                if errors and len(errors) == len(carts):
                    raise errors[0]
        return ExpiredPage(
            found=len(carts),
            cleared=ends.count(True),
            left=tuple(cart.cart_id for cart, end in zip(carts, ends, strict=True) if end is False),
            undecided=len(errors),
        )

    async def _cleared(self, before: datetime, cart: CartRef) -> bool | DependencyUnavailable:
        """Whether the cart was cleared; False when it is left to the next pass."""
        try:
            result = await self._expire(cart, before)
        except DependencyUnavailable as error:
            return error
        except (OperationInProgress, OperationAborted):
            return False  # it is in use, so it has probably not expired any more
        except WorkflowFailureError as error:  # must not stop the other carts
            logger.error(  # noqa: TRY400 (the workflow has logged the traceback)
                "cart_not_cleared",
                message="Could not clear an expired cart",
                cartId=cart.cart_id,
                reason=str(error.cause),
            )
            return False
        return result.outcome in {Outcome.COMMITTED, Outcome.REPLAYED}
