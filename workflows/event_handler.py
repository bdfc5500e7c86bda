"""Turns consumed events into operations on carts, and retries until each is done.

A passing problem (a dependency is down) is retried for as long as it lasts, in the order of each
cart, and a cart or product for a limited time (`event_failures`). A message that no retry can help
is parked as a dead letter. Kafka itself is `adapters.kafka.consumer`; the operations are built by
`event_operations`.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import Protocol, assert_never

import structlog
from structlog.contextvars import bound_contextvars

from adapters.mongo.cart_scans import CartRef
from adapters.mongo.carts import Owner
from models.cart import CartKey
from models.cart_line import ProductAvailability
from models.documents import OperationRecord
from models.errors import (
    DependencyUnavailable,
    EventUnusable,
    OperationAborted,
    OperationInProgress,
)
from models.events import CART_ITEM_OUT_OF_STOCK
from models.incoming import (
    BackInStock,
    ConsumedMessage,
    Event,
    OrderCancelled,
    OrderCompleted,
    OutOfStock,
    event_id,
    event_time,
    read_event,
)
from models.limits import Policy
from models.mark_product import MarkProductInput
from models.operations import ApplyOrder, CancelOrder, CartOperation
from models.outcomes import OperationResult, Outcome, RefusalCode
from telemetry import tracing
from telemetry.metrics import CONSUMED, ORDER_UNITS_SHORT, PARKED, RETRIED
from workflows.event_failures import EventFailures
from workflows.event_operations import apply_order, book_short, cancel_order, mark_lines
from workflows.waiting_events import WaitingEvents

logger = structlog.stdlib.get_logger(__name__)

AT_ONCE = 64
"""Messages handled at once; those that wait for another try do not count."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
PASSING = (DependencyUnavailable, OperationAborted, OperationInProgress)


class OperationGateway(Protocol):
    """Carries operations out (`workflows.gateway.CartGateway`)."""

    async def carry_out(self, request: CartOperation) -> OperationResult: ...
    async def mark_product(self, request: MarkProductInput) -> None: ...


class Records(Protocol):
    """Finds what was committed before (`adapters.mongo.operations.OperationStore`)."""

    async def committed_record(
        self, operation_id: str, cart: CartKey
    ) -> OperationRecord | None: ...


class CartOwners(Protocol):
    """Finds the owners of carts (`adapters.mongo.carts.CartStore`)."""

    async def owner(self, cart_id: str) -> Owner | None: ...


class Parking(Protocol):
    """Keeps what cannot be used (`adapters.kafka.dead_letters.DeadLetters`)."""

    async def park(self, message: ConsumedMessage, why: EventUnusable) -> None: ...


class Policies(Protocol):
    """The policy of each store (`adapters.mongo.store_policies.StorePolicies`)."""

    usual: Policy

    async def of(self, store_id: str) -> Policy: ...


