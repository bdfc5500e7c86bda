"""Inputs and results of workflows, and what their steps' messages are made of (`models.steps`):
small, frozen, free of any driver.

What crosses Temporal is stored there in plain text, so no message has a raw idempotency key, and
an email travels only inside the workflow's input.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Message(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Outcome(StrEnum):
    """How an operation ended. Only `committed` changed anything; `unchanged` had nothing to do."""

    COMMITTED = "committed"
    REPLAYED = "replayed"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    ABORTED = "aborted"


class Policy(Message):
    """What is decided when an operation starts, so that a running saga does not change its mind."""

    reserve: bool = True
    publish: bool = True
    cache: bool = True
    deadline_seconds: float = 30.0
    max_lines: int = 100
    max_quantity: int = 100
    max_units: int = 0  # of all products; 0 is no limit
    max_value: int = 0  # in the cart's currency; 0 is no limit
    expiry_days: int = 30
    currency: str = "USD"


class ReplyTo(Message):
    """Where the caller listens for the answer: a Redis channel, and its name for this start."""

    channel: str
    attempt_id: str


class CartOperation(Message):
    """What every operation on a cart carries.

    `operation_id` names the client's intention (user, store and idempotency key); `attempt_id`
    this one try to start it; `fingerprint` is the hash of the request, to notice a key that is
    used again for something else; `reply_channel` is the Redis channel on which the caller listens.
    `if_match` are the entity tags of which the cart must have one (`models.cart.etag`).
    """

    store_id: str
    user_id: str
    operation_id: str
    attempt_id: str
    fingerprint: str
    reply_channel: str | None = None
    if_match: tuple[str, ...] | None = None
    policy: Policy = Policy()

    @property
    def reply_to(self) -> ReplyTo | None:
        """Where the answer goes, when somebody listens for it."""
        if self.reply_channel is None:
            return None
        return ReplyTo(channel=self.reply_channel, attempt_id=self.attempt_id)


class AddItemInput(CartOperation):
    """Add `quantity` of a product to the cart, or to the line that it has already."""

    product_id: str
    product_title: str
    product_images: tuple[str, ...] = ()
    product_price: Decimal
    product_description: str | None = None
    seller_id: str | None = None
    quantity: int
    email: str | None = None
    full_name: str | None = None


class UpdateQuantityInput(CartOperation):
    """Set the quantity of a product that is in the cart `cart_id`."""

    cart_id: str
    product_id: str
    quantity: int


class RemoveItemInput(CartOperation):
    """Take a product out of the cart `cart_id`."""

    cart_id: str
    product_id: str


ClearReason = Literal["user", "order_completed", "expired"]
"""Why a whole cart is deleted."""


class OrderedLine(Message):
    """Units of a product that an order has taken; `quantity` None means the whole line."""

    product_id: str
    quantity: int | None = None


class ClearCartInput(CartOperation):
    """Delete the cart, whatever it holds. `cart_id` None means whichever cart it is.

    With `expired_by` only if nobody has touched it meanwhile: it expires then or earlier. An order
    may say what it took: `items`, or the `cart_version` that was ordered. What came into the cart
    later stays there.
    """

    cart_id: str | None = None
    reason: ClearReason
    order_id: str | None = None
    expired_by: datetime | None = None
    items: tuple[OrderedLine, ...] | None = None
    cart_version: int | None = None


class AvailabilityNews(Message):
    """What is known of a product since `at`, the time of the event that said so."""

    product_id: str
    status: Literal["available", "out_of_stock"]
    reason: str | None = None
    at: datetime


class MarkAvailabilityInput(CartOperation):
    """Mark lines of the cart `cart_id`, each if the news of its product is newer than the line."""

    cart_id: str
    news: tuple[AvailabilityNews, ...]
    event_id: str | None = None


class MarkProductInput(Message):
    """Mark a product's lines in all carts, of one store or (None) of all.

    `topic` and `event_id` name the event that said so. The rest is carried from one run of the
    workflow to the next: the id of the last cart that was looked at, and what it came to.
    """

    topic: str
    event_id: str
    store_id: str | None = None
    news: AvailabilityNews
    policy: Policy = Policy()
    after: str | None = None
    looked_at: int = 0
    marked: int = 0


class RepairCartInput(CartOperation):
    """Look for drift in what is stored about a cart, and with `fix` repair it; `reason` says why.

    Effects that were pending at `stuck_before` are stuck.
    """

    reason: str
    fix: bool
    stuck_before: datetime


class SagaRun(Message):
    """One run of an operation: everything in it is the same when a lost task is run again."""

    run_id: str
    saga_id: str
    started_at: datetime
    operation: str
    operation_id: str
    fingerprint: str
    store_id: str
    user_id: str


# Effects: what must still happen outside MongoDB once the record is written.


class Effect(BaseModel):
    """Base of the effects; stored in the operation's record under camelCase names."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )

    id: str
    done_at: datetime | None = None
    skipped_because: str | None = None  # an operator's reason, when it was not done after all


