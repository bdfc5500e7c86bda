"""What a merge does: strategies, limits, units to move, and the two sides of the change."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from models.cart import CartContent, CartKey, Lifetime
from models.cart_facts import CartFacts, facts_of, guest_facts
from models.cart_line import CartLine
from models.checkout import CartCheckout
from models.effects import EventEffect, ReleaseEffect
from models.limits import Policy
from models.merge import TakenUnits
from models.operations import CartChange, ChangeContext, MergeCart
from models.operations.base import GuestCart
from models.saga import SagaRun
from tests.support.actors import SHOPPER
from workflows.ids import saga_of

CART_ID, GUEST_CART = "507f1f77bcf86cd799439013", "507f1f77bcf86cd799439014"
NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
USER, GUEST = CartKey("store-1", "user-1"), CartKey("store-1", f"guest:{'0' * 32}")


def cart(key: CartKey, lines: dict[str, int], *, price: str = "10.00", **more: Any) -> CartContent:
    """A cart at version 3 with these lines."""
    items = {
        product: CartLine(
            product_id=product,
            product_title=f"{product} of {key.user_id[:5]}",
            product_price=Decimal(price),
            product_quantity=units,
            reserved_at=NOW,
        )
        for product, units in lines.items()
    }
    before = CartContent.empty(key, "USD", NOW).model_copy(update={"version": 2} | more)
    return before.with_lines(items, NOW, Lifetime(30))


def merge(strategy: str = "sum", **policy: Any) -> MergeCart:
    fields = {
        "store_id": USER.store_id,
        "user_id": USER.user_id,
        "operation_id": "0" * 32,
        "attempt_id": "a",
        "fingerprint": "",
        "actor": SHOPPER,
        "guest_id": GUEST.user_id,
        "guest_operation_id": "1" * 32,
        "strategy": strategy,
        "policy": Policy(**policy),
    }
    return MergeCart.model_validate(fields)


def saga(operation: MergeCart) -> SagaRun:
    return saga_of(operation, run_id="run", started_at=NOW)


def facts(own: CartContent | None, guest: CartContent | None) -> CartFacts:
    found = facts_of(own, CART_ID, None, whole=True)
    theirs = guest and guest_facts(GUEST_CART, guest, own)
    return found.model_copy(update={"guest": theirs})


def taken(operation: MergeCart, own: CartContent | None, guest: CartContent) -> MergeCart:
    """The operation when all units could be had."""
    found = tuple(
        TakenUnits(product_id=product, moved=moved, reserved=reserved)
        for product, (moved, reserved) in operation.wanted(facts(own, guest)).items()
    )
    return operation.model_copy(update={"taken": found})


def applied(operation: MergeCart, own: CartContent | None, guest: CartContent) -> CartChange:
    assert operation.check(facts(own, guest)) is None
    theirs = GuestCart(GUEST_CART, guest, guest_facts(GUEST_CART, guest, own))
    context = ChangeContext(saga(operation), CART_ID, publish=True, guest=theirs)
    change = operation.apply(own, context)
    assert change is not None
    return change


def merged(operation: MergeCart, own: CartContent | None, guest: CartContent) -> CartChange:
    return applied(taken(operation, own, guest), own, guest)


def units(change: CartChange) -> dict[str, int]:
    return change.cart.units if change.cart else {}


def left(change: CartChange) -> list[tuple[str, int, str]]:
    found = orjson.loads(change.body).get("notMerged", [])
    return [(one["productId"], one["quantity"], one["reason"]) for one in found]


def releases(effects: tuple[Any, ...]) -> dict[str, int]:
    return {one.product_id: one.quantity for one in effects if isinstance(one, ReleaseEffect)}


def events(effects: tuple[Any, ...]) -> list[tuple[str, str]]:
    found = [one for one in effects if isinstance(one, EventEffect)]
    return [(one.topic, orjson.loads(one.value).get("productId")) for one in found]


OWN = cart(USER, {"lamp": 2, "pen": 5})
THEIRS = cart(GUEST, {"pen": 3, "lamp": 4, "mug": 1}, price="12.00")


@pytest.mark.parametrize(
    ("strategy", "result", "moved", "freed", "rest"),
    [
        ("sum", {"lamp": 6, "pen": 8, "mug": 1}, {"lamp": 4, "mug": 1, "pen": 3}, {}, {}),
        (
            "max",
            {"lamp": 4, "pen": 5, "mug": 1},
            {"lamp": 2, "mug": 1},
            {},
            {"pen": 3, "lamp": 2},
        ),
        ("keep", {"lamp": 2, "pen": 5, "mug": 1}, {"mug": 1}, {}, {"pen": 3, "lamp": 4}),
        (
            "replace",
            {"pen": 3, "lamp": 4, "mug": 1},
            {"lamp": 2, "mug": 1},
            {"pen": 2},
            {"pen": 3, "lamp": 2},
        ),
    ],
)
def test_what_each_strategy_does(
    strategy: str,
    result: dict[str, int],
    moved: dict[str, int],
    freed: dict[str, int],
    rest: dict[str, int],
) -> None:
    """No unit is held twice, and none is lost: what is not moved is released."""
    operation = merge(strategy)
    wanted = operation.wanted(facts(OWN, THEIRS))
    assert {one: units for one, (units, _) in wanted.items()} == moved
    assert all(reserved == 0 for _, reserved in wanted.values())
    change = merged(operation, OWN, THEIRS)
    assert units(change) == result
    assert change.cart is not None
    assert change.cart.held_units == result
    assert releases(change.effects) == freed
    assert change.ended is not None
    assert releases(change.ended.effects) == rest
    assert left(change) == []


def test_replace_removes_what_the_guest_does_not_have() -> None:
    change = merged(merge("replace"), OWN, cart(GUEST, {"mug": 1}))
    assert units(change) == {"mug": 1}
    assert releases(change.effects) == {"lamp": 2, "pen": 5}
    assert events(change.effects) == [
        ("cart.item.added", "mug"),
        ("cart.item.removed", "lamp"),
        ("cart.item.removed", "pen"),
    ]


def test_an_empty_cart_of_a_guest_replaces_nothing() -> None:
    change = merged(merge("replace"), OWN, cart(GUEST, {}))
    assert (change.version, units(change)) == (None, {"lamp": 2, "pen": 5})
    assert change.ended is not None


def test_a_line_that_both_have_stays_as_it_is_but_for_its_units() -> None:
    change = merged(merge(), OWN, THEIRS)
    assert change.cart is not None
    lines = {line.product_id: line for line in change.cart.cart_items}
    assert lines["pen"].product_price == Decimal("10.00")
    assert lines["mug"].product_title == "mug of guest"
    change = merged(merge("replace"), OWN, THEIRS)
    assert change.cart is not None
    assert {line.product_price for line in change.cart.cart_items} == {Decimal("12.00")}


def test_a_new_cart_takes_the_guests_currency_and_answers_201() -> None:
    guest = cart(GUEST, {"mug": 1}, currency="EUR")
    change = merged(merge(), None, guest)
    assert change.cart is not None
    assert (change.status, change.cart.currency, change.version) == (201, "EUR", 1)


def test_carts_in_different_currencies_are_not_merged() -> None:
    guest = cart(GUEST, {"mug": 1}, currency="EUR")
    refusal = merge().check(facts(OWN, guest))
    assert refusal is not None
    assert (refusal.code, refusal.cart_currency, refusal.currency) == (
        "currency_mismatch",
        "USD",
        "EUR",
    )
    assert merge("replace").check(facts(OWN, guest)) is None


def test_a_frozen_cart_of_a_guest_is_not_merged() -> None:
    checkout = CartCheckout(checkout_id="checkout-1", expires_at=NOW)
    frozen = THEIRS.model_copy(update={"checkout": checkout})
    refusal = merge().check(facts(OWN, frozen))
    assert refusal is not None
    assert refusal.code == "cart_checked_out"


@pytest.mark.parametrize(
    ("policy", "result", "not_merged"),
    [
        ({"max_quantity": 7}, {"lamp": 6, "pen": 7, "mug": 1}, [("pen", 1, "quantity_limit")]),
        ({"max_lines": 2}, {"lamp": 6, "pen": 8}, [("mug", 1, "line_limit")]),
        (
            {"max_units": 12},
            {"lamp": 4, "pen": 8},
            [("lamp", 2, "unit_limit"), ("mug", 1, "unit_limit")],
        ),
        (
            {"max_value": 131},
            {"lamp": 5, "pen": 8},
            [("lamp", 1, "value_limit"), ("mug", 1, "value_limit")],
        ),
        ({"max_bytes": 1100}, {"lamp": 6, "pen": 8}, [("mug", 1, "size_limit")]),
        # What is over a limit already stays, and does not grow.
        (
            {"max_quantity": 4},
            {"lamp": 4, "pen": 5, "mug": 1},
            [("pen", 3, "quantity_limit"), ("lamp", 2, "quantity_limit")],
        ),
    ],
)
def test_what_the_limits_do_not_allow_is_named_and_released(
    policy: dict[str, Any], result: dict[str, int], not_merged: list[tuple[str, int, str]]
) -> None:
    change = merged(merge(**policy), OWN, THEIRS)
    assert units(change) == result
    assert left(change) == not_merged
    assert change.ended is not None
    assert releases(change.ended.effects) == {one: units for one, units, _ in not_merged}
    [event] = [one for one in change.ended.effects if isinstance(one, EventEffect)]
    assert [
        (one["productId"], one["quantity"]) for one in orjson.loads(event.value)["notMerged"]
    ] == [(one, units) for one, units, _ in not_merged]


def test_units_that_could_not_be_had_are_named() -> None:
    short = (
        TakenUnits(product_id="pen", moved=0, reserved=1),
        TakenUnits(product_id="lamp", moved=4),
        TakenUnits(product_id="mug", accepted=False),
    )
    change = applied(merge().model_copy(update={"taken": short}), OWN, THEIRS)
    assert units(change) == {"lamp": 6, "pen": 6}
    assert left(change) == [
        ("pen", 2, "insufficient_stock"),
        ("mug", 1, "product_not_accepted"),
    ]
    assert change.cart is not None
    assert change.cart.held_units == {"lamp": 6, "pen": 6}
    assert change.ended is not None
    assert releases(change.ended.effects) == {"pen": 3, "mug": 1}


def test_units_that_are_held_for_nobody_are_reserved() -> None:
    lapsed = [line.with_quantity(line.product_quantity, 0, NOW) for line in THEIRS.cart_items]
    guest = THEIRS.model_copy(update={"cart_items": lapsed})
    assert merge().wanted(facts(OWN, guest)) == {"lamp": (0, 4), "mug": (0, 1), "pen": (0, 3)}


def test_without_reservation_nothing_is_moved() -> None:
    operation = merge(reserve=False)
    assert operation.wanted(facts(OWN, THEIRS)) == {}
    change = applied(operation, OWN, THEIRS)
    assert units(change) == {"lamp": 6, "pen": 8, "mug": 1}
    assert change.cart is not None
    assert change.cart.held_units == {"lamp": 2, "pen": 5}
    assert change.ended is not None
    assert releases(change.ended.effects) == {"pen": 3, "lamp": 4, "mug": 1}


def test_both_sides_have_records_and_releases_of_their_own() -> None:
    operation = merge("max")
    change = merged(operation, OWN, THEIRS)
    assert change.ended is not None
    own, theirs = saga(operation), change.ended.saga
    assert theirs.key == GUEST
    assert {own.record_id, own.saga_id}.isdisjoint({theirs.record_id, theirs.saga_id})
    assert theirs.record_id == f"{'1' * 32}-{round(NOW.timestamp() * 1000)}"
    ids = [one.id for one in (*change.effects, *change.ended.effects)]
    assert len({*ids}) == len(ids)


def test_the_undo_covers_all_that_the_saga_can_take() -> None:
    operation = merge()
    undo = operation.undo_of(saga(operation), facts(OWN, THEIRS))
    assert {
        (one.product_id, one.saga_id.removeprefix(saga(operation).saga_id)) for one in undo
    } == {(product, part) for product in ("lamp", "pen", "mug") for part in ("", "-moved", "-part")}
    assert {one.reason for one in undo} == {"saga_aborted"}


@pytest.mark.parametrize("changed", ["cart", "guest"])
def test_the_change_is_for_the_carts_that_were_loaded(changed: str) -> None:
    loaded = facts(OWN, THEIRS)
    newer = OWN.with_lines({}, NOW, Lifetime(30)), THEIRS.with_lines({}, NOW, Lifetime(30))
    stored = facts(newer[0], THEIRS) if changed == "cart" else facts(OWN, newer[1])
    assert merge().is_current(loaded, facts(OWN, THEIRS))
    assert not merge().is_current(loaded, stored)


def test_without_a_guests_cart_nothing_changes() -> None:
    assert merge().check(facts(OWN, None)) is None
    assert merge().apply(OWN, ChangeContext(saga(merge()), CART_ID, publish=True)) is None
    refusal = merge().check(facts(None, None))
    assert refusal is not None
    assert refusal.code == "cart_not_found"
