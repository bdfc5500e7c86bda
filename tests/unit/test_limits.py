"""The limits of a cart, rule by rule."""

from decimal import Decimal
from typing import Any

import pytest

from models.cart_facts import CartFacts
from models.limits import Policy, room_for, room_in_bytes, same_currency
from models.outcomes import Refusal

POLICY = Policy(max_lines=3, max_quantity=50, max_units=70, max_value=1000)
PRICE = Decimal("10.00")
# Three lines of 60 units, worth 700; the product's line has 40 of them at 10.00.
OTHER = CartFacts(lines=3, units=60, total_price=Decimal(700))
FULL = OTHER.model_copy(update={"line_quantity": 40, "line_price": PRICE})


@pytest.mark.parametrize(
    ("cart", "units", "price", "code", "more"),
    [
        (FULL, 50, PRICE, None, {}),
        (FULL, 51, PRICE, "quantity_limit", {"current": 40, "limit": 50}),
        (CartFacts(), 51, PRICE, "quantity_limit", {"current": 0, "limit": 50}),
        (OTHER, 1, PRICE, "line_limit", {"current": 3, "limit": 3}),
        (CartFacts(lines=2, units=60), 10, Decimal(0), None, {}),
        (CartFacts(lines=2, units=60), 11, Decimal(0), "unit_limit", {"current": 60, "limit": 70}),
        (CartFacts(), 50, Decimal("20.00"), None, {}),
        (CartFacts(), 50, Decimal("20.01"), "value_limit", {"limit": 1000}),
        # A new price holds for the whole line.
        (FULL, 41, Decimal("17.07"), None, {}),
        (FULL, 41, Decimal("17.08"), "value_limit", {"limit": 1000}),
    ],
)
def test_each_limit_holds_to_the_unit(
    cart: CartFacts, units: int, price: Decimal, code: Any, more: dict[str, int]
) -> None:
    expected = None if code is None else Refusal(code=code, **more)
    assert room_for(POLICY, cart, units=units, price=price) == expected


def test_a_cart_grows_up_to_its_bytes() -> None:
    policy = Policy(max_bytes=5000)
    assert room_in_bytes(policy, 5000) is None
    assert room_in_bytes(policy, 5001) == Refusal(code="size_limit", current=5001, limit=5000)


def test_limits_that_are_off_refuse_nothing() -> None:
    cart = CartFacts(lines=99, units=9900, total_price=Decimal(9_900_000_000))
    assert room_for(Policy(), cart, units=100, price=Decimal(1_000_000)) is None


def test_a_cart_with_lines_keeps_its_currency_and_an_empty_one_takes_the_new_one() -> None:
    euros = Policy(currency="EUR")
    in_dollars = CartFacts(version=3, lines=1, currency="USD")
    assert same_currency(Policy(currency="USD"), in_dollars) is None
    assert same_currency(euros, in_dollars) == Refusal(
        code="currency_mismatch", cart_currency="USD", currency="EUR"
    )
    assert same_currency(euros, CartFacts(version=4, lines=0, currency="USD")) is None
    assert same_currency(euros, CartFacts()) is None
