"""What must be true when the system is quiet, whatever was broken before.

Each invariant is a function from what was observed to its violations; its first line says what
must hold. All are always checked, and all violations are reported, not only the first.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import orjson

from tests.faults.inject import CONVERGE_SECONDS
from tests.faults.observed import Observed
from tests.faults.traffic import PRICES


@dataclass(frozen=True)
class Violation:
    """Something that must not be; `user_id` when it is about one cart."""

    invariant: str
    detail: str
    user_id: str | None = None

    def __str__(self) -> str:
        whose = f" [{self.user_id}]" if self.user_id else ""
        return f"{self.invariant}{whose}: {self.detail}"


Found = Iterator[tuple[str | None, str]]


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
    other, since no saga runs any more."""
    lines = {
        (cart["userId"], line["productId"]): line["productQuantity"]
        for cart in seen.carts
        for line in cart["cartItems"]
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
    """A cart's lines are the sums of the committed requests: none is lost, none counted twice."""
    wanted: dict[tuple[str, str], int] = defaultdict(int)
    for record in seen.committed:
        request = seen.request_of(record["operationId"])
        if request is not None:
            wanted[request.user_id, request.product_id] += request.quantity
    found = {
        (cart["userId"], line["productId"]): line["productQuantity"]
        for cart in seen.carts
        for line in cart["cartItems"]
    }
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key, 0) != found.get(key, 0):
            user_id, product_id = key
            yield (
                user_id,
                f"{product_id}: {wanted.get(key, 0)} committed, {found.get(key, 0)} in the cart",
            )


def versions_have_no_gap(seen: Observed) -> Found:
    """The committed changes of a cart have the versions 1 to n, and the cart has n."""
    versions: dict[str, list[int]] = defaultdict(list)
    for record in seen.committed:
        versions[record["userId"]].append(record["version"])
    carts = {cart["userId"]: cart["version"] for cart in seen.carts}
    for user_id in sorted(versions.keys() | carts.keys()):
        found = sorted(versions[user_id])
        if found != list(range(1, carts.get(user_id, 0) + 1)):
            yield user_id, f"versions {found}, the cart has {carts.get(user_id)}"


def totals_are_exact(seen: Observed) -> Found:
    """A cart's quantity and total are those of its lines, to the cent, with the asked prices."""
    for cart in seen.carts:
        quantity = sum(line["productQuantity"] for line in cart["cartItems"])
        total = sum(
            (Decimal(PRICES[line["productId"]]) * line["productQuantity"])
            for line in cart["cartItems"]
        )
        stored = cart["totalPrice"].to_decimal()
        if (cart["quantity"], stored) != (quantity, total):
            yield cart["userId"], f"{cart['quantity']} for {stored}, not {quantity} for {total}"


def every_change_is_told(seen: Observed) -> Found:
    """Each committed change has exactly one event, delivered at least once; nothing else has."""
    promised: dict[tuple[str, int], str] = {
        (record["userId"], record["version"]): record["sagaId"] for record in seen.committed
    }
    told: dict[tuple[str, int], set[str]] = defaultdict(set)
    for event in seen.events:
        user_id, version = event.value["userId"], event.value["version"]
        told[user_id, version].add(event.value["eventId"])
        if event.ce_id != event.value["eventId"]:
            yield user_id, f"version {version}: the header says {event.ce_id}"
        if promised.get((user_id, version)) != event.value["sagaId"]:
            yield (
                user_id,
                f"an event of version {version}, which {event.value['sagaId']} never made",
            )
    for (user_id, version), saga_id in promised.items():
        if len(told[user_id, version]) != 1:
            ids = sorted(told[user_id, version])
            yield user_id, f"version {version} of {saga_id} has the events {ids}"


def events_come_in_order(seen: Observed) -> Found:
    """A cart's events are first delivered in the order of its versions."""
    first: dict[str, list[int]] = defaultdict(list)
    for event in seen.events:
        versions = first[event.value["userId"]]
        if event.value["version"] not in versions:
            versions.append(event.value["version"])
    for user_id, versions in first.items():
        if versions != sorted(versions):
            yield user_id, f"first delivered in the order {versions}"


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
    """Who was told 201 has its change committed; who was told that nothing changed has none."""
    committed = {record["operationId"] for record in seen.committed}
    for request in seen.ledger.requests:
        is_committed = seen.ledger.operation_id(request) in committed
        statuses = [told.status for told in request.told]
        if any(told.committed for told in request.told) and not is_committed:
            yield request.user_id, f"{request.key} was told {statuses}, and is not committed"
        if request.told and all(told.unchanged for told in request.told) and is_committed:
            yield request.user_id, f"{request.key} was told {statuses}, and is committed"


def one_key_has_one_answer(seen: Observed) -> Found:
    """A key that was committed is answered with the same status and the same bytes for ever."""
    for request in seen.ledger.requests:
        answers = {(told.status, told.body) for told in request.told if told.committed}
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
            if told.committed:
                cart = orjson.loads(told.body)
                lines = cart["cartItems"]
                total = sum(Decimal(PRICES[x["productId"]]) * x["productQuantity"] for x in lines)
                if f'"totalPrice":{total}' not in told.body.decode():
                    yield request.user_id, f"{request.key}: {cart['totalPrice']} is not {total}"


def every_operation_ends(seen: Observed) -> Found:
    """What was accepted ends committed, rejected or aborted, and its own URL says so."""
    committed = {record["operationId"] for record in seen.committed}
    for request in seen.ledger.requests:
        operation = seen.ledger.operation_id(request)
        end = seen.ends[operation]
        if (end == "committed") != (operation in committed):
            yield request.user_id, f"{request.key} says {end}"
        elif end not in {"committed", "rejected", "aborted"} and (
            end != "404" or request.accepted_at is not None
        ):
            yield request.user_id, f"{request.key} was accepted, and is {end}"


def reads_are_not_behind(seen: Observed) -> Found:
    """A buyer never reads an older cart than it was answered, but for a TTL after Redis was cut
    from the writer."""
    for read in (*seen.ledger.reads, *seen.final_reads):
        if read.seen < read.told and not read.clouded:
            yield read.user_id, f"read version {read.seen} after it was answered {read.told}"


INVARIANTS: tuple[Callable[[Observed], Found], ...] = (
    stock_is_conserved,
    every_hold_is_a_cart_line,
    holds_are_all_held,
    one_operation_has_one_effect,
    carts_hold_what_was_committed,
    versions_have_no_gap,
    totals_are_exact,
    every_change_is_told,
    events_come_in_order,
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
