"""The units that an order takes of a changed cart, and the order of stock news."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, Literal

import pytest

from models.cart import CartLine, ProductAvailability
from models.operations import OrderedLine
from models.ordering import ordered_lines

AT = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "moves", "items", "expected"),
    [
        ({"a": 2}, [], None, {"a": 2}),
        ({"a": 5}, [{"a": 3}], None, {"a": 2}),
        ({"a": 2, "b": 1}, [{"b": 1}], None, {"a": 2}),
        ({"a": 4}, [{"a": 3}, {"a": -1}], None, {"a": 2}),  # of the later units
        ({"a": 1}, [{"a": -1}], None, {"a": 1}),
        ({"a": 3}, [{"a": -2}, {"a": 3}], None, {}),  # taken out, and put in again
        ({}, [{"a": -2}], None, {}),
        ({"a": 5}, [{"a": 3}], [("a", 1)], {"a": 1}),
        ({"a": 5}, [{"a": 3}], [("a", 4)], {"a": 2}),
        ({"a": 5, "b": 1}, [], [("a", None)], {"a": 5}),
        ({"a": 5}, [], [("b", 1)], {}),
    ],
)
def test_an_order_takes_its_units_and_leaves_later_ones(
    now: dict[str, int], moves: Any, items: Any, expected: dict[str, int]
) -> None:
    asked = items and tuple(OrderedLine(product_id=name, quantity=count) for name, count in items)
    lines = ordered_lines(now, moves, asked)
    assert {line.product_id: line.quantity for line in lines} == expected


def news(seconds: int, status: Literal["available", "out_of_stock"]) -> ProductAvailability:
    at = AT + timedelta(seconds=seconds)
    return ProductAvailability(product_id="a", status=status, reason="Gone", at=at)


LINE = CartLine(
    product_id="a", product_title="A", product_price=1, product_quantity=1, reserved_at=AT
)


def test_the_latest_stock_news_win_in_any_order_of_arrival() -> None:
    history = [news(1, "out_of_stock"), news(2, "available"), news(3, "out_of_stock")]
    for length in (1, 2, 3):
        last = history[length - 1]
        for order in permutations(history[:length]):
            line = LINE
            for one in (*order, *order):
                line = line.marked(one)
            assert (line.availability_status, line.availability_at) == (last.status, last.at)


@pytest.mark.parametrize("seconds", [-1, 0])
def test_news_from_before_the_hold_say_nothing(seconds: int) -> None:
    assert LINE.marked(news(seconds, "out_of_stock")) is LINE
