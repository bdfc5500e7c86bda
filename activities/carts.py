"""Steps on MongoDB: load the cart, persist it (the pivot), settle the operation."""

from temporalio import activity

from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from adapters.mongo.operations import OperationStore
from models.outcomes import OperationResult, Outcome
from models.steps import (
    ClaimCart,
    LoadCart,
    LoadedCart,
    PersistCart,
    SettleOperation,
    UnclaimCart,
)
from telemetry.metrics import UNDOS


class CartActivities:
    """Activities on an `OperationStore`."""

    def __init__(self, operations: OperationStore) -> None:
        self._operations = operations

    @activity.defn(name="load_cart")
    async def load_cart(self, request: LoadCart) -> LoadedCart:
        """Loads the cart, and the saga's decision if there is one already."""
        with as_application_error():
            return await self._operations.load(request)

    @activity.defn(name="persist_cart")
    async def persist_cart(self, request: PersistCart) -> OperationResult:
        """The pivot: stores the cart's next version and the saga's record in one transaction."""
        with as_application_error():
            return await self._operations.persist(request)

    @activity.defn(name="claim_cart")
    async def claim_cart(self, request: ClaimCart) -> None:
        """Claims a guest's cart for the saga that merges it; undone by `unclaim_cart`."""
        with as_application_error():
            await self._operations.claim(request)

    @activity.defn(name="unclaim_cart")
    async def unclaim_cart(self, request: UnclaimCart) -> None:
        """Gives the claim of a merge up that did not commit."""
        with as_application_error():
            await self._operations.unclaim(request)

    @activity.defn(name="settle_operation")
    async def settle_operation(self, request: SettleOperation) -> OperationResult:
        """Records an undecided saga as rejected or aborted; returns the decision."""
        async with heartbeats():
            with as_application_error():
                result = await self._operations.settle(request)
        if result.outcome is not Outcome.COMMITTED:
            reason = request.reason.value if request.reason else Outcome.REJECTED.value
            UNDOS.add(1, {"operation": request.saga.operation, "reason": reason})
        return result
