"""The units that an order takes of a changed cart, and the order of stock news."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, Literal

import pytest

from models.cart_line import CartLine, ProductAvailability
from models.orders import OrderedLine, OrderRequest, ordered_units

AT = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)


LAMP = {"lamp": 2}


@pytest.mark.parametrize(
    ("now", "moves", "items", "expected"),
    [
        # The whole cart, as it is or as it was at the ordered version.
        ({"a": 2}, [], None, {"a": (2, 2)}),
        ({"a": 5}, [{"a": 3}], None, {"a": (2, 2)}),
        ({"a": 2, "b": 1}, [{"b": 1}], None, {"a": (2, 2)}),
        ({"a": 4}, [{"a": 3}, {"a": -1}], None, {"a": (2, 2)}),  # of the later units
        ({"a": 1}, [{"a": -1}], None, {"a": (2, 1)}),
        ({"a": 3}, [{"a": -2}, {"a": 3}], None, {"a": (2, 0)}),  # taken out, and put in again
        ({}, [{"a": -2}], None, {"a": (2, 0)}),
        ({}, [], None, {"lamp": (2, 0)}),  # what left the cart last
        # Items.
        ({"a": 5}, [{"a": 3}], [("a", 1)], {"a": (1, 1)}),
        ({"a": 5}, [{"a": 3}], [("a", 4)], {"a": (4, 2)}),
        ({"a": 5, "b": 1}, [], [("a", None)], {"a": (5, 5)}),
        ({"a": 1}, [{"a": -1}], [("a", None)], {"a": (2, 1)}),
        ({"a": 5}, [], [("b", 1)], {"b": (1, 0)}),
        ({"a": 5}, [], [("lamp", None)], {"lamp": (2, 0)}),
        ({"a": 5}, [], [("b", None)], {"b": (1, 0)}),  # at least one was ordered
    ],
)
def test_an_order_takes_its_units_and_leaves_later_ones(
    now: dict[str, int], moves: Any, items: Any, expected: dict[str, tuple[int, int]]
) -> None:
    asked = items and tuple(OrderedLine(product_id=name, quantity=count) for name, count in items)
    order = OrderRequest(order_id="order-1", cart_id="cart-1", items=asked)
    units = ordered_units(order, now, now, moves, LAMP)
    assert {one.product_id: (one.ordered, one.in_cart) for one in units} == expected


def test_a_second_try_leaves_the_cart_alone() -> None:
    items = (OrderedLine(product_id="a", quantity=2),)
    order = OrderRequest(order_id="order-1", cart_id="cart-1", items=items, leave_cart=True)
    [units] = ordered_units(order, {"a": 5}, {"a": 5}, [], {})
    assert (units.ordered, units.in_cart, units.missing) == (2, 0, 2)


@pytest.mark.parametrize(
    ("held", "unheld", "missing"), [({"a": 5}, 0, 0), ({"a": 1}, 2, 2), ({}, 3, 3)]
)
def test_units_in_the_cart_that_are_not_held_are_reserved_again(
    held: dict[str, int], unheld: int, missing: int
) -> None:
    items = (OrderedLine(product_id="a", quantity=3),)
    order = OrderRequest(order_id="order-1", cart_id="cart-1", items=items)
    [units] = ordered_units(order, {"a": 5}, held, [], {})
    assert (units.in_cart, units.unheld, units.missing) == (3, unheld, missing)
    assert units.model_copy(update={"reserved": missing}).short == 0


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
