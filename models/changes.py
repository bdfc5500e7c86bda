"""What a change does: the next cart, the events to publish, the holds to give back, the answer.

Pure: the pivot (`adapters.carts`) loads, calls `apply_change`, and stores all of it in one
transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from beanie import PydanticObjectId

from models import events
from models.cart import CartContent, empty_cart, matches
from models.limits import room_for
from models.messages import (
    AddItemInput,
    AddLine,
    AnyEffect,
    Change,
    ClearCart,
    EventEffect,
    Refusal,
    ReleaseEffect,
    RemoveLine,
    SagaRun,
    SetQuantity,
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

    `effects` are in the order in which they must happen; `body` is the answer's JSON text, and
    `shown` that of the cart as clients see it, if it still is one.
    """

    cart: CartContent | None
    version: int
    effects: tuple[AnyEffect, ...]
    status: HTTPStatus
    body: bytes
    shown: bytes | None


def cart_fields(cart_id: PydanticObjectId, cart: CartContent) -> dict[str, Any]:
    """The cart as clients see it (`CartView`), ready for `to_json`."""
    return {"_id": cart_id, **cart.model_dump(by_alias=True, exclude={"id", "email"})}


def cart_json(cart_id: PydanticObjectId, cart: CartContent) -> bytes:
    """The cart as clients see it, as JSON text."""
    return to_json(cart_fields(cart_id, cart))


def apply_change(
    change: Change, cart: CartContent | None, cart_id: PydanticObjectId, run: SagaRun
) -> Changed:
    """Applies a change to the cart of a run (None: there is none yet).

    Raises `ChangeRefused` when the cart or the line is not there, is another version than the
    caller wants to change, or would grow beyond a limit.
    """
    tags = change.request.if_match
    if tags is not None and not matches(tags, cart_id, cart.version if cart else 0):
        raise ChangeRefused(Refusal(code="precondition_failed"))
    applying = _Applying(cart, cart_id, run, change.request.policy.publish)
    match change:
        case AddLine():
            return applying.add(change)
        case SetQuantity():
            return applying.set_quantity(change)
        case RemoveLine():
            return applying.remove(change)
        case ClearCart():
            return applying.clear(change)


class _Applying:
    """One change to one cart."""

    def __init__(
        self,
        cart: CartContent | None,
        cart_id: PydanticObjectId,
        run: SagaRun,
        publish: bool,
    ) -> None:
        self._cart = cart
        self._id = cart_id
        self._run = run
        self._publish = publish
        self._now: datetime = to_milliseconds(run.started_at)

    def add(self, change: AddLine) -> Changed:
        request = change.request
        self._require_room(request)
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
        return self._shown(after, told, HTTPStatus.CREATED)

    def set_quantity(self, change: SetQuantity) -> Changed:
        request = change.request
        cart, before = self._line(request.cart_id, request.product_id)
        after = cart.with_quantity(
            request.product_id, request.quantity, self._now, request.policy.expiry_days
        )
        event = events.CartItemUpdated(
            **self._common(after.version, after.currency),
            product_id=request.product_id,
            quantity=request.quantity,
            previous_quantity=before,
            product_price=next(
                line.product_price
                for line in after.cart_items
                if line.product_id == request.product_id
            ),
            total_price=after.total_price,
        )
        freed = before - request.quantity
        releases = self._freed({request.product_id: freed}, "quantity_reduced") if freed > 0 else ()
        told = self._told(events.CART_ITEM_UPDATED, event)
        return self._shown(after, (*releases, *told), HTTPStatus.OK)

    def remove(self, change: RemoveLine) -> Changed:
        request = change.request
        cart, before = self._line(request.cart_id, request.product_id)
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
        return Changed(
            after,
            after.version,
            (*releases, *told),
            HTTPStatus.OK,
            body,
            shown=cart_json(self._id, after),
        )

    def clear(self, change: ClearCart) -> Changed:
        request = change.request
        cart = self._require_cart(request.cart_id)
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
        return Changed(None, version, (*releases, *told), HTTPStatus.OK, body, shown=None)

    def _require_room(self, request: AddItemInput) -> None:
        """Neither the line nor the cart grows beyond its limit."""
        lines = self._cart.cart_items if self._cart else []
        line = self._cart.line(request.product_id) if self._cart else None
        units = line.product_quantity if line else 0
        refusal = room_for(request, units=units, lines=len(lines))
        if refusal is not None:
            raise ChangeRefused(refusal)

    def _require_cart(self, cart_id: str | None) -> CartContent:
        """The user has a cart, and it is this one (None: any)."""
        if self._cart is None or cart_id not in {None, str(self._id)}:
            raise ChangeRefused(Refusal(code="cart_not_found"))
        return self._cart

    def _line(self, cart_id: str, product_id: str) -> tuple[CartContent, int]:
        """The cart, and how many units of a product it has."""
        cart = self._require_cart(cart_id)
        line = cart.line(product_id)
        if line is None:
            raise ChangeRefused(Refusal(code="item_not_found"))
        return cart, line.product_quantity

    def _common(self, version: int, currency: str) -> dict[str, Any]:
        return {
            "event_id": events.event_id(self._run.run_id, 0),
            "cart_id": str(self._id),
            "user_id": self._run.user_id,
            "store_id": self._run.store_id,
            "saga_id": self._run.saga_id,
            "version": version,
            "currency": currency,
            "timestamp": self._now,
        }

    def _told(self, topic: str, event: events.CartEvent) -> tuple[EventEffect, ...]:
        return (events.event_effect(topic, event),) if self._publish else ()

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
        self, cart: CartContent, effects: tuple[AnyEffect, ...], status: HTTPStatus
    ) -> Changed:
        shown = cart_json(self._id, cart)
        return Changed(cart, cart.version, effects, status, body=shown, shown=shown)
