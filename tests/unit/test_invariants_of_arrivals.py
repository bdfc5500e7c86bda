"""The invariants of what was heard find each way in which an event can go wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tests.faults.invariants_of_arrivals import (
    every_order_has_its_effect,
    orders_are_sold,
    orders_take_effect_in_order,
    the_last_news_is_shown,
    what_is_unusable_is_parked,
)
from tests.faults.lives import lives_of
from tests.faults.observed import Observed, Units
from tests.faults.traffic import Ledger
from tests.faults.wishes import Habit, News, Order, Request, What

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CART = "0" * 24


def request(what: What, number: int, quantity: int, **more: Any) -> Request:
    key = f"{what}-{number}"
    return Request(number, "user", "lamp", quantity, key, Habit.INSISTS, what, CART, **more)


ADD = request(What.ADD, 0, 5)
FIRST, SECOND = (request(What.ORDER, number, number, order=Order()) for number in (1, 2))


def observed(*committed: Request) -> Observed:
    """A cart to which this happened, one after the other; all orders were sent."""
    ledger = Ledger(cast(Any, None), is_clouded=lambda *_: False)
    ledger.requests.append(ADD)
    ledger.arrived += [FIRST, SECOND]
    seen = Observed(ledger, [])
    seen.records = [
        {
            "state": "committed",
            "userId": "user",
            "cartId": CART,
            "version": version,
            "at": NOW + timedelta(seconds=version),
            "operationId": ledger.operation_id(one),
        }
        for version, one in enumerate(committed, 1)
    ]
    seen.lives = lives_of(zip(seen.records, committed, strict=True))
    return seen


def test_a_lost_order_is_found() -> None:
    assert list(every_order_has_its_effect(observed(ADD, FIRST, SECOND))) == []
    assert len(list(every_order_has_its_effect(observed(ADD, SECOND)))) == 1


def test_orders_in_another_order_are_found() -> None:
    assert list(orders_take_effect_in_order(observed(ADD, FIRST, SECOND))) == []
    assert len(list(orders_take_effect_in_order(observed(ADD, SECOND, FIRST)))) == 1


@pytest.mark.parametrize(("sold", "found"), [(3, 0), (2, 1), (4, 1)])
def test_what_was_sold_twice_or_not_is_found(sold: int, found: int) -> None:
    seen = observed(ADD, FIRST, SECOND)
    seen.units = {"lamp": Units(available=0, held=2, sold=sold)}
    assert len(list(orders_are_sold(seen))) == found


@pytest.mark.parametrize(
    ("status", "reserved_at", "found"),
    [("available", NOW, 1), ("out_of_stock", NOW, 0), ("available", NOW + timedelta(hours=1), 0)],
)
def test_a_line_that_does_not_say_the_last_news_is_found(
    status: str, reserved_at: datetime, found: int
) -> None:
    seen = observed(ADD)
    for minutes, is_back in enumerate((True, False), 1):
        news = News(NOW + timedelta(minutes=minutes), is_back)
        told = request(What.NEWS, minutes, 0, news=news)
        told.cart_id = None
        seen.ledger.arrived.append(told)
    line = {"productId": "lamp", "availabilityStatus": status, "reservedAt": reserved_at}
    seen.carts = [{"userId": "user", "cartItems": [line]}]
    assert len(list(the_last_news_is_shown(seen))) == found


@pytest.mark.parametrize(
    ("letters", "found"),
    [
        ({"bad-1": {"invalid"}}, 0),
        ({}, 1),
        ({"bad-1": {"malformed"}}, 1),
        ({"bad-1": {"invalid"}, "order-1": {"failed"}}, 1),
    ],
)
def test_what_is_not_parked_or_should_not_be_is_found(
    letters: dict[str, set[str]], found: int
) -> None:
    seen = observed(ADD)
    seen.ledger.unusable["bad-1"] = "invalid"
    seen.letters = letters
    assert len(list(what_is_unusable_is_parked(seen))) == found


@pytest.mark.parametrize(
    ("order", "left"),
    [
        (Order(), {"lamp": 8}),
        (Order(whole=True), {}),
        (Order(whole=True, cart_version=1), {"lamp": 5}),
    ],
)
def test_an_order_takes_what_it_says(order: Order, left: dict[str, int]) -> None:
    again = request(What.ADD, 3, 5)
    ordered = request(What.ORDER, 4, 2, order=order)
    [life] = observed(ADD, again, ordered).lives["user"]
    assert life.lines == left
    assert life.is_over is (not left)
