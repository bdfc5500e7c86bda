"""Carts of the original Node.js service, as Mongoose stores them, and what becomes of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId

from cli.import_.differences import DifferenceKind
from cli.import_.original_carts import ReadCart, read_cart
from models.limits import Policy

NOW = datetime(2026, 2, 1, tzinfo=UTC)
CART = ObjectId("507f1f77bcf86cd799439013")
USER = ObjectId("507f1f77bcf86cd799439014")
STORE = ObjectId("507f1f77bcf86cd799439015")
PRODUCT = ObjectId("507f1f77bcf86cd799439011")
SELLER = ObjectId("507f1f77bcf86cd799439012")


def line(**more: Any) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "productId": PRODUCT,
        "productTitle": "Wireless Headphones",
        "productImage": ["https://example.com/image.jpg"],
        "productPrice": 79.99,
        "productQuantity": 2,
        "productDescription": "Premium wireless headphones",
        "availabilityStatus": "available",
        "reservedAt": datetime(2026, 1, 27, 10, 30, tzinfo=UTC),
    } | more


def document(*lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The contract's example, as its service stored it."""
    return {
        "_id": CART,
        "__v": 0,
        "userId": USER,
        "storeId": STORE,
        "sellerId": SELLER,
        "fullName": "John Doe",
        "quantity": 2,
        "totalPrice": 159.98,
        "cartItems": list(lines) or [line()],
        "expireAt": datetime(2026, 2, 26, 10, 30, tzinfo=UTC),
        "version": 1,
        "createdAt": datetime(2026, 1, 27, 10, 30, tzinfo=UTC),
        "updatedAt": datetime(2026, 1, 27, 10, 30, tzinfo=UTC),
    } | more


def read(given: dict[str, Any], **policy: Any) -> ReadCart:
    return read_cart(given, Policy(**policy), NOW)


def kinds(found: ReadCart) -> list[DifferenceKind]:
    return [one.kind for one in found.differences]


def test_the_contracts_example_is_taken_over_whole() -> None:
    found = read(document())
    assert found.cart is not None
    assert found.cart_id == CART
    assert found.differences == []
    assert (found.cart.user_id, found.cart.store_id) == (str(USER), str(STORE))
    assert (found.cart.quantity, found.cart.total_price) == (2, Decimal("159.98"))
    assert (found.cart.version, found.cart.currency) == (1, "USD")
    assert found.cart.expire_at == datetime(2026, 2, 26, 10, 30, tzinfo=UTC)
    [item] = found.cart.cart_items
    assert item.product_id == str(PRODUCT)
    assert item.product_price == Decimal("79.99")
    assert item.product_image == ["https://example.com/image.jpg"]
    assert item.reserved_at == datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
    assert item.held == 0


@pytest.mark.parametrize(
    ("image", "kept"),
    [
        ("https://example.com/a.jpg", ["https://example.com/a.jpg"]),
        (["https://example.com/a.jpg", "http://b.example/"], None),
        (None, []),
        ("", []),
        ([], []),
    ],
)
def test_an_image_is_one_url_or_a_list(image: Any, kept: list[str] | None) -> None:
    found = read(document(line(productImage=image)))
    assert found.cart is not None
    assert found.cart.cart_items[0].product_image == (image if kept is None else kept)
    assert found.differences == []


@pytest.mark.parametrize("image", ["data:image/png;base64,AA", ["ftp://x/y"], [7]])
def test_an_image_that_no_client_can_show_is_named(image: Any) -> None:
    found = read(document(line(productImage=image)))
    assert found.cart is not None
    assert found.cart.cart_items[0].product_image == []
    assert kinds(found) == [DifferenceKind.FIELD_LEFT_OUT]
    assert found.differences[0].product_id == str(PRODUCT)


@pytest.mark.parametrize(
    ("price", "taken", "is_rounded"),
    [
        (79.99, "79.99", False),
        (0.1 + 0.2, "0.30", False),  # noise of binary floats
        (80, "80.00", False),
        (Int64(80), "80.00", False),
        (Decimal128("79.990"), "79.99", False),
        ("79.99", "79.99", False),
        (79.995, "80.00", True),
        (1 / 3, "0.33", True),
    ],
)
def test_prices_become_exact(price: Any, taken: str, is_rounded: bool) -> None:
    found = read(document(line(productPrice=price), totalPrice=None))
    assert found.cart is not None
    assert found.cart.cart_items[0].product_price == Decimal(taken)
    assert (DifferenceKind.PRICE_ROUNDED in kinds(found)) is is_rounded


