"""What a change does: the next cart, the events to publish, the holds to give back, the answer.

Pure: the pivot (`adapters.mongo.carts`) loads, calls `apply_change`, and stores all of it in one
transaction.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from beanie import PydanticObjectId

from models import events
from models.cart import CartContent, CartLine, empty_cart, matches
from models.limits import CartSize, room_for
from models.messages import (
    AddItemInput,
    AddLine,
    AnyEffect,
    Change,
    ClearCart,
    ClearCartInput,
    DriftKind,
    EventEffect,
    MarkAvailability,
    OrderedLine,
    Refusal,
    ReleaseEffect,
    RemoveLine,
    RepairCart,
    SagaRun,
    SetQuantity,
    UpdateQuantityInput,
)
from models.wire import to_json, to_milliseconds


class ChangeRefused(Exception):
    """The cart, as it is, does not allow the change."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


@dataclass(frozen=True)
class Changed:
    """`cart` is the next version, or None when it is deleted; `version` counts on all the same.

    `effects` are in the order in which they must happen; `body` is the answer's JSON text; `moved`
    is how many units of each product came in, or (negative) went out; `reason` is why, where there
    may be several.
    """

    cart: CartContent | None
    version: int
    effects: tuple[AnyEffect, ...]
    status: HTTPStatus
    body: bytes
    moved: dict[str, int] = field(default_factory=dict)
    reason: str | None = None


_NOT_SHOWN: Any = {"id": True, "email": True, "cart_items": {"__all__": {"availability_at"}}}


def cart_fields(cart_id: PydanticObjectId, cart: CartContent) -> dict[str, Any]:
    """The cart as clients see it (`CartView`), ready for `to_json`."""
    return {"_id": cart_id, **cart.model_dump(by_alias=True, exclude=_NOT_SHOWN)}


def cart_json(cart_id: PydanticObjectId, cart: CartContent) -> bytes:
    """The cart as clients see it, as JSON text."""
    return to_json(cart_fields(cart_id, cart))


def apply_change(
    change: Change,
    cart: CartContent | None,
    cart_id: PydanticObjectId,
    run: SagaRun,
    traceparent: str | None = None,
) -> Changed:
    """Applies a change to the cart of a run (None: there is none yet), within a trace or none.

    Raises `ChangeRefused` when the cart or the line is not there, is another version than the
    caller wants to change, or would grow beyond a limit.
    """
    tags = change.request.if_match
    if tags is not None and not matches(tags, cart_id, cart.version if cart else 0):
        raise ChangeRefused(Refusal(code="precondition_failed"))
    applying = _Applying(cart, cart_id, run, change.request.policy.publish, traceparent)
    match change:
        case AddLine():
            return applying.add(change)
        case SetQuantity():
            return applying.set_quantity(change)
        case RemoveLine():
            return applying.remove(change)
        case ClearCart():
            if change.ordered is None:
                return applying.clear(change)
            return applying.take_ordered(change, change.ordered)
        case MarkAvailability():
            return applying.mark(change)
        case RepairCart():
            return applying.repair(change)


