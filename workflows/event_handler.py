"""Turns consumed events into operations on carts, and retries until each is done.

A passing problem (a dependency is down) is retried for as long as it lasts, in the order of each
cart, and a busy cart for `BUSY_SECONDS`. A message that no retry can help is parked as a dead
letter. Kafka itself is `adapters.kafka.consumer`; the operations are built by `event_operations`.
"""

import asyncio
import time
from contextlib import suppress
from itertools import count
from typing import Protocol, assert_never

import structlog
from structlog.contextvars import bound_contextvars

from adapters.mongo.cart_scans import CartRef
from adapters.mongo.carts import Owner
from models.cart import CartKey, ProductAvailability
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
    OrderCompleted,
    OutOfStock,
    event_id,
    event_time,
    read_event,
)
from models.limits import Policy
from models.mark_product import MarkProductInput
from models.operations import CartOperation
from models.outcomes import OperationResult, Outcome, RefusalCode
from telemetry import tracing
from telemetry.metrics import CONSUMED, PARKED, RETRIED
from workflows.event_operations import clear_for_order, mark_lines

logger = structlog.stdlib.get_logger(__name__)

AT_ONCE = 64
"""Messages handled at once; those that wait for another try do not count."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
UNFORESEEN_TRIES = 5
BUSY_SECONDS = 600.0
"""How long a message waits for its cart. An operation holds its cart for seconds, or for as long as
a failover or a release takes; after that, only an operator can free it. Until the message is done
or parked, each restart reads the partition again from it on."""
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


class EventHandler:
    """Deals with consumed messages; the `MessageHandler` of an `EventConsumer`."""

    def __init__(
        self,
        gateway: OperationGateway,
        records: Records,
        carts: CartOwners,
        dead_letters: Parking,
        *,
        policy: Policy,
    ) -> None:
        """`policy` is what the operations take with them."""
        self._gateway = gateway
        self._records = records
        self._carts = carts
        self._dead_letters = dead_letters
        self._policy = policy
        self._at_once = asyncio.Semaphore(AT_ONCE)

    def lane(self, message: ConsumedMessage) -> str:
        """The cart or product of a message; messages of one lane are handled in order."""
        try:
            event = read_event(message)
        except EventUnusable:
            return f"unusable/{message.offset}"  # in a lane of its own
        match event:
            case OrderCompleted(cart_id=str(cart)) | OutOfStock(cart_id=str(cart)):
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
            await self._take(message)

    async def _take(self, message: ConsumedMessage) -> None:
        unusable: EventUnusable | None = None
        failures = _Failures()
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
                self._say_passing(tries, problem)
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
        result = await self._carry_out(clear_for_order(event, self._policy))
        about = {
            "storeId": event.store_id,
            "userId": event.user_id,
            "cartId": event.cart_id,
            "orderId": event.order_id,
            "sagaId": result.saga_id,
        }
        if result.outcome is Outcome.REJECTED:
            await self._refused(event.cart_id, result, store=event.store_id, user=event.user_id)
        if result.outcome is Outcome.COMMITTED:
            logger.info("cart_cleared", message="Cart cleared", reason="order_completed", **about)
        else:
            logger.info(
                "order_without_effect",
                message="Order had nothing to clear",
                outcome=result.outcome.value,
                **about,
            )

    async def _refused(
        self, cart_id: str, result: OperationResult, *, store: str, user: str
    ) -> None:
        """Raises `EventUnusable` unless the cart is simply gone."""
        code = result.refusal.code if result.refusal else None
        if code is not RefusalCode.CART_NOT_FOUND:
            detail = f"order of cart {cart_id} was completed before, with other content"
            raise EventUnusable(result.why or "refused", detail)
        owner = await self._carts.owner(cart_id.lower())
        if owner is not None and owner.key != (store, user):
            whose = f"cart {cart_id} is not of user {user} in store {store}"
            raise EventUnusable("wrong_owner", whose)

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
            policy=self._policy,
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
            policy=self._policy,
        )
        await self._gateway.mark_product(request)

    async def _park(self, message: ConsumedMessage, why: EventUnusable) -> None:
        await self._dead_letters.park(message, why)
        logger.warning(
            "dead_letter",
            message=f"Event parked as a dead letter: {why.detail}",
            error=why.code,
        )

    @staticmethod
    def _say_passing(tries: int, problem: Exception) -> None:
        """Logs once for a message; the adapter has logged which dependency is down."""
        if tries == 1:
            logger.debug("event_retried", message=f"Event is tried again: {problem}")
        elif tries == UNFORESEEN_TRIES:
            logger.warning("event_waits", message=f"Event waits: {problem}")


class _Failures:
    """The failed tries of one message, and whether another one makes sense."""

    def __init__(self) -> None:
        self._unforeseen = 0
        self._busy_since: float | None = None

    def passing(self, problem: Exception) -> EventUnusable | None:
        """Why the message is parked, if its cart has been busy for too long."""
        if not isinstance(problem, OperationInProgress):
            self._busy_since = None
            return None
        now = time.monotonic()
        self._busy_since = self._busy_since or now
        if now - self._busy_since < BUSY_SECONDS:
            return None
        detail = f"the cart was busy for {BUSY_SECONDS:.0f} s: {problem}; it can be replayed"
        return EventUnusable("cart_busy", detail)

    def unforeseen(self, error: Exception) -> EventUnusable | None:
        """Why the message is parked, if it has failed too often."""
        self._unforeseen += 1
        if self._unforeseen < UNFORESEEN_TRIES:
            return None
        return EventUnusable("failed", f"{self._unforeseen} tries, the last: {error!r}")


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
