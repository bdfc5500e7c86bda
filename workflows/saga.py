"""What all sagas have in common: the steps, the undo, and the order in which things may happen.

    compensatable (load, reserve)  ->  pivot (commit)  ->  retriable (cache, events, releases)

Before the pivot a failure undoes; after it nothing may fail the operation. The pivot's step shows
the cart and publishes at once; what it could not do has steps of its own, or is the relay's.

All steps are local activities, so that a saga is one workflow task; when that task is lost they all
run again, which is why every id and time comes from the run (`SagaRun`) and the first step loads
the run's own record.
"""

import asyncio
from collections.abc import Callable

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.carts import CartActivities
    from activities.events import EventActivities
    from activities.inventory import InventoryActivities
    from activities.outbox import OutboxActivities
    from activities.update import UpdateActivities
    from models import messages as m
    from models import steps as s
    from models.checks import refusal_of_tags, refusal_of_update, units_to_reserve
    from models.errors import DependencyUnavailable, VersionConflict
    from models.relays import RelayKind, WakeRelay
    from workflows import ids, policies
    from workflows.steps import attempt, step

_ATTENTION = SearchAttributeKey.for_bool(ids.ATTENTION)

FIRST_TASK_EVENTS = 3
"""The length of a run's history when its first task is tried first: started, scheduled, begun."""

Check = Callable[[s.LoadedCart], m.Refusal | None]
"""Why the cart, as loaded, does not allow the operation (see `models.checks`)."""


