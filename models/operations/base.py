"""What all operations on a cart have in common.

An operation is the input of its workflow, and knows what it does to a cart: what it requires, what
it must reserve, and its change with the events and releases that follow. It is pure: it reads and
writes nothing.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, ClassVar, Self

from models.actor import Actor
from models.cart import CartContent, CartKey, cart_json, matches
from models.cart_facts import CartFacts, GuestFacts
from models.effects import AnyEffect, EventEffect, ReleaseEffect
from models.events import CartEvent, event_effect, event_id
from models.limits import Policy
from models.message import Message
from models.orders import CancelRequest, OrderRequest
from models.outcomes import MissingUnits, Refusal, RefusalCode, Refused
from models.products import Product
from models.saga import ReplyTo, SagaRun
from models.shopper import Shopper
from models.wire import to_json

UNDO = "saga_aborted"
"""The reason of a release that undoes a reservation."""
AGAIN = "again"
"""The part of a saga's reservations that is for units which the cart has and which are not held."""


@dataclass(frozen=True)
class EndedCart:
    """Another cart that ends with the change: the saga of its record, and the record's effects."""

    saga: SagaRun
    reason: str
    effects: tuple[AnyEffect, ...]


@dataclass(frozen=True)
class GuestCart:
    """A guest's cart that is merged."""

    cart_id: str
    content: CartContent
    facts: GuestFacts


@dataclass(frozen=True)
class CartChange:
    """What an operation does to a cart.

    `cart` is the next version, or None when the cart is deleted. `version` counts on in both cases,
    and is None when the cart stays as it is. `effects` are in the order in which they must happen.
    `body` is the answer's JSON text. `reason` is set by operations that have several reasons.
    `short` is how many units of each product an order lacks, `frozen` are the units of each that a
    checkout has. `ended` is another cart that ends.
    """

    cart: CartContent | None
    version: int | None
    status: HTTPStatus
    body: bytes
    effects: tuple[AnyEffect, ...] = ()
    reason: str | None = None
    short: Mapping[str, int] | None = None
    frozen: Mapping[str, int] | None = None
    ended: EndedCart | None = None


