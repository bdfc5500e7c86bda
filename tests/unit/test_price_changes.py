"""A line takes the product service's price at each later look, and says what it was before."""

from decimal import Decimal
from typing import Any

import pytest

from models.cart import CartContent, cart_fields
from models.cart_facts import facts_of
from models.limits import Policy
from models.operations import UpdateQuantity
from models.products import Product
from tests.unit.test_cart import CART_ID, LATER, NOW, add, after

SERVICE: dict[str, Any] = {"price_source": "product_service"}


def update(quantity: int, price: str | None) -> UpdateQuantity:
    common = add().model_dump(include={*UpdateQuantity.model_fields} - {"kind", "quantity"})
    price_now = None if price is None else Decimal(price)
    return UpdateQuantity(**common, cart_id=CART_ID, quantity=quantity, current_price=price_now)


def lamp(cart: CartContent) -> dict[str, Any]:
    """The lamp's line as clients see it."""
    [line] = cart_fields(CART_ID, cart)["cartItems"]
    found: dict[str, Any] = line
    return found


@pytest.fixture
def cart() -> CartContent:
    return after(None, add(product_price=Decimal("10.00"), **SERVICE), NOW)


def test_a_first_price_is_no_change(cart: CartContent) -> None:
    assert "priceChanged" not in lamp(cart)


def test_another_add_takes_the_new_price_for_all_units(cart: CartContent) -> None:
    cart = after(cart, add(product_price=Decimal("12.50"), **SERVICE), LATER)
    assert lamp(cart)["priceChanged"] == {"from": Decimal("10.00"), "to": Decimal("12.50")}
    assert (cart.quantity, cart.total_price) == (4, Decimal("50.00"))


def test_an_update_takes_it_too(cart: CartContent) -> None:
    cart = after(cart, update(3, "12.50"), LATER)
    assert lamp(cart)["priceChanged"] == {"from": Decimal("10.00"), "to": Decimal("12.50")}
    assert (cart.quantity, cart.total_price) == (3, Decimal("37.50"))


def test_the_next_look_that_finds_the_same_price_ends_it(cart: CartContent) -> None:
    cart = after(cart, update(3, "12.50"), LATER)
    assert "priceChanged" not in lamp(after(cart, update(4, "12.50"), LATER))
    again = add(product_price=Decimal("12.50"), **SERVICE)
    assert "priceChanged" not in lamp(after(cart, again, LATER))


def test_without_a_look_the_line_stays_as_it_is(cart: CartContent) -> None:
    cart = after(cart, update(3, "12.50"), LATER)
    line = lamp(after(cart, update(4, None), LATER))
    assert (line["productPrice"], line["priceChanged"]["from"]) == (
        Decimal("12.50"),
        Decimal("10.00"),
    )


def test_a_clients_price_is_replaced_by_the_services() -> None:
    cart = after(None, add(product_price=Decimal("0.01")), NOW)
    line = lamp(after(cart, update(3, "12.50"), LATER))
    assert (line["priceSource"], line["priceChanged"]["from"]) == (
        "product_service",
        Decimal("0.01"),
    )


def test_the_price_that_a_client_sends_is_never_called_a_change() -> None:
    cart = after(None, add(product_price=Decimal("0.01")), NOW)
    assert "priceChanged" not in lamp(after(cart, add(product_price=Decimal("9.00")), LATER))


def test_growth_is_limited_by_the_new_price() -> None:
    policy = Policy(max_value=40)
    asked = update(4, "12.50").model_copy(update={"policy": policy})
    cart = after(None, add(product_price=Decimal("10.00"), **SERVICE), NOW)
    refusal = asked.check(facts_of(cart, CART_ID, "lamp"))
    assert refusal is not None
    assert refusal.code == "value_limit"
    dearer = asked.model_copy(update={"quantity": 2})
    assert dearer.check(facts_of(cart, CART_ID, "lamp")) is None


def test_an_unknown_product_leaves_an_update_as_it_is() -> None:
    other = Product(title="Cable", images=(), price=Decimal(3), currency=None)
    assert update(3, None).with_products({"cable": other}).current_price is None
    assert update(3, None).with_products({"lamp": other}).current_price == Decimal(3)
