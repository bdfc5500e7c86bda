"""Audit lines of the API: who saw or changed what is another's, and who was refused."""

import logging
from typing import Any

import pytest

from api.audit import MOST_LINES, MOST_LINES_OF_ONE, WINDOW_SECONDS, Refusals
from models.actor import Actor, ActorType
from models.outcomes import Outcome
from tests.fakes.api import STORE, URL, USER, FakeApi, cart_of, record_of, result_of

CART = "507f1f77bcf86cd799439013"
ADMIN = {"user": "admin-1", "role": "admin", "store": STORE}


@pytest.fixture
def api() -> FakeApi:
    api = FakeApi()
    api.mongo.carts[STORE, USER] = cart_of()
    api.mongo.records.append(record_of())
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    return api


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__ for record in caplog.records if record.name == "audit"]


def named(line: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: line[name] for name in ("event", *names)}


async def test_an_admins_read_of_a_cart_is_audited(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await api.get(f"/api/v1/cart/{CART}", **ADMIN)).status_code == 200
    [line] = lines(caplog)
    assert named(line, "adminId", "storeId", "userId", "cartId") == {
        "event": "admin_cart_read",
        "adminId": "admin-1",
        "storeId": STORE,
        "userId": USER,
        "cartId": CART,
    }


async def test_a_users_own_reads_and_changes_are_not_audited(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await api.get(f"/api/v1/cart/{CART}")).status_code == 200
    assert (await api.get(URL)).status_code == 200
    assert (await api.post()).status_code == 201
    assert lines(caplog) == []
    [added] = api.gateway.started
    assert added.actor == Actor(type=ActorType.USER, id=USER)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_an_admins_change_is_audited_and_has_the_admin_as_actor(
    api: FakeApi, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    body: dict[str, Any] = {"productId": "lamp"} | ({"quantity": 2} if method == "PUT" else {})
    api.gateway.outcome = result_of(Outcome.REJECTED).model_copy(
        update={"outcome": Outcome.ABORTED}
    )
    await api.client.request(method, f"/api/v1/cart/{CART}", json=body, headers=api.token(**ADMIN))
    [line] = lines(caplog)
    assert named(line, "adminId", "userId", "outcome") == {
        "event": "admin_cart_changed",
        "adminId": "admin-1",
        "userId": USER,
        "outcome": "aborted",
    }
    [started] = api.gateway.started
    assert started.actor == Actor(type=ActorType.ADMIN, id="admin-1")
    assert started.user_id == USER


async def test_an_admins_list_is_audited_with_its_filters_and_count(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    await api.get(f"/api/v1/cart/{STORE}/admin/carts?productId=lamp&limit=5", **ADMIN)
    [line] = lines(caplog)
    assert named(line, "adminId", "storeId", "filters", "count", "limit") == {
        "event": "admin_carts_listed",
        "adminId": "admin-1",
        "storeId": STORE,
        "filters": {"product_id": "lamp"},
        "count": 1,
        "limit": 5,
    }


async def test_a_denied_access_is_audited_with_its_subject(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await api.get(f"/api/v1/cart/{STORE}/admin/carts")).status_code == 403
    [line] = lines(caplog)
    assert named(line, "subject", "address", "route") == {
        "event": "access_denied",
        "subject": USER,
        "address": "127.0.0.1",
        "route": "/api/v1/cart/{storeId}/admin/carts",
    }


async def test_a_refused_token_is_audited_with_the_subject_that_it_claims(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await api.get(URL, user="somebody", ttl_seconds=-100)).status_code == 401
    header = {"Authorization": "Bearer no.token.at-all"}
    assert (await api.client.get(URL, headers=header)).status_code == 401
    assert (await api.client.get(URL)).status_code == 401
    expired, garbage, missing = lines(caplog)
    assert named(expired, "claimedSubject", "reason") == {
        "event": "token_refused",
        "claimedSubject": "somebody",
        "reason": "expired",
    }
    assert garbage["claimedSubject"] is missing["claimedSubject"] is None
    assert missing["reason"] == "no token"


def test_a_flood_of_refusals_does_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    refusals = Refusals(clock=lambda: now)

    def refuse(address: str) -> None:
        scope = {"type": "http", "client": (address, 1), "method": "GET", "headers": []}
        refusals.note(scope, 401, route=None, reason="expired")

    with caplog.at_level(logging.INFO, "audit"):
        for _ in range(1000):
            refuse("198.51.100.7")
        assert len(lines(caplog)) == MOST_LINES_OF_ONE
        refuse("203.0.113.1")  # another address is still seen
        assert lines(caplog)[-1]["leftOut"] == 1000 - MOST_LINES_OF_ONE
        for number in range(1000):
            refuse(f"203.0.113.{number}")
        assert len(lines(caplog)) == MOST_LINES
        now = WINDOW_SECONDS
        refuse("198.51.100.7")
    assert len(lines(caplog)) == MOST_LINES + 1
    assert lines(caplog)[-1]["leftOut"] > 900
