"""Validation of requests before a saga starts."""

import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from adapters.shoppers import SHOPPER
from api.error_codes import ErrorCode
from api.field_problems import label
from models.operations import AddItem
from models.outcomes import Outcome
from models.shopper import Shopper
from tests.fakes.api import ITEM, RUN_ID, STORE, URL, FakeApi, record_of, result_of
from tests.support.keys import KEYRING


@pytest.fixture
def api() -> FakeApi:
    """An API whose adds all succeed."""
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    api.mongo.records.append(record_of())
    return api


def details(answer: httpx.Response) -> list[tuple[str, str]]:
    body = answer.json()
    assert answer.status_code == 400
    assert set(body) == {"error", "code", "message", "details"}
    assert (body["error"], body["code"]) == ("Validation failed", "validation_failed")
    assert body["message"] == body["details"][0]["message"]
    assert all(item["code"] in {*ErrorCode} for item in body["details"])
    return [(item["field"], item["message"]) for item in body["details"]]


ID_RULE = "must be 1 to 64 letters, digits, _ or -"
PRICE_RULE = "Product price must be a number from 0 to 1000000 with at most two decimals"
TITLE_RULE = (
    "Product title must be a string of 1 to 500 characters and not blank, without control "
    "characters"
)
DESCRIPTION_RULE = (
    "Product description must be a string of at most 5000 characters, without control characters "
    "other than tabs and newlines"
)
URL_RULE = "Product image must be an http or https URL of at most 2048 characters"
IMAGE_RULE = f"{URL_RULE}, or a list of at most 20 of them"
EMAIL_RULE = "Email must be a valid address of at most 254 characters"
KEY_RULE = "must be 1 to 255 visible ASCII characters"
BETWEEN = "Quantity must be between 1 and 100"
INTEGER = "Quantity must be an integer"


