"""Claims in the forms in which issuers write them. A claim that cannot be read grants nothing."""

from typing import Any

import pytest

from adapters.mongo.carts import CartScope
from api.auth.claims import claim, principal_of, words
from settings import Settings

CLAIMS = {
    "roles": ["a"],
    "https://shop.example.com/roles": ["url"],
    "cognito:groups": ["cognito"],
    "realm_access": {"roles": ["realm"]},
    "resource_access": {"cart": {"roles": ["client"]}, "cart.shop": {"roles": ["dotted"]}},
    "a.b": {"c": "longest"},
    "a": {"b": {"c": "shorter", "d": "path"}},
    "text": "value",
    "null": None,
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("roles", ["a"]),
        ("https://shop.example.com/roles", ["url"]),
        ("cognito:groups", ["cognito"]),
        ("realm_access.roles", ["realm"]),
        ("resource_access.cart.roles", ["client"]),
        ("resource_access.cart.shop.roles", ["dotted"]),
        ("a.b.c", "longest"),
        ("a.b.d", "path"),
        ("null", None),
        ("unknown", None),
        ("realm_access.unknown", None),
        ("text.length", None),
        ("roles.0", None),
        ("..", None),
        ("", None),
        ("." * 200, None),
    ],
)
def test_a_claim_is_found_by_its_name_or_else_its_path(path: str, found: Any) -> None:
    assert claim(CLAIMS, path) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (["admin", "seller"], {"admin", "seller"}),
        ("admin", {"admin"}),
        ("admin seller", {"admin", "seller"}),
        ("admin,seller", {"admin", "seller"}),
        (" admin , \t seller\n", {"admin", "seller"}),
        ("", set()),
        ([], set()),
        (["Cart admins"], {"Cart admins"}),
        (["admin", 7, None, ["x"], {"y": 1}], {"admin"}),
        (
            {"admin": {"17982": "shop"}, "seller": True, "no": False, "none": {}},
            {"admin", "seller"},
        ),
        (None, set()),
        (7, set()),
        (True, set()),
        (1.5, set()),
    ],
)
def test_roles_and_stores_are_words(value: Any, found: set[str]) -> None:
    assert words(value) == found
    principal = principal_of({"sub": "ada", "roles": value, "store_ids": value}, Settings())
    assert principal.is_admin == ("admin" in found)
    assert principal.store_ids == found
    assert not principal.administers("another")


@pytest.mark.parametrize(
    ("roles", "stores", "administers"),
    [
        ("admin", "store-1", True),
        ("admin", "*", True),
        ("admin", None, False),
        ("admin", "store-2", False),
        ("Admin", "store-1", False),
        ("administrator", "*", False),
        (None, "*", False),
        (["user"], ["*"], False),
    ],
)
def test_an_admin_has_the_role_and_the_store(roles: Any, stores: Any, *, administers: bool) -> None:
    claims = {"sub": "ada", "roles": roles, "store_ids": stores}
    assert principal_of(claims, Settings()).administers("store-1") is administers


def test_only_admins_reach_the_carts_of_others_by_id() -> None:
    def scope(**claims: Any) -> CartScope | None:
        return principal_of({"sub": "ada", **claims}, Settings()).scope

    own = CartScope("ada")
    assert scope() == scope(store_ids=["store-1"]) == scope(store_ids="*") == own
    assert scope(roles="seller", store_ids="*") == scope(roles="admin") == own
    assert scope(roles="admin", store_ids=["s"]) == CartScope("ada", frozenset({"s"}))
    assert scope(roles="admin", store_ids="*") is None


def test_the_name_of_the_role_is_a_setting() -> None:
    settings = Settings(jwt_admin_role="Cart.Admin")
    claims = {"sub": "ada", "roles": ["Cart.Admin"], "store_ids": "*"}
    assert principal_of(claims, settings).administers("store-1")
    assert not principal_of({**claims, "roles": ["admin"]}, settings).administers("store-1")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("", None),
        ("x" * 501, None),
        ("a\x00b", None),
        ("a\x1b[2J", None),
        ("a\ud800", None),
        (7, None),
        (["Ada"], None),
        ({"given": "Ada"}, None),
        (None, None),
    ],
)
def test_a_name_that_cannot_be_used_is_left_out(name: Any, shown: str | None) -> None:
    assert principal_of({"sub": "ada", "name": name}, Settings()).name == shown


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("ada@example.com", "ada@example.com"),
        ("ada@example.com\n", None),
        ("ada", None),
        ("ada@localhost", None),
        ("x" * 250 + "@example.com", None),
        (True, None),
        (["ada@example.com"], None),
        (None, None),
    ],
)
def test_an_email_address_that_cannot_be_used_is_left_out(email: Any, shown: str | None) -> None:
    claims = {"sub": "ada", "email": email, "email_verified": False}
    assert principal_of(claims, Settings()).email == shown
