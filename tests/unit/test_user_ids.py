"""User ids are the subjects of issuers, and stay distinct and readable wherever they are written.

RFC 7519, 4.1.2: `sub` is a case-sensitive string, a URI if it has a colon. Auth0 writes
`auth0|64f0…`, Okta an email address in access tokens, others DIDs, SAML name ids or URLs.
"""

import re
from datetime import UTC, datetime
from urllib.parse import unquote

import pytest
from pydantic import TypeAdapter, ValidationError
from temporalio import converter

from adapters.redis.cart_cache import _latest, _versioned
from api.auth.claims import principal_of
from dev.inventory_service.schemas import ReserveRequest
from models.cart import CartKey
from models.incoming import OrderCompleted
from models.user_id import MAX_USER_ID, UserId, is_user_id
from settings import Settings
from tests.fakes.api import FakeApi, cart_of, record_of
from workflows import ids
from workflows.pages import Pages

STARTED_AT = datetime(2026, 1, 27, 10, 30, 0, 123000, tzinfo=UTC)
SUBJECTS = [
    "507f1f77bcf86cd799439014",
    "auth0|64f0c0ffee1234567890abcd",
    "google-oauth2|103547991597142817347",
    "ada@example.com",
    "did:example:123#key-1",
    "https://id.example.com/users/ada?x=1&y=2",
    "f:2a1c3e7e-0d1f-4c61:ada",  # Keycloak's user federation
    "CN=Ada Lovelace,OU=People,O=Exämple",
    "a/b",
    "a%2Fb",
    "a~b",
    "a:v1",
    "100% 'quoted' \"twice\" \\ back;--",
    "\u00c5da",
    "A\u030ada",  # the same name with a combining ring: another user
    "ADA@example.com",
    "名前",
    " ada",
    "ada ",
    "x" * MAX_USER_ID,
    "名" * MAX_USER_ID,
    "名" * (MAX_USER_ID - 1) + "前",
    "😀" * MAX_USER_ID,
    "/" * MAX_USER_ID,
    "/" * 53 + "x",  # the longest that a saga id has as it is
    "/" * 54,
    "sha256:" + "0" * 64,
]
NOT_PRINTABLE = [
    "",
    "x" * (MAX_USER_ID + 1),
    "a\x00b",
    "a\nb",
    "a\tb",
    "a\x1b[2J",
    "a\x7f",
    "a\x85",
    "a\u200bb",  # zero width space
    "a\u202eb",  # right-to-left override
    "a\u2066b",
    "a\u2028b",
    "a\ufeff",
    "a\ud800",
    "a\ue000",
    "a\u00a0b",
]


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_is_a_user_exactly_as_it_is(subject: str) -> None:
    assert principal_of({"sub": subject}, Settings()).user_id == subject
    assert TypeAdapter(UserId).validate_python(subject) == subject
    event = {"cartId": "0" * 24, "userId": subject, "storeId": "s", "orderId": "o"}
    assert OrderCompleted.model_validate(event).user_id == subject


@pytest.mark.parametrize("subject", NOT_PRINTABLE)
def test_what_cannot_be_printed_is_no_user(subject: str) -> None:
    assert not is_user_id(subject)
    with pytest.raises(ValueError, match="sub must be 1 to 255 printable characters"):
        principal_of({"sub": subject}, Settings())
    with pytest.raises(ValidationError):
        TypeAdapter(UserId).validate_python(subject)


@pytest.mark.parametrize("subject", [None, 7, True, ["ada"], {"id": "ada"}])
def test_a_subject_of_another_type_is_no_user(subject: object) -> None:
    with pytest.raises(ValueError, match="sub must be"):
        principal_of({"sub": subject}, Settings())


def test_no_two_users_share_a_key_or_an_id_anywhere() -> None:
    def written(user: str) -> list[str]:
        key = CartKey("store-1", user)
        return [
            ids.cart_workflow_id(*key),
            ids.saga_id(STARTED_AT, user, "lamp"),
            ids.operation_id("store-1", user, "key-1"),
            ids.event_operation_id("order.completed", "order-1", key),
            _latest(key),
            _versioned(key, 1),
        ]

    for names in zip(*map(written, SUBJECTS), strict=True):
        assert len({*names}) == len(SUBJECTS)


def test_separators_in_a_user_or_a_key_do_not_make_two_operations_one() -> None:
    pairs = (("a|b", "c"), ("a", "b|c"))
    for made in (
        [ids.operation_id("s", user, key) for user, key in pairs],
        [ids.event_operation_id("topic", event, CartKey("s", user)) for user, event in pairs],
    ):
        assert made[0][:24] != made[1][:24]  # the rest is only for `is_operation_of`


@pytest.mark.parametrize("user", SUBJECTS)
def test_ids_are_visible_ascii_and_within_the_limits_of_others(user: str) -> None:
    workflow = ids.cart_workflow_id("s" * 64, user)
    saga = ids.saga_id(STARTED_AT, user, "p" * 64)
    assert re.fullmatch(r"cart/s{64}/[A-Za-z0-9_.~%:-]+", workflow)
    assert len(workflow) <= 1000  # Temporal's limit for ids, in bytes
    assert re.fullmatch(r"cart-1769509800123-[A-Za-z0-9_.~%:-]+-p{64}", saga)
    assert len(saga) <= 255
    page = Pages("http://ui", "default").workflow(workflow)
    assert unquote(page.removeprefix("http://ui/namespaces/default/workflows/")) == workflow
    reserve = {"storeId": "s", "productId": "p", "userId": user, "quantity": 1}
    ReserveRequest.model_validate(reserve | {"sagaId": saga, "reservationType": "cart"})