class EventHandler:
    """Deals with consumed messages; the `MessageHandler` of an `EventConsumer`.

    `waiting` are the messages that it keeps trying in vain.
    """

    def __init__(
        self,
        gateway: OperationGateway,
        records: Records,
        carts: CartOwners,
        dead_letters: Parking,
        *,
        policies: Policies,
    ) -> None:
        """`policies` are what the operations take with them."""
        self._gateway = gateway
        self._records = records
        self._carts = carts
        self._dead_letters = dead_letters
        self._policies = policies
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self.waiting = WaitingEvents()

    def lane(self, message: ConsumedMessage) -> str:
        """The cart or product of a message; messages of one lane are handled in order."""
        try:
            event = read_event(message)
        except EventUnusable:
            return f"unusable/{message.offset}"  # in a lane of its own
        match event:
            case (
                OrderCompleted(cart_id=str(cart))
                | OrderCancelled(cart_id=str(cart))
                | OutOfStock(cart_id=str(cart))
            ):
                return f"cart/{cart.lower()}"
            case OutOfStock():
                return f"product/{event.items[0].product_id}"
            case BackInStock():
                return f"product/{event.product_id}"
            case _:
                assert_never(event)

    async def take(self, message: ConsumedMessage) -> None:
        """Returns when the message has had its effect, or is parked."""
        with (
            tracing.receiving(message.topic, message.header(tracing.HEADER)),
            bound_contextvars(**_about(message)),
        ):
            try:
                await self._take(message)
            finally:
                self.waiting.done(message)

    async def _take(self, message: ConsumedMessage) -> None:
        unusable: EventUnusable | None = None
        failures = EventFailures()
        for tries in count(1):
            try:
                async with self._at_once:
                    if unusable is None:
                        await self._handle(message)
                    else:
                        await self._park(message, unusable)
            except EventUnusable as why:
                unusable = why
                continue
            except PASSING as problem:
                RETRIED.add(1, {"topic": message.topic})
                self.waiting.note(message, self.lane(message), tries, problem)
                why_not = failures.passing(problem)
            except Exception as error:
                logger.exception("event_failed", message="Event cannot be handled")
                why_not = failures.unforeseen(error)
            else:
                if unusable is None:
                    CONSUMED.add(1, {"topic": message.topic})
                else:
                    PARKED.add(1, {"topic": message.topic, "error": unusable.code})
                return
            if unusable is None and why_not is not None:
                unusable = why_not
                continue
            await asyncio.sleep(min(FIRST_PAUSE * 2 ** min(tries, 16), LONGEST_PAUSE))

    async def _handle(self, message: ConsumedMessage) -> None:
        event = read_event(message)
        match event:
            case OrderCompleted():
                await self._order_completed(event)
            case OrderCancelled():
                await self._order_cancelled(event)
            case OutOfStock(cart_id=str(cart_id)):
                await self._lines_out_of_stock(message, event, cart_id.lower())
            case OutOfStock():
                for item in event.items:
                    news = _news(message, event, item.product_id, item.reason)
                    await self._bring(message, event, news)
            case BackInStock():
                news = _news(message, event, event.product_id, None)
                await self._bring(message, event, news)
            case _:
                assert_never(event)

    async def _order_completed(self, event: OrderCompleted) -> None:
        """Applies an order. Raises `EventUnusable` when not all of it can be booked."""
        request = apply_order(event, (await self._policies.of(event.store_id)).at_checkout)
        result = await self._carry_out(request)
        if result.outcome is Outcome.REJECTED:
            await self._refused(request, result)
        _log_order(request, result)
        short = await self._still_short(request, result)
        if not short:
            return
        ORDER_UNITS_SHORT.add(sum(short.values()))
        units = ", ".join(f"{count} x {name}" for name, count in short.items())
        logger.warning(
            "order_shortfall",
            message=f"Order cannot be booked in full: {units}",
            short=short,
            **_about_order(request, result),
        )
        detail = f"order {event.order_id} lacks {units}: neither reserved nor available any more"
        raise EventUnusable("order_shortfall", detail)

    async def _order_cancelled(self, event: OrderCancelled) -> None:
        """Cancels an order."""
        request = cancel_order(event, await self._policies.of(event.store_id))
        result = await self._carry_out(request)
        if result.outcome is Outcome.REJECTED:
            if result.refusal and result.refusal.code is RefusalCode.CART_NOT_FOUND:
                raise _wrong_owner(request.request.cart_id, request.key)
            detail = f"order {event.order_id} was cancelled before, with other content"
            raise EventUnusable(result.why or "refused", detail)
        logger.info(
            "order_cancelled",
            message="Order cancelled",
            outcome=result.outcome.value,
            **_about_order(request, result),
        )

    async def _still_short(
        self, request: ApplyOrder, result: OperationResult
    ) -> Mapping[str, int] | None:
        """What an order lacks. A repeat of its event tries again to book what was short before."""
        short = result.short
        for attempt in count(1):
            if not short or result.outcome is not Outcome.REPLAYED:
                break
            result = await self._carry_out(book_short(request, short, attempt))
            if result.outcome is Outcome.REJECTED:
                break
            short = result.short
        return short

    async def _refused(self, request: ApplyOrder, result: OperationResult) -> None:
        """Raises `EventUnusable`, with the reason; not for an order that was cancelled before."""
        order, cart_id = request.request.order_id, request.request.cart_id
        code = result.refusal.code if result.refusal else None
        if code is RefusalCode.ORDER_CANCELLED:
            return
        if code is RefusalCode.CHECKOUT_NOT_FOUND:
            checkout = f"cart {cart_id} was never checked out as {request.request.checkout_id}"
            raise EventUnusable(code.value, checkout)
        if code is not RefusalCode.CART_NOT_FOUND:
            detail = f"order {order} was completed before, with other content"
            raise EventUnusable(result.why or "refused", detail)
        owner = await self._carts.owner(cart_id)
        if owner is not None and owner.key != request.key:
            raise _wrong_owner(cart_id, request.key)
        detail = f"order {order} names no items, and nothing is known of cart {cart_id}"
        raise EventUnusable("order_shortfall", detail)

    async def _lines_out_of_stock(
        self, message: ConsumedMessage, event: OutOfStock, cart_id: str
    ) -> None:
        owner = await self._carts.owner(cart_id)
        if owner is None or owner.cart is None:
            logger.info("no_cart_to_mark", message="No cart to mark", cartId=cart_id)
            return
        if event.store_id not in {None, owner.key.store_id}:
            whose = f"cart {cart_id} is not of store {event.store_id}"
            raise EventUnusable("wrong_owner", whose)
        request = mark_lines(
            CartRef(cart_id, owner.key),
            tuple(_news(message, event, item.product_id, item.reason) for item in event.items),
            topic=message.topic,
            event_id=event_id(message, event),
            policy=await self._policies.of(owner.key.store_id),
        )
        result = await self._carry_out(request)
        if result.refusal and result.refusal.code is RefusalCode.IDEMPOTENCY_KEY_REUSED:
            raise EventUnusable("event_id_reused", f"the id of another event of cart {cart_id}")
        if result.outcome is Outcome.COMMITTED:
            logger.info(
                "cart_items_marked",
                message="Cart items marked out of stock",
                cartId=cart_id,
                sagaId=result.saga_id,
            )

    async def _carry_out(self, request: CartOperation) -> OperationResult:
        """As the gateway does, but a repeat waits for no cart: its record says how it ended."""
        with suppress(DependencyUnavailable):  # a saga finds the same record
            record = await self._records.committed_record(request.operation_id, request.key)
            if record is not None:
                return record.repeated(request.fingerprint)
        return await self._gateway.carry_out(request)

    async def _bring(
        self, message: ConsumedMessage, event: Event, news: ProductAvailability
    ) -> None:
        """Starts the workflow that marks the product in all carts."""
        store_id = event.store_id if isinstance(event, OutOfStock | BackInStock) else None
        request = MarkProductInput(
            topic=message.topic,
            event_id=event_id(message, event),
            store_id=store_id,
            news=news,
            policy=self._policies.usual,  # no store decides how a line is marked
        )
        await self._gateway.mark_product(request)

    async def _park(self, message: ConsumedMessage, why: EventUnusable) -> None:
        await self._dead_letters.park(message, why)
        logger.warning(
            "dead_letter",
            message=f"Event parked as a dead letter: {why.detail}",
            error=why.code,
        )


