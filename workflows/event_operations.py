"""Builds the operations that consumed events start.

Each operation's id comes from the event, so an event has one effect on a cart however often it is
delivered: the operation's record outlives Temporal's retention and Kafka's.
"""

from adapters.mongo.cart_scans import CartRef
from models.cart import CartKey, ProductAvailability
from models.events import ORDER_COMPLETED
from models.incoming import OrderCompleted, OrderedItem
from models.limits import Policy
from models.mark_product import MarkProductInput
from models.operations import ClearCart, MarkAvailability, OrderedLine
from models.outcomes import OperationResult
from workflows import ids
from workflows.gateway import CartGateway
from workflows.requests import operation_fields

REASON = "order_completed"


def clear_for_order(event: OrderCompleted, policy: Policy) -> ClearCart:
    """The clearing of a cart by a completed order, once for each order."""
    items = _summed(event.items) if event.items is not None else None
    cart_id = event.cart_id.lower()
    cart = CartKey(event.store_id, event.user_id)
    return ClearCart(
        **operation_fields(
            ClearCart,
            cart,
            operation_id=ids.event_operation_id(ORDER_COMPLETED, event.order_id, cart),
            requested={
                "cartId": cart_id,
                "items": items and [item.model_dump() for item in items],
                "cartVersion": event.cart_version,
            },
            policy=policy,
        ),
        cart_id=cart_id,
        reason=REASON,
        order_id=event.order_id,
        items=items,
        cart_version=event.cart_version,
    )


def _summed(items: tuple[OrderedItem, ...]) -> tuple[OrderedLine, ...]:
    """One line for each product; the whole line when one of its items has no quantity."""
    units: dict[str, int | None] = {}
    for item in items:
        before = units.get(item.product_id, 0)
        whole = before is None or item.quantity is None
        units[item.product_id] = None if whole else (before or 0) + (item.quantity or 0)
    return tuple(OrderedLine(product_id=name, quantity=count) for name, count in units.items())


def mark_lines(
    cart: CartRef,
    news: tuple[ProductAvailability, ...],
    *,
    topic: str,
    event_id: str,
    policy: Policy,
) -> MarkAvailability:
    """The marking of a cart's lines, once for each event."""
    return MarkAvailability(
        **operation_fields(
            MarkAvailability,
            cart.key,
            operation_id=ids.event_operation_id(topic, event_id, cart.key),
            requested={"news": [item.model_dump(exclude={"at"}) for item in news]},
            policy=policy,
        ),
        cart_id=cart.cart_id,
        news=news,
        event_id=event_id,
    )


async def mark_cart(
    gateway: CartGateway, request: MarkProductInput, cart: CartRef
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
