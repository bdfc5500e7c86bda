"""Documents and tokens in the shape of well-known issuers, with the settings that docs/tokens.md
recommends for each. What they look like is from the vendors' documentation:

Auth0 (Access Token Profiles), Microsoft Entra ID (Access token claims reference), Okta (OpenID
Connect & OAuth 2.0 API), Keycloak (Server Administration Guide), authentik (OAuth2 provider),
Amazon Cognito (Using tokens), Google Identity (OpenID Connect), Firebase (Verify ID tokens),
ZITADEL (Claims), AD FS (OpenID Connect concepts), Ping (Access token attributes).
"""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from settings import Settings
from tests.fakes.api import FakeApi, settings_for_tests

_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_EC = ec.generate_private_key(ec.SECP256R1())
_ED = ed25519.Ed25519PrivateKey.generate()
_JWK: dict[str, Any] = {
    "RS": jwt.algorithms.RSAAlgorithm,
    "ES": jwt.algorithms.ECAlgorithm,
    "Ed": jwt.algorithms.OKPAlgorithm,
}
_KEYS: dict[str, Any] = {"RS": _RSA, "ES": _EC, "Ed": _ED}
STORE = "store-1"


def jwk(key: Any, algorithm: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_JWK[algorithm[:2]].to_jwk(key.public_key()))
    return found | more


@dataclass(frozen=True)
class Issuer:
    """An issuer's claims, what it adds to its key, and the settings for it.

    `admin` are the claims of an admin of `STORE`; None where the issuer's claims name no stores.
    """

    claims: dict[str, Any]
    settings: dict[str, str]
    key: dict[str, Any] = field(default_factory=lambda: {"kid": "k1", "use": "sig", "alg": "RS256"})
    header: dict[str, Any] = field(default_factory=lambda: {"kid": "k1"})
    admin: dict[str, Any] | None = None
    algorithm: str = "RS256"
    shown: dict[str, str | None] = field(default_factory=dict)


