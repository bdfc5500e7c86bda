"""What must be true of the events that were delivered, when the system is quiet."""

from collections import defaultdict

from models.events import CART_CLEARED, CART_ITEM_ADDED, CART_ITEM_REMOVED, CART_ITEM_UPDATED
from tests.faults.events import Delivered
from tests.faults.lives import Change
from tests.faults.observed import Found, Observed
from tests.faults.wishes import What

TOPICS = {
    What.ADD: CART_ITEM_ADDED,
    What.MORE: CART_ITEM_UPDATED,
    What.LESS: CART_ITEM_UPDATED,
    What.REMOVE: CART_ITEM_REMOVED,
    What.CLEAR: CART_CLEARED,
}


def every_change_is_told(seen: Observed) -> Found:
    """Each committed change has exactly one event, delivered at least once, which says what was
    changed; nothing else has one."""
    promised = {(change.cart_id, change.version): change for change in seen.changes}
    told: dict[tuple[str, int], set[str]] = defaultdict(set)
    for event in seen.events:
        user_id, key = event.value["userId"], (event.value["cartId"], event.value["version"])
        told[key].add(event.value["eventId"])
        if event.ce_id != event.value["eventId"]:
            yield user_id, f"version {key}: the header says {event.ce_id}"
        change = promised.get(key)
        if change is None or change.record["sagaId"] != event.value["sagaId"]:
            yield user_id, f"an event of version {key}, which {event.value['sagaId']} never made"
        elif (wrong := _not_told(event, change)) is not None:
            yield user_id, f"version {key}: {wrong}"
    for key, change in promised.items():
        if len(told[key]) != 1:
            who = change.record["userId"], change.record["sagaId"]
            yield who[0], f"version {key} of {who[1]} has the events {sorted(told[key])}"


def _not_told(event: Delivered, change: Change) -> str | None:
    """What an event says otherwise than the change that it is of."""
    product_id, value = change.request.product_id, event.value
    units = change.after.get(product_id, 0), change.before.get(product_id, 0)
    wanted: dict[str, object]
    match change.request.what:
        case What.ADD:
            wanted = {"quantity": change.request.quantity, "lineQuantity": units[0]}
        case What.MORE | What.LESS:
            wanted = {"quantity": units[0], "previousQuantity": units[1]}
        case What.REMOVE:
            wanted = {"quantity": units[1]}
        case What.CLEAR:
            items = [{"productId": name, "quantity": n} for name, n in change.before.items()]
            wanted = {"items": items, "reason": "user"}
    topic = TOPICS[change.request.what]
    if event.topic == topic and {name: value.get(name) for name in wanted} == wanted:
        return None
    return f"{event.topic} {value}, not {topic} {wanted}"


def events_come_in_order(seen: Observed) -> Found:
    """A cart's events are first delivered in the order of its versions: in each topic by their
    places in it, over all topics by the times at which they were sent."""
    by_topic: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    sent: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for event in seen.events:
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
