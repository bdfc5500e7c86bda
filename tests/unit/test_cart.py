"""The arithmetic of a cart: totals, versions, and the day on which it expires."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from models.cart import CartContent, Lifetime
from models.limits import Policy
from models.operations import AddItem, CartOperation, ChangeContext, RemoveItem, UpdateQuantity
from models.saga import SagaRun
from tests.support.actors import SHOPPER

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
CART_ID = "507f1f77bcf86cd799439013"
LATER = NOW + timedelta(days=3)


def add(product_id: str = "lamp", quantity: int = 2, **changed: Any) -> AddItem:
    """A request to add units of a product at 0.10, under a policy of 30 days."""
    values: dict[str, Any] = {
        "store_id": "store-1",
        "user_id": "user-1",
        "operation_id": "0" * 32,
        "attempt_id": "attempt-1",
        "fingerprint": "",
        "actor": SHOPPER,
        "policy": Policy(expiry_days=30),
        "product_id": product_id,
        "product_title": product_id.title(),
        "product_price": Decimal("0.10"),
        "quantity": quantity,
    }
    return AddItem(**values | changed)


def after(cart: CartContent | None, operation: CartOperation, at: datetime) -> CartContent:
    """The cart after an operation."""
    saga = SagaRun(
        run_id="run",
        record_id="record",
        saga_id="saga",
        started_at=at,
        operation=operation.name,
        operation_id=operation.operation_id,
        fingerprint="",
        store_id=operation.store_id,
        user_id=operation.user_id,
        actor=operation.actor,
    )
    change = operation.apply(cart, ChangeContext(saga, CART_ID, publish=False))
    assert change is not None
    assert change.cart is not None
    return change.cart


def changed_by(kind: Any, days: int, **fields: Any) -> Any:
    """An operation on the cart's lamp, under a policy of so many days."""
    common = add().model_dump(
        include={"store_id", "user_id", "operation_id", "attempt_id", "actor"}
    )
    policy = Policy(expiry_days=days)
    return kind(
        **common, fingerprint="", policy=policy, cart_id=CART_ID, product_id="lamp", **fields
    )


def cart_with(*requests: AddItem) -> CartContent:
    """The cart after these adds at `NOW`, one after the other."""
    cart: CartContent | None = None
    for request in requests:
        cart = after(cart, request, NOW)
    assert cart is not None
    return cart


def test_a_cart_expires_the_configured_days_after_its_last_change() -> None:
    cart = cart_with(add())
    assert cart.expire_at == datetime(2026, 2, 26, 10, 30, tzinfo=UTC)
    assert after(cart, add(), LATER).expire_at == datetime(2026, 3, 1, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize("days", [1, 7, 30])
def test_each_change_by_the_shopper_restarts_the_days_until_expiry(days: int) -> None:
    cart = cart_with(add("lamp"), add("mug"))
    changed = [
        after(cart, add(policy=Policy(expiry_days=days)), LATER),
        after(cart, changed_by(UpdateQuantity, days, quantity=5), LATER),
        after(cart, changed_by(UpdateQuantity, days, quantity=1), LATER),
        after(cart, changed_by(RemoveItem, days), LATER),
        cart.without_units({"lamp": 1}, LATER, Lifetime(days)),
    ]
    assert [one.expire_at - LATER for one in changed] == [timedelta(days=days)] * len(changed)
    assert {one.updated_at for one in changed} == {LATER}
    assert {one.version for one in changed} == {cart.version + 1}


def test_totals_are_exact_to_the_cent() -> None:
    cart = cart_with(add("lamp", 3), add("desk", 1, product_price=Decimal("249.99")))
    assert (cart.quantity, cart.total_price) == (4, Decimal("250.29"))


def test_a_second_add_of_a_product_adds_its_units_to_the_line() -> None:
    cart = cart_with(add("lamp", 2), add("mug", 1), add("lamp", 3))
    assert [(line.product_id, line.product_quantity) for line in cart.cart_items] == [
        ("lamp", 5),
        ("mug", 1),
    ]


def test_a_second_add_at_a_new_price_sets_the_price_of_the_whole_line() -> None:
    cart = cart_with(add("lamp", 2), add("lamp", 1, product_price=Decimal("0.20")))
    assert cart.total_price == Decimal("0.60")


def test_a_removed_product_takes_its_units_and_price_with_it() -> None:
    cart = after(cart_with(add("lamp", 2), add("mug", 1)), changed_by(RemoveItem, 30), LATER)
    assert (cart.quantity, cart.total_price) == (1, Decimal("0.10"))


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ({"lamp": 1}, {"lamp": 1, "mug": 1}),
        ({"lamp": 2}, {"mug": 1}),
        ({"lamp": 2, "mug": 1}, {}),
        ({"desk": 1}, {"lamp": 2, "mug": 1}),
    ],
)
def test_an_order_leaves_the_units_that_it_did_not_take(
    taken: dict[str, int], left: dict[str, int]
) -> None:
    cart = cart_with(add("lamp", 2), add("mug", 1)).without_units(taken, LATER, Lifetime(30))
    assert {line.product_id: line.product_quantity for line in cart.cart_items} == left
    assert cart.quantity == sum(left.values())


@pytest.mark.parametrize(
    ("sellers", "expected"),
    [(("s-1", "s-1"), "s-1"), (("s-1", "s-2"), None), (("s-1", None), None)],
)
def test_a_cart_has_a_seller_only_if_all_its_lines_share_it(
    sellers: tuple[str | None, str | None], expected: str | None
) -> None:
    first, second = sellers
    cart = cart_with(add("lamp", seller_id=first), add("mug", seller_id=second))
    assert cart.seller_id == expected