TENANT = "9122040d-6c67-4c5b-b112-36a304b66dad"
ISSUERS = {
    "Auth0": Issuer(
        {
            "iss": "https://shop.eu.auth0.com/",
            "sub": "auth0|64f0c0ffee1234567890abcd",
            "aud": ["https://cart.example.com", "https://shop.eu.auth0.com/userinfo"],
            "azp": "my_client_id",
            "scope": "openid profile email",
            "gty": "password",
        },
        {
            "jwt_issuer": "https://shop.eu.auth0.com/",
            "jwt_audience": "https://cart.example.com",
            "jwt_roles_claim": "https://shop.example.com/roles",
            "jwt_stores_claim": "https://shop.example.com/stores",
            "jwt_email_claim": "https://shop.example.com/email",
        },
        key={"kid": "k1", "use": "sig", "alg": "RS256", "x5t": "abc", "x5c": ["AAAA"], "e": "AQAB"},
        header={"kid": "k1", "typ": "at+jwt"},
        admin={
            "https://shop.example.com/roles": ["admin"],
            "https://shop.example.com/stores": [STORE],
        },
    ),
    "Entra ID, version 2": Issuer(
        {
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "nbf": int(time.time()),
            "aio": "AXQAi/8IAAAA",
            "azpacr": "1",
            "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
            "name": "Ada Lovelace",
            "preferred_username": "ada@example.com",
            "rh": "I",
            "scp": "access_as_user",
            "tid": TENANT,
            "ver": "2.0",
        },
        {
            "jwt_issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "jwt_audience": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "jwt_admin_role": "Cart.Admin",
            "jwt_stores_claim": "extn.stores",
            "jwt_email_claim": "preferred_username",
        },
        key={"kid": "k1", "use": "sig", "x5t": "k1", "x5c": ["AAAA"]},
        header={"kid": "k1", "x5t": "k1"},
        admin={"roles": ["Cart.Admin"], "extn.stores": [STORE]},
        shown={"name": "Ada Lovelace", "email": "ada@example.com"},
    ),
    "Entra ID, version 1": Issuer(
        {
            "iss": f"https://sts.windows.net/{TENANT}/",
            "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
            "aud": "api://cart",
            "appid": "c44b4083-3bb0-49c1-b47d-974e53cbdf3c",
            "unique_name": "ada@example.com",
            "ver": "1.0",
        },
        {
            "jwt_issuer": f"https://sts.windows.net/{TENANT}/",
            "jwt_audience": "api://cart",
            "jwt_stores_claim": "extn.stores",
        },
        key={"kid": "k1", "use": "sig", "x5t": "k1"},
        header={"kid": "k1", "x5t": "k1"},
        admin={"roles": ["admin"], "extn.stores": [STORE]},
    ),
    "Okta": Issuer(
        {
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "iss": "https://shop.okta.com/oauth2/default",
            "sub": "ada@example.com",
            "aud": "api://default",
            "cid": "nmdP1fcyvdVO11AL7ECm",
            "uid": "00ujmkLgagxeRrAg20g3",
            "scp": ["openid", "email"],
            "auth_time": 1463283600,
        },
        {
            "jwt_issuer": "https://shop.okta.com/oauth2/default",
            "jwt_audience": "api://default",
            "jwt_roles_claim": "groups",
            "jwt_admin_role": "Cart admins",
            "jwt_stores_claim": "stores",
        },
        admin={"groups": ["Everyone", "Cart admins"], "stores": [STORE]},
    ),
    "Keycloak, realm roles": Issuer(
        {
            "iss": "https://sso.example.com/realms/shop",
            "sub": "f:2a1c3e7e-0d1f-4c61-9c0e-3b1c7f:ada",
            "aud": ["cart", "account"],
            "typ": "Bearer",
            "azp": "storefront",
            "realm_access": {"roles": ["offline_access", "uma_authorization"]},
            "resource_access": {"account": {"roles": ["manage-account"]}},
            "email_verified": False,
            "name": "Ada Lovelace",
            "preferred_username": "ada",
            "email": "ada@example.com",
        },
        {
            "jwt_issuer": "https://sso.example.com/realms/shop",
            "jwt_audience": "cart",
            "jwt_roles_claim": "realm_access.roles",
        },
        header={"kid": "k1", "typ": "JWT"},
        admin={"realm_access": {"roles": ["offline_access", "admin"]}, "store_ids": STORE},
        shown={"name": "Ada Lovelace", "email": "ada@example.com"},
    ),
    "Keycloak, client roles": Issuer(
        {
            "iss": "https://sso.example.com/realms/shop",
            "sub": "6a1c3e7e-0d1f-4c61-9c0e-3b1c7f000000",
            "aud": "account",
        },
        {
            "jwt_issuer": "https://sso.example.com/realms/shop",
            "jwt_audience": "account",
            "jwt_roles_claim": "resource_access.cart.shop.roles",
        },
        admin={"resource_access": {"cart.shop": {"roles": ["admin"]}}, "store_ids": [STORE]},
    ),
    "authentik": Issuer(
        {
            "iss": "https://auth.example.com/application/o/cart/",
            "sub": "7c0a5f0ce3f1a9a4d5cf9be6fd0ee1cd5a4a7f61cf9a7f0e7a6a8b9d1e2f3a4b",
            "aud": "Zt0mHqBY1nW1aCgN7cQkq0xQXQnF1f8cQm0pS8yK",
            "acr": "goauthentik.io/providers/oauth2/default",
            "email": "ada@example.com",
            "email_verified": True,
            "name": "Ada Lovelace",
            "groups": ["shoppers"],
        },
        {
            "jwt_issuer": "https://auth.example.com/application/o/cart/",
            "jwt_audience": "Zt0mHqBY1nW1aCgN7cQkq0xQXQnF1f8cQm0pS8yK",
            "jwt_roles_claim": "groups",
            "jwt_admin_role": "cart-admins",
        },
        admin={"groups": ["cart-admins"], "store_ids": [STORE]},
        shown={"name": "Ada Lovelace", "email": "ada@example.com"},
        key={"kid": "k1", "use": "sig", "alg": "ES256"},
        algorithm="ES256",
    ),
    "Cognito, access token": Issuer(
        {
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example",
            "version": 2,
            "client_id": "4jb4example",
            "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "token_use": "access",
            "scope": "openid",
            "username": "ada",
        },
        {
            "jwt_issuer": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_example",
            "jwt_audience": "4jb4example",
            "jwt_audience_claim": "client_id",
            "jwt_roles_claim": "cognito:groups",
            "jwt_stores_claim": "custom:stores",
        },
        header={"kid": "k1"},
        admin={"cognito:groups": ["admin", "buyers"], "custom:stores": f"store-0, {STORE}"},
    ),
    "Google": Issuer(
        {
            "iss": "https://accounts.google.com",
            "azp": "1234987819200.apps.googleusercontent.com",
            "aud": "1234987819200.apps.googleusercontent.com",
            "sub": "10769150350006150715113082367",
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "email": "ada@example.com",
            "email_verified": "true",
            "name": "Ada Lovelace",
        },
        {
            "jwt_issuer": "https://accounts.google.com,accounts.google.com",
            "jwt_audience": "1234987819200.apps.googleusercontent.com",
        },
        header={"kid": "k1", "typ": "JWT"},
        shown={"name": "Ada Lovelace", "email": "ada@example.com"},
    ),
    "Firebase": Issuer(
        {
            "iss": "https://securetoken.google.com/shop-project",
            "aud": "shop-project",
            "auth_time": 1672531200,
            "user_id": "Xy12AbCdEfGhIjKlMnOpQrStUv",
            "sub": "Xy12AbCdEfGhIjKlMnOpQrStUv",
            "email": "ada@example.com",
            "firebase": {"identities": {"email": ["ada@example.com"]}},
        },
        {
            "jwt_issuer": "https://securetoken.google.com/shop-project",
            "jwt_audience": "shop-project",
        },
        key={"kid": "k1", "use": "sig", "alg": "RS256"},
        admin={"roles": "admin", "store_ids": [STORE]},  # custom claims
        shown={"email": "ada@example.com"},
    ),
    "ZITADEL": Issuer(
        {
            "iss": "https://shop.zitadel.cloud",
            "sub": "179828644300980481",
            "aud": ["179831166675255553@shop", "179828621148422401"],
            "amr": ["password"],
        },
        {
            "jwt_issuer": "https://shop.zitadel.cloud",
            "jwt_audience": "179828621148422401",
            "jwt_roles_claim": "urn:zitadel:iam:org:project:roles",
            "jwt_stores_claim": "urn:zitadel:iam:user:metadata.stores",
        },
        key={"kid": "k1", "use": "sig", "alg": "EdDSA"},
        algorithm="EdDSA",
        admin={
            "urn:zitadel:iam:org:project:roles": {"admin": {"17982": "shop.zitadel.cloud"}},
            "urn:zitadel:iam:user:metadata": {"stores": f"{STORE} store-2"},
        },
    ),
    "AD FS": Issuer(
        {
            "iss": "http://adfs.example.com/adfs/services/trust",
            "sub": "jYaqmqdtpQxUuQx8kOnhj8zqXsUbKVl2BKZkFsPH8xg=",
            "aud": "microsoft:identityserver:cart",
            "apptype": "Public",
            "upn": "ada@example.com",
        },
        {
            "jwt_issuer": "http://adfs.example.com/adfs/services/trust",
            "jwt_audience": "microsoft:identityserver:cart",
            "jwt_roles_claim": "role",
            "jwt_email_claim": "upn",
        },
        key={"kid": "k1", "use": "sig", "alg": "RS256", "x5t": "k1"},
        header={"kid": "k1", "x5t": "k1"},
        admin={"role": "admin", "store_ids": STORE},
        shown={"email": "ada@example.com"},
    ),
    "Ping": Issuer(
        {
            "iss": f"https://auth.pingone.eu/{TENANT}/as",
            "sub": "5b2ab3f5-ab6c-4dd5-b2ef-5cbbd5bbdd3b",
            "aud": ["https://cart.example.com"],
            "client_id": "4d0f0d1c",
            "env": TENANT,
            "org": "org-1",
            "acr": "Single_Factor",
        },
        {
            "jwt_issuer": f"https://auth.pingone.eu/{TENANT}/as",
            "jwt_audience": "https://cart.example.com",
            "jwt_roles_claim": "memberOf",
        },
        key={"kid": "k1", "use": "sig", "kty": "RSA"},
        admin={"memberOf": "shoppers,admin", "store_ids": [STORE]},
    ),
    "An issuer that names the curve": Issuer(  # RFC 9864
        {"iss": "https://id.example.com", "sub": "did:example:123", "aud": "cart"},
        {"jwt_issuer": "https://id.example.com", "jwt_audience": "cart"},
        key={"kid": "k1", "alg": "Ed25519"},
        header={"kid": "k1", "alg": "Ed25519"},
        algorithm="EdDSA",
    ),
    "An issuer without key ids": Issuer(
        {"iss": "https://id.example.com", "sub": "did:example:123", "aud": "cart"},
        {"jwt_issuer": "https://id.example.com", "jwt_audience": "cart"},
        key={},
        header={},
        algorithm="EdDSA",
    ),
}


