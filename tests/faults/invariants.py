"""What must be true when the system is quiet, whatever was broken before.

Each invariant is a function from what was observed to its violations; its first line says what
must hold. All are always checked, and all violations are reported, not only the first. Those of the
events that are told stand in `invariants_of_events`, those of the events that are heard in
`invariants_of_arrivals`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.faults.inject import CONVERGE_SECONDS
from tests.faults.invariants_of_arrivals import (
    every_order_has_its_effect,
    orders_are_sold,
    orders_take_effect_in_order,
    the_last_news_is_shown,
    what_is_unusable_is_parked,
)
from tests.faults.invariants_of_events import events_come_in_order, every_change_is_told
from tests.faults.lives import Lines
from tests.faults.observed import Found, Observed
from tests.faults.wishes import PRICES, UPDATES, Request, Told


@dataclass(frozen=True)
class Violation:
    """Something that must not be; `user_id` when it is about one cart."""

    invariant: str
    detail: str
    user_id: str | None = None

    def __str__(self) -> str:
        whose = f" [{self.user_id}]" if self.user_id else ""
        return f"{self.invariant}{whose}: {self.detail}"


def stock_is_conserved(seen: Observed) -> Found:
    """Available, held and sold units sum to what there was, and none is ever below zero."""
    for product_id, initial in seen.ledger.stock.items():
        units = seen.units[product_id]
        if units.available + units.held + units.sold != initial:
            yield None, f"{product_id}: {units} is not {initial} in all"
        if min(units.available, units.held, units.sold) < 0:
            yield None, f"{product_id}: {units}"


def every_hold_is_a_cart_line(seen: Observed) -> Found:
    """For each user and product, what is held is what stands in the cart: neither without the
    other, since no saga runs any more. So nothing is given back that was not taken out, and nothing
    is kept that was."""
    lines = {
        (cart["userId"], product_id): units
        for cart in seen.carts
        for product_id, units in _lines(cart).items()
    }
    for key in sorted(lines.keys() | seen.holds.keys()):
        if lines.get(key, 0) != seen.holds.get(key, 0):
            user_id, product_id = key
            yield (
                user_id,
                f"{product_id}: {seen.holds.get(key, 0)} held, {lines.get(key, 0)} in the cart",
            )


def holds_are_all_held(seen: Observed) -> Found:
    """The users' holds of a product sum to the units that the stock says are held."""
    held: Counter[str] = Counter()
    for (_, product_id), quantity in seen.holds.items():
        held[product_id] += quantity
    for product_id, units in seen.units.items():
        if held[product_id] != units.held:
            yield None, f"{product_id}: {units.held} held, {held[product_id]} by users"


def one_operation_has_one_effect(seen: Observed) -> Found:
    """An operation, that is a user's key, has at most one committed record."""
    committed: Counter[tuple[str, str]] = Counter(
        (record["userId"], record["operationId"]) for record in seen.committed
    )
    for (user_id, operation), count in committed.items():
        if count > 1:
            yield user_id, f"operation {operation} committed {count} times"
        if seen.request_of(operation) is None:
            yield user_id, f"operation {operation} committed, and nobody asked for it"


def carts_hold_what_was_committed(seen: Observed) -> Found:
    """A cart's lines are what the committed requests make of them: none is lost, none counted
    twice, and what was taken out is out."""
    found = {cart["userId"]: _lines(cart) for cart in seen.carts}
    for user_id, lives in seen.lives.items():
        wanted = lives[-1].lines
        if wanted != found.get(user_id, {}):
            yield user_id, f"{wanted} committed, {found.get(user_id)} in the cart"
    for user_id in found.keys() - seen.lives.keys():
        yield user_id, "has a cart, and nothing was committed"


def versions_have_no_gap(seen: Observed) -> Found:
    """The committed changes of a cart have the versions 1 to n, and the cart has n."""
    versions = {str(cart["_id"]): cart["version"] for cart in seen.carts}
    for user_id, lives in seen.lives.items():
        for life in lives:
            last = versions.get(life.cart_id, len(life.versions))
            if life.versions != list(range(1, last + 1)):
                yield user_id, f"cart {life.cart_id} of version {last} has {life.versions}"


def a_cleared_cart_starts_anew(seen: Observed) -> Found:
    """A cart that was cleared is gone, with its lines; the user's next one has another id, and
    there is never a next one before."""
    carts = {cart["userId"]: str(cart["_id"]) for cart in seen.carts}
    for user_id, lives in seen.lives.items():
        for life in lives[:-1]:
            if not life.is_over:
                yield user_id, f"cart {life.cart_id} was not cleared, and has a successor"
        wanted = None if lives[-1].is_over else lives[-1].cart_id
        if carts.get(user_id) != wanted:
            yield user_id, f"has the cart {carts.get(user_id)}, not {wanted}"


def totals_are_exact(seen: Observed) -> Found:
    """A cart's quantity and total are those of its lines, to the cent, with the asked prices."""
    for cart in seen.carts:
        quantity, total = sum(_lines(cart).values()), _total(cart)
        stored = cart["totalPrice"].to_decimal()
        if (cart["quantity"], stored) != (quantity, total):
            yield cart["userId"], f"{cart['quantity']} for {stored}, not {quantity} for {total}"


