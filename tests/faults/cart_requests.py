"""One change of a cart: requested by a shopper over HTTP or by an event, or due by a schedule."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

import httpx
import orjson

from models.events import (
    CART_ITEM_OUT_OF_STOCK,
    INVENTORY_BACK_IN_STOCK,
    ORDER_CANCELLED,
    ORDER_COMPLETED,
    MergeStrategy,
)
from models.operations import (
    AddItem,
    ApplyBatch,
    ApplyOrder,
    CancelCheckout,
    CancelOrder,
    Checkout,
    ClearCart,
    LapseHolds,
    MarkAvailability,
    MergeCart,
    RemoveItem,
    UpdateQuantity,
)

PLENTY = ("lamp", "desk", "cable")
SCARCE = ("rare-a", "rare-b")
OFFERS = tuple(f"offer-{number}" for number in range(1000))
"""Products of which there are a few, one after the other."""
PRICES = {"lamp": "0.10", "desk": "249.99", "cable": "3.33", "rare-a": "19.99", "rare-b": "7.05"}
PRICES |= dict.fromkeys(OFFERS, "12.34")


class CartAction(StrEnum):
    """The kinds of change."""

    ADD = "add"
    INCREASE = "increase"  # the quantity of a line
    DECREASE = "decrease"
    REMOVE = "remove"
    CLEAR = "clear"
    CHECK_OUT = "check-out"  # the cart is frozen
    THAW = "thaw"  # the shopper cancels the checkout
    BATCH = "batch"  # adds the product, and a unit of another one
    MERGE = "merge"  # a guest has signed in: the guest's cart is merged into the user's
    MERGED = "merged"  # the same for the guest's cart, which ends
    ORDER = "order"  # an event: some lines, or all, were ordered
    CANCELLATION = "cancellation"  # an event: the payment of a checkout has failed
    STOCK_NEWS = "stock-news"  # an event: a product is out of stock, or back in stock
    LAPSE = "lapse"  # a schedule: the holds have ended
    TIMEOUT = "timeout"  # a schedule: the time of a checkout is over


SHOPPER_ACTIONS = (
    CartAction.ADD,
    CartAction.INCREASE,
    CartAction.DECREASE,
    CartAction.REMOVE,
    CartAction.CLEAR,
    CartAction.CHECK_OUT,
    CartAction.THAW,
    CartAction.BATCH,
)
"""The actions of one shopper; the others come from events and schedules, or concern two carts."""
SENT_ACTIONS = frozenset({*SHOPPER_ACTIONS, CartAction.MERGE})
"""All that are sent over HTTP."""
BY_SCHEDULE = {LapseHolds.name: CartAction.LAPSE, CancelCheckout.name: CartAction.TIMEOUT}
UPDATES = frozenset({CartAction.INCREASE, CartAction.DECREASE})
WORKFLOW_TYPES = {
    CartAction.ADD: AddItem.name,
    CartAction.INCREASE: UpdateQuantity.name,
    CartAction.DECREASE: UpdateQuantity.name,
    CartAction.REMOVE: RemoveItem.name,
    CartAction.CLEAR: ClearCart.name,
    CartAction.CHECK_OUT: Checkout.name,
    CartAction.THAW: CancelCheckout.name,
    CartAction.BATCH: ApplyBatch.name,
    CartAction.ORDER: ApplyOrder.name,
    CartAction.CANCELLATION: CancelOrder.name,
    CartAction.STOCK_NEWS: MarkAvailability.name,
    CartAction.MERGE: MergeCart.name,
    CartAction.MERGED: MergeCart.name,
    CartAction.LAPSE: LapseHolds.name,
    CartAction.TIMEOUT: CancelCheckout.name,
}


class RetryHabit(StrEnum):
    """How a shopper reacts to a reply."""

    RETRIES = "retries"  # sends the same key again until the outcome is known
    SENDS_TWICE = "sends twice"  # two requests with one key at once, then retries
    REPEATS_AFTERWARDS = "repeats"  # once more after the outcome is known
    POLLS_STATUS = "polls"  # gets the operation's URL after a 202
    NEVER_RETRIES = "never retries"


@dataclass(frozen=True)
class ClientReply:
    """One HTTP response; `status` is 0 if the connection broke. Times are monotonic seconds."""

    action: CartAction
    status: int
    body: bytes
    sent_at: float
    received_at: float

    @property
    def committed(self) -> bool:
        """Whether it reports a committed change."""
        if self.action in {CartAction.BATCH, CartAction.MERGE}:
            return self.status in {httpx.codes.CREATED, httpx.codes.OK}
        creates = self.action in {CartAction.ADD, CartAction.CHECK_OUT}
        return self.status == (httpx.codes.CREATED if creates else httpx.codes.OK)

    @property
    def unchanged(self) -> bool:
        """Whether it reports that the request changed nothing."""
        too_few = self.action is CartAction.ADD and self.status == httpx.codes.OK
        return too_few or 400 <= self.status < 500

    @property
    def unknown(self) -> bool:
        return not self.committed and not self.unchanged

    @property
    def cart(self) -> dict[str, Any] | None:
        """The cart in the body, if there is one."""
        if not self.committed:
            return None
        body = orjson.loads(self.body)
        return body if "_id" in body else None


@dataclass(frozen=True)
class Order:
    """An order of the request's product and quantity, or (`whole`) of the cart.

    With `cart_version` it is of the cart as it was in that version, with `checkout_id` of what was
    checked out.
    """

    whole: bool = False
    cart_version: int | None = None
    checkout_id: str | None = None


@dataclass(frozen=True)
class StockNews:
    """A product is out of stock since `at`, or (`is_back`) back in stock, in one cart or all."""

    at: datetime
    is_back: bool


@dataclass(frozen=True)
class Merge:
    """The guest whose cart is merged, with the guest's token."""

    guest_id: str
    token: str
    strategy: MergeStrategy


