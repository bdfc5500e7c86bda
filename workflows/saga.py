"""The saga engine: the steps of an operation, its compensations, and its one end.

    load_cart, reserve_inventory -> persist_cart -> refresh_cache, publish_event, release_inventory
    before the pivot                the pivot       after the pivot

Before the pivot a failure compensates: `settle_operation` records the saga as ended, so that it can
never commit, and what it has reserved is released. After the pivot nothing fails the operation: an
effect that cannot be done now stays pending in the record, and a relay does it.

All steps are local activities, so a saga is one workflow task. When that task is lost, all steps
run again, as a further try of the same saga: its ids and its time come from the start of its first
run, and all tries share one record. A run that an operator resets is such a try too, but takes no
steps: it only completes what the record has decided, or records that nothing more will happen.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.cache import CacheActivities
    from activities.carts import CartActivities
    from activities.events import EventActivities
    from activities.inventory import InventoryActivities
    from activities.relay import RelayActivities
    from models.actor import Intervention
    from models.cart import CartKey
    from models.cart_facts import CartFacts
    from models.effects import EffectKind, ReleaseEffect
    from models.errors import DependencyUnavailable
    from models.operations import AnyOperation
    from models.outcomes import (
        AbortReason,
        MissingUnits,
        OperationResult,
        Outcome,
        Refusal,
        Refused,
    )
    from models.relays import WakeRelay
    from models.steps import (
        DoEffects,
        LoadCart,
        PersistCart,
        RefreshCache,
        ReplyToCaller,
        Reservation,
        SettleOperation,
    )
    from workflows import ids, policies
    from workflows.reservations import Reservations
    from workflows.steps import abort_reason, attempt, is_first_try, step

_ATTENTION = SearchAttributeKey.for_bool(ids.ATTENTION)


class Phase(StrEnum):
    """How far a saga is."""

    NEW = "new"
    """No step has had an effect."""
    UNDECIDED = "undecided"
    """A step may have reserved or persisted something; only the saga's record ends it."""
    DECIDED = "decided"
    """The record is written."""


class Decided(Exception):
    """The operation has ended before its steps have."""

    def __init__(self, result: OperationResult) -> None:
        super().__init__(result.outcome)
        self.result = result


Effect = Callable[[], Awaitable[None]]
"""A step after the pivot."""


