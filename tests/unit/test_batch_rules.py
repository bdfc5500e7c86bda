"""What a batch does to a cart: its steps in their order, limits, reservations, events, releases."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from models.batch import BatchStep
from models.cart import CartContent, CartKey, Lifetime
from models.cart_facts import CartFacts, facts_of
from models.cart_line import CartLine, price_change
from models.effects import EventEffect, ReleaseEffect
from models.limits import Policy
from models.operations import ApplyBatch, CartChange, ChangeContext
from models.outcomes import MissingUnits
from models.products import Product
from models.saga import SagaRun
from tests.support.actors import SHOPPER
from tests.support.batches import add, put, remove
from workflows.ids import saga_of

CART_ID = "507f1f77bcf86cd799439013"
NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
KEY = CartKey("store-1", "user-1")


def batch(*steps: BatchStep, **fields: Any) -> ApplyBatch:
    common = {"attempt_id": "a", "fingerprint": "", "actor": SHOPPER, "operation_id": "0" * 32}
    return ApplyBatch(**common | {"store_id": KEY[0], "user_id": KEY[1], "steps": steps} | fields)


def best_effort(*steps: BatchStep, **fields: Any) -> ApplyBatch:
    return batch(*steps, mode="best_effort", **fields)


def cart(**lines: int) -> CartContent:
    """A cart at version 3 with these lines, each unit at 10.00."""
    items = {
        product: CartLine(
            product_id=product,
            product_title=product.title(),
            product_price=Decimal("10.00"),
            product_quantity=units,
            reserved_at=NOW,
        )
        for product, units in lines.items()
    }
    empty = CartContent.empty(KEY, "USD", NOW).model_copy(update={"version": 2})
    return empty.with_lines(items, NOW, Lifetime(30))


def facts(content: CartContent | None) -> CartFacts:
    return facts_of(content, CART_ID, None, whole=True)


def saga(operation: ApplyBatch) -> SagaRun:
    return saga_of(operation, run_id="run", started_at=NOW)


def applied(operation: ApplyBatch, content: CartContent | None) -> CartChange | None:
    assert operation.check(facts(content)) is None
    return operation.apply(content, ChangeContext(saga(operation), CART_ID, publish=True))


def changed(operation: ApplyBatch, content: CartContent | None) -> CartChange:
    change = applied(operation, content)
    assert change is not None
    return change


def units(change: CartChange) -> dict[str, int]:
    return change.cart.units if change.cart else {}


def events(change: CartChange) -> list[tuple[str, str, int, int]]:
    """Topic, product, quantity and version of each event."""
    found = []
    for effect in change.effects:
        if isinstance(effect, EventEffect):
            body = orjson.loads(effect.value)
            found.append((effect.topic, body["productId"], body["quantity"], body["version"]))
    return found


def releases(change: CartChange) -> dict[str, tuple[int, str]]:
    return {
        effect.product_id: (effect.quantity, effect.reason)
        for effect in change.effects
        if isinstance(effect, ReleaseEffect)
    }


def reserved(operation: ApplyBatch, content: CartContent | None) -> dict[str, int]:
    found = operation.reservations(saga(operation), facts(content))
    return {one.product_id: one.quantity for one in found}


def refused(operation: ApplyBatch, content: CartContent | None) -> tuple[str, int | None] | None:
    refusal = operation.check(facts(content))
    return (refusal.code.value, refusal.step) if refusal else None


def outcomes(change: CartChange) -> list[str]:
    return [one.get("code", one["status"]) for one in orjson.loads(change.body).get("outcomes", [])]


def test_a_batch_is_one_version_with_an_event_for_each_line_in_order() -> None:
    operation = batch(put("pen", 1), add("lamp", 2), add("pen", 4), remove("desk"), add("mug", 1))
    before = cart(desk=2, pen=3)
    change = changed(operation, before)
    assert (change.version, change.status) == (4, 200)
    assert units(change) == {"pen": 5, "lamp": 2, "mug": 1}
    assert events(change) == [
        ("cart.item.updated", "pen", 5, 4),
        ("cart.item.added", "lamp", 2, 4),
        ("cart.item.removed", "desk", 2, 4),
        ("cart.item.added", "mug", 1, 4),
    ]
    ids = [effect.id for effect in change.effects]
    assert len({*ids}) == len(ids)
    assert releases(change) == {"desk": (2, "item_removed")}
    assert reserved(operation, before) == {"lamp": 2, "mug": 1, "pen": 2}


def test_quantities_of_a_product_are_summed_before_they_are_reserved() -> None:
    operation = batch(add("lamp", 2), add("lamp", 3), add("pen", 90), put("pen", 4))
    assert reserved(operation, None) == {"lamp": 5, "pen": 4}
    change = changed(operation, None)
    assert (change.status, units(change)) == (201, {"lamp": 5, "pen": 4})
    assert events(change)[0] == ("cart.item.added", "lamp", 5, 1)


def test_the_latest_add_describes_the_line() -> None:
    change = changed(batch(add("lamp", 1, "9.00"), add("lamp", 1, "8.00")), cart(lamp=1))
    assert change.cart is not None
    assert change.cart.total_price == Decimal("24.00")
    assert events(change) == [("cart.item.added", "lamp", 2, 4)]


def test_fewer_units_are_released_and_not_reserved() -> None:
    operation = batch(put("lamp", 1), remove("pen"), add("pen", 2))
    before = cart(lamp=4, pen=5)
    change = changed(operation, before)
    assert reserved(operation, before) == {}
    assert releases(change) == {"lamp": (3, "quantity_reduced"), "pen": (3, "quantity_reduced")}
    assert events(change) == [
        ("cart.item.updated", "lamp", 1, 4),
        ("cart.item.updated", "pen", 2, 4),
    ]


def test_a_batch_that_changes_nothing_has_no_version() -> None:
    assert applied(batch(put("lamp", 4)), cart(lamp=4)) is None
    assert applied(batch(add("pen", 1), remove("pen")), cart(lamp=4)) is None


def test_what_is_added_and_removed_again_leaves_an_empty_cart() -> None:
    change = changed(batch(add("pen", 1), remove("pen")), None)
    assert (change.status, units(change), change.effects) == (201, {}, ())


@pytest.mark.parametrize(
    ("steps", "refusal"),
    [
        ((put("pen", 1),), ("item_not_found", 0)),
        ((add("mug", 1), remove("pen")), ("item_not_found", 1)),
        ((remove("lamp"), put("lamp", 1)), ("item_not_found", 1)),
        ((add("lamp", 4), add("mug", 1)), ("quantity_limit", 0)),
        ((add("lamp", 4), put("lamp", 5)), None),
        ((add("mug", 1), add("pen", 1), add("cup", 1)), ("line_limit", 2)),
        ((add("mug", 1), add("pen", 1), add("cup", 1), remove("mug")), None),
        ((add("mug", 5), add("lamp", 1)), ("unit_limit", 1)),
        ((add("mug", 4, "50.00"),), ("value_limit", 0)),
    ],
)
def test_limits_hold_for_the_result(
    steps: tuple[BatchStep, ...], refusal: tuple[str, int] | None
) -> None:
    policy = Policy(max_quantity=5, max_lines=3, max_units=7, max_value=150)
    assert refused(batch(*steps, policy=policy), cart(lamp=2)) == refusal


def test_a_cart_over_a_limit_may_shrink() -> None:
    policy = Policy(max_quantity=2, max_lines=1, max_units=2, max_value=10)
    before = cart(lamp=5, pen=5)
    assert refused(batch(put("lamp", 4), remove("pen"), policy=policy), before) is None
    assert refused(batch(put("lamp", 6), policy=policy), before) == ("quantity_limit", 0)


def test_a_cart_in_another_currency_takes_no_adds() -> None:
    policy = Policy(currency="EUR")
    assert refused(batch(add("pen", 1), policy=policy), cart(lamp=1)) == ("currency_mismatch", None)
    assert refused(batch(put("lamp", 2), policy=policy), cart(lamp=1)) is None


def test_the_bytes_of_the_cart_are_limited() -> None:
    operation = batch(add("pen", 1), policy=Policy(max_bytes=400))
    refusal = operation.check_change(changed(operation, None))
    assert refusal is not None
    assert (refusal.code, refusal.step) == ("size_limit", None)


def test_best_effort_does_what_can_be_done_and_says_what_not() -> None:
    policy = Policy(max_quantity=5, max_lines=2)
    operation = best_effort(
        add("lamp", 4), add("pen", 2), put("mug", 1), add("mug", 1), add("lamp", 3), policy=policy
    )
    change = changed(operation, cart(lamp=1))
    assert units(change) == {"lamp": 5, "pen": 2}
    assert outcomes(change) == [
        "done",
        "done",
        "item_not_found",
        "line_limit",
        "quantity_limit",
    ]
    assert [body["productId"] for body in orjson.loads(change.body)["outcomes"]] == [
        step.product_id for step in operation.steps
    ]


def test_best_effort_takes_the_steps_for_which_the_units_suffice() -> None:
    before = cart(lamp=1)
    operation = best_effort(add("lamp", 3), add("lamp", 4), add("pen", 1), add("lamp", 1))
    missing = (MissingUnits(product_id="lamp", wanted=8, available=5),)
    short = operation.with_too_few(missing, facts(before))
    assert {
        one.product_id: (one.quantity, one.saga_id.rpartition("-")[2])
        for one in short.parts(saga(short), facts(before))
    } == {"lamp": (4, "part")}
    assert reserved(short, before) == {"pen": 1}
    change = changed(short, before)
    assert units(change) == {"lamp": 5, "pen": 1}
    assert outcomes(change) == ["done", "insufficient_stock", "done", "done"]
    assert orjson.loads(change.body)["outcomes"][1]["available"] == 2


def test_a_product_that_is_short_twice_gets_nothing() -> None:
    before = cart(lamp=1)
    operation = best_effort(add("lamp", 3), put("lamp", 1))
    missing = (MissingUnits(product_id="pen", wanted=3, available=2),)
    operation = best_effort(add("pen", 1), add("pen", 2)).with_too_few(missing, facts(before))
    assert outcomes(changed(operation, before)) == ["done", "insufficient_stock"]
    operation = operation.with_too_few(missing, facts(before))
    change = changed(operation, before)
    assert outcomes(change) == ["insufficient_stock", "insufficient_stock"]
    assert (change.version, units(change)) == (None, {"lamp": 1})


def test_a_product_that_the_inventory_does_not_accept_is_named() -> None:
    missing = (MissingUnits(product_id="pen", wanted=1, accepted=False),)
    operation = batch(add("lamp", 1), add("pen", 1))
    refusal = operation.out_of_stock(missing, facts(None))
    assert (refusal.code, refusal.step) == ("product_not_accepted", 1)
    short = best_effort(add("lamp", 1), add("pen", 1)).with_too_few(missing, facts(None))
    assert outcomes(changed(short, None)) == ["done", "product_not_accepted"]


def test_without_a_cart_best_effort_needs_one_step_that_is_done() -> None:
    assert refused(best_effort(put("pen", 1), remove("mug")), None) == ("item_not_found", 0)
    assert refused(best_effort(put("pen", 1), add("mug", 1)), None) is None


def test_units_that_are_held_no_more_are_reserved_with_the_rest() -> None:
    lapsed = cart(lamp=3).model_copy(
        update={"cart_items": [cart(lamp=3).cart_items[0].with_quantity(3, 0, NOW)]}
    )
    operation = batch(add("lamp", 1))
    assert reserved(operation, lapsed) == {"lamp": 4}
    change = changed(operation, lapsed)
    assert change.cart is not None
    assert change.cart.held_units == {"lamp": 4}


def test_without_reservation_nothing_is_held() -> None:
    operation = batch(add("lamp", 1), policy=Policy(reserve=False))
    assert reserved(operation, None) == {}
    change = changed(operation, None)
    assert change.cart is not None
    assert change.cart.held_units == {}


def test_the_undo_covers_every_reservation_that_best_effort_can_make() -> None:
    operation = best_effort(add("lamp", 3), add("lamp", 4))
    undo = operation.undo_of(saga(operation), facts(None))
    short = operation.with_too_few(
        (MissingUnits(product_id="lamp", wanted=7, available=3),), facts(None)
    )
    made = (
        *operation.reservations(saga(operation), facts(None)),
        *short.parts(saga(short), facts(None)),
    )
    assert {one.saga_id for one in made} == {one.saga_id for one in undo}


def test_adds_and_sets_take_the_product_services_prices() -> None:
    steps = (add("lamp", 1, "0.01"), put("cable", 3), remove("mug"), put("plug", 1))
    operation = batch(*steps)
    assert operation.priced_products == ("lamp",)
    assert operation.repriced_products == ("cable", "plug")
    known = {
        name: Product(title=name, images=(), price=Decimal("12.00"), currency=None)
        for name in ("lamp", "cable")
    }
    change = applied(operation.with_products(known), cart(lamp=1, cable=2, mug=1, plug=1))
    assert change is not None
    assert change.cart is not None
    lines = {line.product_id: line for line in change.cart.cart_items}
    for name, units in (("lamp", 2), ("cable", 3)):
        line = lines[name]
        assert (line.product_quantity, line.product_price) == (units, Decimal("12.00"))
        assert line.price_source == "product_service"
        assert line.price_changed == price_change(cart(lamp=1).cart_items[0], Decimal("12.00"))
    assert (lines["plug"].product_price, lines["plug"].price_changed) == (Decimal("10.00"), None)
    assert change.cart.total_price == Decimal("70.00")


def test_a_set_to_the_same_quantity_takes_another_price_only() -> None:
    asked = batch(put("lamp", 2))
    for price, version in (("10.00", None), ("9.00", 4)):
        product = Product(title="Lamp", images=(), price=Decimal(price), currency=None)
        change = applied(asked.with_products({"lamp": product}), cart(lamp=2))
        assert (change.version if change else None) == version


def test_a_new_price_counts_for_the_limit_of_the_total() -> None:
    product = Product(title="Lamp", images=(), price=Decimal("30.00"), currency=None)
    asked = batch(put("lamp", 2), policy=Policy(max_value=50)).with_products({"lamp": product})
    refusal = asked.check(facts(cart(lamp=1)))
    assert refusal is not None
    assert refusal.code == "value_limit"
