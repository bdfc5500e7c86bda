"""What a saga reserves at the inventory, and the undo of it.

A reservation is identified by its saga id and product; its undo is a `ReleaseEffect` of the same.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.inventory import InventoryActivities
    from models.effects import ReleaseEffect
    from models.errors import NotSent
    from models.outcomes import MissingUnits
    from models.saga import SagaRun
    from models.steps import Reservation, ReserveInventory
    from workflows import policies
    from workflows.steps import is_first_try, step

AT_ONCE = 8
"""Products that a saga reserves at once."""


class Reservations:
    """The reservations of one saga.

    `undo` releases what was or may have been reserved. It is None while an earlier try of the saga
    may have reserved what this one does not know.
    """

    def __init__(self, run: SagaRun, *, ttl_seconds: int | None) -> None:
        """`ttl_seconds` as in `ReserveInventory`."""
        self._run = run
        self._ttl_seconds = ttl_seconds
        self._granted: set[str] = set()
        self.undo: tuple[ReleaseEffect, ...] | None = () if is_first_try() else None

    async def reserve_all(self, wanted: Sequence[ReleaseEffect]) -> tuple[MissingUnits, ...]:
        """Reserves what these releases undo, in the order of the products, several at once.

        Returns the products that cannot be had. The others are tried nevertheless, so that all are
        known. What an earlier call has reserved is left as it is.
        """
        wanted = [one for one in wanted if one.id not in self._granted]
        self.register(*wanted)
        products: dict[str, list[ReleaseEffect]] = defaultdict(list)
        for one in sorted(wanted, key=lambda one: one.product_id):
            products[one.product_id].append(one)
        free = asyncio.Semaphore(AT_ONCE)

        async def reserve(parts: list[ReleaseEffect]) -> MissingUnits | None:
            async with free:
                return await self._reserve_product(parts)

        found = await asyncio.gather(*map(reserve, products.values()), return_exceptions=True)
        missing: list[MissingUnits] = []
        for answer in found:
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                missing.append(answer)
        return tuple(missing)

    async def _reserve_product(self, parts: Sequence[ReleaseEffect]) -> MissingUnits | None:
        """Reserves the parts of a product one after the other: so the number of units that a
        refusal says are available is that beside the granted parts."""
        for undo in parts:
            answer = await self.reserve(undo)
            if not answer.granted:
                mine = sum(
                    one.quantity
                    for one in self.undo or ()
                    if one.product_id == undo.product_id and one.id in self._granted
                )
                return MissingUnits(
                    product_id=undo.product_id,
                    wanted=mine + sum(one.quantity for one in parts if one.id not in self._granted),
                    available=None if answer.available is None else answer.available + mine,
                    accepted=answer.accepted,
                )
        return None

    async def reserve(self, undo: ReleaseEffect, *, from_user_id: str | None = None) -> Reservation:
        """Reserves the units that `undo` releases, and returns the inventory's answer.

        With `from_user_id` they are moved from that user's holds, to which `undo` gives them back.
        """
        self.register(undo)
        is_moving = from_user_id is not None
        try:
            reservation = await step(
                "inventory",
                workflow.execute_local_activity_method(
                    InventoryActivities.transfer_inventory
                    if is_moving
                    else InventoryActivities.reserve_inventory,
                    ReserveInventory(
                        store_id=self._run.store_id,
                        product_id=undo.product_id,
                        user_id=self._run.user_id,
                        saga_id=undo.saga_id,
                        quantity=undo.quantity,
                        ttl_seconds=self._ttl_seconds,
                        from_user_id=from_user_id,
                    ),
                    **(policies.TRANSFER_INVENTORY if is_moving else policies.RESERVE_INVENTORY),
                ),
            )
        except NotSent:
            self._unregister(undo)
            raise
        if reservation.granted:
            self._granted.add(undo.id)
        elif reservation.nothing_held:
            self._unregister(undo)
        return reservation

    def register(self, *undo: ReleaseEffect) -> None:
        """Registers the undo before the call is made: a call that failed may have been done."""
        ids = {one.id for one in undo}
        self.undo = (*(one for one in self.undo or () if one.id not in ids), *undo)

    @property
    def granted(self) -> tuple[ReleaseEffect, ...]:
        """The undo of what has been reserved."""
        return tuple(one for one in self.undo or () if one.id in self._granted)

    def undo_except(self, saga_ids: Collection[str]) -> tuple[ReleaseEffect, ...]:
        """The undo of what was or may have been reserved, but for these saga ids."""
        return tuple(one for one in self.undo or () if one.saga_id not in saga_ids)

    def _unregister(self, undo: ReleaseEffect) -> None:
        """Takes a registration back, when no try of its step can have reserved anything.

        Only in the saga's first try: in a later one, the step may have been done by an earlier. A
        step that outlasts its workflow task makes this a later try, so it is asked now. The saga
        stays undecided, so that its end is recorded: the caller learns of it, and no later try may
        commit.
        """
        if is_first_try():
            self.undo = tuple(one for one in self.undo or () if one.id != undo.id)
