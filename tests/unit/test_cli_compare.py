"""`cart compare`: what counts as a difference between two services' answers."""

from typing import Any

import pytest

from cli.compare import Differs, differences


def answer(status: int = 200, **more: Any) -> dict[str, Any]:
    item = {"productId": "p", "productPrice": 79.99, "productImage": ["https://e.example/a"]}
    return {"status": status, "quantity": 2, "totalPrice": 159.98, "cartItems": [item]} | more


def found(here: dict[str, Any], there: dict[str, Any]) -> list[Differs]:
    return list(differences("s/u", here, there))


@pytest.mark.parametrize(
    "there",
    [
        answer(),
        answer(totalPrice=159.98000000000002),
        answer(cartItems=[{"productId": "p", "productImage": "https://e.example/a"}]),
    ],
)
def test_the_same_in_another_spelling_is_no_difference(there: dict[str, Any]) -> None:
    assert found(answer(currency="USD"), there) == []


def test_another_status_is_the_only_difference() -> None:
    assert found(answer(404, message="Cart not found"), answer()) == [
        Differs("s/u", None, "status", 404, 200)
    ]


def test_fields_and_lines_that_differ_are_named() -> None:
    there = answer(
        quantity=3, cartItems=[{"productId": "p", "productPrice": 80}, {"productId": "q"}]
    )
    assert found(answer(), there) == [
        Differs("s/u", None, "quantity", 2, 3),
        Differs("s/u", "p", "productPrice", 79.99, 80),
        Differs("s/u", "q", "line", "absent", "present"),
    ]


def test_a_field_that_is_missing_here_is_named() -> None:
    assert found(answer(), answer(couponCode="X")) == [
        Differs("s/u", None, "couponCode", "absent", "X")
    ]
