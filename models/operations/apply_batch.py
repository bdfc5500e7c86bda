"""Apply a batch: several changes of one cart in one saga, with one version."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Literal, Self

from models.batch import BatchMode, BatchPlan, BatchStep, Shortage, outcomes, plan_of
from models.cart import CartContent, cart_fields, cart_json
from models.cart_facts import CartFacts, facts_of
from models.cart_line import CartLine
from models.effects import EventEffect, ReleaseEffect
from models.events import CartItemAdded, CartItemRemoved, CartItemUpdated
from models.limits import room_in_bytes, same_currency
from models.operations.base import UNDO, CartChange, CartOperation, ChangeContext, releases_of
from models.outcomes import MissingUnits, Refusal, RefusalCode
from models.products import Product
from models.saga import SagaRun
from models.wire import to_json

PART = "part"
"""The part of a saga's reservations that is made when a product has too few units."""
FREED = "freed"
"""The part of its releases that is for units which leave the cart."""
_ANY_ID = "0" * 24


@dataclass(frozen=True, slots=True)
class _Change:
    """A line before and after its steps; None where there is none."""

    before: CartLine | None
    after: CartLine | None
    steps: tuple[BatchStep, ...]


class ApplyBatch(CartOperation):
    """Apply `steps` to the cart, which is created when there is none.

    In `all_or_nothing` all or none of them. In `best_effort` those that can be done: `shortages`
    are the products with too few units, as the saga has found them, and `undo` the reservations
    that are not needed then.
    """

    name: ClassVar[str] = "ApplyBatch"
    needs_lines: ClassVar[bool] = True

    kind: Literal["apply_batch"] = "apply_batch"
    steps: tuple[BatchStep, ...]
    mode: BatchMode = "all_or_nothing"
    shopper: str | None = None
    """The request's `Shopper`, sealed."""
    shortages: dict[str, Shortage] = {}
    undo: tuple[ReleaseEffect, ...] = ()

    @property
    def summary(self) -> str:
        return f"Apply {len(self.steps)} changes ({self.mode})"

    @property
    def products(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.product_id for step in self.steps))

    @property
    def priced_products(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.product_id for one in self.steps if one.op == "add"))

    @property
    def repriced_products(self) -> tuple[str, ...]:
        others = dict.fromkeys(one.product_id for one in self.steps if one.op == "set")
        return tuple(one for one in others if one not in self.priced_products)

    def with_products(self, known: Mapping[str, Product]) -> Self:
        """The batch with the products' titles, images and prices in place of the request's."""
        return self.model_copy(update={"steps": tuple(one.priced(known) for one in self.steps)})

    @property
    def sealed_shopper(self) -> str | None:
        return self.shopper

    def plan(self, cart: CartFacts) -> BatchPlan:
        """What the batch does to this cart."""
        return plan_of(self.steps, cart, self.policy, mode=self.mode, shortages=self.shortages)

    def check(self, cart: CartFacts) -> Refusal | None:
        """The cart's currency stays, and each step can be done; in `best_effort` one of them."""
        plan = self.plan(cart)
        adds = any(step.op == "add" for step in self.steps)
        return (
            super().check(cart)
            or (same_currency(self.policy, cart) if adds else None)
            or self._refusal(plan, cart)
        )

    def _refusal(self, plan: BatchPlan, cart: CartFacts) -> Refusal | None:
        # Without a cart there is nothing to answer with.
        is_refused = self.mode == "all_or_nothing" or (cart.version == 0 and not plan.done)
        return plan.first_refusal if is_refused else None

    def check_change(self, change: CartChange) -> Refusal | None:
        """Only adds make a cart grow."""
        if change.cart is None or not any(step.op == "add" for step in self.steps):
            return None
        return room_in_bytes(self.policy, len(cart_json(_ANY_ID, change.cart)))

    def units_to_hold(self, cart: CartFacts) -> Mapping[str, int]:
        plan = self.plan(cart)
        return {one: plan.after.units[one] for one in plan.done if one in plan.after.units}

    def reservations(self, saga: SagaRun, cart: CartFacts) -> tuple[ReleaseEffect, ...]:
        """One reservation of each product, also where units of its line are held no more."""
        return self._reservations(saga, cart, None)

    def parts(self, saga: SagaRun, cart: CartFacts) -> tuple[ReleaseEffect, ...]:
        """The reservations of what there is of the products with too few units.

        They have ids of their own: an inventory may answer a repeat like the first try.
        """
        return self._reservations(saga, cart, PART)

    def _reservations(
        self, saga: SagaRun, cart: CartFacts, part: str | None
    ) -> tuple[ReleaseEffect, ...]:
        if not self.policy.reserve:
            return ()
        held = {line.product_id: line.quantity - line.unheld for line in cart.content}
        units = {
            product_id: units - held.get(product_id, 0)
            for product_id, units in sorted(self.units_to_hold(cart).items())
            if (product_id in self.shortages) == (part is not None)
        }
        return releases_of(saga, units, UNDO, part=part)

    def undo_of(self, saga: SagaRun, cart: CartFacts) -> tuple[ReleaseEffect, ...]:
        """The undo of all reservations that the saga can make, also in `best_effort`."""
        whole = self.reservations(saga, cart)
        if self.mode == "all_or_nothing":
            return whole
        most = {one.product_id: one.quantity for one in whole}
        return (*whole, *releases_of(saga, most, UNDO, part=PART))

    def out_of_stock(self, missing: tuple[MissingUnits, ...], cart: CartFacts) -> Refusal:
        for index, step in enumerate(self.steps):
            if any(one.product_id == step.product_id and not one.accepted for one in missing):
                return Refusal(code=RefusalCode.PRODUCT_NOT_ACCEPTED, step=index)
        return super().out_of_stock(missing, cart)

    def with_too_few(self, missing: tuple[MissingUnits, ...], cart: CartFacts) -> Self:
        """The batch, given that these units cannot be reserved for this cart.

        Of a product that is found short once more, nothing is reserved.
        """
        held = {line.product_id: line.quantity - line.unheld for line in cart.content}
        found = {}
        for one in missing:
            is_first = one.product_id not in self.shortages
            room = min(one.available or 0, one.wanted - 1) if is_first else 0
            most = held.get(one.product_id, 0) + room
            found[one.product_id] = Shortage(most=most, accepted=one.accepted)
        return self.model_copy(update={"shortages": self.shortages | found})

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange | None:
        before = cart or CartContent.empty(self.key, self.policy.currency, context.now)
        plan = self.plan(facts_of(cart, context.cart_id, None, whole=True))
        changed = dict(self._changes(before, plan, context))
        if cart is not None and not changed:
            return self._nothing_done(cart, plan, context) if self._has_outcomes else None
        known = context.shopper.model_dump(exclude_none=True) if context.shopper else {}
        if any(step.op == "add" for steps in plan.done.values() for step in steps):
            known["currency"] = self.policy.currency
        lines = {one: change.after for one, change in changed.items()}
        after = before.with_lines(lines, context.now, self.policy.lifetime, **known)
        status = HTTPStatus.OK if cart is not None else HTTPStatus.CREATED
        effects = (*_releases(changed, context), *self.undo)
        return CartChange(
            after,
            after.version,
            HTTPStatus.OK if self._has_outcomes else status,
            self._body(after, plan, context),
            (*effects, *_events(changed, after, context)),
        )

    @property
    def _has_outcomes(self) -> bool:
        return self.mode == "best_effort"

    def _nothing_done(
        self, cart: CartContent, plan: BatchPlan, context: ChangeContext
    ) -> CartChange:
        """The cart stays, and the answer says why."""
        return CartChange(cart, None, HTTPStatus.OK, self._body(cart, plan, context), self.undo)

    def _body(self, cart: CartContent, plan: BatchPlan, context: ChangeContext) -> bytes:
        fields = cart_fields(context.cart_id, cart)
        if self._has_outcomes:
            fields["outcomes"] = outcomes(self.steps, plan)
        return to_json(fields)

    def _changes(
        self, cart: CartContent, plan: BatchPlan, context: ChangeContext
    ) -> Iterator[tuple[str, _Change]]:
        """The lines that change, in the order of their first steps."""
        for product_id, steps in plan.done.items():
            before = cart.line(product_id)
            after = self._line(before, steps, context)
            if after != before:
                yield product_id, _Change(before, after, steps)

    def _line(
        self, before: CartLine | None, steps: tuple[BatchStep, ...], context: ChangeContext
    ) -> CartLine | None:
        """The line of a product after its steps; None when it has none."""
        line, added, price = before, None, None
        units = line.product_quantity if line else 0
        for step in steps:
            match step.op:
                case "add":
                    units, added = units + step.quantity, step
                case "set":
                    units, price = step.quantity, step.current_price
                case "remove":
                    units, line, added = 0, None, None
        if not units:
            return None
        held = units if self.policy.reserve else min(units, before.held if before else 0)
        if added is not None:
            return added.line(line, units, held, context.now)
        if line is None:
            return None
        changed = line.with_quantity(units, held, context.now)
        if price is None or (changed == line and price == line.product_price):
            return changed
        return changed.priced(price)


