"""MongoDB: what a completed order has, from its cart and the records of the cart's operations."""

import asyncio
from collections import Counter
from typing import Any

from beanie import PydanticObjectId
from pymongo import DESCENDING

from adapters.mongo.client import in_cart
from models.cart import CartKey
from models.documents import Cart, OperationRecord, PendingEffects
from models.effects import ReleaseEffect
from models.operations import ApplyOrder, Checkout
from models.orders import (
    Cancellation,
    CancelRequest,
    Ordered,
    OrderedLine,
    OrderRequest,
    Units,
    ordered_units,
)
from models.privacy import ERASED
from models.saga import SagaRun

Record = dict[str, Any]

MOST_CHANGES = 10_000
"""Changes since the ordered version that are looked at; before them, the cart counts as ordered."""
MOST_PENDING = 200
MOST_BOOKINGS = 100
"""Records of one order that are read: it has one, and one for each replay of a shortfall."""


async def find_ordered(order: OrderRequest, key: CartKey, cart: Cart | None) -> Ordered | None:
    """What an order has. `cart` is the user's cart, which may be another one by now.

    None if the order names no items and nothing is known of its cart, or if that is another user's.
    """
    ours = in_cart(key) | {"cartId": order.cart_id, "state": "committed"}
    if order.cancellation and await OperationRecord.find_one(
        ours | {"operationId": order.cancellation}
    ):
        return Ordered(refused="order_cancelled")
    if order.checkout_id is not None:
        checkout = await _checkout(order.checkout_id, ours)
        if checkout is None:
            return Ordered(refused="checkout_not_found")
        order = _of_checkout(order, checkout, cart)
    now: Units = {}
    held: Units = {}
    if cart is not None and str(cart.id) == order.cart_id:
        now, held, version = cart.units, cart.held_units, cart.version
        latest = None if now else await _latest(ours)
    else:
        latest = await _latest(ours)
        if latest is None and (order.items is None or await _is_foreign(order, key)):
            return None
        version = latest["version"] if latest else 0
    changes = await _changes(order, ours)
    units = ordered_units(order, now, held, changes, await _gone(order, ours, now, latest))
    is_missing = any(one.missing for one in units)
    return Ordered(
        units=units,
        cart_version=version,
        releasing=await releasing_of(key) if is_missing else (),
    )


async def find_cancellation(
    request: CancelRequest, key: CartKey, cart: Cart | None
) -> Cancellation:
    """What a cancelled order has. `cart` is the user's cart, which may be another one by now."""
    ours = in_cart(key) | {"cartId": request.cart_id, "state": "committed"}
    applied = await OperationRecord.find(
        ours | {"operation": ApplyOrder.name, "effects.orderId": request.order_id},
        projection_model=PendingEffects,
    ).to_list(MOST_BOOKINGS)
    booked: Counter[str] = Counter()
    is_booking = False
    for record in applied:
        for effect in record.effects:
            if not isinstance(effect, ReleaseEffect) or effect.order_id != request.order_id:
                continue
            if effect.done_at is None:
                is_booking = True
            elif effect.skipped_because is None:
                booked[effect.product_id] += effect.quantity
    is_theirs = cart is not None and str(cart.id) == request.cart_id
    checkout = cart.checkout if cart is not None and is_theirs else None
    ends = checkout is not None and request.checkout_id in {None, checkout.checkout_id}
    is_foreign = not applied and not is_theirs and await _is_foreign(request, key)
    return Cancellation(
        booked=dict(booked), is_booking=is_booking, ends_checkout=ends, is_foreign=is_foreign
    )


async def _checkout(checkout_id: str, ours: Record) -> OperationRecord | None:
    """The record of a checkout of the cart."""
    wanted = ours | {"operation": Checkout.name, "operationId": checkout_id}
    return await OperationRecord.find_one(wanted)


