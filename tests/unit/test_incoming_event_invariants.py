"""The invariants of incoming events report each way in which an event can go wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tests.faults.cart_requests import (
    WORKFLOW_TYPES,
    CartAction,
    CartRequest,
    Order,
    RetryHabit,
    StockNews,
)
from tests.faults.expected_carts import expected_carts_of
from tests.faults.incoming_event_invariants import (
    a_paid_order_has_its_units,
    carts_show_the_latest_stock_news,
    every_order_has_its_effect,
    only_unusable_events_are_parked,
    orders_are_sold,
    orders_take_effect_in_order,
)
from tests.faults.invariants import a_frozen_cart_does_not_change
from tests.faults.observed_state import ObservedState, Units
from tests.faults.shoppers import Ledger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CART = "0" * 24


def request(action: CartAction, number: int, quantity: int, **more: Any) -> CartRequest:
    key = f"{action}-{number}"
    return CartRequest(
        number, "user", "lamp", quantity, key, RetryHabit.RETRIES, action, CART, **more
    )


ADD = request(CartAction.ADD, 0, 5)
FIRST, SECOND = (request(CartAction.ORDER, number, number, order=Order()) for number in (1, 2))


def state_after(*committed: CartRequest) -> ObservedState:
    """The state after these committed requests, one after the other; both orders were sent."""
    ledger = Ledger(cast(Any, None))
    ledger.requests.append(ADD)
    ledger.event_requests += [FIRST, SECOND]
    observed = ObservedState(ledger, [])
    observed.records = [
        {
            "state": "committed",
            "operation": WORKFLOW_TYPES[one.action],
            "userId": "user",
            "cartId": CART,
            "version": version,
            "at": NOW + timedelta(seconds=version),
            "operationId": ledger.operation_id(one),
        }
        for version, one in enumerate(committed, 1)
    ]
    observed.expected_carts = expected_carts_of(zip(observed.records, committed, strict=True))
    return observed


def test_a_lost_order_is_reported() -> None:
    assert list(every_order_has_its_effect(state_after(ADD, FIRST, SECOND))) == []
    assert len(list(every_order_has_its_effect(state_after(ADD, SECOND)))) == 1


def test_orders_in_the_wrong_sequence_are_reported() -> None:
    assert list(orders_take_effect_in_order(state_after(ADD, FIRST, SECOND))) == []
    assert len(list(orders_take_effect_in_order(state_after(ADD, SECOND, FIRST)))) == 1


@pytest.mark.parametrize(("sold", "found"), [(3, 0), (2, 1), (4, 1)])
def test_units_sold_twice_or_not_at_all_are_reported(sold: int, found: int) -> None:
    observed = state_after(ADD, FIRST, SECOND)
    observed.units = {"lamp": Units(available=0, held=2, sold=sold)}
    assert len(list(orders_are_sold(observed))) == found


@pytest.mark.parametrize(
    ("status", "reserved_at", "found"),
    [("available", NOW, 1), ("out_of_stock", NOW, 0), ("available", NOW + timedelta(hours=1), 0)],
)
def test_a_line_without_the_latest_stock_news_is_reported(
    status: str, reserved_at: datetime, found: int
) -> None:
    observed = state_after(ADD)
    for minutes, is_back in enumerate((True, False), 1):
        news = StockNews(NOW + timedelta(minutes=minutes), is_back)
        announced = request(CartAction.STOCK_NEWS, minutes, 0, news=news)
        announced.cart_id = None
        observed.ledger.event_requests.append(announced)
    line = {"productId": "lamp", "availabilityStatus": status, "reservedAt": reserved_at}
    observed.carts = [{"userId": "user", "cartItems": [line]}]
    assert len(list(carts_show_the_latest_stock_news(observed))) == found


@pytest.mark.parametrize(
    ("letters", "found"),
    [
        ({"bad-1": {"invalid"}}, 0),
        ({}, 1),
        ({"bad-1": {"malformed"}}, 1),
        ({"bad-1": {"invalid"}, "order-1": {"failed"}}, 1),
    ],
)
def test_a_missing_or_wrong_dead_letter_is_reported(
    letters: dict[str, set[str]], found: int
) -> None:
    observed = state_after(ADD)
    observed.ledger.unusable["bad-1"] = "invalid"
    observed.letters = letters
    assert len(list(only_unusable_events_are_parked(observed))) == found


@pytest.mark.parametrize(
    ("order", "left"),
    [
        (Order(), {"lamp": 8}),
        (Order(whole=True), {}),
        (Order(whole=True, cart_version=1), {"lamp": 5}),
    ],
)
def test_an_order_takes_its_units_out_of_the_expected_cart(
    order: Order, left: dict[str, int]
) -> None:
    again = request(CartAction.ADD, 3, 5)
    ordered = request(CartAction.ORDER, 4, 2, order=order)
    [expected] = state_after(ADD, again, ordered).expected_carts["user"]
    assert expected.lines == left
    assert expected.is_cleared is (not left)


CHECK_OUT, THAW = (
    request(action, number, 0)
    for number, action in enumerate((CartAction.CHECK_OUT, CartAction.THAW), 5)
)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ((ADD, CHECK_OUT, THAW, request(CartAction.ADD, 7, 1)), 0),
        ((ADD, CHECK_OUT, FIRST), 0),
        ((ADD, CHECK_OUT, request(CartAction.ADD, 7, 1)), 1),
        ((ADD, CHECK_OUT, request(CartAction.STOCK_NEWS, 7, 0), CHECK_OUT), 1),
    ],
)
def test_a_change_of_a_frozen_cart_is_reported(
    changes: tuple[CartRequest, ...], found: int
) -> None:
    assert len(list(a_frozen_cart_does_not_change(state_after(*changes)))) == found


@pytest.mark.parametrize(("booked", "found"), [(5, 0), (4, 1), (0, 1)])
def test_an_order_without_its_frozen_units_is_reported(booked: int, found: int) -> None:
    paid = request(CartAction.ORDER, 8, 0, order=Order(whole=True))
    observed = state_after(ADD, CHECK_OUT, paid)
    observed.ledger.event_requests.append(paid)
    _, checkout, order = observed.records
    paid.order = Order(whole=True, checkout_id=checkout["operationId"])
    checkout["frozen"] = {"lamp": 5}
    sold = {"reason": "order_completed", "productId": "lamp", "quantity": booked}
    order["effects"] = [sold] if booked else []
    assert len(list(a_paid_order_has_its_units(observed))) == found
