"""A dead letter is a user's if it has the user's id, and not one that contains it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from adapters.kafka.dead_letters import Letter
from cli.dead_letter_search import names
from tests.fakes import letters

LETTER = replace(letters.LETTER, detail="cartId is missing", key=b"store-1", value=b"{}")


def letter(value: object = None, **fields: Any) -> Letter:
    text = value if isinstance(value, bytes) else json.dumps(value or {}).encode()
    return replace(LETTER, value=text, **fields)


@pytest.mark.parametrize(
    "own",
    [
        letter({"userId": "ada", "storeId": "store-1"}),
        letter({"specversion": "1.0", "data": {"order": [{"userId": "ada"}]}}),
        letter(b'{"userId": "ada", "storeId":'),
        letter(b"ada;store-1;2"),
        letter(detail="cart 6b03 is not of user ada in store store-1"),
        letter(detail="the user is ada."),
        letter(key=b"store-1/ada"),
    ],
)
def test_a_letter_with_the_id_is_found(own: Letter) -> None:
    assert names(own, ["ada"])


@pytest.mark.parametrize(
    "other",
    [
        letter({"userId": "adam"}),
        letter({"userId": "bob", "address": "12 Canada Street, canada"}),
        letter({"userId": "bob", "note": "for ada"}),
        letter(b'{"userId": "ada-2", "storeId":'),
        letter(b"ada@example.com"),
        letter(b"auth0|ada"),
        letter(detail="cart 6b03 is not of user ada.lovelace in store store-1"),
        letter(key=b"store-1/guest:ada"),
    ],
)
def test_a_letter_of_a_user_whose_id_contains_it_is_not(other: Letter) -> None:
    assert not names(other, ["ada"])


def test_an_id_is_compared_as_json_says_it() -> None:
    assert names(letter(b'{"userId": "j\\u00f6rg"}'), ["j\u00f6rg"])


def test_an_id_that_looks_like_a_pattern_is_text() -> None:
    assert names(letter(b"a.d+a is unknown"), ["a.d+a"])
    assert not names(letter(b"axdda is unknown"), ["a.d+a"])


def test_a_cart_of_the_user_makes_it_the_users() -> None:
    assert names(
        letter({"cartId": "6b033d1f0e4a53f7c1d2a9b0"}), ["ada", "6b033d1f0e4a53f7c1d2a9b0"]
    )


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"userId": "ada", "storeId": "store-1"}, True),
        ({"userId": "ada"}, True),
        ({"userId": "ada", "storeId": "store-2"}, False),
        ({"data": {"userId": "ada", "storeId": "store-2"}}, False),
    ],
)
def test_with_a_store_a_letter_of_another_is_left_out(value: object, found: bool) -> None:
    assert names(letter(value), ["ada"], store_id="store-1") is found


def test_a_value_that_is_nested_deeply_is_read() -> None:
    deep: object = {"userId": "ada"}
    for _ in range(900):
        deep = [deep]
    assert names(letter(deep), ["ada"])
