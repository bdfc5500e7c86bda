"""The route that merges a guest's cart: whose token, whose cart, and what it answers."""

import time
from typing import Any

import httpx
import jwt
import pytest

from models.operations import MergeCart
from models.outcomes import Outcome
from settings.guests import SAMPLE_GUEST_SECRET
from tests.fakes.api import SECRET, STORE, URL, USER, FakeApi, result_of, settings_for_tests
from workflows import ids

GUEST = f"guest:{'5' * 32}"


def guest_token(*, key: str = SAMPLE_GUEST_SECRET, typ: str = "guest+jwt", **claims: Any) -> str:
    now = int(time.time())
    body = {"iss": "cart-service-guests", "aud": "cart-service-guests", "sub": GUEST}
    return jwt.encode(
        body | {"iat": now, "exp": now + 60} | claims, key, algorithm="HS256", headers={"typ": typ}
    )


async def merge(api: FakeApi, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    body = {"guestToken": guest_token()} | body
    return await api.client.post(f"{URL}/merge", json=body, headers=headers or api.token())


async def test_the_users_token_merges_the_guests_cart() -> None:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.ABORTED)
    await merge(api, api.token() | {"Idempotency-Key": "k", "If-Match": '"7"'}, strategy="max")
    [operation] = api.gateway.started
    assert isinstance(operation, MergeCart)
    assert (operation.user_id, operation.guest_id, operation.strategy) == (USER, GUEST, "max")
    assert operation.if_match == ("7",)
    assert operation.operation_id == ids.operation_id(STORE, USER, "k")
    assert ids.is_operation_of(operation.guest_operation_id, STORE, GUEST)
    assert guest_token() not in operation.model_dump_json()


async def test_a_new_token_of_the_guest_is_the_same_request() -> None:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.ABORTED)
    for seconds in (60, 120):
        token = guest_token(exp=int(time.time()) + seconds)
        await merge(api, api.token() | {"Idempotency-Key": "k"}, guestToken=token)
    first, second = api.gateway.started
    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (guest_token(exp=int(time.time()) - 3600), "guest_token_expired"),
        (guest_token(key="x" * 40), "guest_token_invalid"),
        (guest_token(typ="JWT"), "guest_token_invalid"),
        (
            guest_token(key=SECRET, typ="JWT", sub="user-2", iss="cart-service"),
            "guest_token_invalid",
        ),
        ("a.b.c", "guest_token_invalid"),
        ("\N{SNOWMAN}", "guest_token_invalid"),
    ],
)
async def test_a_token_that_is_no_guests_is_named(token: str, code: str) -> None:
    api = FakeApi()
    answer = await merge(api, guestToken=token)
    assert answer.status_code == 400
    [problem] = answer.json()["details"]
    assert (problem["field"], problem["code"]) == ("guestToken", code)
    assert api.gateway.started == []


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"strategy": "add"}, "strategy", "not_allowed"),
        ({"guestToken": ""}, "guestToken", "too_short"),
        ({"guestToken": "x" * 2049}, "guestToken", "too_long"),
        ({"guestToken": 7}, "guestToken", "invalid_type"),
        ({"userId": "user-2"}, "userId", "unknown_field"),
    ],
)
async def test_the_fields_have_rules(body: dict[str, Any], field: str, code: str) -> None:
    answer = await merge(FakeApi(), **body)
    [problem] = answer.json()["details"]
    assert (problem["field"], problem["code"]) == (field, code)


async def test_a_guest_cannot_merge_carts() -> None:
    """So a guest's cart is never merged into, and two merges cannot wait for each other."""
    api = FakeApi()
    answer = await merge(api, {"Authorization": f"Bearer {guest_token()}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert api.gateway.started == []


async def test_without_guests_there_is_nothing_to_merge() -> None:
    answer = await merge(FakeApi(settings_for_tests(host="0.0.0.0")))
    assert (answer.status_code, answer.json()["code"]) == (404, "guests_off")
