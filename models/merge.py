"""Merging a guest's cart into a user's: how many units of each product the user's cart gets.

Pure rules, no storage. What the limits of the cart do not allow is named, and stays behind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from models.cart_facts import CartFacts, GuestFacts, LineFacts
from models.events import MergeStrategy
from models.limits import Policy
from models.message import Message
from models.outcomes import RefusalCode

EMPTY_CART_BYTES = 512
"""At most, of the JSON text of a cart without lines."""
NUMBER_BYTES = 8
"""By which a line's JSON text can grow when its quantity does."""


class TakenUnits(Message):
    """What a saga has found about a product: units that were moved from the guest's holds, and
    units that were reserved beside them. `accepted` is False where the inventory reserves none."""

    product_id: str
    moved: int = 0
    reserved: int = 0
    accepted: bool = True


class NotMerged(Message):
    """Units of the guest's cart that the user's cart does not get, and why."""

    product_id: str
    quantity: int
    reason: RefusalCode


@dataclass(slots=True)
class MergePlan:
    """What a merge does: the units of each line of the user's cart that it concerns (0: it goes),
    and what is not merged. `units` has the guest's products first, in their order."""

    units: dict[str, int] = field(default_factory=dict)
    left: list[NotMerged] = field(default_factory=list)


@dataclass(slots=True)
class _Room:
    """The user's cart, as it fills."""

    policy: Policy
    units: dict[str, int]
    prices: dict[str, Decimal]
    bytes: int

    def most(self, line: LineFacts, wanted: int, size: int) -> tuple[int, RefusalCode | None]:
        """How many units the line can have of those that are wanted, and what limits it."""
        has = self.units.get(line.product_id, 0)
        price = self.prices.get(line.product_id, line.price)
        policy = self.policy
        others = sum(self.units.values()) - has
        value = sum((self.prices[one] * units for one, units in self.units.items()), Decimal(0))
        limits: list[tuple[int, RefusalCode]] = [(policy.max_quantity, RefusalCode.QUANTITY_LIMIT)]
        if not has and len(self.units) >= policy.max_lines:
            limits.append((0, RefusalCode.LINE_LIMIT))
        if not has and self.bytes + size > policy.max_bytes:
            limits.append((0, RefusalCode.SIZE_LIMIT))
        if policy.max_units:
            limits.append((policy.max_units - others, RefusalCode.UNIT_LIMIT))
        if policy.max_value and price:
            room = (policy.max_value - (value - price * has)) / price
            limits.append((int(room), RefusalCode.VALUE_LIMIT))
        limit, reason = min(limits, key=lambda one: one[0])
        if limit >= wanted:
            return wanted, None
        return max(limit, has), reason  # what is over a limit already stays

    def take(self, line: LineFacts, units: int, size: int) -> None:
        if not units:
            return
        if line.product_id not in self.units:
            self.bytes += size
        self.units[line.product_id] = units
        self.prices.setdefault(line.product_id, line.price)


def plan_merge(
    cart: CartFacts, guest: GuestFacts, strategy: MergeStrategy, policy: Policy
) -> MergePlan:
    """What the merge does, as far as the rules of the carts decide it.

    `sum` adds the guest's units to the user's, `max` takes the larger number of both, `keep` takes
    only products that the user does not have, and `replace` takes the guest's lines in the place of
    all the user's.
    """
    has = {line.product_id: line.quantity for line in cart.content}
    prices = {line.product_id: line.price for line in cart.content}
    is_new = strategy == "replace"
    room = _Room(
        policy,
        {} if is_new else dict(has),
        {} if is_new else prices,
        EMPTY_CART_BYTES if is_new else guest.into_bytes or EMPTY_CART_BYTES,
    )
    plan = MergePlan()
    for line, size in zip(guest.content, guest.line_bytes, strict=True):
        wanted = _wanted(strategy, has.get(line.product_id, 0), line.quantity)
        units, reason = room.most(line, wanted, size + NUMBER_BYTES)
        room.take(line, units, size + NUMBER_BYTES)
        plan.units[line.product_id] = units
        if reason is not None and units < wanted:
            left = NotMerged(product_id=line.product_id, quantity=wanted - units, reason=reason)
            plan.left.append(left)
    if is_new and guest.content:
        plan.units |= {one: 0 for one in has if one not in plan.units}
    return plan


def _wanted(strategy: MergeStrategy, has: int, guest: int) -> int:
    match strategy:
        case "sum":
            return has + guest
        case "max":
            return max(has, guest)
        case "keep":
            return has or guest
        case "replace":
            return guest


def with_taken(
    plan: MergePlan,
    cart: CartFacts,
    taken: Mapping[str, TakenUnits],
    strategy: MergeStrategy,
) -> MergePlan:
    """The plan with the units that could be had. A line that the user has keeps its units."""
    held = {line.product_id: line.quantity - line.unheld for line in cart.content}
    has = {line.product_id: line.quantity for line in cart.content}
    found = MergePlan(left=[*plan.left])
    for product_id, units in plan.units.items():
        one = taken.get(product_id)
        can = units
        if one is not None:
            most = held.get(product_id, 0) + one.moved + one.reserved
            least = 0 if strategy == "replace" else has.get(product_id, 0)
            can = max(min(units, most), min(units, least))
        found.units[product_id] = can
        if one is not None and can < units:
            code = (
                RefusalCode.INSUFFICIENT_STOCK if one.accepted else RefusalCode.PRODUCT_NOT_ACCEPTED
            )
            found.left.append(NotMerged(product_id=product_id, quantity=units - can, reason=code))
    return found
