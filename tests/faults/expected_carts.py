"""The carts that the committed requests lead to; everything stored must agree with them.

A user can have several carts one after the other: after a clear the next cart has a new id and
begins at version 1.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.faults.cart_requests import UPDATES, CartAction, CartRequest
from tests.faults.shoppers import Lines

UNCHANGING = frozenset(
    {
        CartAction.STOCK_NEWS,
        CartAction.CHECK_OUT,
        CartAction.THAW,
        CartAction.CANCELLATION,
        CartAction.LAPSE,
        CartAction.TIMEOUT,
    }
)
"""The actions that leave the lines as they are."""
THAWING = frozenset(
    {CartAction.THAW, CartAction.CANCELLATION, CartAction.ORDER, CartAction.TIMEOUT}
)
"""The actions that end a checkout."""


@dataclass(frozen=True)
class CommittedChange:
    """A committed record with its request, and the cart's lines before and after."""

    record: dict[str, Any]
    request: CartRequest
    before: Lines
    after: Lines

    @property
    def cart_id(self) -> str:
        return str(self.record["cartId"])

    @property
    def version(self) -> int:
        return int(self.record["version"])

    @property
    def removed(self) -> Lines:
        """The units that the change took out of the cart."""
        return _less(self.before, self.after)

    @property
    def clears_cart(self) -> bool:
        """Whether the cart is deleted: by a clear or a merge, or an order of all that was in it."""
        action = self.request.action
        if action in {CartAction.CLEAR, CartAction.MERGED}:
            return True
        return action is CartAction.ORDER and not self.after


@dataclass
class ExpectedCart:
    """One cart from its first version to its last one."""

    user_id: str
    cart_id: str
    changes: list[CommittedChange] = field(default_factory=list)

    @property
    def began(self) -> datetime:
        began: datetime = self.changes[0].record["at"]
        return began

    @property
    def versions(self) -> list[int]:
        return [change.version for change in self.changes]

    @property
    def is_cleared(self) -> bool:
        """Whether the last change cleared it."""
        return self.changes[-1].clears_cart

    @property
    def lines(self) -> Lines:
        """Its lines after the last change."""
        return self.changes[-1].after

    def frozen_before(self, version: int) -> CommittedChange | None:
        """The checkout that froze the cart when it had the version before this one."""
        for change in reversed([one for one in self.changes if one.version < version]):
            if change.request.action is CartAction.CHECK_OUT:
                return change
            if change.request.action in THAWING:
                return None
        return None


def expected_carts_of(
    changes: Iterable[tuple[dict[str, Any], CartRequest]],
) -> dict[str, list[ExpectedCart]]:
    """User -> its carts in the order of time, from committed records and their requests."""
    found: dict[tuple[str, str], ExpectedCart] = {}
    versions = (change for change in changes if change[0]["version"] is not None)
    for record, request in sorted(versions, key=lambda change: int(change[0]["version"])):
        user_id, cart_id = record["userId"], str(record["cartId"])
        expected = found.setdefault((user_id, cart_id), ExpectedCart(user_id, cart_id))
        before = expected.lines if expected.changes else {}
        expected.changes.append(
            CommittedChange(record, request, before, _after(expected, before, record, request))
        )
    users: dict[str, list[ExpectedCart]] = defaultdict(list)
    for expected in sorted(found.values(), key=lambda expected: expected.began):
        users[expected.user_id].append(expected)
    return users


def unchanging_of(
    changes: Iterable[tuple[dict[str, Any], CartRequest]],
) -> list[CommittedChange]:
    """Those that have left their cart as it is, or found none."""
    return [
        CommittedChange(record, request, {}, {})
        for record, request in changes
        if record["version"] is None
    ]


def _after(
    expected: ExpectedCart, before: Lines, record: dict[str, Any], request: CartRequest
) -> Lines:
    product_id, units = request.product_id, request.quantity
    if request.action in {CartAction.CLEAR, CartAction.MERGED}:
        return {}
    if request.action in UNCHANGING:
        return before
    if request.action is CartAction.MERGE:
        return _moved(before, record)
    if request.action is CartAction.ORDER:
        if _is_late(expected, record, request):
            return _moved(before, record)
        return _less(before, _ordered(expected, before, request))
    if request.action is CartAction.ADD:
        return before | {product_id: before.get(product_id, 0) + units}
    if request.action is CartAction.BATCH:
        other = {request.companion: before.get(request.companion, 0) + 1}
        return before | {product_id: before.get(product_id, 0) + units} | other
    if request.action in UPDATES:
        return before | {product_id: units}
    return {name: units for name, units in before.items() if name != product_id}


def _ordered(expected: ExpectedCart, before: Lines, request: CartRequest) -> Lines:
    """The units that an order takes.

    For an order of a version: only orders have taken units out of the cart since that version.
    """
    assert request.order is not None
    if not request.order.whole:
        return {request.product_id: request.quantity}
    if request.order.checkout_id is not None or request.order.cart_version is None:
        return before
    [observed] = [
        change for change in expected.changes if change.version == request.order.cart_version
    ]
    return observed.after


def _is_late(expected: ExpectedCart, record: dict[str, Any], request: CartRequest) -> bool:
    """Whether an order is of a checkout that has ended."""
    assert request.order is not None
    if request.order.checkout_id is None:
        return False
    frozen = expected.frozen_before(int(record["version"]))
    return frozen is None or frozen.record["operationId"] != request.order.checkout_id


def _moved(before: Lines, record: dict[str, Any]) -> Lines:
    """What the record says of a change that its request does not determine. The invariants about
    merges and late orders compare it with what was there. New lines stand at the end."""
    moved = {line["productId"]: -line["moved"] for line in record["lines"]}
    new = {name: 0 for name in moved if name not in before}
    return _less(before | new, moved)


def _less(before: Lines, removed: Lines) -> Lines:
    left = {name: units - removed.get(name, 0) for name, units in before.items()}
    return {name: units for name, units in left.items() if units > 0}
