"""What the committed requests make of each cart: the model that everything stored must agree with.

A user's cart has several lives: a cleared one is gone, and the next one has another id and begins
at version 1.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.faults.wishes import UPDATES, Request, What

Lines = dict[str, int]
"""Product -> units."""


@dataclass(frozen=True)
class Change:
    """One committed record, what was asked for, and the cart's lines around it."""

    record: dict[str, Any]
    request: Request
    before: Lines
    after: Lines

    @property
    def cart_id(self) -> str:
        return str(self.record["cartId"])

    @property
    def version(self) -> int:
        return int(self.record["version"])

    @property
    def taken(self) -> Lines:
        """Units that went out."""
        return _less(self.before, self.after)

    @property
    def ends_the_cart(self) -> bool:
        """Whether the cart is gone with it; an order of all that is left is as good as a clear."""
        what = self.request.what
        return what is What.CLEAR or (what is What.ORDER and not self.after)


@dataclass
class Life:
    """One cart from its first version to its last one."""

    user_id: str
    cart_id: str
    changes: list[Change] = field(default_factory=list)

    @property
    def began(self) -> datetime:
        began: datetime = self.changes[0].record["at"]
        return began

    @property
    def versions(self) -> list[int]:
        return [change.version for change in self.changes]

    @property
    def is_over(self) -> bool:
        """Whether its last change has cleared it."""
        return self.changes[-1].ends_the_cart

    @property
    def lines(self) -> Lines:
        """What it holds in the end."""
        return self.changes[-1].after


def lives_of(changes: Iterable[tuple[dict[str, Any], Request]]) -> dict[str, list[Life]]:
    """User -> its carts one after the other, from the committed records and their requests."""
    found: dict[tuple[str, str], Life] = {}
    for record, request in sorted(changes, key=lambda change: int(change[0]["version"])):
        user_id, cart_id = record["userId"], str(record["cartId"])
        life = found.setdefault((user_id, cart_id), Life(user_id, cart_id))
        before = life.lines if life.changes else {}
        life.changes.append(Change(record, request, before, _after(life, before, request)))
    users: dict[str, list[Life]] = defaultdict(list)
    for life in sorted(found.values(), key=lambda life: life.began):
        users[life.user_id].append(life)
    return users


def _after(life: Life, before: Lines, request: Request) -> Lines:
    product_id, units = request.product_id, request.quantity
    if request.what is What.CLEAR:
        return {}
    if request.what is What.NEWS:
        return before
    if request.what is What.ORDER:
        return _less(before, _ordered(life, before, request))
    if request.what is What.ADD:
        return before | {product_id: before.get(product_id, 0) + units}
    if request.what in UPDATES:
        return before | {product_id: units}
    return {name: units for name, units in before.items() if name != product_id}


def _ordered(life: Life, before: Lines, request: Request) -> Lines:
    """Of an order of a version: nothing was taken out of the cart since, but by the order."""
    assert request.order is not None
    if not request.order.whole:
        return {request.product_id: request.quantity}
    if request.order.cart_version is None:
        return before
    [seen] = [change for change in life.changes if change.version == request.order.cart_version]
    return seen.after


def _less(before: Lines, taken: Lines) -> Lines:
    left = {name: units - taken.get(name, 0) for name, units in before.items()}
    return {name: units for name, units in left.items() if units > 0}
