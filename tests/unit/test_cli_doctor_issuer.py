"""`cart doctor` says why tokens cannot be checked: keys that cannot be fetched or used, a clock."""

import json
import time
from email.utils import formatdate
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from api.auth import download
from cli.doctor import issuer
from cli.doctor.issuer import check_issuer
from cli.doctor.results import CheckReport, CheckResult, Status
from settings import Settings

KEY = json.loads(
    jwt.algorithms.RSAAlgorithm.to_jwk(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    )
)


async def checked(
    monkeypatch: pytest.MonkeyPatch, answer: httpx.Response | Exception, algorithm: str = "RS256"
) -> CheckResult:
    def respond(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx.MockTransport(respond)
    monkeypatch.setattr(issuer, "key_client", lambda url: download.key_client(url, transport))
    report = CheckReport()
    settings = Settings(
        jwt_algorithm=algorithm, jwt_jwks_url="https://me:hunter2@id.example.com/jwks"
    )
    await check_issuer(settings, report)
    [result] = report.results
    assert "hunter2" not in f"{result.what} {result.advice}"
    return result


def keys(*entries: dict[str, Any], **headers: str) -> httpx.Response:
    return httpx.Response(200, json={"keys": entries}, headers=headers)


async def test_usable_keys_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await checked(monkeypatch, keys(KEY, {"kty": "EC"}, Date=formatdate(usegmt=True)))
    assert found.state is Status.OK
    assert "has 1 for RS256, 1 others ignored" in found.what


@pytest.mark.parametrize(
    ("answer", "why", "advice"),
    [
        (httpx.ConnectError("no route"), "no route", "SSL_CERT_FILE"),
        (httpx.Response(404), "https://id.example.com/jwks answered 404", "JWT_JWKS_URL"),
        (httpx.Response(200, text="<html>"), "", "JWT_JWKS_URL is the issuer's"),
        (keys(), "no key for RS256", "JWT_ALGORITHM"),
        (keys(KEY | {"alg": "RS512"}), "alg is 'RS512', not RS256", "JWT_ALGORITHM"),
    ],
)
async def test_keys_that_cannot_be_used_are_a_failure(
    monkeypatch: pytest.MonkeyPatch, answer: httpx.Response | Exception, why: str, advice: str
) -> None:
    found = await checked(monkeypatch, answer)
    assert found.state is Status.FAILED
    assert why in found.what
    assert advice in found.advice


@pytest.mark.parametrize(("seconds", "words"), [(120, "s ahead of"), (-120, "s behind")])
async def test_a_clock_that_differs_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, seconds: float, words: str
) -> None:
    date = formatdate(time.time() + seconds, usegmt=True)
    found = await checked(monkeypatch, keys(KEY, Date=date))
    assert found.state is Status.WARN
    assert words in found.what
    assert "60 s are allowed" in found.what
    assert "NTP" in found.advice
    assert (await checked(monkeypatch, keys(KEY, Date=date, Age="1"))).state is Status.OK
    assert (await checked(monkeypatch, keys(KEY, Date="yesterday"))).state is Status.OK


async def test_with_a_shared_secret_there_is_no_issuer() -> None:
    report = CheckReport()
    await check_issuer(Settings(), report)
    assert report.results == []
