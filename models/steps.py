"""Steps of sagas: what activities are given and give back."""

from decimal import Decimal
from typing import Literal

from models.messages import (
    AnyEffect,
    Change,
    EventEffect,
    Message,
    OperationResult,
    OrderedLine,
    Policy,
    Refusal,
    ReleaseEffect,
    ReplyTo,
    SagaRun,
    UpdateQuantityInput,
)


class LoadCart(Message):
    """Load the facts a saga decides on; `product_id` names the line that matters, if one does."""

    run: SagaRun
    product_id: str | None = None


class Recorded(Message):
    """A run's record: its outcome and what it still has to do."""

    run_id: str
    state: Literal["committed", "aborted"]
    fingerprint: str
    reason: str | None = None
    cart_id: str | None = None
    version: int | None = None
    effects: tuple[AnyEffect, ...] = ()


class LoadedCart(Message):
    """The cart as far as a saga must know it; `version` 0 means that there is none.

    `line_quantity` and `line_price` are of the product that was asked for.
    """

    version: int
    cart_id: str | None = None
    line_count: int
    line_quantity: int
    line_price: Decimal = Decimal(0)
    quantity: int = 0
    total_price: Decimal = Decimal(0)
    own_record: Recorded | None = None
    committed_record: Recorded | None = None

    @property
    def record(self) -> Recorded | None:
        """What answers the operation already: this run's record, or an earlier run's."""
        return self.own_record or self.committed_record


class ReserveHold(Message):
    """Reserve `quantity` units of a product for a user, on account of a saga."""

    store_id: str
    product_id: str
    user_id: str
    saga_id: str
    quantity: int


class HoldAnswer(Message):
    """Whether the hold was granted, and how many units are available now."""

    granted: bool
    available: int


class LoadForUpdate(Message):
    """Load what an update decides on, and reserve the units that it needs more."""

    run: SagaRun
    update: UpdateQuantityInput


class CartAndHold(Message):
    """What an update found; `cart` None when MongoDB did not answer, and nothing was reserved.

    `units` is how many were asked for. Then `answer` None means that the inventory did not answer,
    and may hold them; `timed_out` that it was waited for as long as a caller is made to wait.
    """

    cart: LoadedCart | None = None
    units: int = 0
    answer: HoldAnswer | None = None
    timed_out: bool = False


class CommitChange(Message):
    """The pivot: apply `change` to the cart.

    With an `expected_version` (0: there is none) only to the cart as it was loaded; without one, to
    the cart as the step itself reads it.
    """

    run: SagaRun
    policy: Policy
    expected_version: int | None = None
    expected_cart_id: str | None = None
    change: Change
    reply_to: ReplyTo | None = None


class Committed(Message):
    """What the pivot came to: the run's record, or why the cart does not allow the change.

    `shown` is whether the cart is shown and the caller answered already, as far as Redis is there,
    and `published` whether the record's events are published and noted: None when that was not
    tried, False when it is left to the relay.
    """

    record: Recorded | None = None
    refusal: Refusal | None = None
    shown: bool = False
    published: bool | None = None


class FindOrdered(Message):
    """Find what the cart had at `cart_version` and still has, and of that what is in `items`."""

    cart_id: str
    cart_version: int
    items: tuple[OrderedLine, ...] | None = None


class Ordered(Message):
    """What an order took."""

    lines: tuple[OrderedLine, ...]


class ProductMarked(Message):
    """What one page of a product's carts came to; `after` None when it was the last."""

    looked_at: int
    marked: int
    after: str | None


class SettleRun(Message):
    """Decide a run that may have committed: record it as aborted unless it has."""

    run: SagaRun
    reason: str
    releases: tuple[ReleaseEffect, ...] = ()


class ReleaseHolds(Message):
    """Give the holds of a run's record back, and note it there."""

    run_id: str
    store_id: str
    user_id: str
    releases: tuple[ReleaseEffect, ...]


class PublishEvents(Message):
    """Publish the events of a run's record in this order, and note it there."""

    run_id: str
    store_id: str
    user_id: str
    events: tuple[EventEffect, ...]


class ShowCart(Message):
    """Write the cart that `run` has committed into the cache, and answer the caller."""

    run: SagaRun
    product_id: str | None = None
    cache: bool
    reply_to: ReplyTo | None


class AnswerCaller(Message):
    """Tell the caller how its operation ended."""

    reply_to: ReplyTo
    result: OperationResult