def _of_checkout(order: OrderRequest, checkout: OperationRecord, cart: Cart | None) -> OrderRequest:
    """The order of exactly the units that were frozen. A cart that is checked out again by now is
    left to the later order."""
    now = cart.checkout.checkout_id if cart is not None and cart.checkout is not None else None
    items = tuple(
        OrderedLine(product_id=product_id, quantity=units)
        for product_id, units in sorted((checkout.frozen or {}).items())
    )
    leave_cart = order.leave_cart or now not in {None, order.checkout_id}
    found = {"items": items, "cart_version": checkout.version, "leave_cart": leave_cart}
    return order.model_copy(update=found)


async def erased_commit(saga: SagaRun) -> OperationRecord | None:
    """The record that committed the operation before its user's data was erased, or None.

    It has a pseudonym for the user. An order that is delivered again must find it.
    """
    wanted = {
        "storeId": saga.store_id,
        "operationId": saga.operation_id,
        "state": "committed",
        "sagaId": ERASED,
    }
    return await OperationRecord.find_one(wanted)


async def _latest(ours: Record) -> Record | None:
    """The record of the cart's last change."""
    return await OperationRecord.get_pymongo_collection().find_one(
        ours | {"version": {"$gt": 0}}, sort=[("version", DESCENDING)]
    )


async def _changes(order: OrderRequest, ours: Record) -> list[Units]:
    """The changes since the ordered version, in their order, without what other orders took."""
    if order.cart_version is None:
        return []
    since = OperationRecord.get_pymongo_collection().find(
        ours | {"version": {"$gt": order.cart_version}, "operation": {"$ne": ApplyOrder.name}},
        {"lines.productId": 1, "lines.moved": 1},
        sort=[("version", DESCENDING)],
        limit=MOST_CHANGES,
    )
    return [_moved(record) async for record in since][::-1]


async def _gone(order: OrderRequest, ours: Record, now: Units, latest: Record | None) -> Units:
    """The units that left the cart last, unless another order took them."""
    if order.items is None:
        return {} if now else _removed(latest)
    unknown = [one.product_id for one in order.items if one.quantity is None]
    missing = [product_id for product_id in unknown if product_id not in now]
    records = OperationRecord.get_pymongo_collection()
    found = await asyncio.gather(
        *(
            records.find_one(
                ours | {"lines": {"$elemMatch": {"productId": product_id, "moved": {"$lt": 0}}}},
                sort=[("version", DESCENDING)],
            )
            for product_id in missing
        )
    )
    units = zip(missing, map(_removed, found), strict=True)
    return {product_id: removed.get(product_id, 0) for product_id, removed in units}


def _removed(record: Record | None) -> Units:
    """The units that a change took out of the cart and gave back to the shop."""
    if record is None or record["operation"] == ApplyOrder.name:
        return {}
    return {product: -units for product, units in _moved(record).items() if units < 0}


def _moved(record: Record) -> Units:
    """How many units of each product came into the cart, or (negative) left it."""
    return {line["productId"]: line["moved"] for line in record.get("lines", [])}


async def releasing_of(key: CartKey) -> tuple[str, ...]:
    """The products of which the cart's operations still have units to release."""
    pending = OperationRecord.find(
        in_cart(key) | {"pending": True}, projection_model=PendingEffects, hint="pending_by_cart"
    )
    products: set[str] = set()
    async for record in pending.sort("+at").limit(MOST_PENDING):
        products.update(effect.product_id for effect in record.pending_releases)
    return tuple(sorted(products))


async def _is_foreign(order: OrderRequest | CancelRequest, key: CartKey) -> bool:
    """Whether the cart is another user's. Only this asks all shards."""
    cart, record = await asyncio.gather(
        Cart.find_one({"_id": PydanticObjectId(order.cart_id)}),
        OperationRecord.find_one({"cartId": order.cart_id}),
    )
    return any(one is not None and one.key != key for one in (cart, record))
