"""Tokens: one algorithm, one issuer, one audience, and the keys of the issuer."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from api.auth import download, jwks
from cli.token import TokenError, mint_token
from settings import JwtAlgorithm
from tests.fakes.api import SECRET, STORE, URL, FakeApi, settings_for_tests

NOW = int(time.time())
CLAIMS: dict[str, Any] = {
    "sub": "user-1",
    "iss": "cart-service",
    "aud": "cart-service",
    "exp": NOW + 36000,
}


def signed(claims: dict[str, Any], *, key: Any = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm=algorithm)


def unsigned(claims: dict[str, Any]) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


def changed(**claims: Any) -> str:
    return f"Bearer {signed(CLAIMS | claims)}"


def typed(kind: str, **header: Any) -> str:
    return "Bearer " + jwt.encode(CLAIMS, SECRET, headers={"typ": kind, **header})


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CLAIMS.items() if key != name}


async def ask(api: FakeApi, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return await api.client.get(URL, headers=headers)


RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        pytest.param(None, "Authentication required", id="missing"),
        pytest.param("", "Authentication required", id="empty"),
        pytest.param("Bearer ", "Authentication required", id="no token"),
        pytest.param("Basic dXNlcjpwYXNz", "Authentication required", id="other scheme"),
        pytest.param("Bearer garbage", "invalid", id="garbage"),
        pytest.param("Bearer a.b.c", "invalid", id="three parts of garbage"),
        pytest.param("Bearer " + "e30." * 3, "invalid", id="four parts"),
        pytest.param(f"Bearer {unsigned(CLAIMS)}", "invalid", id="alg none"),
        pytest.param(f"Bearer {signed(CLAIMS)[:-4]}", "invalid", id="cut signature"),
        pytest.param(f"Bearer {signed(CLAIMS, key='x' * 32)}", "invalid", id="other secret"),
        pytest.param(
            f"Bearer {signed(CLAIMS, key=SECRET * 2, algorithm='HS512')}", "invalid", id="HS512"
        ),
        pytest.param(
            f"Bearer {signed(CLAIMS, key=RSA_KEY, algorithm='RS256')}", "invalid", id="RS256"
        ),
        pytest.param(changed(exp=NOW - 61), "expired", id="expired"),
        pytest.param(changed(aud="other"), "invalid", id="audience"),
        pytest.param(changed(iss="other"), "invalid", id="issuer"),
        pytest.param(changed(nbf=NOW + 3600), "invalid", id="not yet"),
        pytest.param(f"Bearer {signed(without('exp'))}", "invalid", id="no exp"),
        pytest.param(f"Bearer {signed(without('iss'))}", "invalid", id="no iss"),
        pytest.param(f"Bearer {signed(without('aud'))}", "invalid", id="no aud"),
        pytest.param(f"Bearer {signed(without('sub'))}", "invalid", id="no sub"),
        pytest.param(changed(iat=NOW + 3600), "invalid", id="issued in the future"),
        pytest.param(changed(exp=str(NOW + 3600)), "invalid", id="exp text"),
        pytest.param(changed(exp=True), "expired", id="exp boolean"),
        pytest.param(changed(exp=float("inf")), "invalid", id="exp infinite"),
        pytest.param(changed(exp=float("nan")), "invalid", id="exp no number"),
        pytest.param(changed(nbf=str(NOW)), "invalid", id="nbf text"),
        pytest.param(changed(iat=[NOW]), "invalid", id="iat list"),
        pytest.param(changed(nbf=True), "invalid", id="nbf boolean"),
        pytest.param(changed(sub="a" * 256), "invalid", id="long sub"),
        pytest.param(changed(sub="a\n"), "invalid", id="sub and newline"),
        pytest.param(changed(sub=""), "invalid", id="empty sub"),
        pytest.param(typed("logout+jwt"), "invalid", id="logout token"),
        pytest.param(typed("dpop+jwt"), "invalid", id="proof of possession"),
        pytest.param(
            changed(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
            "invalid",
            id="logout token without its type",
        ),
        pytest.param(typed("JWT", crit=["exp"], exp=1), "invalid", id="critical extension"),
        pytest.param(typed("JWT", crit=["b64"], b64=True), "invalid", id="critical b64"),
        pytest.param(f"Bearer {signed(CLAIMS)} x", "invalid", id="two words"),
    ],
)
async def test_a_request_without_a_valid_token_gets_401(
    authorization: str | None, reason: str
) -> None:
    api = FakeApi()
    for method in ("GET", "POST"):  # before the body is read
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = await api.client.request(method, URL, headers=headers, content=b"{")
        assert answer.status_code == 401
        assert list(answer.json()) == ["message", "code"]
        assert answer.json()["code"] == {
            "Authentication required": "token_missing",
            "expired": "token_expired",
        }.get(reason, "token_invalid")
        assert reason in answer.json()["message"]
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert api.gateway.added == []
    assert api.mongo.reads == 0


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "no token"),
        ("Basic dXNlcjpwYXNz", "another scheme than Bearer"),
        ("Bearer garbage", "malformed"),
        (f"Bearer {signed(CLAIMS, key='x' * 32)}", "signed with another key"),
        (f"Bearer {signed(CLAIMS, key=SECRET * 2, algorithm='HS512')}", "JWT_ALGORITHM"),
        (changed(exp=NOW - 61), "expired"),
        (changed(nbf=NOW + 3600), "not valid yet"),
        (changed(exp="never"), "malformed"),
        (changed(exp=str(NOW + 3600)), "exp must be a number of seconds"),
        (changed(aud="other"), "another audience than JWT_AUDIENCE: 'other'"),
        (changed(iss="https://id.example.com/"), "JWT_ISSUER: 'https://id.example.com/'"),
        (changed(iss="\x1b[2J\u202e" + "x" * 999), r"JWT_ISSUER: '\x1b[2J\u202exxx"),
        (f"Bearer {signed(without('aud'))}", "another audience than JWT_AUDIENCE: None"),
        (f"Bearer {signed(without('exp'))}", "exp is missing"),
        (f"Bearer {signed(without('sub'))}", "sub must be 1 to 255 printable characters"),
        (changed(sub="a\u200b"), "sub must be 1 to 255 printable characters"),
        (typed("logout+jwt"), "typ is 'logout+jwt', not JWT or at+jwt"),
    ],
)
async def test_the_log_says_why_a_token_is_not_accepted(
    authorization: str | None, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert (await ask(FakeApi(), authorization)).status_code == 401
    [line] = [one for one in caplog.records if one.name == "api.requests"]
    assert reason in vars(line)["reason"]
    assert len(vars(line)["reason"]) < 300


async def test_a_valid_token_is_accepted_with_any_spelling_of_bearer() -> None:
    api = FakeApi()
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert (await ask(api, f"{scheme} {signed(CLAIMS)}")).status_code == 404
    several = signed({**CLAIMS, "aud": ["other", "cart-service", None]})
    assert (await ask(api, f"Bearer {several}")).status_code == 404
    for kind in ("JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"):  # RFC 9068, 2.1
        assert (await ask(api, typed(kind))).status_code == 404


@pytest.mark.parametrize(
    ("ahead", "is_exact"),
    [
        ({"nbf": 5, "iat": 5}, False),
        ({"nbf": 50, "iat": 50}, False),
        ({"exp": -50}, False),
        ({"exp": 60.5, "nbf": -0.5, "iat": -0.25}, True),  # RFC 7519, 2: NumericDate
    ],
)
async def test_the_issuers_clock_may_differ_by_a_minute(
    ahead: dict[str, float], *, is_exact: bool
) -> None:
    header = changed(**{name: time.time() // 1 + seconds for name, seconds in ahead.items()})
    assert (await ask(FakeApi(), header)).status_code == 404
    exact = FakeApi(settings_for_tests(jwt_leeway_seconds=0))
    assert (await ask(exact, header)).status_code == (404 if is_exact else 401)


async def test_several_issuers_and_audiences_can_be_accepted_or_any() -> None:
    both = FakeApi(settings_for_tests(jwt_issuer="https://a/, https://b", jwt_audience="x,y"))
    for issuer, audience, status in (
        ("https://a/", "x", 404),
        ("https://b", ["z", "y"], 404),
        ("https://a", "x", 401),  # compared exactly (RFC 7519, 4.1.1)
        ("https://b", "x y", 401),
        ("https://b", {"x": 1}, 401),
        (["https://b"], "x", 401),
    ):
        header = changed(iss=issuer, aud=audience) if isinstance(issuer, str) else None
        if header is not None:
            assert (await ask(both, header)).status_code == status
    any_of_them = FakeApi(settings_for_tests(jwt_issuer="", jwt_audience=""))
    assert (await ask(any_of_them, changed(iss="anybody", aud="anything"))).status_code == 404
    assert (await ask(any_of_them, f"Bearer {signed(without('aud'))}")).status_code == 404


async def test_the_stores_that_an_admin_administers() -> None:
    api = FakeApi()

    async def administers(store_id: str, **token: Any) -> bool:
        header = api.token(**token)["Authorization"]
        principal = await api.state.authenticator.principal(header)
        return principal.administers(store_id)

    assert await administers(STORE, role="admin", store=STORE)
    assert await administers(STORE, role="admin")
    assert not await administers("another", role="admin", store=STORE)
    assert not await administers(STORE, store=STORE)
    assert not await administers(STORE, role="seller", store=STORE)
    text = signed({**CLAIMS, "roles": ["admin"], "store_ids": "*"})
    assert (await api.state.authenticator.principal(f"Bearer {text}")).administers("any")


def test_tokens_are_only_minted_with_a_shared_secret() -> None:
    settings = settings_for_tests(
        jwt_algorithm=JwtAlgorithm.RS256, jwt_jwks_url="https://issuer.example/jwks"
    )
    with pytest.raises(TokenError, match="HS256"):
        mint_token(settings, user="user-1")


# Keys of an external issuer.


def public(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    algorithms: dict[Any, Any] = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
    }
    algorithm = next(value for kind, value in algorithms.items() if isinstance(key, kind))
    text = algorithm.to_jwk(key.public_key())
    return {**json.loads(text), "kid": kid, **more}


class Issuer:
    """Serves a JWKS document, and counts the requests."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.answer: Callable[[], httpx.Response] | None = None

    def __call__(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.answer is not None:
            return self.answer()
        return httpx.Response(200, json={"keys": self.keys})

    def api(self, algorithm: str = "RS256") -> FakeApi:
        settings = settings_for_tests(
            jwt_algorithm=JwtAlgorithm(algorithm), jwt_jwks_url="https://issuer.example/jwks"
        )
        return FakeApi(settings, jwks=httpx.MockTransport(self))


def token(key: Any, kid: str | None, algorithm: str = "RS256") -> str:
    headers = {} if kid is None else {"kid": kid}
    return "Bearer " + jwt.encode(CLAIMS, key, algorithm=algorithm, headers=headers)


class ManualClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock()
    monkeypatch.setattr(jwks, "time", clock)
    return clock


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", RSA_KEY), ("ES256", EC_KEY)])
async def test_the_keys_of_the_issuer_are_fetched_once(algorithm: str, key: Any) -> None:
    issuer = Issuer(public(key, "one"))
    api = issuer.api(algorithm)
    for _ in range(3):
        assert (await ask(api, token(key, "one", algorithm))).status_code == 404
    assert (
        await ask(api, token(key, None, algorithm))
    ).status_code == 404  # without an id it is the only key
    assert issuer.asked == 1


async def test_tokens_signed_with_other_keys_are_refused(clock: ManualClock) -> None:
    shared = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode(), "kid": "oct"}
    encryption = public(OTHER_RSA_KEY, "enc", use="enc")
    issuer = Issuer(public(RSA_KEY, "one"), shared, encryption, public(EC_KEY, "ec"))
    api = issuer.api()
    pem = jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key())
    for refused in (
        token(OTHER_RSA_KEY, "one"),  # claims the id of the issuer's key
        token(OTHER_RSA_KEY, "enc"),
        token(SECRET, "oct", "HS256"),
        token(pem * 2, "one", "HS256"),  # the public key used as an HMAC secret
        token(EC_KEY, "ec", "ES256"),
        f"Bearer {unsigned(CLAIMS)}",
    ):
        answer = await ask(api, refused)
        assert (answer.status_code, answer.json()) == (
            401,
            {"message": "Token is invalid", "code": "token_invalid"},
        )
    assert issuer.asked == 1


