"""Guests: their tokens, what separates them from the issuer's, and the route that makes them."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from pydantic import SecretStr

from api.auth.guests import GuestTokens
from cli.doctor.production.configured import check
from cli.doctor.production.lines import Findings
from models.actor import ActorType
from models.guests import is_guest_id, new_guest_id
from models.outcomes import Outcome
from settings import Settings, SettingsError, load_settings
from settings.guests import SAMPLE_GUEST_SECRET
from tests.fakes.api import ITEM, SECRET, STORE, URL, FakeApi, result_of, settings_for_tests

GUESTS = "/api/v1/guests"
OLD, NEW = "the-old-secret-of-guests-with-32-bytes", "the-new-secret-of-guests-with-32-bytes"
NOW = int(time.time())
CLAIMS: dict[str, Any] = {
    "iss": "cart-service-guests",
    "aud": "cart-service-guests",
    "sub": f"guest:{'0' * 32}",
    "iat": NOW,
    "exp": NOW + 3600,
}


def signed(*, key: str = SAMPLE_GUEST_SECRET, typ: str | None = "guest+jwt", **claims: Any) -> str:
    return jwt.encode(CLAIMS | claims, key, algorithm="HS256", headers={"typ": typ})


async def ask(token: str, settings: Settings | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await FakeApi(settings).client.get(URL, headers=headers)


async def test_a_guest_gets_a_token_with_which_carts_can_be_changed() -> None:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.ABORTED)
    answer = await api.client.post(GUESTS)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "private, no-store"
    assert list(answer.json()) == ["token", "expiresAt"]
    expires_at = datetime.fromisoformat(answer.json()["expiresAt"])
    assert abs(expires_at - datetime.now(UTC) - timedelta(days=30)) < timedelta(seconds=5)
    await api.client.post(
        URL, json=ITEM, headers={"Authorization": f"Bearer {answer.json()['token']}"}
    )
    [operation] = api.gateway.added
    assert is_guest_id(operation.user_id)
    assert operation.actor.type is ActorType.GUEST
    assert operation.actor.id == operation.user_id


async def test_every_guest_is_another() -> None:
    api = FakeApi()
    tokens = [(await api.client.post(GUESTS)).json()["token"] for _ in range(3)]
    assert len({api.state.authenticator.guests.guest_id(token) for token in tokens}) == 3


async def test_what_a_guest_claims_beside_its_id_grants_nothing() -> None:
    token = signed(roles=["admin"], store_ids="*", name="Eve", email="eve@example.com")
    principal = await FakeApi().state.authenticator.principal(f"Bearer {token}")
    assert (principal.is_guest, principal.is_admin, principal.store_ids) == (
        True,
        False,
        frozenset(),
    )
    assert (principal.name, principal.email) == (None, None)
    assert not principal.administers(STORE)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed(key=SECRET), id="signed with the issuer's secret"),
        pytest.param(signed(key="x" * 40), id="signed with another secret"),
        pytest.param(signed(typ="JWT"), id="typ of the issuer's tokens"),
        pytest.param(signed(typ="at+jwt"), id="typ of an access token"),
        pytest.param(signed(typ="GUEST+JWT"), id="typ in another spelling"),
        pytest.param(signed(iss="cart-service"), id="the issuer's name"),
        pytest.param(signed(aud="cart-service"), id="the issuer's audience"),
        pytest.param(signed(sub="user-1"), id="a user"),
        pytest.param(signed(sub="guest:1"), id="a user like a guest"),
        pytest.param(signed(sub=f"guest:{'0' * 32}\n"), id="a line more"),
        pytest.param(signed(exp=NOW - 3600), id="expired"),
        pytest.param(signed(iat=NOW + 3600), id="not yet"),
        pytest.param(
            jwt.encode(CLAIMS, "", algorithm="none", headers={"typ": "guest+jwt"}), id="alg none"
        ),
        pytest.param(
            jwt.encode(CLAIMS, NEW * 2, algorithm="HS512", headers={"typ": "guest+jwt"}), id="HS512"
        ),
    ],
)
async def test_other_tokens_are_no_guests(token: str) -> None:
    answer = await ask(token)
    assert answer.status_code == 401
    assert answer.json()["code"] in {"token_invalid", "token_expired"}


async def test_the_issuer_cannot_sign_for_a_guest() -> None:
    """Also with the same secret, or when it accepts any issuer and audience."""
    settings = settings_for_tests(jwt_issuer="", jwt_audience="")
    guest = signed(key=SECRET, typ="JWT")
    assert (await ask(guest, settings)).status_code == 401
    assert (await ask(signed(key=SECRET), settings)).status_code == 401
    user = jwt.encode(CLAIMS | {"sub": "guest:17"}, SECRET, algorithm="HS256")
    assert (await ask(user, settings)).status_code == 404  # a user, who has no cart


async def test_a_user_whose_id_begins_like_a_guests_is_a_user() -> None:
    api = FakeApi()
    headers = api.token(user="guest:17")
    principal = await api.state.authenticator.principal(headers["Authorization"])
    assert (principal.user_id, principal.is_guest) == ("guest:17", False)


async def test_a_secret_can_be_changed() -> None:
    def tokens(secrets: str) -> GuestTokens:
        return GuestTokens(settings_for_tests(guest_token_secrets=SecretStr(secrets)))

    old = tokens(OLD).issue()
    assert tokens(f"{NEW},{OLD}").guest_id(old.token) == old.guest_id
    new = tokens(f"{NEW},{OLD}").issue()
    assert tokens(NEW).guest_id(new.token) == new.guest_id
    with pytest.raises(jwt.InvalidSignatureError):
        tokens(NEW).guest_id(old.token)


async def test_without_a_secret_there_are_no_guests() -> None:
    settings = settings_for_tests(host="0.0.0.0")
    api = FakeApi(settings)
    answer = await api.client.post(GUESTS)
    assert (answer.status_code, answer.json()["code"]) == (404, "guests_off")
    assert "GUEST_TOKEN_SECRETS" in answer.json()["message"]
    assert (await ask(signed(), settings)).status_code == 401


async def test_new_guests_of_an_address_are_limited() -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_address=300))
    api.limiter.left = 2
    answer = await api.client.post(GUESTS)
    assert api.limiter.taken == ["address:127.0.0.1", "guests:127.0.0.1"]
    assert answer.headers["RateLimit-Limit"] == "60"
    refused = await api.client.post(GUESTS)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")


async def test_the_route_is_as_strict_as_the_others() -> None:
    api = FakeApi()
    assert (await api.client.post(GUESTS, params={"store": "1"})).status_code == 400
    assert (await api.client.post(GUESTS, headers={"Accept": "text/html"})).status_code == 406
    assert (await api.client.get(GUESTS)).status_code == 405


def test_ids_of_guests_are_random() -> None:
    ids = {new_guest_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(is_guest_id(one) for one in ids)


@pytest.mark.parametrize(
    ("environment", "rule"),
    [
        ({"GUEST_TOKEN_SECRETS": "short"}, "each must have at least 32 bytes"),
        ({"GUEST_TOKEN_SECRETS": ","}, "must have 1 to 5 secrets"),
        ({"GUEST_TOKEN_SECRETS": NEW, "JWT_SECRET": NEW}, "must not have the secret of JWT_SECRET"),
        (
            {"GUEST_TOKEN_SECRETS": f"{NEW},{SAMPLE_GUEST_SECRET}", "ENVIRONMENT": "staging"},
            "must not have the sample when ENVIRONMENT=staging",
        ),
    ],
)
def test_secrets_that_cannot_protect_stop_the_start(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], rule: str
) -> None:
    monkeypatch.setenv("CART_ENV_FILE", "")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"GUEST_TOKEN_SECRETS: {rule}"):
        load_settings()


def test_the_doctor_names_a_limit_that_is_off() -> None:
    findings = Findings()
    check(settings_for_tests(rate_limit_guests_per_address=0), findings)
    assert "RATE_LIMIT_GUESTS_PER_ADDRESS=0" in str(findings.__dict__)
