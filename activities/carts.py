"""Steps on MongoDB: load, the pivot, and its settling."""

import logging

from temporalio import activity

from activities.errors import as_application_error
from adapters.carts import CartStore
from models.messages import (
    CommitChange,
    LoadCart,
    LoadedCart,
    Recorded,
    SettleRun,
)

logger = logging.getLogger(__name__)


class CartActivities:
    """Activities over a `CartStore`."""

    def __init__(self, carts: CartStore) -> None:
        self._carts = carts

    @activity.defn(name="load_cart")
    async def load(self, request: LoadCart) -> LoadedCart:
        """What a saga decides on, with its own record if an earlier try has written one."""
        with as_application_error():
            return await self._carts.load(request)

    @activity.defn(name="commit_change")
    async def commit(self, request: CommitChange) -> Recorded:
        """The pivot: the cart's next version and the run's record, both or neither."""
        with as_application_error():
            return await self._carts.commit(request)

    @activity.defn(name="settle_run")
    async def settle(self, request: SettleRun) -> Recorded:
        """Records the run as aborted unless it has committed; answers what it is."""
        with as_application_error():
            return await self._carts.settle(request.run, request.reason, request.releases)