class EventEffect(Effect):
    """An event to publish: `value` is its exact JSON text, the same on every retry.

    `traceparent` is the span that made it (W3C Trace Context), if the operation was traced.
    """

    kind: Literal["event"] = "event"
    topic: str
    key: str
    value: str
    time: datetime
    traceparent: str | None = None


class ReleaseEffect(Effect):
    """A hold to give back. `saga_id` is the saga it belongs to (see the inventory contract)."""

    kind: Literal["release"] = "release"
    product_id: str
    quantity: int
    saga_id: str
    reason: str
    order_id: str | None = None


AnyEffect = Annotated[EventEffect | ReleaseEffect, Field(discriminator="kind")]


# Changes: what a pivot does to the cart.


class AddLine(Message):
    """Add to the cart what `request` says."""

    kind: Literal["add_line"] = "add_line"
    request: AddItemInput


class SetQuantity(Message):
    """Set a line's quantity; units that become free are released."""

    kind: Literal["set_quantity"] = "set_quantity"
    request: UpdateQuantityInput


class RemoveLine(Message):
    """Take a line out; its units are released."""

    kind: Literal["remove_line"] = "remove_line"
    request: RemoveItemInput


class ClearCart(Message):
    """Delete the cart; all its units are released.

    With `ordered` only that is taken, as far as it is in the cart, and the cart stays when anything
    is left in it.
    """

    kind: Literal["clear_cart"] = "clear_cart"
    request: ClearCartInput
    ordered: tuple[OrderedLine, ...] | None = None


class DriftKind(StrEnum):
    """In what two systems that should agree about a cart do not."""

    ORPHANED_HOLD = "orphaned_hold"  # more is held than the cart has
    MISSING_HOLD = "missing_hold"  # less is held than the cart has
    STALE_CACHE = "stale_cache"  # the cache shows another cart than MongoDB has
    STUCK_EFFECT = "stuck_effect"  # an event or a release is still to be done


class Drift(Message):
    """One drift of a cart. `expected` and `found` are units, or for the cache versions.

    `done` says what a repair did about it; None when it did nothing.
    """

    kind: DriftKind
    detail: str
    product_id: str | None = None
    effect_id: str | None = None
    expected: int = 0
    found: int = 0
    done: str | None = None


class RepairCart(Message):
    """Give back what is held for the cart and not in it; the cart stays as it is."""

    kind: Literal["repair_cart"] = "repair_cart"
    request: RepairCartInput
    drifts: tuple[Drift, ...]


class MarkAvailability(Message):
    """Mark lines as out of stock, or as available again."""

    kind: Literal["mark_availability"] = "mark_availability"
    request: MarkAvailabilityInput


Change = Annotated[
    AddLine | SetQuantity | RemoveLine | ClearCart | MarkAvailability | RepairCart,
    Field(discriminator="kind"),
]


# Refusals.


RefusalCode = Literal[
    "insufficient_stock",
    "quantity_limit",
    "line_limit",
    "unit_limit",
    "value_limit",
    "idempotency_key_reused",
    "cart_not_found",
    "item_not_found",
    "precondition_failed",
    "nothing_to_change",
]


class Refusal(Message):
    """Why the business says no. `code` is stable; numbers are of what the code is about: units,
    lines, or for `value_limit` the cart's currency."""

    code: RefusalCode
    available: int | None = None
    current: int | None = None
    limit: int | None = None


# Results.


class OperationResult(Message):
    """How an operation ended.

    `run_id` names the record that holds the answer (another run's when `replayed`); `cart_id` and
    `version` are what was committed, `refusal` is set when `rejected`, `reason` when `aborted`, and
    `drifts` when a repair has found any.
    """

    outcome: Outcome
    operation: str
    operation_id: str
    run_id: str
    saga_id: str
    cart_id: str | None = None
    version: int | None = None
    refusal: Refusal | None = None
    reason: str | None = None
    drifts: tuple[Drift, ...] | None = None
