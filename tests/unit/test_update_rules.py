"""When an update of a quantity is refused, and how many units it reserves."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from models.cart_facts import CartFacts
from models.limits import Policy, room_for
from models.operations import UpdateQuantity
from models.outcomes import Refusal, RefusalCode
from tests.support.actors import SHOPPER
from workflows import ids

CART_ID = "507f1f77bcf86cd799439013"
SAGA = ids.saga_run(
    run_id="run-1",
    started_at=datetime(2026, 1, 27, 10, 30, tzinfo=UTC),
    operation="UpdateQuantity",
    operation_id="0" * 32,
    subject="lamp",
    fingerprint="",
    store_id="store-1",
    user_id="user-1",
    actor=SHOPPER,
)
PRICE = Decimal("10.00")


def cart(line_units: int = 5, **changed: Any) -> CartFacts:
    """A cart of one line, a product at 10.00 of which it has these units."""
    values: dict[str, Any] = {
        "version": 3,
        "cart_id": CART_ID,
        "lines": 1,
        "line_quantity": line_units,
        "line_price": PRICE,
        "units": line_units,
        "total_price": PRICE * line_units,
    }
    return CartFacts(**values | changed)


def update(
    quantity: int,
    policy: Policy | None = None,
    *,
    cart_id: str = CART_ID,
    tags: tuple[str, ...] | None = None,
    none_of: tuple[str, ...] | None = None,
) -> UpdateQuantity:
    """A request for a quantity of the product."""
    return UpdateQuantity(
        store_id="store-1",
        user_id="user-1",
        operation_id="0" * 32,
        attempt_id="attempt-1",
        fingerprint="",
        actor=SHOPPER,
        if_match=tags,
        if_none_match=none_of,
        policy=policy or Policy(),
        cart_id=cart_id,
        product_id="lamp",
        quantity=quantity,
    )


def refused(loaded: CartFacts, request: UpdateQuantity) -> str | None:
    """The code of the refusal, or None."""
    refusal = request.check(loaded)
    return refusal.code if refusal else None


def test_an_update_of_another_cart_is_refused() -> None:
    assert refused(cart(), update(2, cart_id="507f1f77bcf86cd799439099")) == "cart_not_found"


def test_an_update_of_a_product_that_the_cart_does_not_have_is_refused() -> None:
    assert refused(cart(line_units=0), update(2)) == "item_not_found"


@pytest.mark.parametrize("quantity", [1, 5, 9])
def test_any_quantity_within_the_limits_is_accepted(quantity: int) -> None:
    assert refused(cart(line_units=5), update(quantity)) is None


@pytest.mark.parametrize(
    ("policy", "allowed", "code"),
    [
        (Policy(max_quantity=8), 8, "quantity_limit"),
        (Policy(max_units=8), 8, "unit_limit"),
        (Policy(max_value=80), 8, "value_limit"),
    ],
)
def test_an_increase_is_refused_from_the_first_unit_beyond_a_limit(
    policy: Policy, allowed: int, code: str
) -> None:
    assert refused(cart(line_units=5), update(allowed, policy)) is None
    assert refused(cart(line_units=5), update(allowed + 1, policy)) == code


def test_other_lines_count_towards_the_limits_of_a_cart() -> None:
    loaded = cart(line_units=5, lines=2, units=7, total_price=Decimal(70))
    assert refused(loaded, update(6, Policy(max_units=8))) is None
    assert refused(loaded, update(7, Policy(max_units=8))) == "unit_limit"
    assert refused(loaded, update(7, Policy(max_value=80))) == "value_limit"


@pytest.mark.parametrize("quantity", [5, 4])
@pytest.mark.parametrize(
    "policy", [Policy(max_quantity=1), Policy(max_units=1), Policy(max_value=1)]
)
def test_a_cart_over_a_limit_may_keep_its_units_or_have_fewer(
    quantity: int, policy: Policy
) -> None:
    assert refused(cart(line_units=5), update(quantity, policy)) is None


@pytest.mark.parametrize(("quantity", "reserved"), [(8, 3), (6, 1), (5, 0), (1, 0)])
def test_only_the_additional_units_are_reserved(quantity: int, reserved: int) -> None:
    reservations = update(quantity).reservations(SAGA, cart(line_units=5))
    assert sum(one.quantity for one in reservations) == reserved


def test_units_of_the_line_that_are_not_held_are_reserved_as_well() -> None:
    """As reservations of their own: those of the additional units stay the same in every try."""
    loaded = cart(line_units=5, line_unheld=5)
    more, again = update(8).reservations(SAGA, loaded)
    assert (more.quantity, more.saga_id) == (3, SAGA.saga_id)
    assert (again.quantity, again.saga_id) == (5, f"{SAGA.saga_id}-again")
    assert more.id != again.id
    [fewer] = update(2).reservations(SAGA, loaded)
    assert (fewer.quantity, fewer.saga_id) == (2, again.saga_id)
    assert update(2).reservations(SAGA, cart(line_units=5, line_unheld=3)) == ()


def test_nothing_is_reserved_where_reservation_is_off() -> None:
    assert update(8, Policy(reserve=False)).reservations(SAGA, cart(line_units=5)) == ()


@pytest.mark.parametrize("tags", [("3",), ("*",), (f"3-{CART_ID}",), ("2", "3")])
def test_an_update_of_the_named_version_is_accepted(tags: tuple[str, ...]) -> None:
    assert refused(cart(line_units=5), update(8, tags=tags)) is None


def test_an_update_of_another_version_is_refused() -> None:
    assert refused(cart(line_units=5), update(8, tags=("2",))) == "precondition_failed"


def test_what_was_reserved_for_another_quantity_is_not_current() -> None:
    expected = cart(line_units=5)
    assert update(8).is_current(expected, cart(line_units=5, version=9, lines=2))
    assert not update(8).is_current(expected, cart(line_units=6))


def test_a_full_cart_takes_no_further_product() -> None:
    other = cart(line_units=0, lines=3, units=5)
    refusal = room_for(Policy(max_lines=3), other, units=1, price=PRICE)
    assert refusal == Refusal(code=RefusalCode.LINE_LIMIT, current=3, limit=3)
    assert room_for(Policy(max_lines=4), other, units=1, price=PRICE) is None


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        (("*",), "precondition_failed"),
        ((f"3-{CART_ID}", "other"), "precondition_failed"),
        (("2", f"2-{CART_ID}"), None),
        ((), None),
    ],
)
def test_an_update_of_a_version_that_must_not_be_is_refused(
    tags: tuple[str, ...], code: str | None
) -> None:
    assert refused(cart(line_units=5), update(8, none_of=tags)) == code
