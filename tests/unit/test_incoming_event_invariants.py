"""The invariants of incoming events report each way in which an event can go wrong."""

from datetime import datetime, timedelta

import pytest

from tests.faults.cart_requests import CartAction, CartRequest, Order, StockNews
from tests.faults.incoming_event_invariants import (
    carts_show_the_latest_stock_news,
    every_order_has_its_effect,
    only_unusable_events_are_parked,
    orders_take_effect_in_order,
)
from tests.faults.observed_state import ObservedState
from tests.support.observed_carts import NOW, request, state_after

ADD = request(CartAction.ADD, 0, 5)
FIRST, SECOND = (request(CartAction.ORDER, number, number, order=Order()) for number in (1, 2))


def after(*committed: CartRequest) -> ObservedState:
    """The state after these committed requests; both orders were sent."""
    observed = state_after(*committed)
    observed.ledger.requests.append(ADD)
    observed.ledger.event_requests += [FIRST, SECOND]
    return observed


def test_a_lost_order_is_reported() -> None:
    assert list(every_order_has_its_effect(after(ADD, FIRST, SECOND))) == []
    assert len(list(every_order_has_its_effect(after(ADD, SECOND)))) == 1


def test_orders_in_the_wrong_sequence_are_reported() -> None:
    assert list(orders_take_effect_in_order(after(ADD, FIRST, SECOND))) == []
    assert len(list(orders_take_effect_in_order(after(ADD, SECOND, FIRST)))) == 1


@pytest.mark.parametrize(
    ("status", "reserved_at", "found"),
    [("available", NOW, 1), ("out_of_stock", NOW, 0), ("available", NOW + timedelta(hours=1), 0)],
)
def test_a_line_without_the_latest_stock_news_is_reported(
    status: str, reserved_at: datetime, found: int
) -> None:
    observed = after(ADD)
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
    observed = after(ADD)
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
    [expected] = after(ADD, again, ordered).expected_carts["user"]
    assert expected.lines == left
    assert expected.is_cleared is (not left)