def settings_of(issuer: Issuer) -> Settings:
    url = "https://issuer.example/jwks/"
    return settings_for_tests(jwt_algorithm=issuer.algorithm, jwt_jwks_url=url, **issuer.settings)


def api_for(issuer: Issuer) -> FakeApi:
    own = jwk(_KEYS[issuer.algorithm[:2]], issuer.algorithm, **issuer.key)
    encryption = jwk(_OTHER, "RS256", kid="enc", use="enc", alg="RSA-OAEP")
    unknown = {"kty": "AKP", "kid": "post-quantum", "alg": "ML-DSA-44", "pub": "AAAA"}
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, json={"keys": [encryption, unknown, own]})
    )
    return FakeApi(settings_of(issuer), jwks=transport)


def token(issuer: Issuer, **claims: Any) -> str:
    now = int(time.time())
    return "Bearer " + jwt.encode(
        {"iat": now, "exp": now + 600, **issuer.claims, **claims},
        _KEYS[issuer.algorithm[:2]],
        algorithm=issuer.algorithm,
        headers=issuer.header,
    )


@pytest.mark.parametrize("issuer", ISSUERS.values(), ids=ISSUERS)
async def test_a_shopper_of_the_issuer_has_a_cart(issuer: Issuer) -> None:
    principal = await api_for(issuer).state.authenticator.principal(token(issuer))
    assert principal.user_id == issuer.claims["sub"]
    assert not principal.administers(STORE)
    assert principal.name == issuer.shown.get("name")
    assert principal.email == issuer.shown.get("email")


