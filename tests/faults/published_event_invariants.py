"""What must be true of the published events when the system is quiet."""

from collections import defaultdict
from dataclasses import dataclass, replace

from models.events import (
    CART_CHECKED_OUT,
    CART_CHECKOUT_EXPIRED,
    CART_CLEARED,
    CART_HOLD_EXPIRED,
    CART_ITEM_ADDED,
    CART_ITEM_REMOVED,
    CART_ITEM_UPDATED,
    CART_MERGED,
    CART_ORDER_APPLIED,
)
from tests.faults.cart_requests import CartAction
from tests.faults.expected_carts import CommittedChange
from tests.faults.observed_state import Findings, ObservedState
from tests.faults.published_events import PublishedEvent
from tests.faults.shoppers import Lines


def every_change_is_published(observed: ObservedState) -> Findings:
    """Each committed change has exactly its events, each delivered at least once and with the right
    content; there are no other events."""
    promised = {
        (change.record["userId"], change.record["sagaId"]): change
        for change in (*observed.changes, *observed.unchanging)
    }
    published: dict[tuple[str, str], dict[str, PublishedEvent]] = defaultdict(dict)
    for event in observed.events:
        user_id, saga_id = event.value["userId"], event.value["sagaId"]
        published[user_id, saga_id][event.value["eventId"]] = event
        if event.ce_id != event.value["eventId"]:
            yield user_id, f"an event of {saga_id}: the header says {event.ce_id}"
        change = promised.get((user_id, saga_id))
        if change is None or not _is_of(event, change):
            yield user_id, f"an event of {saga_id}, which it never made: {event.value}"
        elif not any(wanted.matches(event) for wanted in _wanted(observed, change)):
            wanted_events = _wanted(observed, change)
            yield user_id, f"{saga_id}: {event.topic} {event.value}, not {wanted_events}"
    for (user_id, saga_id), change in promised.items():
        events = published[user_id, saga_id].values()
        missing = [
            wanted
            for wanted in _wanted(observed, change)
            if not wanted.optional and not any(wanted.matches(event) for event in events)
        ]
        if missing or len(events) > len(_wanted(observed, change)):
            shown = [(event.topic, event.value["eventId"]) for event in events]
            yield user_id, f"{saga_id} has the events {shown}, and lacks {missing}"


def _is_of(event: PublishedEvent, change: CommittedChange) -> bool:
    """Whether an event is of the change's cart, and of its version if it has made one."""
    if event.value["cartId"] != change.cart_id:
        return False
    version = change.record["version"]
    return version is None or event.value["version"] == version


@dataclass(frozen=True)
class _Wanted:
    """An event that a change must have, or (`optional`) can have: its topic, and some of its
    fields."""

    topic: str
    says: dict[str, object]
    optional: bool = False

    def matches(self, event: PublishedEvent) -> bool:
        said = {name: event.value.get(name) for name in self.says}
        return event.topic == self.topic and said == self.says


def _wanted(observed: ObservedState, change: CommittedChange) -> list[_Wanted]:
    """One event; for a batch or merge one for each line; for an order also its own, and one for
    each line it took; for stock news none."""
    before, after = change.before, change.after
    match change.request.action:
        case CartAction.STOCK_NEWS:
            return []
        case CartAction.CHECK_OUT | CartAction.THAW | CartAction.TIMEOUT | CartAction.CANCELLATION:
            return _of_checkout(change)
        case CartAction.LAPSE:
            return [_Wanted(CART_HOLD_EXPIRED, {})]
        case CartAction.MERGE:
            return [_merged_line(name, before, after) for name in before | after]
        case CartAction.MERGED:
            return [_Wanted(CART_MERGED, {"items": _items(before)})]
        case CartAction.CLEAR:
            return _taken(change, "user", None)
        case CartAction.ORDER:
            applied = _Wanted(CART_ORDER_APPLIED, _applied(observed, change))
            return [*_taken(change, "order_completed", change.request.key), applied]
        case _:
            return _of_line(change)