class Saga:
    """One saga: its phase, what it has reserved, and its result once it is decided."""

    def __init__(self, operation: AnyOperation) -> None:
        info = workflow.info()
        self.operation = operation
        # Of the clocks, only this one is the same in every try.
        started_at = info.workflow_start_time
        self.run = ids.saga_of(operation, run_id=info.run_id, started_at=started_at)
        # A run that is reset has an id of its own, and the first run's history.
        self.is_reset = info.run_id != info.first_execution_run_id
        # An earlier try, whose worker died or which was reset, may have done any step.
        self.phase = Phase.NEW if is_first_try() else Phase.UNDECIDED
        self._cart: CartFacts | None = None
        self.reservations = Reservations(self.run, ttl_seconds=operation.policy.reserved_seconds)
        self._result: OperationResult | None = None
        self.intervention: Intervention | None = None
        """The operator's request that has stopped the steps."""

    # Before the pivot

    async def load_cart(self, *, releasing: bool = False) -> CartFacts:
        """Loads the cart and checks that it allows the operation; `releasing` as in `LoadCart`.

        Raises `Decided` when the operation has ended before, `Refused` when the cart refuses it.
        """
        self.show("Loading the cart")
        loaded = await step(
            "mongodb",
            workflow.execute_local_activity_method(
                CartActivities.load_cart,
                LoadCart.of(self.run, self.operation, releasing=releasing),
                **policies.LOAD_CART,
            ),
        )
        if loaded.decided is not None:
            self._note(loaded.decided)
            raise Decided(loaded.decided)
        self._cart = loaded.cart
        if refusal := self.operation.check(loaded.cart):
            raise Refused(refusal)
        return loaded.cart

    async def reserve_inventory(self, cart: CartFacts) -> None:
        """Reserves what the operation must hold and this cart does not; undone by
        `release_inventory` unless the saga commits. What is reserved already is not again.

        Raises `Refused` when the inventory refuses, or when a rule of the cart forbids the
        operation; `DependencyUnavailable` while units whose hold has ended are still to be
        released, of which there may then be enough.
        """
        wanted = self.operation.reservations(self.run, cart)
        if not wanted:
            return
        if missing := await self.try_reserve_all(wanted):
            # A rule of the cart takes precedence, and so does a decision.
            cart = await self.load_cart(releasing=True)
            if returning := {one.product_id for one in missing}.intersection(cart.releasing):
                detail = f"units of {', '.join(sorted(returning))} are still to be released"
                raise DependencyUnavailable("inventory", detail)
            raise Refused(self.operation.out_of_stock(missing, cart))

    async def try_reserve_all(self, wanted: Sequence[ReleaseEffect]) -> tuple[MissingUnits, ...]:
        """Reserves the units that these undo, as far as they can be had; returns the others."""
        self.phase = Phase.UNDECIDED
        self.show(f"Reserving {', '.join(f'{one.quantity} x {one.product_id}' for one in wanted)}")
        return await self.reservations.reserve_all(wanted)

    async def try_reserve(
        self, undo: ReleaseEffect, *, from_user_id: str | None = None
    ) -> Reservation:
        """Reserves the units that `undo` releases, or moves them from another user's holds, and
        returns the inventory's answer."""
        self.phase = Phase.UNDECIDED
        self.show(f"Reserving {undo.quantity} x {undo.product_id}")
        return await self.reservations.reserve(undo, from_user_id=from_user_id)

    def register_earlier(self, *undo: ReleaseEffect) -> None:
        """Registers the undo of reservations that an earlier try of the saga may have made."""
        if not is_first_try():
            self.phase = Phase.UNDECIDED
            self.reservations.register(*undo)

    # The pivot

    async def persist_cart(
        self, operation: AnyOperation | None = None, *, expected: CartFacts | None = None
    ) -> None:
        """Stores the cart and the saga's record, both or neither.

        `operation` adds to the saga's what its steps have found out. `expected` is the cart on
        which the steps have decided. Returns without a record when the cart needs no change.
        Raises `Decided` when the operation is rejected, or was decided before.
        """
        self.phase = Phase.UNDECIDED
        self.show("Storing the cart in MongoDB")
        result = await step(
            "mongodb",
            workflow.execute_local_activity_method(
                CartActivities.persist_cart,
                PersistCart(
                    saga=self.run,
                    operation=operation or self.operation,
                    expected=expected,
                    reserved=self.reservations.undo or (),
                ),
                **policies.PERSIST_CART,
            ),
        )
        self._note(result)
        if result.outcome not in {Outcome.COMMITTED, Outcome.UNCHANGED}:
            raise Decided(result)

    def _note(self, result: OperationResult) -> None:
        """Notes the decision when it is this saga's own."""
        if result.record_id == self.run.record_id and result.outcome is not Outcome.UNCHANGED:
            self.phase = Phase.DECIDED
            self._result = result

    # After the pivot

    async def complete(self, *effects: Effect) -> None:
        """Does these effects of the saga's record, side by side."""
        if self._result is not None:
            await asyncio.gather(*(effect() for effect in effects))

    async def refresh_cache(self) -> None:
        """Writes the committed cart to Redis, and replies to the caller. Best effort: a reader
        compares what it finds in Redis with MongoDB, and the caller falls back to Temporal."""
        operation = self.operation
        if operation.policy.cache or operation.reply_to is not None:
            await attempt(
                workflow.execute_local_activity_method(
                    CacheActivities.refresh_cache,
                    RefreshCache(
                        saga=self.run,
                        cache=operation.policy.cache,
                        products=operation.products,
                        reply_to=operation.reply_to,
                    ),
                    **policies.REFRESH_CACHE,
                )
            )

    async def publish_event(self) -> None:
        """Publishes the saga's events; what fails is left to the relay."""
        if self._is_pending(EffectKind.EVENT):
            published = workflow.execute_local_activity_method(
                EventActivities.publish_event, DoEffects(saga=self.run), **policies.PUBLISH_EVENT
            )
            await self._finish(EffectKind.EVENT, published)

    async def release_inventory(self) -> None:
        """Releases units that the saga's record gives back; what fails is left to the relay."""
        if self._is_pending(EffectKind.RELEASE):
            released = workflow.execute_local_activity_method(
                InventoryActivities.release_inventory,
                DoEffects(saga=self.run),
                **policies.RELEASE_INVENTORY,
            )
            await self._finish(EffectKind.RELEASE, released)

    def _is_pending(self, kind: EffectKind) -> bool:
        return self._result is not None and kind in self._result.pending

    async def _finish(self, kind: EffectKind, effect: Awaitable[None]) -> None:
        assert self._result is not None  # noqa: S101 (an effect is pending)
        if await attempt(effect):
            left = tuple(one for one in self._result.pending if one is not kind)
            self._result = self._result.model_copy(update={"pending": left})
        else:
            await self.wake_relay(kind)

    async def wake_relay(self, kind: EffectKind, cart: CartKey | None = None) -> None:
        """Leaves the pending effects of a kind to their relay: the cart's, or another one's."""
        store_id, user_id = cart or self.run.key
        request = WakeRelay(kind=kind, store_id=store_id, user_id=user_id)
        await attempt(
            workflow.execute_local_activity_method(
                RelayActivities.wake_relay, request, **policies.WAKE_RELAY
            )
        )

    # The end

    def finished(self) -> OperationResult:
        """The result once all steps have succeeded: `unchanged` when there is no record."""
        if self._result is not None:
            return self._result
        unchanged = self.result(Outcome.UNCHANGED)
        return unchanged.model_copy(update={"cart_id": self._cart and self._cart.cart_id})

    async def compensate(
        self, error: Exception | asyncio.CancelledError, stopped: AbortReason | None
    ) -> OperationResult:
        """Ends a saga whose steps did not succeed; `stopped` is set when they were interrupted.

        Completes it instead when it turns out to have committed. An unforeseen error is raised
        again once the saga is undone.
        """
        refusal: Refusal | None = None
        reason: AbortReason | None = None
        match error:
            case Decided():
                result, reason = error.result, AbortReason.REPLAYED
            case Refused():
                refusal = error.refusal
                result = self.result(Outcome.REJECTED, refusal=refusal)
            case _:
                reason = stopped or abort_reason(error)
                result = self.result(Outcome.ABORTED, reason=reason)
        if self.phase is Phase.UNDECIDED or self._owes_a_release:
            await self._settle(refusal, reason)
        if self._result is not None:
            await self._complete_decided()
            # Another saga's answer to the same operation stands; the record only undoes this one.
            if result.record_id == self.run.record_id:
                result = self._result
        if result.reason is AbortReason.UNEXPECTED and not isinstance(error, Decided):
            raise error
        return result

    @property
    def _owes_a_release(self) -> bool:
        """Whether this try has reserved units that the decision of an earlier one does not know."""
        result = self._result
        if result is None or result.outcome is Outcome.COMMITTED:
            return False
        return bool(self.reservations.undo) and EffectKind.RELEASE not in result.pending

    async def _complete_decided(self) -> None:
        if self._result is not None and self._result.outcome is Outcome.COMMITTED:
            await self.complete(self.refresh_cache, self.publish_event, self.release_inventory)
        else:
            await self.complete(self.release_inventory)

    async def _settle(self, refusal: Refusal | None, reason: AbortReason | None) -> None:
        """Makes sure that the saga never commits, or finds that it has."""
        why = reason or (refusal.code if refusal else "")
        self.show(f"Undoing: {why}")
        request = SettleOperation(
            saga=self.run,
            operation=self.operation,
            refusal=refusal,
            reason=reason,
            reserved=self.reservations.undo,
            intervention=self.intervention,
        )
        try:
            result = await workflow.execute_local_activity_method(
                CartActivities.settle_operation, request, **policies.SETTLE_OPERATION
            )
        except FailureError:
            # MongoDB is away. Nothing else could write to this cart either, so wait here, where
            # the Web UI shows the retries.
            self.show(
                f"**Undoing** ({why}), **waiting for MongoDB** since "
                f"{workflow.now():%Y-%m-%d %H:%M:%S} UTC: only its answer decides whether the "
                "change was stored. The cart stays locked until then."
            )
            workflow.upsert_search_attributes([_ATTENTION.value_set(True)])
            result = await workflow.execute_activity_method(
                CartActivities.settle_operation, request, **policies.SETTLE_UNTIL_DECIDED
            )
            workflow.upsert_search_attributes([_ATTENTION.value_set(False)])
        self._note(result)

    async def reply(self, result: OperationResult) -> None:
        """Sends the caller the result of an operation that did not commit; `refresh_cache` replies
        for one that did."""
        reply_to = self.operation.reply_to
        if reply_to is not None and result.outcome is not Outcome.COMMITTED:
            await attempt(
                workflow.execute_local_activity_method(
                    CacheActivities.reply_to_caller,
                    ReplyToCaller(reply_to=reply_to, result=result),
                    **policies.REPLY_TO_CALLER,
                )
            )

    def result(
        self,
        outcome: Outcome,
        *,
        refusal: Refusal | None = None,
        reason: AbortReason | None = None,
    ) -> OperationResult:
        """A result of this saga that is not (yet) recorded."""
        return OperationResult.of(self.run, outcome, refusal=refusal, reason=reason)

    @staticmethod
    def show(text: str) -> None:
        """Sets what the Web UI and `cart ops show` display of the saga now."""
        workflow.set_current_details(text)
