"""What is wanted of a cart: by its buyer as one request, with what it was told; by an event of
another service, with what that should come to.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import httpx
import orjson

from models.events import CART_ITEM_OUT_OF_STOCK, INVENTORY_BACK_IN_STOCK, ORDER_COMPLETED
from workflows import ids

PRICES = {"lamp": "0.10", "desk": "249.99", "cable": "3.33", "rare-a": "19.99", "rare-b": "7.05"}
PLENTY = ("lamp", "desk", "cable")
SCARCE = ("rare-a", "rare-b")


class What(StrEnum):
    """What is done to the cart."""

    ADD = "add"
    MORE = "more"  # of what is in the cart
    LESS = "less"
    REMOVE = "remove"
    CLEAR = "clear"
    ORDER = "order"  # an event: some of it, or all, was ordered
    NEWS = "news"  # an event: a product cannot be had, or can be had again


ASKED = (What.ADD, What.MORE, What.LESS, What.REMOVE, What.CLEAR)
"""What buyers ask for; the rest other services tell."""
UPDATES = frozenset({What.MORE, What.LESS})
WORKFLOW_TYPES = {
    What.ADD: ids.ADD_ITEM,
    What.MORE: ids.UPDATE_QUANTITY,
    What.LESS: ids.UPDATE_QUANTITY,
    What.REMOVE: ids.REMOVE_ITEM,
    What.CLEAR: ids.CLEAR_CART,
    What.ORDER: ids.CLEAR_CART,
    What.NEWS: ids.MARK_AVAILABILITY,
}


class Habit(StrEnum):
    """How a buyer deals with an answer."""

    INSISTS = "insists"  # the same key again, until it is known
    TWICE = "twice"  # two requests with one key at once, then insists
    REPEATS = "repeats"  # once more when it is known
    FOLLOWS = "follows"  # asks the operation's URL after a 202
    LEAVES = "leaves"  # never asks again


@dataclass(frozen=True)
class Told:
    """One answer, or none: `status` 0 when the connection broke. Times are monotonic seconds."""

    what: What
    status: int
    body: bytes
    asked_at: float
    told_at: float

    @property
    def committed(self) -> bool:
        """It said that it is done."""
        done = httpx.codes.CREATED if self.what is What.ADD else httpx.codes.OK
        return self.status == done

    @property
    def unchanged(self) -> bool:
        """It said that this request changed nothing."""
        too_few = self.what is What.ADD and self.status == httpx.codes.OK
        return too_few or 400 <= self.status < 500

    @property
    def unknown(self) -> bool:
        return not self.committed and not self.unchanged

    @property
    def cart(self) -> dict[str, Any] | None:
        """The cart that was answered, if one was."""
        if not self.committed:
            return None
        body = orjson.loads(self.body)
        return body if "cartItems" in body else None


@dataclass(frozen=True)
class Order:
    """What was ordered: `quantity` units of the request's product, or (`whole`) the cart, as it was
    in `cart_version` if that is given."""

    whole: bool = False
    cart_version: int | None = None


@dataclass(frozen=True)
class News:
    """That a product cannot be had since then, or (`is_back`) can; in one cart, or in all."""

    at: datetime
    is_back: bool


@dataclass
class Request:
    """One buyer's wish, under one key, and all that was said about it.

    Of an event `key` is the order's id or the event's.

    `quantity` are units to add. Of an update it is by how much, until the buyer has looked at its
    cart (`traffic.prepare`), and then what the line shall have; the look may also choose another
    `product_id`, which is in the cart.
    """

    number: int
    user_id: str
    product_id: str
    quantity: int
    key: str
    habit: Habit
    what: What = What.ADD
    cart_id: str | None = None
    told: list[Told] = field(default_factory=list)
    accepted_at: str | None = None  # the Location of a 202
    order: Order | None = None
    news: News | None = None

    @property
    def topic(self) -> str:
        """Where an event is told."""
        if self.news is None:
            return ORDER_COMPLETED
        return INVENTORY_BACK_IN_STOCK if self.news.is_back else CART_ITEM_OUT_OF_STOCK

    def call(self, store_id: str) -> tuple[str, str, dict[str, Any] | None]:
        """HTTP method, path and body."""
        own, by_id = f"/api/v1/cart/{store_id}/store", f"/api/v1/cart/{self.cart_id}"
        match self.what:
            case What.ADD:
                return "POST", own, self.body()
            case What.MORE | What.LESS:
                return "PUT", by_id, {"productId": self.product_id, "quantity": self.quantity}
            case What.REMOVE:
                return "DELETE", f"{by_id}/items/{self.product_id}", None
            case What.CLEAR:
                return "DELETE", own, None
            case _:
                raise ValueError(self.what)

    def body(self) -> dict[str, Any]:
        """Of an add."""
        return {
            "productId": self.product_id,
            "productTitle": self.product_id.title(),
            "productPrice": orjson.Fragment(PRICES[self.product_id]),
            "quantity": self.quantity,
        }