def _of_line(change: CommittedChange) -> list[_Wanted]:
    """The events of a change of one line, or of a batch."""
    product_id, before, after = change.request.product_id, change.before, change.after
    units, was = after.get(product_id, 0), before.get(product_id, 0)
    match change.request.action:
        case CartAction.ADD:
            return [_added(product_id, change.request.quantity, units)]
        case CartAction.REMOVE:
            return [_Wanted(CART_ITEM_REMOVED, {"quantity": was})]
        case CartAction.BATCH:
            names = (product_id, change.request.companion)
            return [_added(name, after[name] - before.get(name, 0), after[name]) for name in names]
        case _:
            return [_Wanted(CART_ITEM_UPDATED, {"quantity": units, "previousQuantity": was})]


def _of_checkout(change: CommittedChange) -> list[_Wanted]:
    """The event of a checkout, or of its end without an order."""
    reason, order_id = "user", None
    match change.request.action:
        case CartAction.CHECK_OUT:
            return [_Wanted(CART_CHECKED_OUT, {"checkoutId": change.record["operationId"]})]
        case CartAction.TIMEOUT:
            reason = "expired"
        case CartAction.CANCELLATION:
            if change.record["version"] is None:  # it found no checkout
                return []
            reason, order_id = "order_cancelled", change.request.key
    return [_Wanted(CART_CHECKOUT_EXPIRED, {"reason": reason, "orderId": order_id})]


def _taken(change: CommittedChange, reason: str, order_id: str | None) -> list[_Wanted]:
    """The events of what was taken out of a cart, or of its deletion."""
    why: dict[str, object] = {"reason": reason, "orderId": order_id}
    if change.clears_cart and change.record["version"] is not None:
        return [_Wanted(CART_CLEARED, why | {"items": _items(change.before)})]
    before, after = change.before, change.after
    return [_line_event(name, before[name], after.get(name, 0), why) for name in change.removed]


def _items(lines: Lines) -> list[dict[str, object]]:
    return [{"productId": name, "quantity": units} for name, units in lines.items()]


def _applied(observed: ObservedState, change: CommittedChange) -> dict[str, object]:
    """What is said of an order: all that it took from the cart is booked, or all that was checked
    out but what it is short of."""
    request, short = change.request, change.record.get("short") or {}
    checkout_id = request.order.checkout_id if request.order else None
    ordered = observed.frozen.get(checkout_id, {}) if checkout_id else change.removed
    items = [
        {
            "productId": name,
            "ordered": units,
            "booked": units - short.get(name, 0),
            "short": short.get(name, 0),
        }
        for name, units in sorted(ordered.items())
    ]
    return {"orderId": request.key, "items": items}


def _added(product_id: str, units: int, after: int) -> _Wanted:
    says = {"productId": product_id, "quantity": units, "lineQuantity": after}
    return _Wanted(CART_ITEM_ADDED, says)


def _merged_line(product_id: str, before: Lines, after: Lines) -> _Wanted:
    """The event of a line of the user's cart. One that keeps its units can have been reserved
    again."""
    was, now = before.get(product_id, 0), after.get(product_id, 0)
    if now > was:
        return _added(product_id, now - was, now)
    event = _line_event(product_id, was, now, {"reason": "cart_merged"})
    return replace(event, optional=now == was)


def _line_event(product_id: str, before: int, after: int, why: dict[str, object]) -> _Wanted:
    says = why | {"productId": product_id}
    if after == 0:
        return _Wanted(CART_ITEM_REMOVED, says | {"quantity": before})
    return _Wanted(CART_ITEM_UPDATED, says | {"quantity": after, "previousQuantity": before})


def events_come_in_order(observed: ObservedState) -> Findings:
    """The first delivery of a cart's events is in the order of its versions: in each topic by
    offset, across topics by the time of sending."""
    by_topic: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    sent: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for event in observed.events:
        user_id, cart_id = event.value["userId"], event.value["cartId"]
        version = event.value["version"]
        versions = by_topic[user_id, cart_id, event.topic]
        if version not in versions:
            versions.append(version)
            sent[user_id, cart_id][version] = event.sent_at
    for (user_id, cart_id, topic), versions in by_topic.items():
        if versions != sorted(versions):
            yield user_id, f"{topic} of cart {cart_id} was first delivered in the order {versions}"
    for (user_id, cart_id), times in sent.items():
        in_time = sorted(times, key=lambda version: (times[version], version))
        if in_time != sorted(times):
            yield user_id, f"events of cart {cart_id} were first sent in the order {in_time}"