class CartOperation(Message):
    """One operation on one cart.

    `operation_id` identifies the client's intention (user, store and idempotency key), `attempt_id`
    this one try to start it. `fingerprint` is the hash of the request, to detect a key that is used
    again for another request. `actor` caused it. `reply_channel` is the Redis channel on which the
    caller listens. `if_match` are the entity tags of which the cart must have one, and
    `if_none_match` those of which it must have none (`models.cart.etag`).
    """

    name: ClassVar[str]
    """The operation's name, which is also its workflow's."""
    needs_lines: ClassVar[bool] = False
    """Whether it decides on all lines of the cart (`CartFacts.content`)."""

    store_id: str
    user_id: str
    operation_id: str
    attempt_id: str
    fingerprint: str
    actor: Actor
    reply_channel: str | None = None
    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    policy: Policy = Policy()

    @property
    def key(self) -> CartKey:
        return CartKey(self.store_id, self.user_id)

    @property
    def reply_to(self) -> ReplyTo | None:
        """Where the caller waits for the reply; None when it asks Temporal instead."""
        if self.reply_channel is None:
            return None
        return ReplyTo(channel=self.reply_channel, attempt_id=self.attempt_id)

    @property
    @abstractmethod
    def summary(self) -> str:
        """The operation in a few words, for the Web UI."""

    @property
    def subject(self) -> str | None:
        """The product that the operation is about; None when it is about the whole cart."""
        return None

    @property
    def sealed_shopper(self) -> str | None:
        """The sealed `Shopper` of the request; None if it has nothing about its user."""
        return None

    @property
    def products(self) -> tuple[str, ...]:
        """The products whose cached stock the operation makes stale."""
        return () if self.subject is None else (self.subject,)

    @property
    def priced_products(self) -> tuple[str, ...]:
        """The products whose price must be known before the operation starts (`with_products`)."""
        return ()

    @property
    def repriced_products(self) -> tuple[str, ...]:
        """The products whose price is looked at again; the operation can do without it."""
        return ()

    def under(self, policy: Policy) -> Self:
        """The operation with the policy of its store."""
        return self.model_copy(update={"policy": policy})

    def with_products(self, known: Mapping[str, Product]) -> Self:
        """The operation with what the product service says of its products, by their ids."""
        return self

    @property
    def references(self) -> Mapping[str, str | None]:
        """What the operation was requested with, to be found by: `cart`, `order`, `event`."""
        return {}

    @property
    def changes_frozen_carts(self) -> bool:
        """Whether it may be done to a cart that is checked out."""
        return False

    @property
    def order(self) -> OrderRequest | None:
        """The completed order that the operation applies."""
        return None

    @property
    def cancels(self) -> CancelRequest | None:
        """The order that the operation cancels."""
        return None

    @property
    def guest(self) -> CartKey | None:
        """The guest's cart that the operation merges."""
        return None

    @property
    def recorded_cart_id(self) -> str | None:
        """The cart that the record is about; None when it is the cart that the user has."""
        return None

    def check(self, cart: CartFacts) -> Refusal | None:
        """Why the cart, as it is, does not allow the operation; None when it does."""
        required, excluded = self.if_match, self.if_none_match or ()
        is_required = required is None or matches(required, cart.cart_id, cart.version)
        if not is_required or matches(excluded, cart.cart_id, cart.version):
            return Refusal(code=RefusalCode.PRECONDITION_FAILED)
        if cart.checkout_id is not None and not self.changes_frozen_carts:
            return Refusal(code=RefusalCode.CART_CHECKED_OUT)
        return None

    def check_change(self, change: CartChange) -> Refusal | None:
        """Why the cart must not become what `apply` has made of it; None when it may."""
        return None

    def units_to_hold(self, cart: CartFacts) -> Mapping[str, int]:
        """The lines that must be wholly held after the operation, given this cart: product ->
        units of the line by then. The saga reserves what is not held yet."""
        return {}

    def reservations(self, saga: SagaRun, cart: CartFacts) -> tuple[ReleaseEffect, ...]:
        """The reservations that the saga must make for this cart, each as its undo, by product.

        Of a product, additional units and units that the cart has already are reserved apart. So
        the former are the same reservation in every try of the saga, whatever lapses in between.
        """
        if not self.policy.reserve:
            return ()
        lines = {line.product_id: (line.quantity, line.unheld) for line in cart.content}
        if self.subject is not None:
            lines[self.subject] = (cart.line_quantity, cart.line_unheld)
        more: dict[str, int] = {}
        again: dict[str, int] = {}
        for product_id, units in sorted(self.units_to_hold(cart).items()):
            quantity, unheld = lines.get(product_id, (0, 0))
            more[product_id] = units - quantity
            again[product_id] = min(units, quantity) - (quantity - unheld)
        return (
            *releases_of(saga, more, UNDO),
            *releases_of(saga, again, UNDO, part=AGAIN),
        )

    def undo_of(self, saga: SagaRun, cart: CartFacts) -> tuple[ReleaseEffect, ...]:
        """The undo of everything that the saga may have reserved, given the unchanged cart."""
        return self.reservations(saga, cart)

    def out_of_stock(self, missing: tuple[MissingUnits, ...], cart: CartFacts) -> Refusal:
        """The refusal of an operation whose units cannot be reserved."""
        code = RefusalCode.INSUFFICIENT_STOCK
        if self.subject is None:
            return Refusal(code=code, lines=missing)
        [line] = missing
        if not line.accepted:
            return Refusal(code=RefusalCode.PRODUCT_NOT_ACCEPTED)
        held = cart.line_quantity - cart.line_unheld
        return Refusal(code=code, available=line.available, current=held)

    def is_current(self, expected: CartFacts, stored: CartFacts) -> bool:
        """Whether what the saga has decided on (`expected`) still holds for the stored cart."""
        return (expected.cart_id, expected.version) == (stored.cart_id, stored.version)

    @abstractmethod
    def apply(self, cart: CartContent | None, context: "ChangeContext") -> CartChange | None:
        """The change, once `check` has allowed it; None when the cart needs none."""


