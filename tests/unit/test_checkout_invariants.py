"""The invariants of checkouts and merges report each way in which one can go wrong."""

from typing import Any

import orjson
import pytest

from models.events import CART_MERGED, MergeStrategy
from tests.faults.cart_requests import CartAction, CartRequest, ClientReply, Merge, Order
from tests.faults.checkout_invariants import (
    a_frozen_cart_does_not_change,
    a_frozen_cart_is_shown_as_it_was_frozen,
    a_merge_takes_what_the_guest_had,
    a_paid_order_has_its_units,
    orders_are_sold,
)
from tests.faults.incoming_event_invariants import (
    every_order_has_its_effect,
    only_unusable_events_are_parked,
)
from tests.faults.observed_state import ObservedState, Units
from tests.faults.published_events import PublishedEvent
from tests.faults.shoppers import FrozenLook, Lines
from tests.support.observed_carts import expect, request, state_after

ADD, MORE = request(CartAction.ADD, 0, 5), request(CartAction.ADD, 10, 1)
FIRST, SECOND = (request(CartAction.ORDER, number, number, order=Order()) for number in (1, 2))
CHECK_OUT = request(CartAction.CHECK_OUT, 5, 0)
THAW = request(CartAction.THAW, 6, 0)
TIMEOUT = request(CartAction.TIMEOUT, 7, 0)
LAPSE = request(CartAction.LAPSE, 8, 0)
NEWS = request(CartAction.STOCK_NEWS, 9, 0)
OTHER_ORDER = request(CartAction.ORDER, 11, 0, order=Order(whole=True, checkout_id="another"))
FROZEN = {"lamp": 5}
SOLD = {"reason": "order_completed", "productId": "lamp"}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ((ADD, CHECK_OUT, THAW, MORE), 0),
        ((ADD, CHECK_OUT, TIMEOUT, MORE), 0),
        ((ADD, CHECK_OUT, FIRST), 0),
        ((ADD, LAPSE, CHECK_OUT), 0),
        ((ADD, CHECK_OUT, MORE), 1),
        ((ADD, CHECK_OUT, LAPSE), 1),
        ((ADD, CHECK_OUT, OTHER_ORDER), 1),
        ((ADD, CHECK_OUT, NEWS, CHECK_OUT), 1),
    ],
)
def test_a_change_of_a_frozen_cart_is_reported(
    changes: tuple[CartRequest, ...], found: int
) -> None:
    assert len(list(a_frozen_cart_does_not_change(state_after(*changes)))) == found


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ((2, FROZEN, "checkout"), 0),
        ((3, FROZEN, "checkout"), 1),
        ((2, {"lamp": 4}, "checkout"), 1),
        ((2, FROZEN, ""), 1),
        ((0, {}, ""), 1),
    ],
)
def test_a_read_that_shows_no_frozen_cart_is_reported(
    shown: tuple[int, Lines, str], found: int
) -> None:
    observed = state_after(ADD, CHECK_OUT)
    look = FrozenLook("user", (2, FROZEN, "checkout"), shown=shown)
    observed.ledger.looks.append(look)
    assert len(list(a_frozen_cart_is_shown_as_it_was_frozen(observed))) == found


@pytest.mark.parametrize(
    ("status", "code", "found"),
    [
        (409, "cart_checked_out", 0),
        (409, "operation_in_progress", 0),
        (503, "unavailable", 0),
        (409, "insufficient_stock", 1),
        (404, "item_not_found", 1),
        (201, "", 1),
    ],
)
def test_a_change_of_a_frozen_cart_that_is_not_refused_is_reported(
    status: int, code: str, found: int
) -> None:
    observed = state_after(ADD, CHECK_OUT)
    change = request(CartAction.ADD, 12, 1)
    body = orjson.dumps({"code": code})
    change.replies.append(ClientReply(change.action, status, body, 1.0, 2.0))
    look = FrozenLook("user", (2, FROZEN, "checkout"), change=change)
    observed.ledger.looks.append(look)
    assert len(list(a_frozen_cart_is_shown_as_it_was_frozen(observed))) == found


def paid(
    *before: CartRequest,
    booked: int,
    short: int = 0,
    taken: int | None = None,
    cancelled: bool = False,
) -> ObservedState:
    """The cart is checked out, changed by `before`, and the checkout's order has `booked` units,
    `taken` of them from the cart (None: it left the cart alone)."""
    observed = state_after(ADD, CHECK_OUT, *before)
    checkout_id = observed.records[1]["operationId"]
    observed.records[1]["frozen"] = FROZEN
    order = request(CartAction.ORDER, 20, 0, order=Order(whole=True, checkout_id=checkout_id))
    version = None if taken is None else len(observed.records) + 1
    changes = [ADD, CHECK_OUT, *before, order]
    record = record_after(observed, order, version)
    record |= {"effects": [SOLD | {"quantity": booked}] if booked else []}
    record |= {"short": {"lamp": short} if short else None}
    record |= {"lines": [{"productId": "lamp", "moved": -(taken or 0)}]}
    if cancelled:
        cancellation = request(CartAction.CANCELLATION, 21, 0)
        cancellation.key = order.key
        record_after(observed, cancellation, None)
        changes.append(cancellation)
    observed.ledger.event_requests.append(order)
    expect(observed, *changes)
    return observed