class _Applying:
    """One change to one cart."""

    def __init__(
        self,
        cart: CartContent | None,
        cart_id: PydanticObjectId,
        run: SagaRun,
        publish: bool,
        traceparent: str | None,
    ) -> None:
        self._cart = cart
        self._id = cart_id
        self._run = run
        self._publish = publish
        self._traceparent = traceparent
        self._now: datetime = to_milliseconds(run.started_at)

    def add(self, change: AddLine) -> Changed:
        request = change.request
        self._require_room(request, request.product_price)
        after = (self._cart or empty_cart(request, self._now)).with_added(request, self._now)
        line = after.line(request.product_id)
        assert line is not None  # noqa: S101 (it was just added)
        event = events.CartItemAdded(
            **self._common(after.version, after.currency),
            product_id=request.product_id,
            quantity=request.quantity,
            line_quantity=line.product_quantity,
            product_price=line.product_price,
            total_price=after.total_price,
        )
        told = self._told(events.CART_ITEM_ADDED, event)
        moved = {request.product_id: request.quantity}
        return self._shown(after, told, HTTPStatus.CREATED, moved)

    def set_quantity(self, change: SetQuantity) -> Changed:
        request = change.request
        cart, line = self._line(request.cart_id, request.product_id)
        before = line.product_quantity
        if request.quantity > before:
            self._require_room(request, line.product_price)
        after = cart.with_quantity(
            request.product_id, request.quantity, self._now, request.policy.expiry_days
        )
        event = events.CartItemUpdated(
            **self._common(after.version, after.currency),
            product_id=request.product_id,
            quantity=request.quantity,
            previous_quantity=before,
            product_price=line.product_price,
            total_price=after.total_price,
        )
        freed = before - request.quantity
        releases = self._freed({request.product_id: freed}, "quantity_reduced") if freed > 0 else ()
        told = self._told(events.CART_ITEM_UPDATED, event)
        return self._shown(after, (*releases, *told), HTTPStatus.OK, {request.product_id: -freed})

    def remove(self, change: RemoveLine) -> Changed:
        request = change.request
        cart, line = self._line(request.cart_id, request.product_id)
        before = line.product_quantity
        after = cart.without(request.product_id, self._now, request.policy.expiry_days)
        event = events.CartItemRemoved(
            **self._common(after.version, after.currency),
            product_id=request.product_id,
            quantity=before,
            total_price=after.total_price,
        )
        releases = self._freed({request.product_id: before}, "item_removed")
        told = self._told(events.CART_ITEM_REMOVED, event)
        body = to_json({"message": "Item removed from cart"})
        moved = {request.product_id: -before}
        return Changed(after, after.version, (*releases, *told), HTTPStatus.OK, body, moved)

    def clear(self, change: ClearCart) -> Changed:
        request = change.request
        cart = self._require_cart(request.cart_id)
        if request.expired_by is not None and cart.expire_at > request.expired_by:
            raise ChangeRefused(Refusal(code="nothing_to_change"))
        version = cart.version + 1
        held = {line.product_id: line.product_quantity for line in cart.cart_items}
        event = events.CartCleared(
            **self._common(version, cart.currency),
            reason=request.reason,
            order_id=request.order_id,
            items=[
                events.ClearedItem(product_id=product, quantity=units)
                for product, units in held.items()
            ],
        )
        releases = self._freed(held, request.reason, request.order_id)
        told = self._told(events.CART_CLEARED, event)
        body = to_json({"message": "Cart cleared"})
        moved = {product: -units for product, units in held.items()}
        return Changed(
            None, version, (*releases, *told), HTTPStatus.OK, body, moved, reason=request.reason
        )

    def repair(self, change: RepairCart) -> Changed:
        """Only holds and the cache change, so the cart keeps its version, and nobody is told."""
        freed = {
            drift.product_id: drift.found - drift.expected
            for drift in change.drifts
            if drift.kind is DriftKind.ORPHANED_HOLD and drift.product_id is not None
        }
        drifts = [drift.model_dump(mode="json") for drift in change.drifts]
        body = to_json({"message": "Cart repaired", "drifts": drifts})
        version = self._cart.version if self._cart else 0
        releases = self._freed(freed, "reconciled")
        return Changed(
            self._cart, version, releases, HTTPStatus.OK, body, reason=change.request.reason
        )

    def take_ordered(self, change: ClearCart, ordered: tuple[OrderedLine, ...]) -> Changed:
        """What an order took goes, as far as it is there; the cart stays with what is left."""
        request = change.request
        cart = self._require_cart(request.cart_id)
        wanted = {line.product_id: line.quantity for line in ordered}
        taken = [
            (line, min(wanted[line.product_id] or line.product_quantity, line.product_quantity))
            for line in cart.cart_items
            if line.product_id in wanted
        ]
        units = {line.product_id: quantity for line, quantity in taken}
        if not units:
            raise ChangeRefused(Refusal(code="nothing_to_change"))
        if sum(units.values()) == cart.quantity:
            return self.clear(change)
        after = cart.without_units(units, self._now, request.policy.expiry_days)
        told = tuple(
            effect
            for position, (line, quantity) in enumerate(taken)
            for effect in self._told_ordered(request, after, line, quantity, position=position)
        )
        releases = self._freed(units, request.reason, request.order_id)
        moved = {product: -quantity for product, quantity in units.items()}
        return self._shown(after, (*releases, *told), HTTPStatus.OK, moved)

    def _told_ordered(
        self,
        request: ClearCartInput,
        after: CartContent,
        line: CartLine,
        quantity: int,
        *,
        position: int,
    ) -> tuple[EventEffect, ...]:
        """The event of a line of which an order took units; a change of several has several."""
        common = {
            **self._common(after.version, after.currency, position),
            "product_id": line.product_id,
            "total_price": after.total_price,
            "reason": request.reason,
            "order_id": request.order_id,
        }
        left = line.product_quantity - quantity
        if left == 0:
            removed = events.CartItemRemoved(**common, quantity=quantity)
            return self._told(events.CART_ITEM_REMOVED, removed)
        updated = events.CartItemUpdated(
            **common,
            quantity=left,
            previous_quantity=line.product_quantity,
            product_price=line.product_price,
        )
        return self._told(events.CART_ITEM_UPDATED, updated)

    def mark(self, change: MarkAvailability) -> Changed:
        """It tells nobody: who asks for the cart sees it."""
        cart = self._require_cart(change.request.cart_id)
        after = cart.with_news(change.request.news, self._now)
        if after is None:
            raise ChangeRefused(Refusal(code="nothing_to_change"))
        return self._shown(after, (), HTTPStatus.OK)

    def _require_room(self, request: AddItemInput | UpdateQuantityInput, price: Decimal) -> None:
        """Neither the line nor the cart grows beyond its limit."""
        size = self._cart.size(request.product_id) if self._cart else CartSize()
        units = request.quantity
        if isinstance(request, AddItemInput):
            units += size.line_units
        refusal = room_for(request.policy, size, units=units, price=price)
        if refusal is not None:
            raise ChangeRefused(refusal)

    def _require_cart(self, cart_id: str | None) -> CartContent:
        """The user has a cart, and it is this one (None: any)."""
        if self._cart is None or cart_id not in {None, str(self._id)}:
            raise ChangeRefused(Refusal(code="cart_not_found"))
        return self._cart

    def _line(self, cart_id: str, product_id: str) -> tuple[CartContent, CartLine]:
        """The cart, and a product's line in it."""
        cart = self._require_cart(cart_id)
        line = cart.line(product_id)
        if line is None:
            raise ChangeRefused(Refusal(code="item_not_found"))
        return cart, line

    def _common(self, version: int, currency: str, position: int = 0) -> dict[str, Any]:
        return {
            "event_id": events.event_id(self._run.run_id, position),
            "cart_id": str(self._id),
            "user_id": self._run.user_id,
            "store_id": self._run.store_id,
            "saga_id": self._run.saga_id,
            "version": version,
            "currency": currency,
            "timestamp": self._now,
        }

    def _told(self, topic: str, event: events.CartEvent) -> tuple[EventEffect, ...]:
        return (events.event_effect(topic, event, self._traceparent),) if self._publish else ()

    def _freed(
        self, units: dict[str, int], reason: str, order_id: str | None = None
    ) -> tuple[ReleaseEffect, ...]:
        """Holds are given back also when reservation is switched off by now: they were made."""
        return tuple(
            ReleaseEffect(
                id=f"{self._run.run_id}/release/{position}",
                product_id=product_id,
                quantity=quantity,
                saga_id=self._run.saga_id,
                reason=reason,
                order_id=order_id,
            )
            for position, (product_id, quantity) in enumerate(units.items())
        )

    def _shown(
        self,
        cart: CartContent,
        effects: tuple[AnyEffect, ...],
        status: HTTPStatus,
        moved: dict[str, int] | None = None,
    ) -> Changed:
        body = cart_json(self._id, cart)
        return Changed(cart, cart.version, effects, status, body, moved or {})