@pytest.mark.parametrize(
    ("changed", "field", "message"),
    [
        ({"quantity": 0}, "quantity", BETWEEN),
        ({"quantity": -1}, "quantity", BETWEEN),
        ({"quantity": 101}, "quantity", BETWEEN),
        ({"quantity": 10**30}, "quantity", BETWEEN),
        ({"quantity": 1.5}, "quantity", INTEGER),
        ({"quantity": 1.0}, "quantity", INTEGER),
        ({"quantity": "2"}, "quantity", INTEGER),
        ({"quantity": True}, "quantity", INTEGER),
        ({"quantity": None}, "quantity", INTEGER),
        ({"quantity": [1]}, "quantity", INTEGER),
        ({"productId": {"$ne": ""}}, "productId", f"Product id {ID_RULE}"),
        ({"productId": ""}, "productId", f"Product id {ID_RULE}"),
        ({"productId": "a b"}, "productId", f"Product id {ID_RULE}"),
        ({"productId": "a/b"}, "productId", f"Product id {ID_RULE}"),
        ({"productId": "ä"}, "productId", f"Product id {ID_RULE}"),
        ({"productId": "a\n"}, "productId", f"Product id {ID_RULE}"),
        ({"productId": "a" * 65}, "productId", f"Product id {ID_RULE}"),
        ({"productId": 7}, "productId", f"Product id {ID_RULE}"),
        ({"productId": None}, "productId", f"Product id {ID_RULE}"),
        ({"sellerId": "$where"}, "sellerId", f"Seller id {ID_RULE}"),
        ({"productTitle": ""}, "productTitle", TITLE_RULE),
        ({"productTitle": " \t "}, "productTitle", TITLE_RULE),
        ({"productTitle": "\x85\ufeff"}, "productTitle", TITLE_RULE),
        ({"productTitle": "a" * 501}, "productTitle", TITLE_RULE),
        ({"productTitle": 1}, "productTitle", TITLE_RULE),
        ({"productPrice": -0.01}, "productPrice", PRICE_RULE),
        ({"productPrice": 1_000_000.01}, "productPrice", PRICE_RULE),
        ({"productPrice": 1.005}, "productPrice", PRICE_RULE),
        ({"productPrice": 1e-9}, "productPrice", PRICE_RULE),
        ({"productPrice": "79.99"}, "productPrice", PRICE_RULE),
        ({"productPrice": True}, "productPrice", PRICE_RULE),
        ({"productPrice": None}, "productPrice", PRICE_RULE),
        ({"productPrice": 10**300}, "productPrice", PRICE_RULE),
        ({"productImage": "ftp://example.com/a"}, "productImage", URL_RULE),
        ({"productImage": "javascript:alert(1)"}, "productImage", URL_RULE),
        ({"productImage": "https://"}, "productImage", URL_RULE),
        ({"productImage": "https:///a"}, "productImage", URL_RULE),
        ({"productImage": "https://a:99999/"}, "productImage", URL_RULE),
        ({"productImage": "https://[c42E1aDad]/a"}, "productImage", URL_RULE),
        ({"productImage": "https://shop.example\u2100b/a"}, "productImage", URL_RULE),
        ({"productImage": "https://exa\nmple.com"}, "productImage", URL_RULE),
        ({"productImage": "https://a.example/\u0000"}, "productImage", URL_RULE),
        ({"productImage": "https://a.example/\u0085"}, "productImage", URL_RULE),
        ({"productImage": "https://a.example/" + "a" * 2048}, "productImage", URL_RULE),
        ({"productImage": ["https://a.example", "a"]}, "productImage[1]", URL_RULE),
        ({"productImage": ["https://a.example", 1]}, "productImage[1]", URL_RULE),
        ({"productImage": ["https://a.example"] * 21}, "productImage", IMAGE_RULE),
        ({"productImage": {"url": "https://a.example"}}, "productImage", IMAGE_RULE),
        *(
            ({"productTitle": f"Head{one}phones"}, "productTitle", TITLE_RULE)
            for one in "\x00\t\n\r\x1b\x7f\x85\x9b\x9d\ufdd0\uffff"
        ),
        ({"productDescription": "a" * 5001}, "productDescription", DESCRIPTION_RULE),
        *(
            ({"productDescription": f"a{one}"}, "productDescription", DESCRIPTION_RULE)
            for one in "\x00\x08\x0b\x1b\x7f\x9b\ufffe"
        ),
        ({"email": "no-address"}, "email", EMAIL_RULE),
        ({"email": "a@b"}, "email", EMAIL_RULE),
        ({"email": "a@b.example\n"}, "email", EMAIL_RULE),
        ({"email": "a..b@example.com"}, "email", EMAIL_RULE),
        ({"email": "a@example.com, b@example.com"}, "email", EMAIL_RULE),
        ({"email": "a" * 250 + "@example.com"}, "email", EMAIL_RULE),
        ({"email": {"$gt": ""}}, "email", EMAIL_RULE),
        ({"idempotencyKey": ""}, "idempotencyKey", f"Idempotency key {KEY_RULE}"),
        ({"idempotencyKey": "a b"}, "idempotencyKey", f"Idempotency key {KEY_RULE}"),
        ({"idempotencyKey": "a" * 256}, "idempotencyKey", f"Idempotency key {KEY_RULE}"),
        ({"idempotencyKey": 1}, "idempotencyKey", f"Idempotency key {KEY_RULE}"),
        ({"colour": "red"}, "colour", "Unknown field"),
        ({"product_id": "snake"}, "product_id", "Unknown field"),
        ({"$where": "1"}, "$where", "Unknown field"),
    ],
)
async def test_an_invalid_field_is_named_with_its_rule(
    api: FakeApi, changed: dict[str, Any], field: str, message: str
) -> None:
    answer = await api.post(ITEM | changed)
    assert details(answer) == [(field, message)]
    assert api.gateway.added == []


@pytest.mark.parametrize(
    "title",
    [
        "👩\u200d👩\u200d👧 hoodie",
        "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",
        "\u200f\u05e2\u05d1\u05e8\u200e (XL)",
        "日本\u3000語",
        "Zoë\xa0①",
    ],
)
async def test_titles_of_any_language_are_taken(api: FakeApi, title: str) -> None:
    """Emoji, Persian and right-to-left titles need joiners and marks of direction."""
    changed = {"productTitle": title, "productDescription": f"{title}\r\n\t- new"}
    assert (await api.post(ITEM | changed)).status_code == 201


