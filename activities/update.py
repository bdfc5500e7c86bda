"""The first step of an update: what it decides on, and the hold that it needs, together."""

from temporalio import activity

from activities.inventory import InventoryActivities
from adapters.mongo.carts import CartStore
from models.checks import units_to_reserve
from models.errors import DependencyTimeout, DependencyUnavailable
from models.steps import CartAndHold, LoadCart, LoadForUpdate, ReserveHold


class UpdateActivities:
    """Activities over a `CartStore`, and over the `InventoryActivities` that hold units."""

    def __init__(self, carts: CartStore, inventory: InventoryActivities) -> None:
        self._carts = carts
        self._inventory = inventory

    @activity.defn(name="load_and_reserve")
    async def load_and_reserve(self, request: LoadForUpdate) -> CartAndHold:
        """Loads the cart, and reserves what an update needs more, unless the cart refuses it.

        Tried once: what did not answer is told, so that the saga knows what may be held, and goes
        on with the steps that are tried more often.
        """
        run, update = request.run, request.update
        try:
            cart = await self._carts.load(LoadCart(run=run, product_id=update.product_id))
        except DependencyUnavailable:
            return CartAndHold()
        units = units_to_reserve(cart, update)
        if units == 0:
            return CartAndHold(cart=cart)
        hold = ReserveHold(
            store_id=run.store_id,
            product_id=update.product_id,
            user_id=run.user_id,
            saga_id=run.saga_id,
            quantity=units,
        )
        try:
            answer = await self._inventory.hold(hold)
        except DependencyUnavailable as error:
            timed_out = isinstance(error, DependencyTimeout)
            return CartAndHold(cart=cart, units=units, timed_out=timed_out)
        return CartAndHold(cart=cart, units=units, answer=answer)
