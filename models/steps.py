"""Inputs and results of a saga's activities."""

from typing import Self

from models.actor import Intervention
from models.cart import CartKey
from models.cart_facts import CartFacts
from models.effects import ReleaseEffect
from models.message import Message
from models.operations import AnyOperation, CartOperation
from models.orders import CancelRequest, OrderRequest
from models.outcomes import AbortReason, OperationResult, Refusal, RefusalCode
from models.saga import ReplyTo, SagaRun


class LoadCart(Message):
    """Load what a saga decides on.

    `product_id` names the line that matters, if one does; with `whole` all do. `order` is the order
    to look up, `cancels` the one that is cancelled, `guest` the guest's cart that is merged. With
    `releasing` also what is still to be released, if a line has units that are not held.
    """

    saga: SagaRun
    product_id: str | None = None
    whole: bool = False
    order: OrderRequest | None = None
    cancels: CancelRequest | None = None
    releasing: bool = False
    guest: CartKey | None = None

    @classmethod
    def of(cls, saga: SagaRun, operation: CartOperation, *, releasing: bool = False) -> Self:
        """What an operation decides on."""
        return cls(
            saga=saga,
            product_id=operation.subject,
            whole=operation.needs_lines,
            order=operation.order,
            cancels=operation.cancels,
            releasing=releasing,
            guest=operation.guest,
        )


class LoadedCart(Message):
    """The cart, and how the operation ended if that is decided already."""

    cart: CartFacts
    decided: OperationResult | None = None


class ReserveInventory(Message):
    """Reserve `quantity` units of a product for a user. `saga_id` identifies the reservation.

    After `ttl_seconds` the inventory may end it by itself; None: never.
    With `from_user_id` the units are moved from that user's holds.
    """

    store_id: str
    product_id: str
    user_id: str
    saga_id: str
    quantity: int
    ttl_seconds: int | None = None
    from_user_id: str | None = None


class ClaimCart(Message):
    """Claim a guest's cart, in this version, for the saga that merges it."""

    saga: SagaRun
    guest: CartKey
    cart_id: str
    version: int


class UnclaimCart(Message):
    """Give a claimed cart up."""

    saga: SagaRun
    guest: CartKey


class Reservation(Message):
    """The inventory's answer: whether it reserved the units, and how many are available now.

    `available` is None where the inventory does not tell. `accepted` is False when it takes no
    reservation of this product, however many units there are. `nothing_held` is set when no try of
    the step can have reserved anything. `supported` is False when it cannot move units between
    users.
    """

    granted: bool
    available: int | None = None
    accepted: bool = True
    nothing_held: bool = False
    supported: bool = True

    @property
    def refused_as(self) -> RefusalCode | None:
        """Why the units are not reserved; None when they are."""
        if self.granted:
            return None
        if not self.accepted:
            return RefusalCode.PRODUCT_NOT_ACCEPTED
        return RefusalCode.INSUFFICIENT_STOCK


class PersistCart(Message):
    """Apply an operation to the cart, and record the decision.

    `expected` is the cart that the saga has decided on; None accepts the cart as it is stored.
    `reserved` is what a refusal must give back.
    """

    saga: SagaRun
    operation: AnyOperation
    expected: CartFacts | None = None
    reserved: tuple[ReleaseEffect, ...] = ()


class SettleOperation(Message):
    """Record a saga as rejected (`refusal`) or aborted (`reason`) unless it is decided already.

    `reserved` is what it must give back; None when an earlier try may have made reservations that
    this one does not know. `intervention` is the operator's request that ended it.
    """

    saga: SagaRun
    operation: AnyOperation
    refusal: Refusal | None = None
    reason: AbortReason | None = None
    reserved: tuple[ReleaseEffect, ...] | None = ()
    intervention: Intervention | None = None


class DoEffects(Message):
    """Do the pending effects of a saga's record that belong to one system."""

    saga: SagaRun


class RefreshCache(Message):
    """Write the cart that a saga committed to Redis, and reply to the caller.

    `products` are those whose stock has changed. `cache` is False where caching is switched off.
    """

    saga: SagaRun
    cache: bool
    products: tuple[str, ...] = ()
    reply_to: ReplyTo | None = None


class ReplyToCaller(Message):
    """Send the result of an operation that did not commit to its caller."""

    reply_to: ReplyTo
    result: OperationResult