@pytest.mark.parametrize("name", ["productId", "productTitle", "productPrice", "quantity"])
async def test_a_missing_field_is_named(api: FakeApi, name: str) -> None:
    answer = await api.post({key: value for key, value in ITEM.items() if key != name})
    [(field, message)] = details(answer)
    assert field == name
    assert message == f"{label(name)} is required"
    assert api.gateway.added == []


async def test_all_invalid_fields_are_named_at_once(api: FakeApi) -> None:
    answer = await api.post({"quantity": 0, "extra": 1})
    assert {field for field, _ in details(answer)} == {
        "productId",
        "productTitle",
        "productPrice",
        "quantity",
        "extra",
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "required"),
        (b"{", "not valid JSON"),
        (b'{"quantity": NaN}', "NaN"),
        (b'{"quantity": 1, "quantity": 2}', "same key"),
        (b"[]", "JSON object"),
        (b"null", "JSON object"),
        (b'{"productTitle": "\\ud800"}', "surrogate"),
        (b'{"productTitle": "\xff"}', "UTF-8"),
        (b'{"quantity": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"a":' * 10_000, "nested too deeply"),
    ],
)
async def test_a_body_that_is_not_valid_json_is_refused(
    api: FakeApi, content: bytes, says: str
) -> None:
    answer = await api.post(content=content, headers={"Content-Type": "application/json"})
    [(field, message)] = details(answer)
    assert field == "body"
    assert says in message
    assert api.gateway.added == []


async def test_a_price_that_is_too_large_is_an_invalid_price(api: FakeApi) -> None:
    content = json.dumps(ITEM).replace("79.99", "1e309").encode()
    answer = await api.post(content=content, headers={"Content-Type": "application/json"})
    assert details(answer) == [("productPrice", PRICE_RULE)]


@pytest.mark.parametrize("store", ["a%20b", "a%0A", "%24ne", "a" * 65, "%C3%A4", "a%2Fb"])
async def test_a_store_id_with_other_characters_is_refused(api: FakeApi, store: str) -> None:
    for method in ("POST", "GET"):
        url = f"/api/v1/cart/{store}/store"
        body = ITEM if method == "POST" else None
        answer = await api.client.request(method, url, json=body, headers=api.token())
        if store == "a%2Fb":  # another path
            assert answer.status_code == 404
        else:
            assert details(answer) == [("storeId", f"Store id {ID_RULE}")]
    assert api.gateway.added == []


async def test_a_body_of_65_kib_is_too_large(api: FakeApi) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b" " * 1024

    announced = await api.post(content=b" " * 65 * 1024)
    chunked = await api.post(content=chunks(), headers={"Content-Type": "application/json"})
    for answer in (announced, chunked):
        assert answer.status_code == 413
        assert answer.json() == {
            "message": "Request body is larger than 65536 bytes",
            "code": "body_too_large",
            "limit": 65536,
        }
        assert answer.headers["X-Request-Id"]
    assert api.gateway.added == []