async def test_an_unknown_key_id_fetches_the_keys_again_at_most_once_per_interval(
    clock: ManualClock,
) -> None:
    issuer = Issuer(public(RSA_KEY, "one"))
    api = issuer.api()
    assert (await ask(api, token(RSA_KEY, "one"))).status_code == 404
    issuer.keys.append(public(OTHER_RSA_KEY, "two"))
    new = token(OTHER_RSA_KEY, "two")
    assert (await ask(api, new)).status_code == 401  # within the interval
    clock.now += jwks.REFRESH_SECONDS
    assert (await ask(api, new)).status_code == 404
    for number in range(20):
        assert (await ask(api, token(RSA_KEY, f"made-up-{number}"))).status_code == 401
    assert issuer.asked == 2


async def test_a_key_that_the_issuer_withdraws_is_no_longer_accepted(clock: ManualClock) -> None:
    issuer = Issuer(public(RSA_KEY, "one"), public(OTHER_RSA_KEY, "two"))
    api = issuer.api()
    assert (await ask(api, token(OTHER_RSA_KEY, "two"))).status_code == 404
    issuer.keys.pop()
    clock.now += jwks.MAX_AGE_SECONDS + 1
    assert (await ask(api, token(OTHER_RSA_KEY, "two"))).status_code == 401


@pytest.mark.parametrize(
    "broken",
    [
        lambda: httpx.Response(500),
        lambda: httpx.Response(200, content=b"<html>"),
        lambda: httpx.Response(200, json=[]),
        lambda: httpx.Response(200, json={"keys": []}),
        lambda: httpx.Response(302, headers={"Location": "http://other.example"}),
        lambda: httpx.Response(200, content=b" " * (download.MAX_BYTES + 1)),
    ],
)
async def test_without_the_issuer_a_token_gets_503_instead_of_401(
    clock: ManualClock, broken: Callable[[], httpx.Response]
) -> None:
    issuer = Issuer(public(RSA_KEY, "one"))
    issuer.answer = broken
    api = issuer.api()
    known = token(RSA_KEY, "one")
    answer = await ask(api, known)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert (await ask(api, known)).status_code == 503
    assert issuer.asked == 1  # no second request within the interval

    clock.now += jwks.FIRST_TRY_AGAIN_SECONDS
    issuer.answer = None
    assert (await ask(api, known)).status_code == 404

    issuer.answer = broken  # down again: the known keys stay in use
    clock.now += jwks.MAX_AGE_SECONDS + 1
    assert (await ask(api, known)).status_code == 404