@pytest.mark.parametrize(
    "more",
    [
        {"productPrice": float("nan")},
        {"productPrice": -1},
        {"productPrice": 1_000_001},
        {"productPrice": None},
        {"productQuantity": 0},
        {"productQuantity": 1.5},
        {"productQuantity": float("inf")},
        {"productQuantity": True},
        {"productId": "no id!"},
        {"productId": None},
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_the_others_stay(more: dict[str, Any]) -> None:
    found = read(document(line(**more), line(productId="other"), totalPrice=159.98, quantity=2))
    assert found.cart is not None
    assert [one.product_id for one in found.cart.cart_items] == ["other"]
    assert kinds(found) == [DifferenceKind.LINE_UNUSABLE]
    assert next(iter(more)) in found.differences[0].detail


def test_lines_of_one_product_become_one() -> None:
    found = read(document(line(), line(productQuantity=3), quantity=5, totalPrice=399.95))
    assert found.cart is not None
    assert found.cart.units == {str(PRODUCT): 5}
    assert kinds(found) == [DifferenceKind.LINES_MERGED]


def test_totals_are_those_of_the_lines() -> None:
    found = read(document(quantity=3, totalPrice=200.0))
    assert found.cart is not None
    assert (found.cart.quantity, found.cart.total_price) == (2, Decimal("159.98"))
    assert kinds(found) == [DifferenceKind.TOTAL_CORRECTED, DifferenceKind.QUANTITY_CORRECTED]


@pytest.mark.parametrize(
    "more",
    [
        {"_id": "not an ObjectId"},
        {"userId": None},
        {"userId": ""},
        {"userId": "a\nb"},
        {"storeId": "a/b"},
        {"cartItems": {}},
    ],
)
def test_a_cart_that_cannot_be_read_is_named(more: dict[str, Any]) -> None:
    found = read(document() | more)
    assert found.cart is None
    assert kinds(found) == [DifferenceKind.CART_UNUSABLE]
    assert next(iter(more)) in found.differences[0].detail


def test_an_expired_cart_is_named() -> None:
    found = read(document(expireAt=NOW))
    assert found.cart is None
    assert kinds(found) == [DifferenceKind.EXPIRED]


def test_what_is_missing_gets_a_value() -> None:
    given = document()
    for name in ("expireAt", "version", "createdAt", "updatedAt", "fullName", "sellerId"):
        del given[name]
    found = read(given, expiry_days=10)
    assert found.cart is not None
    assert found.differences == []
    assert found.cart.expire_at == NOW + timedelta(days=10)
    assert (found.cart.version, found.cart.full_name) == (1, None)


def test_texts_that_break_a_rule_are_named() -> None:
    found = read(
        document(
            line(productTitle=" ", productDescription="a\x00b", sellerId="?"),
            email="no address",
            couponCode="X",
        )
    )
    assert found.cart is not None
    [item] = found.cart.cart_items
    assert (item.product_title, item.product_description, item.seller_id) == (
        str(PRODUCT),
        None,
        None,
    )
    assert found.cart.email is None
    assert sorted(kinds(found)) == sorted(
        [DifferenceKind.TITLE_REPLACED, *[DifferenceKind.FIELD_LEFT_OUT] * 4]
    )


def test_a_cart_over_a_limit_is_kept_and_named() -> None:
    found = read(
        document(line(productQuantity=150), quantity=150, totalPrice=11998.5), max_units=100
    )
    assert found.cart is not None
    assert found.cart.quantity == 150
    assert kinds(found) == [DifferenceKind.OVER_LIMIT, DifferenceKind.OVER_LIMIT]


def test_a_line_keeps_its_availability() -> None:
    out = line(availabilityStatus="out_of_stock", unavailabilityReason="Out of stock")
    found = read(document(out))
    assert found.cart is not None
    [item] = found.cart.cart_items
    assert item.availability_status == "out_of_stock"
    assert item.unavailability_reason == "Out of stock"


def test_every_kind_of_difference_has_a_meaning() -> None:
    assert all(kind.meaning for kind in DifferenceKind)