def _releases(changed: Mapping[str, _Change], context: ChangeContext) -> tuple[ReleaseEffect, ...]:
    """The units that leave the cart."""
    gone: dict[str, int] = {}
    fewer: dict[str, int] = {}
    for product_id, change in changed.items():
        held = change.before.held if change.before else 0
        if change.after is None:
            gone[product_id] = held
        else:
            fewer[product_id] = held - change.after.held
    return (
        *releases_of(context.saga, gone, "item_removed", part=FREED),
        *releases_of(context.saga, fewer, "quantity_reduced", part=FREED),
    )


def _events(
    changed: Mapping[str, _Change], after: CartContent, context: ChangeContext
) -> tuple[EventEffect, ...]:
    """One event for each changed line, in their order. They share the cart's version."""
    found: list[EventEffect] = []
    for position, (product_id, change) in enumerate(changed.items()):
        common: dict[str, Any] = {
            "position": position,
            "product_id": product_id,
            "total_price": after.total_price,
        }
        units = change.before.product_quantity if change.before else 0
        found += _event(change, units, after, context, common)
    return tuple(found)


def _event(
    change: _Change,
    units: int,
    after: CartContent,
    context: ChangeContext,
    common: dict[str, Any],
) -> tuple[EventEffect, ...]:
    line = change.after
    if line is None:
        return context.event(CartItemRemoved, after, quantity=units, **common)
    common |= {"product_price": line.product_price, "price_source": line.price_source}
    if change.before is None or all(step.op == "add" for step in change.steps):
        return context.event(
            CartItemAdded,
            after,
            quantity=line.product_quantity - units,
            line_quantity=line.product_quantity,
            **common,
        )
    return context.event(
        CartItemUpdated,
        after,
        quantity=line.product_quantity,
        previous_quantity=units,
        **common,
    )
