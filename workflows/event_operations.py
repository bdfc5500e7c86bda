"""From an event to the operation that it is for a cart: who asks, under which id, and for what.

Each operation's id comes from the event, so that an event has one effect on a cart however often it
is delivered: the record of the operation outlives Temporal's retention and Kafka's.
"""

from adapters.mongo.cart_scans import CartKey
from models.events import ORDER_COMPLETED
from models.incoming import OrderCompleted, OrderedItem
from models.messages import (
    AvailabilityNews,
    ClearCartInput,
    MarkAvailabilityInput,
    MarkProductInput,
    OperationResult,
    OrderedLine,
    Policy,
)
from workflows import ids
from workflows.gateway import CartGateway, fingerprint, new_attempt

REASON = "order_completed"


def clear_for_order(event: OrderCompleted, policy: Policy) -> ClearCartInput:
    """What a completed order does to its cart, once for each order."""
    items = _summed(event.items) if event.items is not None else None
    cart_id = event.cart_id.lower()
    asked = {
        "cartId": cart_id,
        "items": items and [item.model_dump() for item in items],
        "cartVersion": event.cart_version,
    }
    return ClearCartInput(
        store_id=event.store_id,
        user_id=event.user_id,
        operation_id=ids.event_operation_id(
            ORDER_COMPLETED, event.order_id, event.store_id, event.user_id
        ),
        attempt_id=new_attempt(),
        fingerprint=fingerprint(ids.CLEAR_CART, asked),
        policy=policy,
        cart_id=cart_id,
        reason=REASON,
        order_id=event.order_id,
        items=items,
        cart_version=event.cart_version,
    )


def _summed(items: tuple[OrderedItem, ...]) -> tuple[OrderedLine, ...]:
    """One line for each product; all of it when one item says so."""
    units: dict[str, int | None] = {}
    for item in items:
        before = units.get(item.product_id, 0)
        whole = before is None or item.quantity is None
        units[item.product_id] = None if whole else (before or 0) + (item.quantity or 0)
    return tuple(OrderedLine(product_id=name, quantity=count) for name, count in units.items())


def mark_lines(
    cart: CartKey, news: tuple[AvailabilityNews, ...], *, topic: str, event_id: str, policy: Policy
) -> MarkAvailabilityInput:
    """What news of products does to a cart, once for each event."""
    asked = {"news": [item.model_dump(exclude={"at"}) for item in news]}
    return MarkAvailabilityInput(
        store_id=cart.store_id,
        user_id=cart.user_id,
        operation_id=ids.event_operation_id(topic, event_id, cart.store_id, cart.user_id),
        attempt_id=new_attempt(),
        fingerprint=fingerprint(ids.MARK_AVAILABILITY, asked),
        policy=policy,
        cart_id=cart.cart_id,
        news=news,
        event_id=event_id,
    )


async def mark_cart(
    gateway: CartGateway, request: MarkProductInput, cart: CartKey
) -> OperationResult:
    """Marks one of a product's carts, and waits for it."""
    operation = mark_lines(
        cart,
        (request.news,),
        topic=request.topic,
        event_id=request.event_id,
        policy=request.policy,
    )
    return await gateway.carry_out(operation)
