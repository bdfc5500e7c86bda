"""Builds the operations that consumed events start.

Each operation's id comes from the event, so an event has one effect on a cart however often it is
delivered: the operation's record outlives Temporal's retention and Kafka's.
"""

from collections.abc import Mapping

from adapters.mongo.cart_scans import CartRef
from models.actor import Actor, ActorType
from models.cart import CartKey
from models.cart_line import ProductAvailability
from models.events import ORDER_CANCELLED, ORDER_COMPLETED
from models.incoming import OrderCancelled, OrderCompleted, OrderedItem
from models.limits import Policy
from models.mark_product import MarkProductInput
from models.operations import ApplyOrder, CancelOrder, MarkAvailability
from models.orders import CancelRequest, OrderedLine, OrderRequest
from models.outcomes import OperationResult
from workflows import ids
from workflows.gateway import CartGateway
from workflows.requests import operation_fields


def apply_order(event: OrderCompleted, policy: Policy) -> ApplyOrder:
    """The operation that applies a completed order, once for each order."""
    cart = CartKey(event.store_id, event.user_id)
    request = OrderRequest(
        order_id=event.order_id,
        cancellation=_cancellation_id(event.order_id, cart),
        cart_id=event.cart_id.lower(),
        items=_summed(event.items) if event.items is not None else None,
        cart_version=event.cart_version,
        checkout_id=event.checkout_id,
    )
    operation_id = ids.event_operation_id(ORDER_COMPLETED, event.order_id, cart)
    return _apply(request, cart, operation_id, policy)


def cancel_order(event: OrderCancelled, policy: Policy) -> CancelOrder:
    """The operation that cancels an order, once for each order."""
    request = CancelRequest(
        order_id=event.order_id, cart_id=event.cart_id.lower(), checkout_id=event.checkout_id
    )
    cart = CartKey(event.store_id, event.user_id)
    fields = operation_fields(
        CancelOrder,
        cart,
        operation_id=_cancellation_id(event.order_id, cart),
        requested=request.model_dump(mode="json", exclude={"order_id"}),
        actor=_actor(ORDER_CANCELLED, event.order_id),
        policy=policy,
    )
    return CancelOrder(**fields, request=request)


def _cancellation_id(order_id: str, cart: CartKey) -> str:
    return ids.event_operation_id(ORDER_CANCELLED, order_id, cart)


def book_short(first: ApplyOrder, short: Mapping[str, int], attempt: int) -> ApplyOrder:
    """The operation that books what an applied order lacks; `attempt` counts from 1.

    It has its own record, so that a repeat of it has no effect either.
    """
    items = tuple(OrderedLine(product_id=name, quantity=units) for name, units in short.items())
    request = first.request.model_copy(
        update={"items": items, "cart_version": None, "checkout_id": None, "leave_cart": True}
    )
    event_id = f"{first.request.order_id}/short/{attempt}"
    operation_id = ids.event_operation_id(ORDER_COMPLETED, event_id, first.key)
    return _apply(request, first.key, operation_id, first.policy)


def _apply(request: OrderRequest, cart: CartKey, operation_id: str, policy: Policy) -> ApplyOrder:
    fields = operation_fields(
        ApplyOrder,
        cart,
        operation_id=operation_id,
        requested=request.model_dump(mode="json", exclude={"order_id", "cancellation"}),
        actor=_actor(ORDER_COMPLETED, request.order_id),
        policy=policy,
    )
    return ApplyOrder(**fields, request=request)


def _actor(topic: str, event_id: str) -> Actor:
    return Actor(type=ActorType.EVENT, id=f"{topic}/{event_id}")


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
            actor=_actor(topic, event_id),
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
