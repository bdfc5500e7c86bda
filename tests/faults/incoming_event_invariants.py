"""What must be true of the effects of incoming events when the system is quiet.

`one_operation_has_one_effect` covers repeated events, since each event has its own operation.
"""

from collections import defaultdict

from tests.faults.cart_requests import CartAction, StockNews
from tests.faults.checkout_invariants import cancelled_orders, short_orders
from tests.faults.observed_state import Findings, ObservedState


def every_order_has_its_effect(observed: ObservedState) -> Findings:
    """Each order is committed unless it was cancelled before, and each cancellation: none is
    lost."""
    committed = {record["operationId"] for record in observed.committed}
    cancelled = cancelled_orders(observed)
    for request in observed.ledger.event_requests:
        if (
            request.action in {CartAction.ORDER, CartAction.CANCELLATION}
            and observed.ledger.operation_id(request) not in committed
            and not (request.action is CartAction.ORDER and request.key in cancelled)
        ):
            yield request.user_id, f"order {request.key} had no effect"


def orders_take_effect_in_order(observed: ObservedState) -> Findings:
    """The orders of a cart take effect in the order in which they were first sent."""
    orders: dict[tuple[str, str], list[int]] = defaultdict(list)
    for change in observed.changes:
        if change.request.action is CartAction.ORDER:
            orders[change.record["userId"], change.cart_id].append(change.request.number)
    for (user_id, cart_id), numbers in orders.items():
        if numbers != sorted(numbers):
            yield user_id, f"orders of cart {cart_id} took effect in the order {numbers}"


def carts_show_the_latest_stock_news(observed: ObservedState) -> Findings:
    """A line that was reserved before the latest news of its product shows that news."""
    last: dict[str, StockNews] = {}
    for request in observed.ledger.event_requests:
        if request.news is not None and request.cart_id is None:
            last[request.product_id] = request.news
    for cart in observed.carts:
        for line in cart["cartItems"]:
            news, status = last.get(line["productId"]), line["availabilityStatus"]
            if news is None or line["reservedAt"] >= news.at:
                continue
            wanted = "available" if news.is_back else "out_of_stock"
            if status != wanted:
                yield cart["userId"], f"{line['productId']} is {status}, not {wanted}"


def only_unusable_events_are_parked(observed: ObservedState) -> Findings:
    """Exactly the unusable events and the orders that lack units are dead letters, each with its
    reason."""
    wanted = {parked: {why} for parked, why in observed.ledger.unusable.items()}
    wanted |= {key: {"order_shortfall"} for key in short_orders(observed)}
    for parked in sorted(wanted.keys() | observed.letters.keys()):
        if wanted.get(parked) != observed.letters.get(parked):
            yield (
                None,
                f"{parked} is parked for {observed.letters.get(parked)}, not {wanted.get(parked)}",
            )
