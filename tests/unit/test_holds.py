"""How long units are held: the end of holds moves with each change, up to a limit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.cart import CartContent, Lifetime, cart_fields
from models.cart_line import CartLine, ProductAvailability
from models.limits import LEAK_SECONDS, Policy
from models.operations import ExtendHolds, LapseHolds, UpdateQuantity
from settings import Settings
from tests.unit.test_cart import CART_ID, LATER, NOW, add, after, cart_with, changed_by

MINUTE = timedelta(minutes=1)
HELD = Policy(hold_seconds=60, hold_max_seconds=150)


def at(minutes: float) -> datetime:
    return NOW + minutes * MINUTE


def with_holds() -> CartContent:
    """A cart with two lamps and a mug, whose holds end in a minute."""
    cart = after(None, add("lamp", 2, policy=HELD), NOW)
    return after(cart, add("mug", 1, policy=HELD), NOW)


def shown(cart: CartContent) -> list[dict[str, Any]]:
    """The lines as clients see them."""
    lines: list[dict[str, Any]] = cart_fields(CART_ID, cart)["cartItems"]
    return lines


def lapsed(cart: CartContent, now: datetime) -> CartContent:
    common = add(policy=HELD).model_dump(
        include={"store_id", "user_id", "operation_id", "attempt_id", "fingerprint", "actor"}
    )
    return after(cart, LapseHolds(**common, cart_id=CART_ID, ended_by=now), now)


def extended(cart: CartContent, now: datetime) -> CartContent:
    common = add().model_dump(
        include={"store_id", "user_id", "operation_id", "attempt_id", "fingerprint", "actor"}
    )
    return after(cart, ExtendHolds(**common, policy=HELD, cart_id=CART_ID), now)


def test_by_default_units_are_held_as_long_as_the_cart_and_nothing_is_shown_of_it() -> None:
    cart = cart_with(add("lamp"))
    assert (cart.holds_end, cart.held_units) == (None, {"lamp": 2})
    assert "holdUntil" not in shown(cart)[0]


def test_each_line_shows_until_when_it_is_held() -> None:
    cart = with_holds()
    assert {line["holdUntil"] for line in shown(cart)} == {at(1)}
    assert cart.holds_end == at(1)


def test_a_change_moves_the_holds_of_all_lines_up_to_the_longest_time_after_the_first() -> None:
    cart = after(with_holds(), add("lamp", policy=HELD), at(0.5))
    assert {line["holdUntil"] for line in shown(cart)} == {at(1.5)}
    cart = after(cart, add("mug", policy=HELD), at(2))
    assert {line["holdUntil"] for line in shown(cart)} == {at(2.5)}  # not 3


def test_an_extension_changes_nothing_when_the_units_cannot_be_held_longer() -> None:
    cart = after(with_holds(), add("mug", policy=HELD), at(0.9))
    cart = after(cart, add("mug", policy=HELD), at(1.7))
    assert cart.holds_end == at(2.5)
    with pytest.raises(AssertionError):
        extended(cart, at(2))


def test_ended_holds_are_given_back_and_the_lines_stay() -> None:
    before = with_holds()
    cart = lapsed(before, at(1))
    assert [line["availabilityStatus"] for line in shown(cart)] == ["hold_expired"] * 2
    assert "holdUntil" not in shown(cart)[0]
    assert (cart.units, cart.held_units, cart.holds_end) == (before.units, {}, None)
    assert (cart.version, cart.expire_at) == (before.version + 1, before.expire_at)


def test_holds_that_have_not_ended_are_left() -> None:
    with pytest.raises(AssertionError):
        lapsed(with_holds(), at(0.9))


def test_the_next_change_of_a_line_holds_it_again_and_no_other() -> None:
    cart = after(lapsed(with_holds(), at(1)), add("lamp", 1, policy=HELD), at(5))
    assert cart.held_units == {"lamp": 3}
    assert [line["availabilityStatus"] for line in shown(cart)] == ["available", "hold_expired"]
    assert [line.get("holdUntil") for line in shown(cart)] == [at(6), None]


def test_an_extension_holds_all_lines_again_from_now_on() -> None:
    cart = extended(lapsed(with_holds(), at(1)), at(5))
    assert cart.held_units == {"lamp": 2, "mug": 1}
    assert {line["holdUntil"] for line in shown(cart)} == {at(6)}
    assert extended(cart, at(6)).holds_end == at(7)


def test_stock_news_do_not_say_that_a_line_is_held_again() -> None:
    line = lapsed(with_holds(), at(1)).cart_items[0]
    gone = line.marked(ProductAvailability(product_id="lamp", status="out_of_stock", at=at(2)))
    back = gone.marked(ProductAvailability(product_id="lamp", status="available", at=at(3)))
    assert [one.availability_status for one in (gone, back)] == ["out_of_stock", "hold_expired"]


def test_the_end_of_a_hold_does_not_hide_that_a_product_is_out_of_stock() -> None:
    news = ProductAvailability(product_id="lamp", status="out_of_stock", at=at(0.5))
    line: CartLine = with_holds().cart_items[0].marked(news).lapsed(at(1))
    assert (line.availability_status, line.held) == ("out_of_stock", 0)


def test_holds_that_are_switched_off_last_as_long_as_the_cart_from_the_next_change_on() -> None:
    cart = after(with_holds(), changed_by(UpdateQuantity, 30, quantity=1), LATER)
    assert (cart.holds_end, cart.held_since) == (None, None)


def test_the_inventory_may_end_a_reservation_only_after_every_hold_has_ended() -> None:
    assert Policy().reserved_seconds is None
    assert HELD.reserved_seconds == 150 + HELD.checkout_seconds + LEAK_SECONDS


def test_the_end_has_milliseconds_as_mongodb_stores_it() -> None:
    end = Lifetime(30, 0.0125, 60).holds_end(NOW, NOW)
    assert end == datetime(2026, 1, 27, 10, 30, 0, 12_000, tzinfo=UTC)


def test_holds_must_not_be_longer_than_the_longest() -> None:
    with pytest.raises(ValueError, match="HOLD_MINUTES, HOLD_MAX_MINUTES"):
        Settings(hold_minutes=31, hold_max_minutes=30)
