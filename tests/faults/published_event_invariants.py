"""What must be true of the published events when the system is quiet."""

from collections import defaultdict
from dataclasses import dataclass

from models.events import (
    CART_CHECKED_OUT,
    CART_CHECKOUT_EXPIRED,
    CART_CLEARED,
    CART_ITEM_ADDED,
    CART_ITEM_REMOVED,
    CART_ITEM_UPDATED,
    CART_ORDER_APPLIED,
)
from tests.faults.cart_requests import CartAction
from tests.faults.expected_carts import CommittedChange
from tests.faults.observed_state import Findings, ObservedState
from tests.faults.published_events import PublishedEvent


def every_change_is_published(observed: ObservedState) -> Findings:
    """Each committed change has exactly its events, each delivered at least once and with the right
    content; there are no other events."""
    promised = {(change.cart_id, change.version): change for change in observed.changes}
    published: dict[tuple[str, int], set[str]] = defaultdict(set)
    for event in observed.events:
        user_id, key = event.value["userId"], (event.value["cartId"], event.value["version"])
        published[key].add(event.value["eventId"])
        if event.ce_id != event.value["eventId"]:
            yield user_id, f"version {key}: the header says {event.ce_id}"
        change = promised.get(key)
        if change is None or change.record["sagaId"] != event.value["sagaId"]:
            yield user_id, f"an event of version {key}, which {event.value['sagaId']} never made"
        elif not any(wanted.matches(event) for wanted in _wanted(change)):
            yield user_id, f"version {key}: {event.topic} {event.value}, not {_wanted(change)}"
    for key, change in promised.items():
        if len(published[key]) != len(_wanted(change)):
            who = change.record["userId"], change.record["sagaId"]
            yield who[0], f"version {key} of {who[1]} has the events {sorted(published[key])}"


@dataclass(frozen=True)
class _Wanted:
    """An event that a change must have: its topic, and some of its fields."""

    topic: str
    says: dict[str, object]

    def matches(self, event: PublishedEvent) -> bool:
        said = {name: event.value.get(name) for name in self.says}
        return event.topic == self.topic and said == self.says


def _wanted(change: CommittedChange) -> list[_Wanted]:
    """One event; for a batch one for each line; for an order also its own, and one for each line it
    took; for stock news none."""
    product_id, before, after = change.request.product_id, change.before, change.after
    units = after.get(product_id, 0), before.get(product_id, 0)
    match change.request.action:
        case CartAction.ADD:
            added = change.request.quantity
            return [_Wanted(CART_ITEM_ADDED, {"quantity": added, "lineQuantity": units[0]})]
        case CartAction.INCREASE | CartAction.DECREASE:
            return [
                _Wanted(CART_ITEM_UPDATED, {"quantity": units[0], "previousQuantity": units[1]})
            ]
        case CartAction.REMOVE:
            return [_Wanted(CART_ITEM_REMOVED, {"quantity": units[1]})]
        case CartAction.BATCH:
            return [
                _Wanted(
                    CART_ITEM_ADDED,
                    {
                        "productId": name,
                        "quantity": after[name] - before.get(name, 0),
                        "lineQuantity": after[name],
                    },
                )
                for name in (product_id, change.request.companion)
            ]
        case CartAction.STOCK_NEWS:
            return []
        case CartAction.CHECK_OUT:
            return [_Wanted(CART_CHECKED_OUT, {"checkoutId": change.record["operationId"]})]
        case CartAction.THAW:
            return [_Wanted(CART_CHECKOUT_EXPIRED, {"reason": "user", "orderId": None})]
        case CartAction.CANCELLATION:
            order_id = change.request.key
            ended: dict[str, object] = {"reason": "order_cancelled", "orderId": order_id}
            return [_Wanted(CART_CHECKOUT_EXPIRED, ended)]
    by_order = change.request.action is CartAction.ORDER
    why: dict[str, object] = {"reason": "order_completed" if by_order else "user"}
    why["orderId"] = change.request.key if by_order else None
    applied = [_Wanted(CART_ORDER_APPLIED, _applied(change))] if by_order else []
    if change.clears_cart:
        items = [{"productId": name, "quantity": n} for name, n in before.items()]
        return [_Wanted(CART_CLEARED, why | {"items": items}), *applied]
    lines = [_line_event(name, before[name], after.get(name, 0), why) for name in change.removed]
    return [*lines, *applied]


def _applied(change: CommittedChange) -> dict[str, object]:
    """What is said of an order: all that it took from the cart is booked."""
    items = [
        {"productId": name, "ordered": units, "booked": units, "short": 0}
        for name, units in sorted(change.removed.items())
    ]
    return {"orderId": change.request.key, "items": items}


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
