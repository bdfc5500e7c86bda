"""What must be true of what events of other services have done, when the system is quiet.

That none has its effect twice is `one_operation_has_one_effect`: each has an operation of its own.
"""

from collections import Counter, defaultdict

from tests.faults.observed import Found, Observed
from tests.faults.wishes import News, What


def every_order_has_its_effect(seen: Observed) -> Found:
    """Each order that had something to take is committed: none is lost."""
    committed = {record["operationId"] for record in seen.committed}
    for request in seen.ledger.arrived:
        if request.what is What.ORDER and seen.ledger.operation_id(request) not in committed:
            yield request.user_id, f"order {request.key} had no effect"


def orders_take_effect_in_order(seen: Observed) -> Found:
    """The orders of a cart take effect in the order in which they were first sent."""
    orders: dict[tuple[str, str], list[int]] = defaultdict(list)
    for change in seen.changes:
        if change.request.what is What.ORDER:
            orders[change.record["userId"], change.cart_id].append(change.request.number)
    for (user_id, cart_id), numbers in orders.items():
        if numbers != sorted(numbers):
            yield user_id, f"orders of cart {cart_id} took effect in the order {numbers}"


def orders_are_sold(seen: Observed) -> Found:
    """The units that were sold are those that orders took, no more and no less."""
    taken: Counter[str] = Counter()
    for change in seen.changes:
        if change.request.what is What.ORDER:
            taken.update(change.taken)
    for product_id, units in seen.units.items():
        if units.sold != taken[product_id]:
            yield None, f"{product_id}: {units.sold} sold, {taken[product_id]} ordered"


def the_last_news_is_shown(seen: Observed) -> Found:
    """A line whose units were reserved before the last news of its product says what that says."""
    last: dict[str, News] = {}
    for request in seen.ledger.arrived:
        if request.news is not None and request.cart_id is None:
            last[request.product_id] = request.news
    for cart in seen.carts:
        for line in cart["cartItems"]:
            news, status = last.get(line["productId"]), line["availabilityStatus"]
            if news is None or line["reservedAt"] >= news.at:
                continue
            wanted = "available" if news.is_back else "out_of_stock"
            if status != wanted:
                yield cart["userId"], f"{line['productId']} is {status}, not {wanted} as was told"


def what_is_unusable_is_parked(seen: Observed) -> Found:
    """Events that no try can help are parked, with the reason, and no other event is."""
    wanted = {parked: {why} for parked, why in seen.ledger.unusable.items()}
    for parked in sorted(wanted.keys() | seen.letters.keys()):
        if wanted.get(parked) != seen.letters.get(parked):
            yield (
                None,
                f"{parked} is parked for {seen.letters.get(parked)}, not {wanted.get(parked)}",
            )
