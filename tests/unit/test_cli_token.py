"""`cart token` prints a token that the API accepts, and nothing else."""

import time

import jwt
import pytest

from settings import SAMPLE_JWT_SECRET
from tests.unit.cli_standin import clear_environment, run


def test_the_token_has_the_documented_claims(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch)
    words = "--user u-1 --store store-1 --role admin --name Ann --email ann@example.com --ttl 60"

    ended = run(capsys, "token", *words.split())

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("\n") == 1
    claims = jwt.decode(
        ended.out.strip(),
        SAMPLE_JWT_SECRET,
        algorithms=["HS256"],
        audience="cart-service",
        issuer="cart-service",
        options={"require": ["exp", "iss", "aud", "sub"]},
    )
    assert claims["sub"] == "u-1"
    assert claims["roles"] == ["admin"]
    assert claims["store_ids"] == ["store-1"]
    assert (claims["name"], claims["email"]) == ("Ann", "ann@example.com")
    assert claims["exp"] == pytest.approx(time.time() + 60, abs=10)


def test_a_token_without_a_role_is_not_an_admin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch)

    ended = run(capsys, "token", "--user", "u-1")

    claims = jwt.decode(ended.out.strip(), options={"verify_signature": False})
    assert (claims["roles"], claims["store_ids"]) == ([], [])


def test_without_a_shared_secret_no_token_can_be_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(
        monkeypatch, JWT_ALGORITHM="RS256", JWT_JWKS_URL="https://issuer.example/jwks"
    )

    ended = run(capsys, "token", "--user", "u-1")

    assert (ended.code, ended.out) == (1, "")
    assert "RS256" in ended.err
    assert "Traceback" not in ended.err


def test_the_user_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "token").code == 2
