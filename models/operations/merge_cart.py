"""Merge a guest's cart into a user's."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, Literal

from models.actor import Actor, ActorType
from models.cart import CartContent, CartKey, cart_fields
from models.cart_facts import NO_CART, CartFacts, facts_of
from models.cart_line import CartLine
from models.effects import EventEffect, ReleaseEffect
from models.events import (
    CartItemAdded,
    CartItemRemoved,
    CartItemUpdated,
    CartMerged,
    ClearedItem,
    MergeStrategy,
)
from models.merge import MergePlan, NotMerged, TakenUnits, plan_merge, with_taken
from models.operations.base import (
    UNDO,
    CartChange,
    CartOperation,
    ChangeContext,
    EndedCart,
    releases_of,
)
from models.outcomes import Refusal, RefusalCode
from models.saga import SagaRun
from models.user_id import path_safe
from models.wire import to_json

REASON: Literal["cart_merged"] = "cart_merged"
MOVED = "moved"
"""The part of a saga's reservations that is moved from the guest's holds."""
PART = "part"
"""The part that is reserved when there are too few units for all."""
FREED = "freed"
"""The part of its releases that is for units which leave the cart."""


class MergeCart(CartOperation):
    """Merge the cart of the guest `guest_id` into the cart of the user, which is created when there
    is none. The guest's cart ends, also when some of it is not merged.

    `guest_operation_id` identifies the operation among the guest's. `taken` is what its steps have
    found, `undo` are reservations that are not needed.
    """

    name: ClassVar[str] = "MergeCart"
    needs_lines: ClassVar[bool] = True

    kind: Literal["merge_cart"] = "merge_cart"
    guest_id: str
    guest_operation_id: str
    strategy: MergeStrategy = "sum"
    shopper: str | None = None
    """The request's `Shopper`, sealed."""
    taken: tuple[TakenUnits, ...] = ()
    undo: tuple[ReleaseEffect, ...] = ()

    @property
    def summary(self) -> str:
        return f"Merge a guest's cart ({self.strategy})"

    @property
    def guest(self) -> CartKey:
        return CartKey(self.store_id, self.guest_id)

    @property
    def sealed_shopper(self) -> str | None:
        return self.shopper

    def guest_saga(self, saga: SagaRun) -> SagaRun:
        """The saga's other side: it identifies the record that ends the guest's cart."""
        at = saga.record_id.rpartition("-")[2]
        return saga.model_copy(
            update={
                "record_id": f"{self.guest_operation_id}-{at}",
                # As by `workflows.ids.saga_id`; not the user's, because it is in the guest's event.
                "saga_id": f"cart-{at}-{path_safe(self.guest_id)}-{self.name}",
                "operation_id": self.guest_operation_id,
                "user_id": self.guest_id,
                # Whoever merges a guest's cart has the guest's token.
                "actor": Actor(type=ActorType.GUEST, id=self.guest_id),
            }
        )

    def plan(self, cart: CartFacts) -> MergePlan:
        """What the merge does to this cart, with the units that were taken."""
        if cart.guest is None:
            return MergePlan()
        plan = plan_merge(cart, cart.guest, self.strategy, self.policy)
        return with_taken(plan, cart, {one.product_id: one for one in self.taken}, self.strategy)

    def check(self, cart: CartFacts) -> Refusal | None:
        """There is a cart, neither is frozen, and both have the same currency unless the user's
        lines go."""
        if refusal := super().check(cart):
            return refusal
        guest = cart.guest
        if guest is None:
            return None if cart.version else Refusal(code=RefusalCode.CART_NOT_FOUND)
        if guest.checkout_id is not None:
            return Refusal(code=RefusalCode.CART_CHECKED_OUT)
        stays = cart.lines and not (self.strategy == "replace" and guest.content)
        if stays and guest.content and cart.currency != guest.currency:
            return Refusal(
                code=RefusalCode.CURRENCY_MISMATCH,
                cart_currency=cart.currency,
                currency=guest.currency,
            )
        return None

    def wanted(self, cart: CartFacts) -> dict[str, tuple[int, int]]:
        """Product -> units to move from the guest's holds, and units to reserve beside them."""
        if cart.guest is None or not self.policy.reserve:
            return {}
        held = _held(cart.content)
        guest_held = _held(cart.guest.content)
        found = {}
        for product_id, units in sorted(self.plan(cart).units.items()):
            needed = units - held.get(product_id, 0)
            if needed > 0:
                moved = min(needed, guest_held.get(product_id, 0))
                found[product_id] = (moved, needed - moved)
        return found

    def undo_of(self, saga: SagaRun, cart: CartFacts) -> tuple[ReleaseEffect, ...]:
        """The undo of all that the saga can take; what was moved goes back to the guest."""
        wanted = self.wanted(cart)
        moved = {one: units for one, (units, _) in wanted.items()}
        all_units = {one: sum(units) for one, units in wanted.items()}
        return (
            *releases_of(saga, moved, UNDO, part=MOVED),
            *releases_of(saga, all_units, UNDO),
            *releases_of(saga, all_units, UNDO, part=PART),
        )

    def is_current(self, expected: CartFacts, stored: CartFacts) -> bool:
        """Neither of the carts has changed."""
        return super().is_current(expected, stored) and _version(expected) == _version(stored)

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        guest = context.guest
        if guest is None:
            return None
        now = context.now
        before = cart or CartContent.empty(self.key, guest.content.currency, now)
        facts = facts_of(cart, context.cart_id, None, whole=True) if cart else NO_CART
        plan = self.plan(facts.model_copy(update={"guest": guest.facts}))
        lines = {
            product_id: line
            for product_id, units in plan.units.items()
            if (line := self._line(before, guest.content, product_id, units, context))
            != before.line(product_id)
        }
        after = before
        if cart is None or lines:
            known = context.shopper.model_dump(exclude_none=True) if context.shopper else {}
            if not before.cart_items or self.strategy == "replace":
                known["currency"] = guest.content.currency
            after = before.with_lines(lines, now, self.policy.lifetime, **known)
        body = cart_fields(context.cart_id, after)
        if plan.left:
            body["notMerged"] = [_left(one) for one in plan.left]
        is_changed = after is not before
        return CartChange(
            after if is_changed else cart,
            after.version if is_changed else None,
            HTTPStatus.OK if cart else HTTPStatus.CREATED,
            to_json(body),
            (
                *_freed(before, lines, self.taken, context),
                *self.undo,
                *_events(before, after, lines, context),
            ),
            ended=self._ended(guest.content, plan, context),
        )

    def _line(
        self,
        before: CartContent,
        guest: CartContent,
        product_id: str,
        units: int,
        context: ChangeContext,
    ) -> CartLine | None:
        """The line of a product after the merge: the user's with other units, or the guest's."""
        line, theirs = before.line(product_id), guest.line(product_id)
        if not units:
            return None
        taken = next((one for one in self.taken if one.product_id == product_id), None)
        held = min(
            units, (line.held if line else 0) + (taken.moved + taken.reserved if taken else 0)
        )
        if theirs is None or (line is not None and self.strategy != "replace"):
            return line and line.with_quantity(units, held, context.now)
        new = theirs.model_copy(update={"units_held": 0})
        return new.with_quantity(units, held, context.now)

    def _ended(self, guest: CartContent, plan: MergePlan, context: ChangeContext) -> EndedCart:
        """What ends the guest's cart: the release of what was not moved, and the event."""
        saga = self.guest_saga(context.saga)
        moved = {one.product_id: one.moved for one in self.taken}
        rest = {one: units - moved.get(one, 0) for one, units in guest.held_units.items()}
        cart_id = context.guest.cart_id if context.guest else ""
        theirs = ChangeContext(saga, cart_id, context.publish, context.traceparent)
        event = theirs.event(
            CartMerged,
            guest,
            version=guest.version + 1,
            merged_into=context.cart_id,
            strategy=self.strategy,
            items=[
                ClearedItem(product_id=product, quantity=units)
                for product, units in guest.units.items()
            ],
            not_merged=[
                ClearedItem(product_id=one.product_id, quantity=one.quantity) for one in plan.left
            ],
        )
        return EndedCart(saga, REASON, (*releases_of(saga, rest, REASON), *event))