def _log_order(request: ApplyOrder, result: OperationResult) -> None:
    about = _about_order(request, result)
    if result.outcome is not Outcome.COMMITTED:
        logger.info(
            "order_without_effect",
            message="Order was cancelled before"
            if result.outcome is Outcome.REJECTED
            else "Order was applied before",
            outcome=result.outcome.value,
            **about,
        )
    elif result.version is not None:
        logger.info("cart_cleared", message="Cart cleared", reason="order_completed", **about)
    else:
        logger.warning("order_without_cart", message="Order took nothing from a cart", **about)


def _wrong_owner(cart_id: str, key: CartKey) -> EventUnusable:
    store, user = key
    return EventUnusable("wrong_owner", f"cart {cart_id} is not of user {user} in store {store}")


def _about_order(request: ApplyOrder | CancelOrder, result: OperationResult) -> dict[str, str]:
    return {
        "storeId": request.store_id,
        "userId": request.user_id,
        "cartId": request.request.cart_id,
        "orderId": request.request.order_id,
        "sagaId": result.saga_id,
    }


def _news(
    message: ConsumedMessage, event: OutOfStock | BackInStock, product_id: str, reason: str | None
) -> ProductAvailability:
    return ProductAvailability(
        product_id=product_id,
        status="out_of_stock" if message.topic == CART_ITEM_OUT_OF_STOCK else "available",
        reason=reason,
        at=event_time(message, event),
    )


def _about(message: ConsumedMessage) -> dict[str, object]:
    return {"topic": message.topic, "partition": message.partition, "offset": message.offset}