def nothing_is_left_to_do(seen: Observed) -> Found:
    """All runs have ended and no effect is pending: it does get quiet."""
    for left in seen.open_runs:
        yield None, left


def hits_converge(seen: Observed) -> Found:
    """A run that was hit has ended, with all it had to do, soon after the fault is over."""
    for hit in seen.hits:
        took = hit.converged_after
        if took is None or took > CONVERGE_SECONDS:
            late = "not at all" if took is None else f"after {took:.1f} s"
            planned = hit.planned
            yield hit.user_id, f"{planned.fault.name}, {planned.moment.name}: {late}"


def a_2xx_is_committed(seen: Observed) -> Found:
    """Who was told that it is done has its change committed, or had nothing to change; who was told
    that nothing changed has none."""
    committed = {record["operationId"] for record in seen.committed}
    for request in seen.ledger.requests:
        is_committed = seen.ledger.operation_id(request) in committed
        statuses = [told.status for told in request.told]
        done = [told for told in request.told if told.committed]
        if not is_committed and not all(_had_it_already(request, told) for told in done):
            yield request.user_id, f"{request.key} was told {statuses}, and is not committed"
        if request.told and all(told.unchanged for told in request.told) and is_committed:
            yield request.user_id, f"{request.key} was told {statuses}, and is committed"


def _had_it_already(request: Request, told: Told) -> bool:
    """Whether an update was answered with a cart that had the quantity before."""
    cart = told.cart
    if request.what not in UPDATES or cart is None:
        return False
    return _lines(cart).get(request.product_id) == request.quantity


def one_key_has_one_answer(seen: Observed) -> Found:
    """A key that was committed is answered with the same status and the same bytes for ever."""
    versions = {change.request.key: change.version for change in seen.changes}
    for request in seen.ledger.requests:
        if request.key not in versions:
            continue
        answers = {
            (told.status, told.body)
            for told in request.told
            # An update that had nothing to change when it was first asked for is no answer.
            if told.committed
            and (told.cart is None or told.cart["version"] == versions[request.key])
        }
        replay = seen.replays.get(request.key)
        if replay is not None:
            answers.add(replay)
        if len(answers) > 1:
            shown = [(status, body[:200]) for status, body in answers]
            yield request.user_id, f"{request.key} was answered {shown}"


def answers_add_up(seen: Observed) -> Found:
    """Every answered cart has the total of its own lines, to the cent."""
    for request in seen.ledger.requests:
        for told in request.told:
            if told.cart is not None:
                total = _total(told.cart)
                if f'"totalPrice":{total}' not in told.body.decode():
                    shown = told.cart["totalPrice"]
                    yield request.user_id, f"{request.key}: {shown} is not {total}"


def every_operation_ends(seen: Observed) -> Found:
    """What was accepted ends committed, rejected or aborted, and its own URL says so."""
    committed = {record["operationId"] for record in seen.committed}
    for request in seen.ledger.requests:
        operation = seen.ledger.operation_id(request)
        end = seen.ends[operation]
        done = operation in committed or (request.what in UPDATES and end == "committed")
        if (end == "committed") != done:
            yield request.user_id, f"{request.key} says {end}"
        elif end not in {"committed", "rejected", "aborted"} and (
            end != "404" or request.accepted_at is not None
        ):
            yield request.user_id, f"{request.key} was accepted, and is {end}"


def reads_are_not_behind(seen: Observed) -> Found:
    """A buyer never reads an older cart than it was answered, nor one that it was told is gone, but
    for a TTL after Redis was cut from the writer."""
    for read in (*seen.ledger.reads, *seen.final_reads):
        if not read.clouded and seen.is_behind(read):
            told = read.told.cart["version"] if read.told.cart else read.told.body
            yield read.request.user_id, f"read {read.seen} after {read.request.key} told {told!r}"


def _lines(cart: dict[str, Any]) -> Lines:
    """Product -> units, of a cart as it is stored or shown."""
    return {line["productId"]: line["productQuantity"] for line in cart["cartItems"]}


def _total(cart: dict[str, Any]) -> Decimal:
    lines = _lines(cart).items()
    return sum((Decimal(PRICES[name]) * units for name, units in lines), Decimal("0.00"))


INVARIANTS: tuple[Callable[[Observed], Found], ...] = (
    stock_is_conserved,
    every_hold_is_a_cart_line,
    holds_are_all_held,
    one_operation_has_one_effect,
    carts_hold_what_was_committed,
    versions_have_no_gap,
    a_cleared_cart_starts_anew,
    totals_are_exact,
    every_change_is_told,
    events_come_in_order,
    every_order_has_its_effect,
    orders_take_effect_in_order,
    orders_are_sold,
    the_last_news_is_shown,
    what_is_unusable_is_parked,
    nothing_is_left_to_do,
    hits_converge,
    a_2xx_is_committed,
    one_key_has_one_answer,
    answers_add_up,
    every_operation_ends,
    reads_are_not_behind,
)


def violations(seen: Observed) -> list[Violation]:
    """All violations of all invariants."""
    return [
        Violation(invariant.__name__, detail, user_id)
        for invariant in INVARIANTS
        for user_id, detail in invariant(seen)
    ]
