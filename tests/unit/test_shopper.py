"""A kept answer has no name, and is given again with the same bytes. Inputs have it sealed."""

from http import HTTPStatus

import pytest

from adapters.keyring import Keyring
from adapters.mongo.answers import Answers
from adapters.shoppers import open_shopper, seal_shopper
from models.cart import CartContent, CartKey
from models.operations import AddItem, CartChange
from models.shopper import Shopper, with_name, without_name
from models.wire import to_json
from tests.fakes.api import STORE, USER, cart_of, record_of
from tests.unit.test_cart import add

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


KEY = CartKey("store-1", "user-1")
OLD, NEW = Keyring(["o" * 32]), Keyring(["n" * 32])


def adding(shopper: Shopper, keyring: Keyring = OLD, cart: CartKey = KEY) -> AddItem:
    return add(shopper=seal_shopper(keyring, cart, shopper))


def test_the_worker_reads_what_the_api_has_sealed() -> None:
    jane = Shopper(full_name="Jane Roe", email="jane@example.com")
    operation = adding(jane)
    assert "ane" not in operation.model_dump_json().replace("lane", "")
    assert open_shopper(OLD, operation) == jane
    assert adding(Shopper()).shopper is None
    assert open_shopper(OLD, adding(Shopper())) is None


def test_what_cannot_be_opened_is_left_out_and_no_add_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    jane = Shopper(full_name="Jane Roe")
    assert open_shopper(NEW, adding(jane)) is None
    assert open_shopper(OLD, adding(jane, cart=CartKey("store-1", "another"))) is None
    assert [line.__dict__["event"] for line in caplog.records] == ["shopper_unreadable"] * 2
    assert "Jane" not in caplog.text


@pytest.mark.parametrize("name", NAMES)
async def test_a_kept_answer_is_read_with_the_name_that_it_was_given_with(name: str) -> None:
    saga_cart = cart_of(full_name=name)
    content = CartContent.model_validate(saga_cart.model_dump())
    body = to_json({"_id": "1", "fullName": name})
    record = record_of(user_id=USER, store_id=STORE)
    change = CartChange(content, 1, HTTPStatus.CREATED, body)
    kept, large = Answers(OLD).kept(record, change)
    assert large is None
    assert name not in (kept.body or "") or name in {"null", '"fullName":null'}
    record = record_of(answer=kept)
    read = await Answers(OLD).read(record)
    assert read is not None
    assert (read.status, (read.body or "").encode()) == (HTTPStatus.CREATED, body)
    without_key = await Answers(NEW).read(record)
    assert without_key is not None
    assert without_key.body == '{"_id":"1","fullName":null}'
