"""The ids that others rely on: the inventory, operators, and relays of another version."""

import re
from collections import Counter
from datetime import UTC, datetime

import pytest

from models.cart import CartKey
from models.documents import bucket_of
from workflows.ids import cart_workflow_id, event_operation_id, operation_id, saga_id

STARTED_AT = datetime(2026, 1, 27, 10, 30, 0, 123000, tzinfo=UTC)


@pytest.mark.parametrize("subject", ["product-1", "ClearCart"])
def test_a_saga_id_has_the_start_in_milliseconds_the_user_and_the_product(subject: str) -> None:
    assert saga_id(STARTED_AT, "user-1", subject) == f"cart-1769509800123-user-1-{subject}"


def test_sagas_of_one_user_that_start_a_millisecond_apart_have_different_ids() -> None:
    later = STARTED_AT.replace(microsecond=124000)
    assert saga_id(later, "user-1", "lamp") == "cart-1769509800124-user-1-lamp"


def test_all_operations_of_a_cart_share_one_workflow_id() -> None:
    assert cart_workflow_id("store-1", "user-1") == "cart/store-1/user-1"


def test_an_operation_id_hides_the_idempotency_key() -> None:
    operation = operation_id("store-1", "user-1", "order-of-jane@example.com")
    assert re.fullmatch("[0-9a-f]{32}", operation)


def test_each_user_store_and_key_has_its_own_operation_id() -> None:
    named = [
        operation_id("store-1", "user-1", "key-1"),
        operation_id("store-2", "user-1", "key-1"),
        operation_id("store-1", "user-2", "key-1"),
        operation_id("store-1", "user-1", "key-2"),
        event_operation_id("order.completed", "key-1", CartKey("store-1", "user-1")),
        event_operation_id("order.completed", "key-1", CartKey("store-1", "user-2")),
        event_operation_id("cart.item.out_of_stock", "key-1", CartKey("store-1", "user-1")),
    ]
    assert len({*named}) == len(named)


def test_a_repeated_request_has_the_same_operation_id() -> None:
    assert operation_id("store-1", "user-1", "k") == operation_id("store-1", "user-1", "k")


@pytest.mark.parametrize(("user", "key"), [("user-1", 97), ("user-2", 91)])
def test_the_bucket_of_a_cart_never_changes(user: str, key: int) -> None:
    """It is stored in each record; another value would hide pending effects from their relay."""
    assert bucket_of(CartKey("store-1", user)) == key


def test_carts_are_spread_over_all_shards() -> None:
    shards = Counter(bucket_of(CartKey("store-1", f"user-{n}")) % 16 for n in range(1600))
    assert len(shards) == 16
    assert max(shards.values()) < 200


def test_the_bucket_depends_on_the_store_too() -> None:
    assert bucket_of(CartKey("store-1", "user-1")) != bucket_of(CartKey("store-2", "user-1"))
