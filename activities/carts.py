"""Steps on MongoDB: load, the pivot and what follows it at once, and its settling."""

import logging

from beanie import PydanticObjectId
from temporalio import activity

from activities.errors import as_application_error
from activities.events import EventActivities
from activities.heartbeats import heartbeats
from adapters.mongo.carts import CartStore, recorded
from adapters.redis.answers import Announcement, announcement
from adapters.redis.cart_cache import CartCache
from models.cart import CartContent
from models.changes import ChangeRefused, cart_json
from models.errors import CartServiceError, DependencyUnavailable
from models.messages import (
    Change,
    ClearCart,
    MarkAvailability,
    OperationResult,
    Outcome,
    RepairCart,
    ReplyTo,
    SagaRun,
)
from models.operation import Operation
from models.steps import (
    AnswerCaller,
    CommitChange,
    Committed,
    LoadCart,
    LoadedCart,
    PublishEvents,
    Recorded,
    SettleRun,
    ShowCart,
)
from telemetry.metrics import UNDOS

logger = logging.getLogger(__name__)


class CartActivities:
    """Activities over a `CartStore`, over the `CartCache` that shows what it has, and over the
    `EventActivities` that tell of it."""

    def __init__(self, carts: CartStore, cache: CartCache, events: EventActivities) -> None:
        self._carts = carts
        self._cache = cache
        self._events = events

    @activity.defn(name="load_cart")
    async def load(self, request: LoadCart) -> LoadedCart:
        """What a saga decides on, with its own record if an earlier try has written one."""
        with as_application_error():
            return await self._carts.load(request)

    @activity.defn(name="commit_change")
    async def commit(self, request: CommitChange) -> Committed:
        """The pivot: the cart's next version and the run's record, both or neither.

        From here on nothing can fail the operation, so the cart is shown, the caller answered, and
        the event published in the same step: each further step would cost as much as two database
        calls. What does not succeed at once is left to the saga, and to the record.
        """
        try:
            with as_application_error():
                pivot = await self._carts.commit(request)
        except ChangeRefused as refused:
            return Committed(refusal=refused.refusal)
        record = recorded(pivot.record)
        if pivot.new is None:
            return Committed(record=record)
        shown = await self._shown(
            pivot.record,
            pivot.new.cart,
            record.cart_id,
            products=_products(request.change),
            cache=request.policy.cache,
            reply_to=request.reply_to,
        )
        published = await self._published(request.run, record)
        return Committed(record=record, shown=shown, published=published)

    async def _published(self, run: SagaRun, record: Recorded) -> bool | None:
        """Whether the new record's events are published and noted; None when there are none."""
        events = tuple(effect for effect in record.effects if effect.kind == "event")
        if not events:
            return None
        try:
            await self._events.tell(
                PublishEvents(
                    run_id=run.run_id, store_id=run.store_id, user_id=run.user_id, events=events
                )
            )
        except CartServiceError as error:
            logger.warning("Left pending: %s", error)
            return False
        return True

    @activity.defn(name="show_cart")
    async def show(self, request: ShowCart) -> None:
        """Shows what the run has committed, or a later version, where the pivot could not."""
        run = request.run
        with as_application_error():
            record = await self._carts.record(run.run_id)
            cart = await self._carts.cart(run.store_id, run.user_id)
        if record is not None:
            await self._shown(
                record,
                cart,
                str(cart.id) if cart else None,
                products=(request.product_id,) if request.product_id else (),
                cache=request.cache,
                reply_to=request.reply_to,
            )

    @activity.defn(name="settle_run")
    async def settle(self, request: SettleRun) -> Recorded:
        """Records the run as aborted unless it has committed; answers what it is."""
        async with heartbeats():
            with as_application_error():
                record = await self._carts.settle(request.run, request.reason, request.releases)
        if record.state == "aborted":
            UNDOS.add(1, {"operation": request.run.operation, "reason": request.reason})
        return record

    @activity.defn(name="answer_caller")
    async def answer(self, request: AnswerCaller) -> None:
        """Tells the caller, if it still listens."""
        with as_application_error():
            await self._cache.announce(announcement(request.reply_to, request.result, None))

    async def _shown(
        self,
        record: Operation,
        cart: CartContent | None,
        cart_id: str | None,
        *,
        products: tuple[str, ...],
        cache: bool,
        reply_to: ReplyTo | None,
    ) -> bool:
        """Caches the cart, or that it is gone, and announces the answer.

        The cached stock of the products is dropped with it. False when it is worth another try:
        where Redis is known to be away, a step for that would only delay the result.
        """
        announced = _committed(record, reply_to) if reply_to else None
        try:
            if cache and cart is None:
                await self._cache.drop(
                    record.store_id, record.user_id, at=record.at, announce=announced
                )
            elif cache and cart is not None:
                await self._cache.put(
                    record.store_id,
                    record.user_id,
                    created_at=cart.created_at,
                    version=cart.version,
                    body=cart_json(PydanticObjectId(cart_id), cart),
                    changed_products=products,
                    announce=announced,
                )
            elif announced:
                await self._cache.announce(announced)
        except DependencyUnavailable as error:  # the breaker warns, once
            logger.debug("Cart was not shown: %s", error)
            return self._cache.is_away
        return True


def _products(change: Change) -> tuple[str, ...]:
    """What a change is about; what a clearing or a repair frees is dropped as it is freed."""
    match change:
        case ClearCart() | RepairCart():
            return ()
        case MarkAvailability():
            return tuple(news.product_id for news in change.request.news)
        case _:
            return (change.request.product_id,)


def _committed(record: Operation, reply_to: ReplyTo) -> Announcement:
    result = OperationResult(
        outcome=Outcome.COMMITTED,
        operation=record.operation,
        operation_id=record.operation_id,
        run_id=record.id,
        saga_id=record.saga_id,
        cart_id=record.cart_id,
        version=record.version,
    )
    return announcement(reply_to, result, record.answer)