def _held(lines: tuple[Any, ...]) -> dict[str, int]:
    return {line.product_id: line.quantity - line.unheld for line in lines}


def _version(cart: CartFacts) -> tuple[str | None, int]:
    guest = cart.guest
    return (guest.cart_id, guest.version) if guest else (None, 0)


def _left(one: NotMerged) -> dict[str, Any]:
    return {"productId": one.product_id, "quantity": one.quantity, "reason": one.reason.value}


def _freed(
    before: CartContent,
    lines: Mapping[str, CartLine | None],
    taken: tuple[TakenUnits, ...],
    context: ChangeContext,
) -> tuple[ReleaseEffect, ...]:
    """The units that the user's cart holds no more."""
    held = before.held_units
    got = {one.product_id: one.moved + one.reserved for one in taken}
    units = {
        product_id: held.get(product_id, 0)
        + got.get(product_id, 0)
        - (line.held if (line := lines[product_id]) else 0)
        for product_id in lines
    }
    return releases_of(context.saga, units, REASON, part=FREED)


def _events(
    before: CartContent,
    after: CartContent,
    lines: Mapping[str, CartLine | None],
    context: ChangeContext,
) -> tuple[EventEffect, ...]:
    """One event for each changed line, in their order."""
    found: list[EventEffect] = []
    for position, (product_id, line) in enumerate(lines.items()):
        was = before.line(product_id)
        units = was.product_quantity if was else 0
        common: dict[str, Any] = {
            "position": position,
            "product_id": product_id,
            "total_price": after.total_price,
        }
        if line is None:
            found += context.event(CartItemRemoved, after, quantity=units, reason=REASON, **common)
            continue
        common |= {"product_price": line.product_price, "price_source": line.price_source}
        more = line.product_quantity - units
        if more > 0:
            found += context.event(
                CartItemAdded, after, quantity=more, line_quantity=line.product_quantity, **common
            )
        else:
            found += context.event(
                CartItemUpdated,
                after,
                quantity=line.product_quantity,
                previous_quantity=units,
                reason=REASON,
                **common,
            )
    return tuple(found)