class Refused(Exception):
    """The business says no; the operation ends `rejected`."""

    def __init__(self, refusal: m.Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class AlreadyDecided(Exception):
    """There is a record that answers this operation: this run's own, or an earlier run's."""

    def __init__(self, record: s.Recorded) -> None:
        super().__init__(record.run_id)
        self.record = record


class Saga:
    """One run's steps, and what to undo."""

    def __init__(
        self, operation: str, request: m.CartOperation, *, product_id: str | None = None
    ) -> None:
        """Without a `product_id` the operation is about the whole cart."""
        info = workflow.info()
        # workflow_start_time is the same in every try of the run; start_time and now() are not.
        started_at = info.workflow_start_time
        self.request = request
        self.run = m.SagaRun(
            run_id=info.run_id,
            saga_id=ids.saga_id(started_at, request.user_id, product_id or operation),
            started_at=started_at,
            operation=operation,
            operation_id=request.operation_id,
            fingerprint=request.fingerprint,
            store_id=request.store_id,
            user_id=request.user_id,
        )
        self._product_id = product_id
        # Then an earlier try of the run, whose worker died, may have done any of its steps.
        self._tried_before = info.get_current_history_length() > FIRST_TASK_EVENTS
        self._cart: s.LoadedCart | None = None
        self._update: m.UpdateQuantityInput | None = None
        self._unheard = False
        self._undo: list[m.ReleaseEffect] = []
        self._pivot_tried = False
        self._shown = False
        self._published: bool | None = None
        self.left_to_relays: list[RelayKind] = []

    @property
    def cart_id(self) -> str | None:
        """The cart that was loaded."""
        return self._cart.cart_id if self._cart else None

    @staticmethod
    def show(text: str) -> None:
        """What the Web UI and `cart ops show` say of the saga now."""
        workflow.set_current_details(text)

    async def load(self, check: Check | None = None) -> s.LoadedCart:
        """Loads the facts, and checks them; raises `AlreadyDecided` when there is an answer."""
        self.show("Loading the cart")
        cart = await step(
            "mongodb",
            workflow.execute_local_activity_method(
                CartActivities.load,
                s.LoadCart(run=self.run, product_id=self._product_id),
                **policies.LOAD,
            ),
        )
        return self._loaded(cart, check)

    def _loaded(self, cart: s.LoadedCart, check: Check | None) -> s.LoadedCart:
        self._cart = cart
        if cart.record is not None:
            raise AlreadyDecided(cart.record)
        refusal = refusal_of_tags(cart, self.request)
        if refusal is None and check is not None:
            refusal = check(cart)
        if refusal is not None:
            raise Refused(refusal)
        return cart

    async def load_and_reserve(self, update: m.UpdateQuantityInput) -> s.LoadedCart:
        """`load` for an update, and `reserve` of the units that it needs more, in one step.

        How many these are only the step knows: while it has not been heard of, the undo has to
        find out (`_recall`).
        """
        self._update = update
        self._unheard = True
        self.show(f"Loading the cart; the inventory holds what is more of {update.product_id}")
        found = await step(
            "mongodb",
            workflow.execute_local_activity_method(
                UpdateActivities.load_and_reserve,
                s.LoadForUpdate(run=self.run, update=update),
                **policies.LOAD_AND_RESERVE,
            ),
        )
        self._unheard = False

        def check(cart: s.LoadedCart) -> m.Refusal | None:
            return refusal_of_update(cart, update)

        if found.cart is None:
            cart = await self.load(check)
            if units := units_to_reserve(cart, update):
                await self.reserve(update.product_id, units)
            return cart
        release = self._register(update.product_id, found.units) if found.units else None
        cart = self._loaded(found.cart, check)
        if release is None:
            return cart
        if found.timed_out:
            raise DependencyUnavailable("inventory", "it did not answer in time")
        if found.answer is None:
            await self._hold(release)
        else:
            await self._held(found.answer)
        return cart

    async def reserve(self, product_id: str, quantity: int, check: Check | None = None) -> None:
        """Holds units; raises `Refused` when there are too few. Undone unless the saga commits.

        What `check` finds wrong with the cart is told rather than that there are too few.
        """
        if not self.request.policy.reserve:
            return
        # Registered first: a reserve that failed may have been done.
        await self._hold(self._register(product_id, quantity), check)

    async def _hold(self, release: m.ReleaseEffect, check: Check | None = None) -> None:
        """Holds what `release` would give back."""
        hold = s.ReserveHold(
            store_id=self.run.store_id,
            product_id=release.product_id,
            user_id=self.run.user_id,
            saga_id=self.run.saga_id,
            quantity=release.quantity,
        )
        self.show(f"Waiting for the inventory to hold {hold.quantity} x {hold.product_id}")
        answer = await step(
            "inventory",
            workflow.execute_local_activity_method(
                InventoryActivities.reserve, hold, **policies.RESERVE
            ),
        )
        await self._held(answer, check)

    async def _held(self, answer: s.HoldAnswer, check: Check | None = None) -> None:
        """A refusal holds nothing, and yet is undone: only a settled run cannot commit any more.

        The caller is told before the workflow's task is over. Where that is lost all runs again,
        and the units may be there then.
        """
        if answer.granted:
            return
        # A run that was undone before is refused too: its record says more than "too few".
        await self.load(check)
        raise Refused(m.Refusal(code="insufficient_stock", available=answer.available))

    def _register(self, product_id: str, quantity: int) -> m.ReleaseEffect:
        """The undo of a reserve."""
        release = m.ReleaseEffect(
            id=f"{self.run.run_id}/release/{len(self._undo)}",
            product_id=product_id,
            quantity=quantity,
            saga_id=self.run.saga_id,
            reason="saga_aborted",
        )
        self._undo.append(release)
        return release

    async def commit(self, change: m.Change, check: Check | None = None) -> s.Recorded:
        """The pivot; raises `Refused` when the cart does not allow the change.

        A cart that was loaded must be as it was; one that has moved on is loaded and checked again,
        a few times. One that was not is read by the pivot's own step: the caller need not wait for
        a step that only looks.
        """
        for attempt in range(1, policies.MAX_COMMIT_TRIES + 1):
            self._pivot_tried = True
            self.show(f"Storing the change in MongoDB, try {attempt}")
            pivot = s.CommitChange(
                run=self.run,
                policy=self.request.policy,
                expected_version=self._cart.version if self._cart and check else None,
                expected_cart_id=self._cart.cart_id if self._cart and check else None,
                change=change,
                reply_to=self.request.reply_to,
            )
            try:
                committed = await step(
                    "mongodb",
                    workflow.execute_local_activity_method(
                        CartActivities.commit, pivot, **policies.COMMIT
                    ),
                )
            except VersionConflict:
                if attempt == policies.MAX_COMMIT_TRIES:
                    raise
                if check is not None:
                    await self.load(check)
            else:
                return self._committed(committed)
        raise AssertionError("unreachable")

    def _committed(self, outcome: s.Committed) -> s.Recorded:
        if outcome.record is None:
            self._pivot_tried = False  # it wrote nothing, and never will
            refusal = outcome.refusal or m.Refusal(code="cart_not_found")
            raise Refused(refusal)
        self._shown = outcome.shown
        self._published = outcome.published
        return outcome.record

    async def undo(self, reason: str) -> s.Recorded | None:
        """Makes sure that the run never commits, then gives back what it holds.

        Answers the run's record, its effects done: `committed` when the pivot turns out to have
        happened. None when there was nothing to undo.
        """
        if not self._undo and not self._pivot_tried:
            if self._cart is not None or not (self._tried_before or self._unheard):
                return None
            await self._recall()
        self.show(f"Undoing: {reason}")
        request = s.SettleRun(run=self.run, reason=reason, releases=tuple(self._undo))
        try:
            record = await workflow.execute_local_activity_method(
                CartActivities.settle, request, **policies.SETTLE
            )
        except FailureError:
            # MongoDB is away. Nothing else could be written to this cart either, so wait here,
            # where the Web UI shows the retries.
            self.show(
                f"**Undoing** ({reason}), **waiting for MongoDB** since "
                f"{workflow.now():%Y-%m-%d %H:%M:%S} UTC: only its answer tells whether the change "
                "was stored. The cart stays locked until then; nothing can be written to it anyway."
            )
            workflow.upsert_search_attributes([_ATTENTION.value_set(True)])
            record = await workflow.execute_activity_method(
                CartActivities.settle,
                request,
                **policies.SETTLE_FOR_AS_LONG_AS_IT_TAKES,
            )
            workflow.upsert_search_attributes([_ATTENTION.value_set(False)])
        await self.finish(record)
        return record

    async def _recall(self) -> None:
        """Registers what an update may have reserved, where the run has not heard of the load."""
        update = self._update if self.request.policy.reserve else None
        request = s.LoadCart(run=self.run, product_id=self._product_id)
        cart = await workflow.execute_activity_method(
            CartActivities.load, request, **policies.LOAD_FOR_AS_LONG_AS_IT_TAKES
        )
        if update is not None and update.quantity > cart.line_quantity:
            self._register(update.product_id, update.quantity - cart.line_quantity)

    async def finish(self, record: s.Recorded) -> None:
        """Does the effects of a record, all at once. What fails stays pending in the record."""
        events = tuple(e for e in record.effects if e.kind == "event" and e.done_at is None)
        releases = tuple(e for e in record.effects if e.kind == "release" and e.done_at is None)
        _, published, released = await asyncio.gather(
            self._show(record),
            self._publish(record.run_id, events),
            self._release(record.run_id, releases),
        )
        if events and not published:
            await self.leave_to_relay(RelayKind.EVENTS)
        if releases and not released:
            await self.leave_to_relay(RelayKind.RELEASES)

    async def answer(self, result: m.OperationResult) -> None:
        """Tells the caller of an operation that did not commit (see `CartActivities.commit`)."""
        reply_to = self.request.reply_to
        if reply_to is None or result.outcome is m.Outcome.COMMITTED:
            return
        message = s.AnswerCaller(reply_to=reply_to, result=result)
        await attempt(
            workflow.execute_local_activity_method(
                CartActivities.answer, message, **policies.ANSWER
            )
        )

    async def leave_to_relay(self, kind: RelayKind) -> None:
        """What was left pending is the relay's now."""
        self.left_to_relays.append(kind)
        request = WakeRelay(kind=kind, store_id=self.run.store_id, user_id=self.run.user_id)
        await attempt(
            workflow.execute_local_activity_method(
                OutboxActivities.wake, request, **policies.WAKE_RELAY
            )
        )

    async def _show(self, record: s.Recorded) -> None:
        """Where an earlier try committed, or Redis was away, the cart is still to be shown."""
        reply_to = self.request.reply_to
        if record.state == "aborted" or self._shown:
            return
        if self.request.policy.cache or reply_to is not None:
            request = s.ShowCart(
                run=self.run,
                product_id=self._product_id,
                cache=self.request.policy.cache,
                reply_to=reply_to,
            )
            await attempt(
                workflow.execute_local_activity_method(
                    CartActivities.show, request, **policies.SHOW
                )
            )

    async def _publish(self, run_id: str, events: tuple[m.EventEffect, ...]) -> bool:
        """Whether there are events, and all are published and noted; never before earlier ones."""
        if self._published is not None:
            return self._published  # the pivot's step has tried
        if not events:
            return False
        request = s.PublishEvents(
            run_id=run_id,
            store_id=self.run.store_id,
            user_id=self.run.user_id,
            events=events,
        )
        return await attempt(
            workflow.execute_local_activity_method(
                EventActivities.publish, request, **policies.PUBLISH
            )
        )

    async def _release(self, run_id: str, releases: tuple[m.ReleaseEffect, ...]) -> bool:
        """Whether there were holds to give back, and all are given back and noted."""
        if not releases:
            return False
        request = s.ReleaseHolds(
            run_id=run_id,
            store_id=self.run.store_id,
            user_id=self.run.user_id,
            releases=releases,
        )
        return await attempt(
            workflow.execute_local_activity_method(
                InventoryActivities.release, request, **policies.RELEASE
            )
        )