@pytest.mark.parametrize(
    "issuer", [one for one in ISSUERS.values() if one.admin], ids=lambda one: one.claims["iss"]
)
async def test_an_admin_of_the_issuer_administers_the_named_stores(issuer: Issuer) -> None:
    authenticator = api_for(issuer).state.authenticator
    admin = await authenticator.principal(token(issuer, **(issuer.admin or {})))
    assert admin.administers(STORE)
    assert not admin.administers("another-store")
    for name in issuer.admin or {}:  # a role without stores, and stores without a role
        less = {key: value for key, value in (issuer.admin or {}).items() if key != name}
        assert not (await authenticator.principal(token(issuer, **less))).administers(STORE)


@pytest.mark.parametrize("issuer", ISSUERS.values(), ids=ISSUERS)
async def test_tokens_of_others_are_refused(issuer: Issuer) -> None:
    api = api_for(issuer)
    audience = issuer.settings.get("jwt_audience_claim", "aud")
    url = f"/api/v1/cart/{STORE}/store"
    for changed in ({"iss": issuer.claims["iss"] + "x"}, {audience: "another"}, {"sub": None}):
        header = {"Authorization": token(issuer, **changed)}
        assert (await api.client.get(url, headers=header)).status_code == 401
    header = {"Authorization": token(issuer)}
    assert (await api.client.get(url, headers=header)).status_code == 404


def test_every_issuer_is_in_the_documentation(project_root: Any) -> None:
    page = (project_root / "docs/tokens.md").read_text()
    for name in ISSUERS:
        assert name.partition(",")[0] in page
    for issuer in ISSUERS.values():
        for setting in issuer.settings:
            assert setting.upper() in page
