"""Steps of operations that events start: mark a product in carts."""

from collections.abc import Awaitable, Callable

from temporalio import activity

from activities.concurrency import gather_bounded
from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from adapters.mongo.cart_scans import CartRef, CartScans
from models.documents import buckets_of
from models.mark_product import MarkPage, MarkProductInput, ProductMarked
from models.outcomes import OperationResult, Outcome

PAGE = 200
CARTS_AT_ONCE = 8

Mark = Callable[[MarkProductInput, CartRef], Awaitable[OperationResult]]
"""Marks one cart by a saga of its own, and waits for its end."""


class ScanActivities:
    """Activities on `CartScans`. `mark` runs the saga of one cart."""

    def __init__(self, scans: CartScans, *, mark: Mark) -> None:
        self._scans = scans
        self._mark = mark

    @activity.defn(name="mark_page")
    async def mark_page(self, page: MarkPage) -> ProductMarked:
        """Marks the lines of the next `PAGE` carts.

        Fails once all carts were tried unless all are marked. A retry skips marked carts.
        """
        async with heartbeats():
            with as_application_error():
                request = page.request
                carts = await self._scans.to_mark(
                    request.news,
                    buckets=buckets_of(page.share.runner, page.share.runners),
                    store_id=request.store_id,
                    after=page.after,
                    limit=PAGE,
                )

                async def mark(cart: CartRef) -> OperationResult | Exception:
                    try:
                        return await self._mark(request, cart)
                    except Exception as error:
                        return error

                ends = await gather_bounded(mark, carts, CARTS_AT_ONCE)
                results = [_result(end) for end in ends]
        return ProductMarked(
            looked_at=len(carts),
            marked=sum(result.outcome is Outcome.COMMITTED for result in results),
            after=carts[-1].cart_id if len(carts) == PAGE else None,
        )


def _result(end: OperationResult | Exception) -> OperationResult:
    if isinstance(end, Exception):
        raise end
    return end