async def test_a_body_of_64_kib_is_accepted(api: FakeApi) -> None:
    text = json.dumps(ITEM)
    content = (text + " " * (64 * 1024 - len(text))).encode()
    answer = await api.post(content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201


def opened(request: AddItem) -> Shopper:
    """What the worker reads of the request's user."""
    text = KEYRING.open(request.shopper or "", SHOPPER, *request.key)
    return Shopper.model_validate_json(text or "")


async def test_the_saga_gets_the_validated_request(api: FakeApi) -> None:
    body = ITEM | {
        "productPrice": 79.9,
        "email": "body@example.com",
        "sellerId": "seller-1",
        "idempotencyKey": "key-1",
    }
    await api.post(body)
    await api.post(body, headers=api.token(name="Jane", email="token@example.com"))
    first, second = api.gateway.added
    assert first.product_price == Decimal("79.90")
    assert first.product_images == ("https://example.com/image.jpg",)
    assert opened(first) == Shopper(email="body@example.com")
    assert opened(second) == Shopper(email="token@example.com", full_name="Jane")
    for request in (first, second):
        assert not {"Jane", "body@", "token@"} & {
            *re.findall(r"Jane|body@|token@", request.model_dump_json())
        }
    assert (first.store_id, first.user_id, first.seller_id) == (STORE, "user-1", "seller-1")
    assert first.policy == api.state.policies.usual
    assert first.operation_id == second.operation_id
    assert first.attempt_id != second.attempt_id
    assert "key-1" not in first.model_dump_json()


async def test_equal_requests_have_the_same_fingerprint_in_any_spelling(api: FakeApi) -> None:
    def as_list(item: dict[str, Any]) -> dict[str, Any]:
        return item | {"productImage": [item["productImage"]]}

    same = [
        ITEM | {"productPrice": 79.9, "idempotencyKey": "a"},
        ITEM | {"idempotencyKey": "b", "sellerId": None, "email": None},
        ITEM | {"email": "body@example.com"},
        dict(reversed(as_list(ITEM).items())),
    ]
    texts = [json.dumps(item).replace("79.99", "79.9") for item in same]
    texts.append(texts[0].replace("79.9", "79.90"))
    texts.append(texts[0].replace("79.9", "7.99e1").replace("7.99e1", "7990e-2"))
    for text in texts:
        headers = {"Content-Type": "application/json"}
        assert (await api.post(content=text.encode(), headers=headers)).status_code == 201
    for email in ("old@example.com", "new@example.com"):
        await api.post(json.loads(texts[0]), headers=api.token(name="Jane", email=email))
    await api.post(ITEM | {"quantity": 3})
    prints = [request.fingerprint for request in api.gateway.added]
    assert len(set(prints[:-1])) == 1
    assert prints[-1] != prints[0]


@pytest.mark.parametrize(
    ("price", "cents"),
    [("0", "0.00"), ("-0.0", "0.00"), ("1000000", "1000000.00"), ("5", "5.00"), ("0.10", "0.10")],
)
async def test_the_smallest_and_largest_prices_are_accepted(
    api: FakeApi, price: str, cents: str
) -> None:
    text = json.dumps(ITEM).replace("79.99", price)
    headers = {"Content-Type": "application/json"}
    assert (await api.post(content=text.encode(), headers=headers)).status_code == 201
    assert str(api.gateway.added[0].product_price) == cents


async def test_the_key_can_be_in_the_header_or_the_body(api: FakeApi) -> None:
    in_header = await api.post(headers={"Idempotency-Key": "key-1"})
    in_body = await api.post(ITEM | {"idempotencyKey": "key-1"})
    in_both = await api.post(
        ITEM | {"idempotencyKey": "key-1"}, headers={"Idempotency-Key": "key-1"}
    )
    for answer in (in_header, in_body, in_both):
        assert answer.status_code == 201
        assert answer.headers["Idempotency-Key"] == "key-1"
    generated = [await api.post(), await api.post()]
    keys = {answer.headers["Idempotency-Key"] for answer in generated}
    assert len(keys) == 2
    assert len({request.operation_id for request in api.gateway.added}) == 3


async def test_two_different_keys_are_refused(api: FakeApi) -> None:
    body = ITEM | {"idempotencyKey": "a"}
    [(field, _)] = details(await api.post(body, headers={"Idempotency-Key": "b"}))
    assert field == "idempotencyKey"
    several = [("Idempotency-Key", "a"), ("Idempotency-Key", "b"), *api.token().items()]
    [(field, _)] = details(await api.client.post(URL, json=ITEM, headers=several))
    assert field == "idempotencyKey"
    for bad in ("", "a b", "a" * 256, "é"):
        header = [(b"Idempotency-Key", bad.encode("latin-1"))]
        headers = [*header, *((k.encode(), v.encode()) for k, v in api.token().items())]
        [(field, message)] = details(await api.client.post(URL, json=ITEM, headers=headers))
        assert (field, message) == ("Idempotency-Key", f"Idempotency-Key {KEY_RULE}")
    assert api.gateway.added == []


async def test_an_error_quotes_only_a_bounded_part_of_the_request(api: FakeApi) -> None:
    answer = await api.post({f"k{number}": 1 for number in range(4000)})
    assert len(details(answer)) <= 50
    answer = await api.post(ITEM | {"k" * 10_000: 1})
    assert len(answer.content) < 1000
    assert RUN_ID not in answer.text
