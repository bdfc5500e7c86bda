"""What an operation did to the lines of a cart, as a record keeps it and an operator sees it."""

from datetime import UTC, datetime
from decimal import Decimal

from models.cart import CartContent, CartKey, line_changes
from models.cart_line import CartLine, LineChange
from models.effects import ReleaseEffect
from ops.changes import latest_changes, lines_of
from tests.fakes.api import record_of

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)


def line(product: str, quantity: int, price: str = "79.99", **more: object) -> CartLine:
    fields = {"product_id": product, "product_title": product, "reserved_at": NOW}
    return CartLine.model_validate(
        fields | {"product_price": price, "product_quantity": quantity} | more
    )


def cart(*lines: CartLine) -> CartContent:
    empty = CartContent.empty(CartKey("store-1", "user-1"), "EUR", NOW)
    return empty.model_copy(update={"cart_items": [*lines]})


def changes(before: CartContent | None, after: CartContent | None) -> list[tuple[object, ...]]:
    return [
        (one.product_id, one.before, one.after, one.price, one.availability)
        for one in line_changes(before, after)
    ]


def test_the_lines_of_a_new_and_of_a_deleted_cart() -> None:
    price = Decimal("79.99")
    assert changes(None, cart(line("a", 2))) == [("a", 0, 2, price, None)]
    assert changes(cart(line("a", 2)), None) == [("a", 2, 0, price, None)]
    assert changes(None, None) == []


def test_only_lines_that_changed_are_kept() -> None:
    before = cart(line("a", 2), line("b", 1), line("c", 3))
    after = cart(line("a", 5, "70.00"), line("b", 1), line("d", 1))
    assert changes(before, after) == [
        ("a", 2, 5, Decimal("70.00"), None),
        ("c", 3, 0, Decimal("79.99"), None),
        ("d", 0, 1, Decimal("79.99"), None),
    ]


def test_a_line_that_was_marked_says_how() -> None:
    after = cart(line("a", 2, availability_status="out_of_stock"))
    assert changes(cart(line("a", 2)), after) == [
        ("a", 2, 2, Decimal("79.99"), "out_of_stock"),
    ]


def release(product: str, quantity: int, **more: object) -> ReleaseEffect:
    fields = {"id": product, "product_id": product, "quantity": quantity, "saga_id": "s"}
    return ReleaseEffect.model_validate(fields | {"reason": "saga_aborted"} | more)


def test_what_the_inventory_was_told_of_each_line() -> None:
    lines = [
        LineChange(product_id=name, before=before, moved=after - before, price=Decimal(1))
        for name, before, after in (("a", 0, 2), ("b", 3, 1), ("c", 1, 0), ("d", 1, 0))
    ]
    effects = [
        release("b", 2, done_at=NOW, reason="order_completed", order_id="order-1"),
        release("c", 1),
        release("d", 1, done_at=NOW, skipped_because="by hand"),
    ]
    record = record_of(lines=lines, effects=effects)
    assert [one.inventory for one in lines_of(record)] == [
        "reserved 2",
        "released 2: order_completed order-1",
        "release pending of 1: saga_aborted",
        "release skipped of 1: saga_aborted",
    ]
    assert lines_of(record, reserved=False)[0].inventory == ""


def test_what_an_order_took_booked_and_did_not_get_is_one_line() -> None:
    lines = [LineChange(product_id="a", before=1, moved=-1, price=Decimal(1))]
    sold = {"done_at": NOW, "reason": "order_completed", "order_id": "o-1"}
    effects = [release("a", 1, **sold), release("a", 2, **sold)]
    [one] = lines_of(record_of(lines=lines, effects=effects, short={"a": 3}))
    assert (one.units, one.inventory) == (
        "1 -> 0",
        "released 1: order_completed o-1; released 2: order_completed o-1; "
        "3 ordered, not available",
    )


def test_the_undo_of_a_saga_that_did_not_commit_is_shown() -> None:
    record = record_of(state="aborted", effects=[release("a", 2, done_at=NOW)])
    [one] = lines_of(record)
    assert (one.product_id, one.units, one.inventory) == ("a", "", "released 2: saga_aborted")


def test_commits_that_temporal_keeps_no_more_are_among_the_latest() -> None:
    lines = [LineChange(product_id="a", before=0, moved=2, price=Decimal(1))]
    [latest] = latest_changes([], [record_of(lines=lines)])
    assert (latest.outcome, latest.what) == ("committed", "a 0 -> 2")
