"""The steps of the passes over carts: change a page of carts that are due."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

import structlog
from temporalio import activity

from activities.concurrency import gather_bounded
from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from activities.waking import RelayWaker
from adapters.mongo.batches import CartBatches, ScheduledChange
from adapters.mongo.cart_scans import CartRef, CartScans
from adapters.mongo.store_policies import StorePolicies
from adapters.redis.cart_cache import CartCache
from models.documents import OperationRecord, buckets_of
from models.effects import EffectKind
from models.errors import DependencyUnavailable
from models.limits import Policy
from models.operations import AbandonCart, CancelCheckout, ClearCart, LapseHolds
from models.outcomes import Outcome
from models.upkeep.passes import PassedPage, PassPage
from telemetry.metrics import SAGAS

logger = structlog.stdlib.get_logger(__name__)

BATCH = 50
"""Carts that one transaction changes."""

WAKES_AT_ONCE = 4

LOG_EVENTS = {
    ClearCart.name: ("carts_expired", "Cleared expired carts"),
    LapseHolds.name: ("holds_expired", "Ended the holds of carts"),
    CancelCheckout.name: ("checkouts_expired", "Ended the checkouts of carts"),
    AbandonCart.name: ("carts_abandoned", "Published which carts are abandoned"),
}

Prepare = Callable[[Policy, CartRef, PassPage, str], ScheduledChange]
"""The change of a cart by the policy of its store; the string is the id of the run that does it."""


class Scan(Protocol):
    """Finds the carts that are due (`adapters.mongo.cart_scans.CartScans`)."""

    def __call__(
        self, *, buckets: Sequence[int], before: datetime, exclude: Collection[str], limit: int
    ) -> Awaitable[list[CartRef]]: ...


class CartPasses:
    """Changes carts directly in MongoDB, and leaves their releases and events to the relays."""

    def __init__(
        self,
        scans: CartScans,
        batches: CartBatches,
        cache: CartCache,
        policies: StorePolicies,
        *,
        expire: Prepare,
        lapse: Prepare,
        thaw: Prepare,
        abandon: Prepare,
        waker: RelayWaker,
        caching: bool,
    ) -> None:
        self._scans = scans
        self._batches = batches
        self._cache = cache
        self._policies = policies
        self._expire = expire
        self._lapse = lapse
        self._thaw = thaw
        self._abandon = abandon
        self._waker = waker
        self._caching = caching

    @activity.defn(name="expire_page")
    async def expire_page(self, page: PassPage) -> PassedPage:
        """Clears the expired carts of a page."""
        return await self._do(page, self._scans.expired, self._expire)

    @activity.defn(name="lapse_page")
    async def lapse_page(self, page: PassPage) -> PassedPage:
        """Ends the holds of a page of carts."""
        return await self._do(page, self._scans.to_lapse, self._lapse)

    @activity.defn(name="thaw_page")
    async def thaw_page(self, page: PassPage) -> PassedPage:
        """Ends the checkouts of a page of carts."""
        return await self._do(page, self._scans.to_thaw, self._thaw)

    @activity.defn(name="abandon_page")
    async def abandon_page(self, page: PassPage) -> PassedPage:
        """Publishes that the carts of a page are abandoned."""
        return await self._do(page, self._scans.to_abandon, self._abandon)

    async def _do(self, page: PassPage, scan: Scan, prepare: Prepare) -> PassedPage:
        """Changes the carts of a page. A retry changes only those that are left.

        Fails only if no cart was changed because MongoDB did not answer, so that changed ones are
        counted.
        """
        async with heartbeats():
            with as_application_error():
                return await self._change_page(page, scan, prepare)

    async def _change_page(self, page: PassPage, scan: Scan, prepare: Prepare) -> PassedPage:
        carts = await scan(
            buckets=buckets_of(page.share.runner, page.share.runners),
            before=page.before,
            exclude=page.left,
            limit=page.limit,
        )
        policies = await self._policies.of_all({cart.key.store_id for cart in carts})
        run_id = activity.info().workflow_run_id or ""
        changed: list[OperationRecord] = []
        left: list[str] = []
        more = len(carts) == page.limit
        for first in range(0, len(carts), BATCH):
            batch = [
                prepare(policies[cart.key.store_id], cart, page, run_id)
                for cart in carts[first : first + BATCH]
            ]
            try:
                records, failed = await self._change(batch)
            except DependencyUnavailable:
                if not changed:
                    raise
                more = True
                break
            changed += records
            left += failed
            await self._follow_up(records)
        await self._wake_relays(changed)
        return PassedPage(changed=len(changed), left=tuple(left), more=more)

    async def _change(
        self, batch: Sequence[ScheduledChange]
    ) -> tuple[list[OperationRecord], list[str]]:
        """The records of the changed carts, and the ids of those that cannot be changed.

        A cart that fails fails its whole transaction, so a batch that fails is tried in halves.
        """
        try:
            return await self._batches.change(batch), []
        except DependencyUnavailable:
            raise
        except Exception as error:
            if len(batch) == 1:
                operation = batch[0].operation
                cart_id = operation.references["cart"] or ""
                logger.exception(
                    "cart_not_changed",
                    message="Could not change a cart that is due",
                    operation=operation.name,
                    cartId=cart_id,
                    reason=type(error).__name__,
                )
                return [], [cart_id]
        half = len(batch) // 2
        records, failed = await self._change(batch[:half])
        more, others = await self._change(batch[half:])
        return [*records, *more], [*failed, *others]

    async def _follow_up(self, records: Sequence[OperationRecord]) -> None:
        """Counts the changed carts, and drops them from the cache.

        The latter is best effort: no read shows a cart that MongoDB does not have.
        """
        if not records:
            return
        for operation, count in Counter(record.operation for record in records).items():
            SAGAS.add(count, {"operation": operation, "outcome": Outcome.COMMITTED.value})
            event, message = LOG_EVENTS[operation]
            logger.info(event, message=f"{message}: {count}")
        if self._caching:
            try:
                await self._cache.drop_all(
                    [(record.key, record.version - 1) for record in records if record.version]
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