def record_after(observed: ObservedState, one: CartRequest, version: int | None) -> dict[str, Any]:
    """The next record, of this request."""
    [record] = state_after(one).records
    record["version"] = version
    observed.records.append(record)
    return record


@pytest.mark.parametrize(("booked", "found"), [(5, 0), (6, 1), (4, 1), (0, 1)])
def test_an_order_without_its_frozen_units_is_reported(booked: int, found: int) -> None:
    assert len(list(a_paid_order_has_its_units(paid(booked=booked, taken=5)))) == found


@pytest.mark.parametrize(
    ("before", "taken", "found"),
    [((), 5, 1), ((TIMEOUT,), 3, 0), ((TIMEOUT,), None, 0), ((NEWS,), 5, 1)],
)
def test_only_an_order_after_the_checkouts_end_may_lack_units(
    before: tuple[CartRequest, ...], taken: int | None, found: int
) -> None:
    observed = paid(*before, booked=3, short=2, taken=taken)
    assert len(list(a_paid_order_has_its_units(observed))) == found


def test_an_order_that_takes_later_units_is_reported() -> None:
    assert list(a_paid_order_has_its_units(paid(TIMEOUT, MORE, booked=5, taken=5))) == []
    assert len(list(a_paid_order_has_its_units(paid(TIMEOUT, MORE, booked=5, taken=6)))) == 1


@pytest.mark.parametrize(("parked", "found"), [({"order-20": {"order_shortfall"}}, 0), ({}, 1)])
def test_a_lack_of_units_that_is_not_reported_is_reported(
    parked: dict[str, set[str]], found: int
) -> None:
    observed = paid(TIMEOUT, booked=3, short=2)
    observed.letters = parked
    assert len(list(only_unusable_events_are_parked(observed))) == found


@pytest.mark.parametrize(
    ("cancelled", "sold", "found"), [(False, 5, 0), (False, 0, 1), (True, 0, 0), (True, 5, 1)]
)
def test_units_that_are_not_sold_or_not_given_back_are_reported(
    cancelled: bool, sold: int, found: int
) -> None:
    observed = paid(booked=5, taken=5, cancelled=cancelled)
    observed.units = {"lamp": Units(available=0, held=0, sold=sold)}
    assert len(list(orders_are_sold(observed))) == found


@pytest.mark.parametrize(("sold", "found"), [(3, 0), (2, 1), (4, 1)])
def test_units_sold_twice_or_not_at_all_are_reported(sold: int, found: int) -> None:
    observed = state_after(ADD, FIRST, SECOND)
    observed.units = {"lamp": Units(available=0, held=2, sold=sold)}
    assert len(list(orders_are_sold(observed))) == found


@pytest.mark.parametrize(("cancelled", "found"), [(True, 0), (False, 1)])
def test_an_order_without_effect_is_reported_unless_it_was_cancelled_before(
    cancelled: bool, found: int
) -> None:
    observed = state_after(ADD, CHECK_OUT)
    order = request(CartAction.ORDER, 20, 0, order=Order(whole=True, checkout_id="checkout"))
    observed.ledger.event_requests.append(order)
    if cancelled:
        cancellation = request(CartAction.CANCELLATION, 21, 0)
        cancellation.key = order.key
        record_after(observed, cancellation, 3)
        expect(observed, ADD, CHECK_OUT, cancellation)
    assert len(list(every_order_has_its_effect(observed))) == found


def merged(strategy: MergeStrategy, moved: int, left: int, *, ends: bool = True) -> ObservedState:
    """A guest's three lamps are merged into five: `moved` are added, `left` are not merged."""
    guest = "guest:1"
    added = request(CartAction.ADD, 1, 3)
    merge = request(CartAction.MERGE, 2, 0, merge=Merge(guest, "token", strategy))
    ended = request(CartAction.MERGED, 3, 0, merge=merge.merge)
    added.user_id = ended.user_id = guest
    observed = state_after(ADD, merge)
    observed.records[1]["lines"] = [{"productId": "lamp", "moved": moved}]
    changes = [ADD, merge, added]
    record_after(observed, added, 1)
    if ends:
        record_after(observed, ended, 2)
        changes.append(ended)
    items = [{"productId": "lamp", "quantity": left}] if left else []
    value = {"userId": guest, "notMerged": items}
    observed.events = [PublishedEvent(CART_MERGED, 0, "", "", value)]
    expect(observed, *changes)
    return observed


@pytest.mark.parametrize(
    ("strategy", "moved", "left", "found"),
    [
        ("sum", 3, 0, 0),
        ("sum", 2, 1, 0),
        ("sum", 2, 0, 1),
        ("sum", 3, 1, 1),
        ("max", 0, 0, 0),
        ("max", 3, 0, 1),
        ("keep", 0, 0, 0),
        ("keep", 3, 0, 1),
        ("replace", -2, 0, 0),
        ("replace", 0, 0, 1),
    ],
)
def test_a_merge_that_loses_or_invents_units_is_reported(
    strategy: MergeStrategy, moved: int, left: int, found: int
) -> None:
    assert len(list(a_merge_takes_what_the_guest_had(merged(strategy, moved, left)))) == found


def test_a_merge_that_leaves_the_guests_cart_is_reported() -> None:
    assert len(list(a_merge_takes_what_the_guest_had(merged("sum", 3, 0, ends=False)))) == 1