@dataclass(frozen=True)
class ChangeContext:
    """What a change needs to know of its saga: the ids and the time of all that it writes.

    `shopper` is the opened `CartOperation.sealed_shopper`, `guest` the cart that is merged. `at` is
    the time of a change whose saga is dated otherwise.
    """

    saga: SagaRun
    cart_id: str
    publish: bool
    traceparent: str | None = None
    shopper: Shopper | None = None
    guest: GuestCart | None = None
    at: datetime | None = None

    @property
    def now(self) -> datetime:
        """The time of the change."""
        return self.at or self.saga.started_at

    def event(
        self,
        event: type[CartEvent],
        cart: CartContent | None,
        *,
        position: int = 0,
        **fields: Any,
    ) -> tuple[EventEffect, ...]:
        """The event to publish, the `position`-th of its change; () when publishing is off.

        `version` and `currency` are those of `cart`, and `timestamp` is that of the change, unless
        they are among the fields.
        """
        if not self.publish:
            return ()
        if cart is not None:
            fields = {"version": cart.version, "currency": cart.currency} | fields
        message = event(
            event_id=event_id(self.saga.record_id, position),
            cart_id=self.cart_id,
            user_id=self.saga.user_id,
            store_id=self.saga.store_id,
            saga_id=self.saga.saga_id,
            actor_type=self.saga.actor.type.value,
            **({"timestamp": self.now} | fields),
        )
        return (event_effect(event.topic, message, self.traceparent),)

    def releases(
        self, units: Mapping[str, int], reason: str, order_id: str | None = None
    ) -> tuple[ReleaseEffect, ...]:
        """Releases of a committed change, also when reservation is off by now: the units may have
        been reserved before."""
        return releases_of(self.saga, units, reason, order_id)

    def changed(
        self,
        cart: CartContent,
        status: HTTPStatus,
        effects: tuple[AnyEffect, ...] = (),
    ) -> CartChange:
        """A change that is answered with the cart."""
        body = cart_json(self.cart_id, cart)
        return CartChange(cart, cart.version, status, body, effects)

    def confirmed(
        self,
        cart: CartContent | None,
        version: int | None,
        message: str,
        effects: tuple[AnyEffect, ...] = (),
        /,
        *,
        reason: str | None = None,
        **fields: Any,
    ) -> CartChange:
        """A change that is answered with a message, and with further fields of the answer."""
        body = to_json({"message": message, **fields})
        return CartChange(cart, version, HTTPStatus.OK, body, effects, reason)


def releases_of(
    saga: SagaRun,
    units: Mapping[str, int],
    reason: str,
    order_id: str | None = None,
    *,
    part: str | None = None,
) -> tuple[ReleaseEffect, ...]:
    """The releases of a saga's record: product id -> units, of which only positive ones count.

    For the inventory a saga has one reservation of a product. `part` names another one.
    """
    suffix = f"-{part}" if part else ""
    return tuple(
        ReleaseEffect(
            id=f"{saga.record_id}/release/{product_id}{suffix}",
            product_id=product_id,
            quantity=quantity,
            saga_id=f"{saga.saga_id}{suffix}",
            reason=reason,
            order_id=order_id,
        )
        for product_id, quantity in units.items()
        if quantity > 0
    )


def require_cart(cart: CartFacts, cart_id: str | None) -> Refusal | None:
    """The user must have a cart, with this id (None: any)."""
    if cart.version == 0 or cart_id not in {None, cart.cart_id}:
        return Refusal(code=RefusalCode.CART_NOT_FOUND)
    return None


class OperationOnCart(CartOperation):
    """An operation on the cart `cart_id`, and on no later one of its user."""

    cart_id: str

    @property
    def references(self) -> Mapping[str, str | None]:
        return {"cart": self.cart_id}

    def check(self, cart: CartFacts) -> Refusal | None:
        """The user must have this cart."""
        return super().check(cart) or require_cart(cart, self.cart_id)


class LineOperation(OperationOnCart):
    """An operation on the line of a product in the cart `cart_id`."""

    product_id: str

    @property
    def subject(self) -> str:
        return self.product_id

    def check(self, cart: CartFacts) -> Refusal | None:
        """The cart must have the product."""
        if refusal := super().check(cart):
            return refusal
        return None if cart.line_quantity else Refusal(code=RefusalCode.ITEM_NOT_FOUND)


def stored(cart: CartContent | None) -> CartContent:
    """The cart of an operation whose `check` requires one."""
    if cart is None:
        raise Refused(Refusal(code=RefusalCode.CART_NOT_FOUND))
    return cart
