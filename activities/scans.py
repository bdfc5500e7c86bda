"""Steps of what events start: what an order took, and a product's carts page by page."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import activity

from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from adapters.mongo.cart_scans import CartKey, CartScans
from models.messages import MarkProductInput, OperationResult, Outcome
from models.steps import FindOrdered, Ordered, ProductMarked

PAGE = 200
AT_ONCE = 8

Mark = Callable[[MarkProductInput, CartKey], Awaitable[OperationResult]]
"""Marks one cart, as a saga of its own, and waits for its end; raises when it may not be done."""


class ScanActivities:
    """Activities over `CartScans`; `mark` starts a cart's saga."""

    def __init__(self, scans: CartScans, *, mark: Mark) -> None:
        self._scans = scans
        self._mark = mark

    @activity.defn(name="find_ordered")
    async def find_ordered(self, request: FindOrdered) -> Ordered:
        """What is still in the cart of what was ordered."""
        with as_application_error():
            return await self._scans.ordered(request)

    @activity.defn(name="mark_page")
    async def mark_page(self, request: MarkProductInput) -> ProductMarked:
        """Marks the next carts, several at once; fails, to be tried again, unless all are done.

        A cart that was marked before is not marked twice, so a page can be tried again.
        """
        async with heartbeats():
            with as_application_error():
                carts = await self._scans.to_mark(
                    request.news, store_id=request.store_id, after=request.after, limit=PAGE
                )
                at_once = asyncio.Semaphore(AT_ONCE)

                async def mark(cart: CartKey) -> OperationResult:
                    async with at_once:
                        return await self._mark(request, cart)

                ends = await asyncio.gather(*map(mark, carts), return_exceptions=True)
                results = [_result(end) for end in ends]
        return ProductMarked(
            looked_at=len(carts),
            marked=sum(result.outcome is Outcome.COMMITTED for result in results),
            after=carts[-1].cart_id if len(carts) == PAGE else None,
        )


def _result(end: OperationResult | BaseException) -> OperationResult:
    if isinstance(end, BaseException):
        raise end
    return end
