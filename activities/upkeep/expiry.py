"""The step of expiry: clear a page of expired carts."""

from collections.abc import Callable, Sequence

import structlog
from temporalio import activity

from activities.concurrency import gather_bounded
from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from activities.waking import RelayWaker
from adapters.mongo.cart_scans import CartRef, CartScans
from adapters.mongo.expiry import ExpiredCarts, Expiry
from adapters.redis.cart_cache import CartCache
from models.documents import OperationRecord, buckets_of
from models.effects import EffectKind
from models.errors import DependencyUnavailable
from models.operations import ClearCart
from models.outcomes import Outcome
from models.upkeep.expiry import ExpiredPage, ExpiryPage
from telemetry.metrics import SAGAS

logger = structlog.stdlib.get_logger(__name__)

BATCH = 50
"""Carts that one transaction clears."""

WAKES_AT_ONCE = 4

Prepare = Callable[[CartRef, ExpiryPage, str], Expiry]
"""The clearing of a cart; the string is the id of the run that does it."""


class ExpiryActivities:
    """Clears carts directly in MongoDB, and leaves their releases and events to the relays."""

    def __init__(
        self,
        scans: CartScans,
        expired: ExpiredCarts,
        cache: CartCache,
        *,
        prepare: Prepare,
        waker: RelayWaker,
        caching: bool,
    ) -> None:
        self._scans = scans
        self._expired = expired
        self._cache = cache
        self._prepare = prepare
        self._waker = waker
        self._caching = caching

    @activity.defn(name="expire_page")
    async def expire_page(self, page: ExpiryPage) -> ExpiredPage:
        """Clears the carts of a page. A retry clears only those that are left.

        Fails only if no cart was cleared because MongoDB did not answer, so that cleared ones are
        counted.
        """
        async with heartbeats():
            with as_application_error():
                return await self._expire(page)

    async def _expire(self, page: ExpiryPage) -> ExpiredPage:
        carts = await self._scans.expired(
            buckets=buckets_of(page.share.runner, page.share.runners),
            before=page.before,
            exclude=page.left,
            limit=page.limit,
        )
        run_id = activity.info().workflow_run_id or ""
        cleared: list[OperationRecord] = []
        left: list[str] = []
        more = len(carts) == page.limit
        for first in range(0, len(carts), BATCH):
            batch = [self._prepare(cart, page, run_id) for cart in carts[first : first + BATCH]]
            try:
                records, failed = await self._clear(batch)
            except DependencyUnavailable:
                if not cleared:
                    raise
                more = True
                break
            cleared += records
            left += failed
            await self._follow_up(records)
        await self._wake_relays(cleared)
        return ExpiredPage(cleared=len(cleared), left=tuple(left), more=more)

    async def _clear(self, batch: Sequence[Expiry]) -> tuple[list[OperationRecord], list[str]]:
        """The records of the cleared carts, and the ids of those that cannot be cleared.

        A cart that fails fails its whole transaction, so a batch that fails is tried in halves.
        """
        try:
            return await self._expired.clear(batch), []
        except DependencyUnavailable:
            raise
        except Exception as error:
            if len(batch) == 1:
                cart_id = batch[0].operation.cart_id or ""
                logger.exception(
                    "cart_not_cleared",
                    message="Could not clear an expired cart",
                    cartId=cart_id,
                    reason=type(error).__name__,
                )
                return [], [cart_id]
        half = len(batch) // 2
        records, failed = await self._clear(batch[:half])
        more, others = await self._clear(batch[half:])
        return [*records, *more], [*failed, *others]

    async def _follow_up(self, records: Sequence[OperationRecord]) -> None:
        """Counts the cleared carts, and drops them from the cache.

        The latter is best effort: no read shows a cart that MongoDB does not have.
        """
        if not records:
            return
        SAGAS.add(len(records), {"operation": ClearCart.name, "outcome": Outcome.COMMITTED.value})
        logger.info("carts_expired", message=f"Cleared {len(records)} expired carts")
        if self._caching:
            try:
                await self._cache.drop_all(
                    [(record.key, (record.version or 1) - 1) for record in records]
                )
            except DependencyUnavailable as error:
                logger.debug("cache_not_dropped", message=str(error))

    async def _wake_relays(self, records: Sequence[OperationRecord]) -> None:
        """Wakes the relays of what is pending."""
        relays = sorted(
            {
                self._waker.relay_of(kind, record.key)
                for record in records
                for kind in EffectKind
                if record.pending_of(kind)
            }
        )

        async def wake(relay: tuple[EffectKind, int]) -> None:
            await self._waker.try_to_wake(*relay)

        await gather_bounded(wake, relays, WAKES_AT_ONCE)
