"""What a buyer wants of its cart, as one request, and what it was told."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx
import orjson

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


UPDATES = frozenset({What.MORE, What.LESS})
WORKFLOW_TYPES = {
    What.ADD: ids.ADD_ITEM,
    What.MORE: ids.UPDATE_QUANTITY,
    What.LESS: ids.UPDATE_QUANTITY,
    What.REMOVE: ids.REMOVE_ITEM,
    What.CLEAR: ids.CLEAR_CART,
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


@dataclass
class Request:
    """One buyer's wish, under one key, and all that was said about it.

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

    def body(self) -> dict[str, Any]:
        """Of an add."""
        return {
            "productId": self.product_id,
            "productTitle": self.product_id.title(),
            "productPrice": orjson.Fragment(PRICES[self.product_id]),
            "quantity": self.quantity,
        }
