"""What a checkout holds, where a store reserves at checkout only."""

from decimal import Decimal

import pytest

from models.cart import CartContent, cart_fields
from models.cart_facts import CartFacts, facts_of
from models.effects import ReleaseEffect
from models.limits import Policy
from models.operations import CancelCheckout, CartChange, CartOperation, ChangeContext, Checkout
from models.products import Product
from tests.unit.test_cart import CART_ID, LATER, NOW, add, after
from workflows.ids import saga_of

AT_CHECKOUT = Policy(reserve=False, reserve_at_checkout=True)
COMMON = add().model_dump(include={*CartOperation.model_fields} - {"policy"})


def change_of(operation: CartOperation, cart: CartContent) -> CartChange:
    saga = saga_of(operation, run_id="run", started_at=LATER)
    change = operation.apply(cart, ChangeContext(saga, CART_ID, publish=False))
    assert change is not None
    return change


def checked_out(cart: CartContent, policy: Policy) -> CartContent:
    frozen = change_of(Checkout(**COMMON).under(policy), cart).cart
    assert frozen is not None
    return frozen


def facts(cart: CartContent) -> CartFacts:
    return facts_of(cart, CART_ID, None, whole=True)


def test_a_checkout_reserves_what_its_cart_does_not_hold() -> None:
    cart = after(None, add(policy=AT_CHECKOUT), NOW)
    assert cart.held_units == {}
    operation = Checkout(**COMMON).under(AT_CHECKOUT)
    saga = saga_of(operation, run_id="run", started_at=NOW)
    assert [one.quantity for one in operation.reservations(saga, facts(cart))] == [2]
    never = Checkout(**COMMON).under(Policy(reserve=False))
    assert never.reservations(saga, facts(cart)) == ()


@pytest.mark.parametrize("expired", [True, False])
@pytest.mark.parametrize(
    ("policy", "released"), [(AT_CHECKOUT, [("lamp", 2)]), (Policy(), [])], ids=["late", "usual"]
)
def test_what_was_held_for_the_checkout_alone_is_released_with_its_end(
    policy: Policy, released: list[tuple[str, int]], expired: bool
) -> None:
    frozen = checked_out(after(None, add(policy=policy), NOW), policy)
    assert frozen.held_units == {"lamp": 2}
    assert "keepsHolds" not in cart_fields(CART_ID, frozen)["checkout"]
    assert frozen.checkout is not None
    by = frozen.checkout.expires_at if expired else None
    change = change_of(CancelCheckout(**COMMON, reason="user", expired_by=by), frozen)
    found = [one for one in change.effects if isinstance(one, ReleaseEffect)]
    assert [(one.product_id, one.quantity) for one in found] == released
    assert change.cart is not None
    assert change.cart.checkout is None
    assert change.cart.held_units == ({} if released else {"lamp": 2})


def test_a_checkout_takes_the_product_services_prices() -> None:
    cart = after(None, add(product_price=Decimal("10.00")), NOW)
    dearer = Product(title="Lamp", images=(), price=Decimal("12.50"), currency=None)
    operation = Checkout(**COMMON, looked_up=("lamp",))
    assert operation.priced_products == ("lamp",)
    frozen = change_of(operation.with_products({"lamp": dearer}), cart).cart
    assert frozen is not None
    assert frozen.total_price == Decimal("25.00")
    [line] = cart_fields(CART_ID, frozen)["cartItems"]
    assert line["priceChanged"] == {"from": Decimal("10.00"), "to": Decimal("12.50")}
