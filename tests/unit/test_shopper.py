"""A kept answer has no name, and is given again with the same bytes."""

import pytest

from models.shopper import with_name, without_name
from models.wire import to_json

NAMES = ("Jane Roe", 'Ann "Q" O\'Neil', "日本 太郎", "null", '"fullName":null', "\\u0000")


@pytest.mark.parametrize("name", NAMES)
def test_the_name_is_left_out_and_put_back(name: str) -> None:
    body = to_json(
        {"_id": "1", "fullName": name, "cartItems": [{"productTitle": '"fullName":null'}]}
    )
    kept = without_name(body, name)
    assert kept.startswith(b'{"_id":"1","fullName":null,')
    assert with_name(kept, name) == body


def test_an_answer_without_a_name_stays_as_it_is() -> None:
    assert without_name(b'{"message":"Cart cleared"}', "Jane") == b'{"message":"Cart cleared"}'
    assert without_name(b'{"fullName":null}', None) == b'{"fullName":null}'