@pytest.mark.parametrize("user", SUBJECTS)
def test_a_search_attribute_is_the_user_unless_temporal_would_refuse_it(user: str) -> None:
    value = ids.user_attribute(user)
    payload = converter.default().payload_converter.to_payload(value)
    assert len(payload.data) <= 2048
    assert len(value) <= 255  # PostgreSQL's and MySQL's column
    ids.in_query(value)
    workflow = ids.cart_workflow_id("s", user)
    ids.in_query(workflow)
    assert ids.has_hashed_user(workflow) == (ids.cart_of_workflow(workflow) is None)
    if ids.has_hashed_user(workflow) and value != user:
        assert workflow.endswith(value)
    plain = not {*"'\"\\"} & {*user} and len(user) < 100
    assert (value == user) or not plain


@pytest.mark.parametrize("user", SUBJECTS)
def test_a_workflow_id_names_its_user(user: str) -> None:
    workflow = ids.cart_workflow_id("store-1", user)
    is_hashed = "/sha256:" in workflow
    assert ids.cart_of_workflow(workflow) == (None if is_hashed else CartKey("store-1", user))
    assert is_hashed == (len(user.encode()) * 3 > 900)


def test_ids_of_simple_users_are_unchanged() -> None:
    assert ids.cart_workflow_id("store-1", "user-1") == "cart/store-1/user-1"
    assert ids.cart_workflow_id("s", "auth0|x y") == "cart/s/auth0%7Cx%20y"
    assert ids.saga_id(STARTED_AT, "auth0|x", "lamp") == "cart-1769509800123-auth0%7Cx-lamp"
    assert _versioned(CartKey("s", "a:v1"), 2) == "Cart:s:a%3Av1:v2"
    assert ids.cart_of_workflow("relay/event/3") is None
    assert ids.cart_of_workflow("cart/s/auth0|x") is None  # not as an id is written


@pytest.mark.parametrize("user", SUBJECTS)
async def test_a_user_gets_the_own_cart_and_nobody_elses(user: str) -> None:
    api = FakeApi()
    api.mongo.carts["store-1", user] = cart_of(user_id=user)
    answer = await api.get(user=user)
    assert answer.status_code == 200
    assert answer.json()["userId"] == user
    for other in SUBJECTS:
        if other != user:
            assert (await api.get(user=other)).status_code == 404


@pytest.mark.parametrize("user", SUBJECTS)
async def test_an_admin_finds_a_user_by_the_id_in_the_query(user: str) -> None:
    api = FakeApi()
    api.mongo.carts["store-1", user] = cart_of(user_id=user)
    header = api.token(user="boss", role="admin")
    url = "/api/v1/cart/store-1/admin/carts"
    answer = await api.client.get(url, params={"userId": user}, headers=header)
    assert answer.status_code == 200
    assert answer.json()["data"]["carts"][0]["userId"] == user


@pytest.mark.parametrize("text", ["", "a\x00", "a\x1b", "x" * 256])
async def test_a_filter_that_can_find_no_user_is_refused(text: str) -> None:
    api = FakeApi()
    header = api.token(user="boss", role="admin")
    url = "/api/v1/cart/store-1/admin/carts"
    answer = await api.client.get(url, params={"userId": text}, headers=header)
    assert answer.status_code == 400
    [detail] = answer.json()["details"]
    assert detail["field"] == "userId"
    assert "must be 1 to 255 characters, none of them a control character" in detail["message"]


def test_an_operation_id_is_of_one_user_of_one_store() -> None:
    for user in SUBJECTS:
        for made in (
            ids.operation_id("s", user, "key"),
            ids.event_operation_id("topic", "event", CartKey("s", user)),
        ):
            assert re.fullmatch("[0-9a-f]{32}", made)
            assert ids.is_operation_of(made, "s", user)
            assert not ids.is_operation_of(made, "t", user)
            assert not ids.is_operation_of(made, "s", user + "x")
            assert not ids.is_operation_of(made[::-1], "s", user)
    assert not ids.is_operation_of("", "s", "ada")


async def test_a_foreign_cart_is_answered_like_one_that_does_not_exist() -> None:
    """With as many queries, also for its repeats: time must not say that the cart exists."""
    api = FakeApi()
    cart = cart_of(user_id="auth0|ada")
    api.mongo.carts["store-1", "auth0|ada"] = cart
    api.mongo.records.append(record_of())
    await api.get(f"/api/v1/cart/{cart.id}", user="auth0|ada")
    seen = set()
    for cart_id in (str(cart.id), "f" * 24) * 2:
        for method, body in (("GET", None), ("PUT", {"productId": "p", "quantity": 1})):
            before = api.mongo.reads
            header = api.token(user="auth0|bob")
            url = f"/api/v1/cart/{cart_id}"
            answer = await api.client.request(method, url, headers=header, json=body)
            seen.add((method, answer.status_code, answer.text, api.mongo.reads - before))
    assert {one[:2] for one in seen} == {("GET", 404), ("PUT", 404)}
    assert len(seen) == 2
