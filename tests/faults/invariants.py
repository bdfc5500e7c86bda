"""What must be true when the system is quiet, whatever was broken before.

Each invariant is a function from the observed state to its violations; the first line of its
docstring says what must hold. All invariants are checked, and all violations are reported.
`checkout_invariants` has those about checkouts and merges, `published_event_invariants` and
`incoming_event_invariants` those about events.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.faults.cart_requests import PRICES, UPDATES, CartRequest, ClientReply
from tests.faults.checkout_invariants import (
    a_frozen_cart_does_not_change,
    a_frozen_cart_is_shown_as_it_was_frozen,
    a_merge_takes_what_the_guest_had,
    a_paid_order_has_its_units,
    orders_are_sold,
)
from tests.faults.fault_injection import CONVERGE_SECONDS
from tests.faults.incoming_event_invariants import (
    carts_show_the_latest_stock_news,
    every_order_has_its_effect,
    only_unusable_events_are_parked,
    orders_take_effect_in_order,
)
from tests.faults.observed_state import Findings, ObservedState
from tests.faults.published_event_invariants import events_come_in_order, every_change_is_published
from tests.faults.shoppers import Lines, lines_of, version_of


@dataclass(frozen=True)
class Violation:
    """A violation of an invariant; `user_id` if it is about one cart."""

    invariant: str
    detail: str
    user_id: str | None = None

    def __str__(self) -> str:
        whose = f" [{self.user_id}]" if self.user_id else ""
        return f"{self.invariant}{whose}: {self.detail}"


def stock_is_conserved(observed: ObservedState) -> Findings:
    """Available, held and sold units add up to the initial stock, and none is below zero."""
    for product_id, initial in observed.ledger.stock.items():
        units = observed.units[product_id]
        if units.available + units.held + units.sold != initial:
            yield None, f"{product_id}: {units} is not {initial} in all"
        if min(units.available, units.held, units.sold) < 0:
            yield None, f"{product_id}: {units}"


def every_hold_is_a_cart_line(observed: ObservedState) -> Findings:
    """For each user and product, the units held are those that the cart says are held."""
    lines = {
        (cart["userId"], product_id): units
        for cart in observed.carts
        for product_id, units in _held(cart).items()
    }
    for key in sorted(lines.keys() | observed.holds.keys()):
        if lines.get(key, 0) != observed.holds.get(key, 0):
            user_id, product_id = key
            yield (
                user_id,
                f"{product_id}: {observed.holds.get(key, 0)} held, {lines.get(key, 0)} by the cart",
            )


def only_terminated_runs_need_a_repair(observed: ObservedState) -> Findings:
    """The watch over reservations repairs only carts of which a run was terminated."""
    terminated = {
        record["userId"] for record in observed.records if record.get("reason") == "terminated"
    }
    for repair in observed.repairs:
        if repair["userId"] not in terminated:
            yield repair["userId"], f"repaired: {repair['answer']['body']}"


def holds_sum_to_the_held_stock(observed: ObservedState) -> Findings:
    """The holds of all users of a product add up to the held units of its stock."""
    held: Counter[str] = Counter()
    for (_, product_id), quantity in observed.holds.items():
        held[product_id] += quantity
    for product_id, units in observed.units.items():
        if held[product_id] != units.held:
            yield None, f"{product_id}: {units.held} held, {held[product_id]} by users"


def one_operation_has_one_effect(observed: ObservedState) -> Findings:
    """An operation (a user's key) has at most one committed record, and a request."""
    committed: Counter[tuple[str, str]] = Counter(
        (record["userId"], record["operationId"]) for record in observed.committed
    )
    known = {
        record["operationId"]
        for record in observed.committed
        if observed.request_of(record) is not None
    }
    for (user_id, operation), count in committed.items():
        if count > 1:
            yield user_id, f"operation {operation} committed {count} times"
        if operation not in known:
            yield user_id, f"operation {operation} committed without a request"


def carts_hold_what_was_committed(observed: ObservedState) -> Findings:
    """A cart's lines are what the committed requests make of them: none is lost, none counted
    twice, and what was taken out is out."""
    found = {cart["userId"]: lines_of(cart) for cart in observed.carts}
    for user_id, expected_carts in observed.expected_carts.items():
        wanted = expected_carts[-1].lines
        if wanted != found.get(user_id, {}):
            yield user_id, f"{wanted} committed, {found.get(user_id)} in the cart"
    for user_id in found.keys() - observed.expected_carts.keys():
        yield user_id, "has a cart, and nothing was committed"


def versions_have_no_gap(observed: ObservedState) -> Findings:
    """The committed changes of a cart have the versions 1 to n, and the cart has n."""
    versions = {str(cart["_id"]): cart["version"] for cart in observed.carts}
    for user_id, expected_carts in observed.expected_carts.items():
        for expected in expected_carts:
            last = versions.get(expected.cart_id, len(expected.versions))
            if expected.versions != list(range(1, last + 1)):
                yield user_id, f"cart {expected.cart_id} of version {last} has {expected.versions}"


def a_cleared_cart_starts_anew(observed: ObservedState) -> Findings:
    """A cleared cart is deleted, the user's next cart has a new id, and there is none before."""
    carts = {cart["userId"]: str(cart["_id"]) for cart in observed.carts}
    for user_id, expected_carts in observed.expected_carts.items():
        for expected in expected_carts[:-1]:
            if not expected.is_cleared:
                yield (
                    user_id,
                    f"cart {expected.cart_id} was not cleared, and the user has another cart",
                )
        wanted = None if expected_carts[-1].is_cleared else expected_carts[-1].cart_id
        if carts.get(user_id) != wanted:
            yield user_id, f"has the cart {carts.get(user_id)}, not {wanted}"


def totals_are_exact(observed: ObservedState) -> Findings:
    """A cart's quantity and total are those of its lines, to the cent, at the requested prices."""
    for cart in observed.carts:
        quantity, total = sum(lines_of(cart).values()), _total(cart)
        stored = cart["totalPrice"].to_decimal()
        if (cart["quantity"], stored) != (quantity, total):
            yield cart["userId"], f"{cart['quantity']} for {stored}, not {quantity} for {total}"


def nothing_stays_pending(observed: ObservedState) -> Findings:
    """All runs have ended, and no effect is pending."""
    for left in observed.open_runs:
        yield None, left


def runs_end_soon_after_a_fault(observed: ObservedState) -> Findings:
    """A run that was hit by a fault ends, with all its effects, soon after the fault is over."""
    for hit in observed.hits:
        took = hit.converged_after
        if took is None or took > CONVERGE_SECONDS:
            late = "not at all" if took is None else f"after {took:.1f} s"
            planned = hit.planned
            yield hit.user_id, f"{planned.fault.name}, {planned.moment.name}: {late}"


def replies_match_what_was_committed(observed: ObservedState) -> Findings:
    """A request with a success reply is committed, or had nothing to change.

    A request that was only refused is not committed.
    """
    committed = {record["operationId"] for record in observed.committed}
    for request in observed.ledger.requests:
        is_committed = observed.ledger.operation_id(request) in committed
        statuses = [reply.status for reply in request.replies]
        done = [reply for reply in request.replies if reply.committed]
        if not is_committed and not all(
            _had_it_already(observed, request, reply) for reply in done
        ):
            yield request.user_id, f"{request.key} was answered {statuses}, and is not committed"
        if request.replies and all(reply.unchanged for reply in request.replies) and is_committed:
            yield request.user_id, f"{request.key} was answered {statuses}, and is committed"


def _had_it_already(observed: ObservedState, request: CartRequest, reply: ClientReply) -> bool:
    """Whether an update had nothing to change: its line had the quantity while the request ran.

    The reply shows the cart as it is when the reply is made; by then another request may have
    changed it again.
    """
    cart = reply.cart
    if request.action not in UPDATES or cart is None:
        return False
    if lines_of(cart).get(request.product_id) == request.quantity:
        return True
    sent_at = min(one.sent_at for one in request.replies)
    for change in observed.changes_up_to(request.user_id, version_of(cart)):
        if change.after.get(request.product_id) == request.quantity:
            return True
        if any(one.committed and one.received_at < sent_at for one in change.request.replies):
            return False  # current before the request was sent, so earlier versions were not
    return False


def one_key_has_one_reply(observed: ObservedState) -> Findings:
    """All success replies to a committed key have the same status and the same bytes."""
    versions = {change.request.key: change.version for change in observed.changes}
    for request in observed.ledger.requests:
        if request.key not in versions:
            continue
        answers = {
            (reply.status, reply.body)
            for reply in request.replies
            # Without the reply to an update that had nothing to change when it was first sent.
            if reply.committed
            and (reply.cart is None or reply.cart["version"] == versions[request.key])
        }
        replay = observed.replays.get(request.key)
        if replay is not None:
            answers.add(replay)
        if len(answers) > 1:
            shown = [(status, body[:200]) for status, body in answers]
            yield request.user_id, f"{request.key} was answered {shown}"


def replied_totals_are_exact(observed: ObservedState) -> Findings:
    """Every cart in a reply has the total of its lines, to the cent."""
    for request in observed.ledger.requests:
        for reply in request.replies:
            if reply.cart is not None:
                total = _total(reply.cart)
                if f'"totalPrice":{total}' not in reply.body.decode():
                    shown = reply.cart["totalPrice"]
                    yield request.user_id, f"{request.key}: {shown} is not {total}"


def every_operation_ends(observed: ObservedState) -> Findings:
    """An accepted operation ends committed, rejected or aborted, and its URL shows that."""
    committed = {record["operationId"] for record in observed.committed}
    for request in observed.ledger.requests:
        operation = observed.ledger.operation_id(request)
        end = observed.ends[operation]
        done = operation in committed or (request.action in UPDATES and end == "committed")
        if (end == "committed") != done:
            yield request.user_id, f"{request.key} says {end}"
        elif end not in {"committed", "rejected", "aborted"} and (
            end != "404" or request.accepted_at is not None
        ):
            yield request.user_id, f"{request.key} was accepted, and is {end}"


def reads_are_never_stale(observed: ObservedState) -> Findings:
    """A shopper never reads a cart that is older than an earlier reply, nor a cleared cart."""
    for read in (*observed.ledger.reads, *observed.final_reads):
        if observed.is_stale(read):
            reply = read.reply.cart["version"] if read.reply.cart else read.reply.body
            yield (
                read.request.user_id,
                f"read {read.version} after {read.request.key} replied {reply!r}",
            )


def what_is_not_sick_is_not_affected(observed: ObservedState) -> Findings:
    """A partial fault is noticed only by the carts that it is about."""
    yield from observed.ledger.noticed


def _held(cart: dict[str, Any]) -> Lines:
    """The units of a stored cart that are held; those of a line are all held unless it says so."""
    held = {line["productId"]: line["unitsHeld"] for line in cart["cartItems"]}
    return {
        name: units if held[name] is None else held[name] for name, units in lines_of(cart).items()
    }


def _total(cart: dict[str, Any]) -> Decimal:
    lines = lines_of(cart).items()
    return sum((Decimal(PRICES[name]) * units for name, units in lines), Decimal("0.00"))


INVARIANTS: tuple[Callable[[ObservedState], Findings], ...] = (
    stock_is_conserved,
    every_hold_is_a_cart_line,
    only_terminated_runs_need_a_repair,
    holds_sum_to_the_held_stock,
    one_operation_has_one_effect,
    carts_hold_what_was_committed,
    versions_have_no_gap,
    a_cleared_cart_starts_anew,
    a_frozen_cart_does_not_change,
    a_frozen_cart_is_shown_as_it_was_frozen,
    a_merge_takes_what_the_guest_had,
    totals_are_exact,
    every_change_is_published,
    events_come_in_order,
    every_order_has_its_effect,
    orders_take_effect_in_order,
    orders_are_sold,
    a_paid_order_has_its_units,
    carts_show_the_latest_stock_news,
    only_unusable_events_are_parked,
    nothing_stays_pending,
    runs_end_soon_after_a_fault,
    replies_match_what_was_committed,
    one_key_has_one_reply,
    replied_totals_are_exact,
    every_operation_ends,
    reads_are_never_stale,
    what_is_not_sick_is_not_affected,
)


def violations(observed: ObservedState) -> list[Violation]:
    """All violations of all invariants."""
    return [
        Violation(invariant.__name__, detail, user_id)
        for invariant in INVARIANTS
        for user_id, detail in invariant(observed)
    ]