@dataclass
class CartRequest:
    """A request under one idempotency key, and its replies.

    `key` of an event is the order's id or the event's. `quantity` is in units to add. In an update
    it is the difference until `shoppers.prepare` has read the cart, and then the new quantity of
    the line; `prepare` may also choose another `product_id`, one that is in the cart.
    """

    number: int
    user_id: str
    product_id: str
    quantity: int
    key: str
    habit: RetryHabit
    action: CartAction = CartAction.ADD
    cart_id: str | None = None
    replies: list[ClientReply] = field(default_factory=list)
    accepted_at: str | None = None  # the Location of a 202
    order: Order | None = None
    news: StockNews | None = None
    merge: Merge | None = None

    @property
    def topic(self) -> str:
        """The topic of an event."""
        if self.action is CartAction.CANCELLATION:
            return ORDER_CANCELLED
        if self.news is None:
            return ORDER_COMPLETED
        return INVENTORY_BACK_IN_STOCK if self.news.is_back else CART_ITEM_OUT_OF_STOCK

    def call(self, store_id: str) -> tuple[str, str, dict[str, Any] | None]:
        """HTTP method, path and body."""
        own, by_id = f"/api/v1/cart/{store_id}/store", f"/api/v1/cart/{self.cart_id}"
        match self.action:
            case CartAction.ADD:
                return "POST", own, self.body()
            case CartAction.INCREASE | CartAction.DECREASE:
                return "PUT", by_id, {"productId": self.product_id, "quantity": self.quantity}
            case CartAction.REMOVE:
                return "DELETE", f"{by_id}/items/{self.product_id}", None
            case CartAction.CLEAR:
                return "DELETE", own, None
            case CartAction.CHECK_OUT:
                return "POST", f"{own}/checkout", None
            case CartAction.THAW:
                return "DELETE", f"{own}/checkout", None
            case CartAction.BATCH:
                return "POST", f"{own}/batch", self.batch()
            case CartAction.MERGE:
                assert self.merge is not None
                body = {"guestToken": self.merge.token, "strategy": self.merge.strategy}
                return "POST", f"{own}/merge", body
            case _:
                raise ValueError(self.action)

    @property
    def companion(self) -> str:
        """The other product of a batch."""
        return next(name for name in PLENTY if name != self.product_id)

    def batch(self) -> dict[str, Any]:
        """The body of a batch."""
        one = replace(self, product_id=self.companion, quantity=1)
        return {"operations": [{"op": "add", **request.body()} for request in (self, one)]}

    def body(self) -> dict[str, Any]:
        """The body of an add."""
        return {
            "productId": self.product_id,
            "productTitle": self.product_id.title(),
            "productPrice": orjson.Fragment(PRICES[self.product_id]),
            "quantity": self.quantity,
        }
