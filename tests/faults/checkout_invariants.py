"""What must be true of checkouts, their orders and merges when the system is quiet."""

from collections import Counter, defaultdict

import orjson

from models.events import CART_MERGED
from tests.faults.cart_requests import CartAction, CartRequest
from tests.faults.expected_carts import THAWING, CommittedChange
from tests.faults.observed_state import Findings, ObservedState
from tests.faults.shoppers import Lines


def a_frozen_cart_does_not_change(observed: ObservedState) -> Findings:
    """Between a checkout and its end nothing is committed but marks of availability, and only the
    checkout's own order."""
    for user_id, expected_carts in observed.expected_carts.items():
        for expected in expected_carts:
            checkout: CommittedChange | None = None
            for change in expected.changes:
                request = change.request
                if request.action is CartAction.STOCK_NEWS:
                    continue
                if checkout is not None and not _ends(request, checkout):
                    yield user_id, f"version {change.version}: {request.action} of a frozen cart"
                checkout = change if request.action is CartAction.CHECK_OUT else None


def _ends(request: CartRequest, checkout: CommittedChange) -> bool:
    """Whether it may be the end of the checkout."""
    if request.action not in THAWING:
        return False
    ordered = request.order.checkout_id if request.order else None
    return ordered in {None, checkout.record["operationId"]}


def a_frozen_cart_is_shown_as_it_was_frozen(observed: ObservedState) -> Findings:
    """Until the end of the checkout each read shows the frozen cart, and each change is refused."""
    for look in observed.ledger.looks:
        if look.shown is not None and look.shown != look.frozen:
            yield look.user_id, f"{look.shown} is shown, {look.frozen} was frozen"
        if look.change is None:
            continue
        reply = look.change.replies[0]
        if reply.committed or (reply.unchanged and not _says_frozen(reply.status, reply.body)):
            said = f"{reply.status} {reply.body[:200]!r}"
            yield look.user_id, f"{look.change.action} of a frozen cart was answered {said}"


def _says_frozen(status: int, body: bytes) -> bool:
    """Whether a reply refuses a change because of the checkout, or because the cart is busy."""
    return status == 409 and orjson.loads(body).get("code") in {
        "cart_checked_out",
        "operation_in_progress",
    }


def a_paid_order_has_its_units(observed: ObservedState) -> Findings:
    """An order of a checkout books exactly the units that were frozen.

    If the checkout has ended before, some of them may be gone. Then it books the others, takes no
    more of each out of the cart than was frozen, and is reported in the dead letters.
    """
    for change in (*observed.changes, *observed.unchanging):
        request, record = change.request, change.record
        if request.order is None or request.order.checkout_id is None:
            continue
        frozen = observed.frozen.get(request.order.checkout_id, {})
        short = _short(change)
        booked: Counter[str] = Counter(short)
        for effect in record["effects"]:
            if effect.get("reason") == "order_completed":
                booked[effect["productId"]] += effect["quantity"]
        who = record["userId"]
        if dict(booked) != frozen:
            yield who, f"{request.key} has {dict(booked)} with {short} short, {frozen} were frozen"
        if any(units > frozen.get(name, 0) for name, units in change.removed.items()):
            yield who, f"{request.key} took {change.removed} out of the cart, {frozen} were frozen"
        if short and _in_time(observed, change):
            yield who, f"{request.key} was paid in time, and lacks {short}"


def _in_time(observed: ObservedState, change: CommittedChange) -> bool:
    """Whether an order found its cart frozen by its own checkout."""
    assert change.request.order is not None
    if change.record["version"] is None:
        return False
    for expected in observed.expected_carts.get(change.record["userId"], ()):
        if expected.cart_id == change.cart_id:
            frozen = expected.frozen_before(change.version)
            return frozen is not None and (
                frozen.record["operationId"] == change.request.order.checkout_id
            )
    return False


def orders_are_sold(observed: ObservedState) -> Findings:
    """The sold units are exactly those that orders took and that were not given back."""
    wanted: Counter[str] = Counter()
    cancelled = cancelled_orders(observed)
    for change in (*observed.changes, *observed.unchanging):
        order = change.request.order
        if order is None or change.request.key in cancelled:
            continue
        is_of_checkout = order.checkout_id is not None
        wanted.update(
            observed.frozen.get(order.checkout_id or "", {}) if is_of_checkout else change.removed
        )
        wanted.subtract(_short(change))
    for product_id, units in observed.units.items():
        if units.sold != wanted[product_id]:
            yield None, f"{product_id}: {units.sold} sold, {wanted[product_id]} ordered"


def cancelled_orders(observed: ObservedState) -> set[str]:
    """The ids of the orders whose cancellation is committed, before or after they completed."""
    changes = (*observed.changes, *observed.unchanging)
    return {one.request.key for one in changes if one.request.action is CartAction.CANCELLATION}


def short_orders(observed: ObservedState) -> set[str]:
    """The ids of the orders that lack units."""
    changes = (*observed.changes, *observed.unchanging)
    return {one.request.key for one in changes if _short(one)}


def _short(change: CommittedChange) -> Lines:
    return change.record.get("short") or {}


def a_merge_takes_what_the_guest_had(observed: ObservedState) -> Findings:
    """After a merge the user's cart has of the guest's products what the strategy says, without
    what is named as not merged; its other lines stay, or go if they are replaced."""
    guests = {
        change.record["userId"]: change
        for change in observed.changes
        if change.request.action is CartAction.MERGED
    }
    left: dict[str, Lines] = defaultdict(dict)
    for event in observed.events:
        if event.topic == CART_MERGED:
            named = event.value["notMerged"]
            left[event.value["userId"]] = {one["productId"]: one["quantity"] for one in named}
    for change in (*observed.changes, *observed.unchanging):
        merge = change.request.merge
        if merge is None or change.request.action is not CartAction.MERGE:
            continue
        ended = guests.get(merge.guest_id)
        if ended is None:
            yield change.record["userId"], f"{change.request.key} ended no cart of {merge.guest_id}"
            continue
        if change.record["version"] is None:  # the cart had all before, so it stayed as it was
            continue
        wanted = _merged(merge.strategy, change.before, ended.before, left[merge.guest_id])
        if change.after != wanted:
            yield (
                change.record["userId"],
                f"{merge.strategy} of {change.before} and {ended.before} without "
                f"{left[merge.guest_id]} is {change.after}",
            )


def _merged(strategy: str, before: Lines, guest: Lines, left: Lines) -> Lines:
    wanted = {} if strategy == "replace" else dict(before)
    for name, units in guest.items():
        has = before.get(name, 0)
        match strategy:
            case "sum":
                all_units = has + units
            case "max":
                all_units = max(has, units)
            case "keep":
                all_units = has or units
            case _:
                all_units = units
        wanted[name] = all_units - left.get(name, 0)
    return {name: units for name, units in wanted.items() if units}
